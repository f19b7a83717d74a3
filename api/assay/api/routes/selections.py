"""/v1/selections: submit, and look into what came out."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import islice
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from assay.api.auth import Reader, ServingDep, Submitter
from assay.api.documents import job_document
from assay.api.routes import jobs
from assay.api.routes.common import (
    IdempotencyKey,
    Limit,
    SelectionId,
    answer,
    failing,
    first_or_again,
    once_of,
    replayed,
)
from assay.api.serving import Serving
from assay.api.shapes import Diff, JobDocument, WhatIf, selection_request
from assay.jobs import store
from assay.jobs.access import Caller
from assay.jobs.errors import WrongState
from assay.scaling.documents import plain
from assay.selectors import budget, difference, estimate, manifest, past, quarantine, spec, storage
from assay.selectors import explain as explaining
from assay.selectors.errors import Mismatch
from assay.selectors.manifest import Manifest
from assay.selectors.past import Past
from assay.selectors.spec import Spec
from assay.selectors.whatif import what_if

router = APIRouter(tags=["selections"])
jobs.add_routes(router, "selection", "selections", SelectionId)
OPEN = {"application/json": {"schema": {"type": "object", "additionalProperties": True}}}
FOUND: dict[int | str, dict[str, Any]] = {200: {"description": "Found", "content": OPEN}}
ESTIMATE = "With dry_run: what would be read, and how long it may take"
LOCATION = {"headers": {"Location": {"schema": {"type": "string"}}}}
SUBMITTED: dict[int | str, dict[str, Any]] = {
    200: {"description": ESTIMATE, "content": OPEN},
    201: {"model": JobDocument, **LOCATION},
}
Handler = TypeVar("Handler", bound=Callable[..., Response])
SelectionRequest: Any = selection_request()


@router.post(
    "/v1/selections", status_code=201, operation_id="submit_selection",
    responses={**SUBMITTED, **failing(404, 409, 413, 503)},
)  # fmt: skip
def submit(
    request: Request,
    body: SelectionRequest,
    serving: ServingDep,
    who: Submitter,
    dry_run: bool = False,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Queue a selection: the request is checked now, carried out by a worker."""
    asked = body.model_dump(exclude={"metadata"}, mode="json")
    once = once_of(request, idempotency_key, body.model_dump(mode="json"))
    if dry_run:
        wanted = checked(serving, who, asked)
        return answer({"object": "estimate", **plain(estimated(serving, wanted))})

    def make() -> str:
        row = row_of(checked(serving, who, asked))
        return store.submit(
            serving.database, serving.queue.enqueue, "selection", who.owner, row, body.metadata,
            once,
        ).id  # fmt: skip

    made, again = first_or_again(serving, who, once, make)
    job = store.find_of(serving.database, who.owner, "selection", made)
    headers = {"Location": f"/v1/selections/{job.id}", **replayed(again)}
    return answer(job_document(job), 201, headers)


def checked(serving: Serving, who: Caller, asked: Mapping[str, Any]) -> Spec:
    """The spec, if it can be carried out and touches nothing but the storage roots."""
    values = _without_nothing(asked)
    values["target"] = _targets(serving, who, values.get("target") or {})
    values["scores"] = {n: earlier_run(serving, who, uri) for n, uri in values["scores"].items()}
    values["stages"] = [_without_nothing(stage) for stage in values["stages"]]
    wanted = spec.checked(spec.from_mapping(values, "the request"))
    serving.roots.check_output(wanted.out)
    for uris in (wanted.raw, *wanted.target.values(), wanted.scores.values()):
        serving.roots.check(uris)
    return wanted


