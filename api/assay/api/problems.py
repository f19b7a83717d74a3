"""An exception as a problem document (RFC 9457), with a stable `code`."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from assay.jobs import problems
from assay.jobs.errors import InFlight, NoSuchJob, NoSuchKey, Outside, WrongState
from assay.selectors.errors import AssayError, Busy, Mismatch, NotFound, StorageError

log = structlog.get_logger("assay.api")
MEDIA = "application/problem+json"
TYPES = "urn:assay:problem:"  # docs/service.md lists the codes
SHOWN = 300  # characters of a value that was not understood
# The first that fits: what is not here is a request that has to change.
STATUS: tuple[tuple[type[AssayError], int], ...] = (
    (NoSuchJob, 404),
    (NoSuchKey, 404),
    (Outside, 403),
    (WrongState, 409),
    (InFlight, 409),
    (Busy, 409),
    (Mismatch, 409),
    (NotFound, 409),  # of a selection's outputs: the selection is there, they are not
    (StorageError, 503),
)
TITLES = {
    400: "The request cannot be read",
    401: "A key is needed",
    403: "Not allowed",
    404: "Not found",
    405: "This address has no such method",
    409: "Not in this state",
    413: "The request is too large",
    422: "The request cannot be carried out",
    429: "Too many requests",
    500: "A bug in assay",
    503: "Not available now",
}


class Refused(Exception):
    """An answer of the face itself: no key, too fast, too large."""

    def __init__(
        self, status: int, code: str, said: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(said)
        self.status, self.code, self.headers = status, code, dict(headers or {})


def install(app: FastAPI) -> None:
    """From now on every failure is answered by a problem document."""
    app.add_exception_handler(AssayError, _assay)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(SQLAlchemyError, _database)
    app.add_exception_handler(Exception, _bug)


def problem(
    status: int,
    code: str,
    said: str,
    request_id: str = "",
    retryable: bool = False,
    errors: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    document = {
        "type": TYPES + code,
        "title": TITLES.get(status, "Refused"),
        "status": status,
        "detail": said,
        "code": code,
        "errors": list(errors),
        "request_id": request_id,
        "retryable": retryable,
    }
    content = json.dumps(document).encode()
    return Response(content, status, dict(headers or {}), MEDIA)


def request_id(request: Request) -> str:
    return str(request.scope.get("assay.request_id", ""))


def _assay(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, AssayError)
    status = next((number for kind, number in STATUS if isinstance(failure, kind)), 422)
    found = problems.document(failure)
    headers = {"Retry-After": "1"} if found["retryable"] else {}
    return problem(
        status, found["code"], found["message"], request_id(request), found["retryable"],
        headers=headers,
    )  # fmt: skip


def _refused(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, Refused)
    again = failure.status == 429
    return problem(
        failure.status, failure.code, str(failure), request_id(request), again,
        headers=failure.headers,
    )  # fmt: skip


def _invalid(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, RequestValidationError)
    told = [_one(error, failure.body) for error in failure.errors()]
    found = [one for place, one in enumerate(told) if one not in told[:place]]
    if any(error["code"] == "json_invalid" for error in found):
        return problem(400, "bad_json", "the body is no JSON", request_id(request), errors=found)
    said = "; ".join(f"{e.get('pointer') or e.get('parameter')}: {e['message']}" for e in found[:3])
    return problem(422, "invalid", said, request_id(request), errors=found[:50])


def _one(error: Mapping[str, Any], body: Any) -> dict[str, Any]:
    where, *path = error["loc"]
    path = _walked(path, body) if where == "body" else path
    told = {"code": str(error["type"]), "message": str(error["msg"])[:SHOWN]}
    if where == "body":
        return {"pointer": "#" + "".join(f"/{_escaped(part)}" for part in path), **told}
    return {"in": str(where), "parameter": ".".join(map(str, path)), **told}


def _walked(path: Sequence[Any], body: Any) -> list[Any]:
    """The path into the request, without the names of the shapes that were tried on the way."""
    kept: list[Any] = []
    for place, part in enumerate(path):
        inside = isinstance(body, dict) and part in body
        inside = inside or (isinstance(body, list) and isinstance(part, int) and part < len(body))
        if inside:
            body = body[part]
            kept.append(part)
        elif isinstance(body, dict) and place == len(path) - 1 and "[" not in str(part):
            kept.append(part)  # a field that is missing
    return kept


def _escaped(part: Any) -> str:
    return str(part)[:SHOWN].replace("~", "~0").replace("/", "~1")


def _http(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, HTTPException)
    codes = {400: "bad_json", 404: "no_such_address", 405: "no_such_method"}
    code = codes.get(failure.status_code, "refused")
    headers = {**(failure.headers or {}), **_allowed(request, failure.status_code)}
    said = str(failure.detail)
    return problem(failure.status_code, code, said, request_id(request), headers=headers)


def _allowed(request: Request, status: int) -> dict[str, str]:
    """All methods of an address: the router names only those of its first route."""
    if status != 405:
        return {}
    known: dict[str, Any] = request.app.openapi()["paths"]
    for path, methods in known.items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.url.path):
            return {"allow": ", ".join(sorted(method.upper() for method in methods))}
    return {}


def _database(request: Request, failure: Exception) -> Response:
    if not problems.away(failure):
        return _bug(request, failure)
    log.error("database away", path=request.url.path, problem=str(failure)[:SHOWN])
    said = "the service's database does not answer: ask again in a moment"
    headers = {"Retry-After": "2"}
    return problem(503, "database_away", said, request_id(request), True, headers=headers)


def _bug(request: Request, failure: Exception) -> Response:
    log.error("bug", path=request.url.path, exc_info=failure)
    said = "this is a bug in assay; its log says more under this request_id"
    return problem(500, "internal", said, request_id(request))
