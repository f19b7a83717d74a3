"""/v1/validations: small trainings that say whether a subset is worth it, as jobs."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from assay.api.auth import Reader, ServingDep, Submitter
from assay.api.documents import job_document
from assay.api.routes import jobs
from assay.api.routes.common import (
    IdempotencyKey,
    ValidationId,
    answer,
    failing,
    first_or_again,
    once_of,
    replayed,
)
from assay.api.routes.selections import earlier_run, kept_target
from assay.api.serving import Serving
from assay.api.shapes import JobDocument, NewValidation
from assay.jobs import store
from assay.jobs.access import Caller
from assay.jobs.errors import WrongState
from assay.jobs.validating import check
from assay.scaling.proxy import needs
from assay.selectors import storage

router = APIRouter(tags=["validations"])
jobs.add_routes(router, "validation", "validations", ValidationId)
LOCATION = {"headers": {"Location": {"schema": {"type": "string"}}}}
PAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The report, as a page",
        "content": {"text/html": {"schema": {"type": "string"}}},
    }
}


@router.post(
    "/v1/validations", status_code=201, operation_id="submit_validation",
    responses={201: {"model": JobDocument, **LOCATION}, **failing(404, 409, 413)},
)  # fmt: skip
def submit(
    request: Request,
    body: NewValidation,
    serving: ServingDep,
    who: Submitter,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Queue a validation; its `result` is the document that `assay validate --json` prints, and
    points of its curves are events of the type `point`."""
    once = once_of(request, idempotency_key, body.model_dump(mode="json"))

    def make() -> str:
        needs.there()
        asked = body.model_dump(exclude={"metadata"}, exclude_none=True, mode="json")
        asked = named(serving, who, asked)
        check(asked, serving.roots)
        return store.submit(
            serving.database, serving.queue.enqueue, "validation", who.owner, asked,
            body.metadata, once,
        ).id  # fmt: skip

    made, again = first_or_again(serving, who, once, make)
    job = store.find_of(serving.database, who.owner, "validation", made)
    headers = {"Location": f"/v1/validations/{job.id}", **replayed(again)}
    return answer(job_document(job), 201, headers)


def named(serving: Serving, who: Caller, asked: dict[str, Any]) -> dict[str, Any]:
    """Ids of selections and targets, written out as addresses."""
    target = [uri for one in asked["target"] for uri in kept_target(serving, who, one)]
    return {**asked, "subset": earlier_run(serving, who, asked["subset"]), "target": target}


@router.get(
    "/v1/validations/{id}/report", operation_id="get_validation_report",
    responses={**PAGE, **failing(404, 409, 503)}, response_class=Response,
)  # fmt: skip
def get_report(id: ValidationId, serving: ServingDep, who: Reader) -> Response:  # noqa: A002
    """The page that the validation wrote."""
    job = store.find_of(serving.database, who.owner, "validation", id)
    if job.status != "succeeded":
        raise WrongState(f"{id} is {job.status}: it has no report before it has succeeded")
    serving.roots.check_output(job.request["out"])
    page = storage.join(job.request["out"], "report.html")
    serving.roots.check_found([page])
    return Response(storage.read_bytes(page), media_type="text/html")
