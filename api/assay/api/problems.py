"""Errors as problem documents (RFC 9457): what happened, where, and whether to try again.

`type` is a word of ours under /problems/, `code` the same word; both are stable. `errors` points
into the request's body (RFC 6901) where that is known.
"""

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from assay.jobs.errors import DatabaseNotReady, UnknownKey
from assay.selectors.errors import AssayError, BadInput, BadRequest, Busy

MEDIA = "application/problem+json"
LOG = logging.getLogger("assay.api")
LONGEST = 2_000  # characters of what is said of a mistake

# The first that fits: class, status, code, whether the same request may succeed later.
KNOWN: tuple[tuple[type[AssayError], int, str, bool], ...] = (
    (UnknownKey, 404, "not_found", False),
    (DatabaseNotReady, 503, "database_unavailable", True),
    (Busy, 409, "busy", True),
    (BadRequest, 422, "invalid_request", False),
    (BadInput, 422, "invalid_data", False),
    (AssayError, 500, "failed", False),
)
BY_STATUS = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    429: "too_many_requests",
}


class Mistake(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str
    code: str
    message: str


class Problem(BaseModel):
    """What went wrong, for a program and for a person."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    retryable: bool = False
    errors: list[Mistake] = []


class Refused(HTTPException):
    """A refusal with a code of its own."""

    def __init__(self, status: int, code: str, detail: str, **headers: str) -> None:
        super().__init__(status, detail, headers or None)
        self.code = code


def install(app: FastAPI) -> None:
    """Every error of this application leaves as a problem document."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        code = getattr(error, "code", "") or BY_STATUS.get(error.status_code, "error")
        retryable = error.status_code in (429, 503)
        told = document(request, error.status_code, code, str(error.detail), retryable)
        told.headers.update(error.headers or {})
        if error.status_code == 405:
            told.headers["Allow"] = ", ".join(verbs(app, request.url.path))
        return told

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        found = [mistake(one) for one in error.errors()]
        detail = "; ".join(f"{one.pointer}: {one.message}" for one in found)
        return document(request, 422, "invalid_request", detail, False, found)

    @app.exception_handler(AssayError)
    async def known(request: Request, error: AssayError) -> JSONResponse:
        status, code, retryable = next(
            (status, code, again) for kind, status, code, again in KNOWN if isinstance(error, kind)
        )
        if status >= 500:
            LOG.error("%s: %s", type(error).__name__, error)
        return document(request, status, code, str(error), retryable)

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> JSONResponse:
        LOG.exception("a bug in assay", exc_info=error)
        said = "this is a bug in assay; its log has more under this request_id"
        return document(request, 500, "internal", said, False)


def verbs(app: FastAPI, path: str) -> list[str]:
    """What may be done with a path: several routes may share it."""
    found: set[str] = set()
    for template, asked in app.openapi()["paths"].items():
        if compile_path(template)[0].match(path):
            found |= {verb.upper() for verb in asked}
    return sorted(found) or ["GET"]  # what is not described, such as /docs, is only shown


def document(
    request: Request,
    status: int,
    code: str,
    detail: str,
    retryable: bool,
    errors: Sequence[Mistake] = (),
) -> JSONResponse:
    name = getattr(request.state, "request_id", "")
    problem = Problem(
        type=f"/problems/{code}",
        title=code.replace("_", " "),
        status=status,
        code=code,
        detail=detail[:LONGEST],
        request_id=name,
        retryable=retryable,
        errors=list(errors),
    )
    return JSONResponse(
        problem.model_dump(), status, media_type=MEDIA, headers={"X-Request-Id": name}
    )


def mistake(found: dict[str, Any]) -> Mistake:
    """FastAPI's account of one mistake, with a pointer into the body."""
    where = list(found["loc"])
    inside = where[1:] if where and where[0] == "body" else where
    if found["type"] == "json_invalid":
        inside = []
    pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in inside)
    return Mistake(pointer=pointer, code=str(found["type"]), message=str(found["msg"]))


def answer(words: str) -> dict[str, Any]:
    """A problem, as the OpenAPI document describes it."""
    return {"model": Problem, "description": words, "content": {MEDIA: {}}}


ANSWERS: dict[int | str, dict[str, Any]] = {
    400: answer("The body is not JSON."),
    401: answer("No key, or one that does not open."),
    403: answer("The key's scopes do not allow this."),
    413: answer("The body is too large."),
    422: answer("The request cannot be carried out as it stands."),
    503: answer("The database cannot be used now."),
}