def _without_nothing(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _targets(serving: Serving, who: Caller, given: Any) -> dict[str, list[str]]:
    """URIs by name; a target that is kept here is written out."""
    named = given if isinstance(given, dict) else {"target": given} if given else {}
    return {name: [u for uri in uris for u in kept_target(serving, who, uri)]
            for name, uris in named.items()}  # fmt: skip


def kept_target(serving: Serving, who: Caller, uri: str) -> list[str]:
    """The addresses of a target, which may be named by its id."""
    if not uri.startswith("tgt_"):
        return [uri]
    return list(store.target_of(serving.database, who.owner, uri).uris)


def earlier_run(serving: Serving, who: Caller, uri: str) -> str:
    """The folder of an earlier selection, which may be named by its id."""
    if not uri.startswith("sel_"):
        return uri
    return finished(serving, who, uri).folder


def row_of(wanted: Spec) -> dict[str, Any]:
    """The spec as a job's row keeps it."""
    found = asdict(wanted)
    found["raw"] = list(wanted.raw)
    found["target"] = {name: list(uris) for name, uris in wanted.target.items()}
    found["stages"] = [dict(stage) for stage in wanted.stages]
    found["scores"] = dict(wanted.scores)
    return found


def estimated(serving: Serving, wanted: Spec) -> Mapping[str, Any]:
    serving.roots.check_all_found(wanted)
    with serving.means() as mapped:
        return estimate.estimate(wanted, serving.quiet(mapped))


# What came out -------------------------------------------------------------------------------


def finished(serving: Serving, who: Caller, job: str) -> Manifest:
    """The manifest of a selection of the caller's that has succeeded."""
    found = store.find_of(serving.database, who.owner, "selection", job)
    if found.status != "succeeded":
        raise WrongState(f"{job} is {found.status}: it has no result before it has succeeded")
    serving.roots.check_output(found.request["out"])
    made = manifest.read(storage.join(found.request["out"], manifest.NAME))
    if made.digest != (found.result or {}).get("digest"):
        raise Mismatch(f"{job}: the manifest in storage is not the one that this job wrote")
    return made


def reopened(serving: Serving, who: Caller, job: str) -> Past:
    """The same with its scores. Whoever can write to storage could have put another address in."""
    made = finished(serving, who, job)
    serving.roots.check_all_found(past.spec_of(made, made.folder))
    return past.reopen(made.folder)


def _get(path: str, name: str) -> Callable[[Handler], Handler]:
    problems = failing(404, 409, 503)
    return router.get(path, operation_id=name, responses={**FOUND, **problems})


def _post(path: str, name: str) -> Callable[[Handler], Handler]:
    problems = failing(404, 409, 413, 503)
    return router.post(path, operation_id=name, responses={**FOUND, **problems})


@_get("/v1/selections/{id}/manifest", "get_manifest")
def get_manifest(id: SelectionId, serving: ServingDep, who: Reader) -> Response:  # noqa: A002
    """The manifest as it stands in storage."""
    return answer(dict(finished(serving, who, id).content))


@_get("/v1/selections/{id}/stats", "get_stats")
def get_stats(id: SelectionId, serving: ServingDep, who: Reader) -> Response:  # noqa: A002
    """Counts, the cut and the warnings of a finished selection."""
    content = finished(serving, who, id).content
    names = ("corpus", "spent", "cut", "scores", "warnings", "versions")
    return answer({"object": "stats", **{name: content[name] for name in names}})


@_get("/v1/selections/{id}/quarantine", "get_quarantine")
def get_quarantine(
    id: SelectionId,  # noqa: A002
    serving: ServingDep,
    who: Reader,
    limit: Limit = 100,
) -> Response:
    """Rows that could not be read: shard, row, reason. Also of a job that is not over."""
    job = store.find_of(serving.database, who.owner, "selection", id)
    serving.roots.check_output(job.request["out"])
    folder = storage.join(job.request["out"], "quarantine")
    rows = list(islice(quarantine.read(folder), limit + 1))
    return answer({"object": "list", "data": rows[:limit], "has_more": len(rows) > limit})


@_get("/v1/selections/{id}/documents/{document:path}/explanation", "explain_document")
def explain(
    id: SelectionId,  # noqa: A002
    document: Annotated[str, Path(max_length=500)],
    serving: ServingDep,
    who: Reader,
) -> Response:
    """Why a document was kept or dropped."""
    made = reopened(serving, who, id)
    with serving.means() as mapped:
        found = explaining.explain(made, document, serving.quiet(mapped))
    return answer({"object": "explanation", **plain(found)})


@_post("/v1/selections/{id}/what-if", "what_if")
def ask_what_if(
    id: SelectionId,  # noqa: A002
    body: WhatIf,
    serving: ServingDep,
    who: Reader,
) -> Response:
    """What other budgets would keep, from the scores alone."""
    asked = [budget.parse(text) for text in body.budgets]
    made = reopened(serving, who, id)
    with serving.means() as mapped:
        found = what_if(made, asked, serving.quiet(mapped))
    return answer({"object": "what_if", **plain(found)})


@_post("/v1/selection-diffs", "diff_selections")
def diff(body: Diff, serving: ServingDep, who: Reader) -> Response:
    """Which documents two selections share, which not, and why."""
    a, b = (reopened(serving, who, one) for one in (body.a, body.b))
    return answer({"object": "selection_diff", **plain(difference.difference(a, b))})
