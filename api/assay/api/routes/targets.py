"""/v1/targets: target corpora under a name, with what they were when they were named."""

import hashlib
import time
from collections.abc import Iterable

from fastapi import APIRouter, Request
from starlette.responses import Response

from assay.api.auth import Reader, ServingDep, Submitter
from assay.api.documents import page, target_document
from assay.api.routes.common import (
    After,
    IdempotencyKey,
    Limit,
    TargetId,
    answer,
    failing,
    first_or_again,
    once_of,
    replayed,
)
from assay.api.serving import Serving
from assay.api.shapes import NewTarget, TargetDocument, TargetPage
from assay.jobs import ids, store
from assay.jobs.models import Target
from assay.selectors import shards
from assay.selectors.errors import NothingToRead
from assay.selectors.shards import Reading

router = APIRouter(tags=["targets"])
LOCATION = {"headers": {"Location": {"schema": {"type": "string"}}}}


@router.post(
    "/v1/targets", status_code=201, operation_id="create_target",
    responses={201: {"model": TargetDocument, **LOCATION}, **failing(409, 413, 503)},
)  # fmt: skip
def create(
    request: Request,
    body: NewTarget,
    serving: ServingDep,
    who: Submitter,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Name a target; its shards are looked at now, and their content hashed."""
    once = once_of(request, idempotency_key, body.model_dump(mode="json"))

    def make() -> str:
        target = looked_at(serving, who.owner, body)
        store.add_target(serving.database, target, once)
        return target.id

    made, again = first_or_again(serving, who, once, make)
    found = store.target_of(serving.database, who.owner, made)
    headers = {"Location": f"/v1/targets/{made}", **replayed(again)}
    return answer(target_document(found), 201, headers)


@router.get("/v1/targets", operation_id="list_targets",
            responses={200: {"model": TargetPage}, **failing()})  # fmt: skip
def list_targets(
    serving: ServingDep, who: Reader, after: After = None, limit: Limit = 20
) -> Response:
    """Newest first."""
    found = store.targets(serving.database, who.owner, after, limit + 1)
    return answer(page([target_document(target) for target in found], limit))


@router.get("/v1/targets/{id}", operation_id="get_target",
            responses={200: {"model": TargetDocument}, **failing(404)})  # fmt: skip
def get_target(id: TargetId, serving: ServingDep, who: Reader) -> Response:  # noqa: A002
    """One target."""
    return answer(target_document(store.target_of(serving.database, who.owner, id)))


@router.delete("/v1/targets/{id}", status_code=204, response_class=Response,
               operation_id="delete_target", responses=failing(404))  # fmt: skip
def delete_target(id: TargetId, serving: ServingDep, who: Submitter) -> Response:  # noqa: A002
    """Forget the name; the texts stay where they are, and so do selections made with them."""
    store.forget_target(serving.database, who.owner, id)
    return Response(status_code=204)


def looked_at(serving: Serving, owner: str, body: NewTarget) -> Target:
    serving.roots.check(body.uris)
    serving.roots.check_found(body.uris)
    with serving.means() as mapped:
        corpus = shards.survey(tuple(body.uris), Reading(body.text_column), mapped)
        if not corpus.rows:
            raise NothingToRead(f"the target {body.name!r} is empty")
        content = _hash(shards.fingerprints(corpus, mapped))
    return Target(
        id=ids.new("tgt"), owner=owner, name=body.name, uris=list(body.uris),
        text_column=body.text_column, created_at=time.time(), shards=len(corpus.shards),
        rows=corpus.rows, bytes=corpus.bytes, hash=content,
    )  # fmt: skip


def _hash(found: Iterable[str]) -> str:
    """Of all shards together: it changes when any of them does."""
    words = "\n".join(found)
    return "sha256:" + hashlib.sha256(words.encode()).hexdigest()
