"""/v1/keys: made, listed and revoked by who may; /v1/whoami for everybody."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from assay.api.auth import Admin, ServingDep, needing
from assay.api.documents import page
from assay.api.routes.common import After, KeyId, Limit, answer, failing
from assay.api.service_commands import DAY, key_document
from assay.api.shapes import KeyDocument, KeyPage, MadeKey, NewKey, Whoami
from assay.jobs import access
from assay.jobs.access import Caller

router = APIRouter(tags=["keys"])


@router.post("/v1/keys", status_code=201, operation_id="create_key",
             responses={201: {"model": MadeKey}, **failing(413)})  # fmt: skip
def create_key(body: NewKey, serving: ServingDep, who: Admin) -> Response:
    """Make a key. Its text is in this answer and nowhere else."""
    expires = None if body.days is None else time.time() + body.days * DAY
    made = access.create(
        serving.database, serving.pepper, body.owner, body.scopes, body.name, expires
    )
    return answer({**key_document(made.key), "key": made.text}, 201)


@router.get("/v1/keys", operation_id="list_keys",
            responses={200: {"model": KeyPage}, **failing()})  # fmt: skip
def list_keys(serving: ServingDep, who: Admin, after: After = None, limit: Limit = 20) -> Response:
    """Oldest first, without their text."""
    found = access.listed(serving.database, after or "", limit + 1)
    return answer(page([key_document(key) for key in found], limit))


@router.delete("/v1/keys/{id}", operation_id="revoke_key",
               responses={200: {"model": KeyDocument}, **failing(404)})  # fmt: skip
def revoke_key(id: KeyId, serving: ServingDep, who: Admin) -> Response:  # noqa: A002
    """Make a key of no use. Here at once, in other processes within two seconds."""
    found = access.revoke(serving.database, id)
    serving.forget(id)
    return answer(key_document(found))


@router.get("/v1/whoami", operation_id="whoami", responses={200: {"model": Whoami}, **failing()})
def whoami(who: Annotated[Caller, Depends(needing(""))]) -> Response:
    """Whose key this is, and what it may do."""
    return answer({"key": who.key, "owner": who.owner, "scopes": sorted(who.scopes)})
