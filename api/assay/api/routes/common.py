"""What routes share: parameters, documented problems, idempotent submissions."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Header, Path, Query, Request
from starlette.responses import Response

from assay.api.problems import MEDIA, TITLES
from assay.api.serving import Serving
from assay.api.shapes import ULID
from assay.jobs import store
from assay.jobs.access import Caller
from assay.jobs.store import Once

SelectionId = Annotated[str, Path(alias="id", pattern=f"^sel_{ULID}$")]
FitId = Annotated[str, Path(alias="id", pattern=f"^fit_{ULID}$")]
ValidationId = Annotated[str, Path(alias="id", pattern=f"^val_{ULID}$")]
TargetId = Annotated[str, Path(alias="id", pattern=f"^tgt_{ULID}$")]
KeyId = Annotated[str, Path(alias="id", pattern=f"^key_{ULID}$")]
After = Annotated[
    str | None, Query(pattern=f"^[a-z]{{3}}_{ULID}$", description="`last_id` of the page before.")
]
Limit = Annotated[int, Query(ge=1, le=100)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern="^[\\x21-\\x7e]{1,255}$",
        description="The same key with the same body is one submission, for 24 hours.",
    ),
]

PROBLEM: dict[str, Any] = {
    "content": {MEDIA: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
}


def failing(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with; those of every route are among them."""
    always = (400, 401, 403, 422, 429, 503)
    return {code: {"description": TITLES[code], **PROBLEM} for code in sorted({*always, *codes})}


def answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON as it is: the documents are ours, so nothing has to check them again."""
    content = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(content, status, dict(headers or {}), "application/json")


def once_of(request: Request, key: str | None, body: Any) -> Once | None:
    """The Idempotency-Key with a hash of where it was sent and of what."""
    if key is None:
        return None
    plain = json.dumps(body, sort_keys=True, separators=(",", ":"))
    marked = f"{request.method} {request.url.path}\n{plain}"
    return Once(key, hashlib.sha256(marked.encode()).hexdigest())


def first_or_again(
    serving: Serving, who: Caller, once: Once | None, make: Callable[[], str]
) -> tuple[str, bool]:
    """The id of what is made, and whether it was made by an earlier request of the same key."""
    if once is None:
        return make(), False
    if made := store.reserve(serving.database, who.owner, once):
        return made, True
    try:
        return make(), False
    except BaseException:
        store.give_back(serving.database, who.owner, once)
        raise


def replayed(again: bool) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if again else {}
