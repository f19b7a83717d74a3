"""/v1/fits: scaling laws fitted to runs, as jobs."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from assay.api.auth import ServingDep, Submitter
from assay.api.documents import job_document
from assay.api.routes import jobs
from assay.api.routes.common import (
    FitId,
    IdempotencyKey,
    answer,
    failing,
    first_or_again,
    once_of,
    replayed,
)
from assay.api.shapes import JobDocument, NewFit
from assay.jobs import store
from assay.scaling import registry
from assay.scaling.errors import BadFitSetting

router = APIRouter(tags=["fits"])
jobs.add_routes(router, "fit", "fits", FitId)
LOCATION = {"headers": {"Location": {"schema": {"type": "string"}}}}


@router.post(
    "/v1/fits", status_code=201, operation_id="submit_fit",
    responses={201: {"model": JobDocument, **LOCATION}, **failing(404, 409, 413)},
)  # fmt: skip
def submit(
    request: Request,
    body: NewFit,
    serving: ServingDep,
    who: Submitter,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Queue a fit; its `result` is the document that `assay fit --json` prints."""
    once = once_of(request, idempotency_key, body.model_dump(mode="json"))

    def make() -> str:
        registry.find(body.law)
        if (body.runs is None) == (body.rows is None):
            raise BadFitSetting("a fit needs its runs: give `runs`, a URI, or `rows`, one of both")
        if body.runs is not None:
            serving.roots.check([body.runs])
        asked = body.model_dump(exclude={"metadata"}, exclude_none=True, mode="json")
        return store.submit(
            serving.database, serving.queue.enqueue, "fit", who.owner, asked, body.metadata, once
        ).id

    made, again = first_or_again(serving, who, once, make)
    job = store.find_of(serving.database, who.owner, "fit", made)
    return answer(job_document(job), 201, {"Location": f"/v1/fits/{job.id}", **replayed(again)})
