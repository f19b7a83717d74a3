"""Who asks, and whether they may: bearer keys, scopes, rates. Dependencies of the routes."""

from collections.abc import Awaitable, Callable
from typing import Annotated, cast

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from assay.api.problems import Refused
from assay.api.serving import Serving
from assay.jobs.access import Caller

BEARER = HTTPBearer(auto_error=False, scheme_name="key", description="A key of `assay keys create`")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="assay"'}


async def serving_of(request: Request) -> Serving:
    """Async though it waits for nothing: a plain function would go through the thread pool."""
    return cast(Serving, request.app.state.serving)


def needing(scope: str) -> Callable[[Request, Credentials], Awaitable[Caller]]:
    """A dependency that lets only callers with this scope through."""

    async def allowed(request: Request, credentials: Credentials) -> Caller:
        serving = await serving_of(request)
        if len(request.headers.getlist("authorization")) > 1:
            raise Refused(401, "no_key", "more than one Authorization header", CHALLENGE)
        if credentials is None or not credentials.credentials:
            raise Refused(401, "no_key", "send a key: Authorization: Bearer assay_...", CHALLENGE)
        text = credentials.credentials
        who = serving.known_caller(text) or await run_in_threadpool(serving.caller, text)
        if who is None:
            raise Refused(401, "bad_key", "this key is unknown, expired or revoked", CHALLENGE)
        structlog.contextvars.bind_contextvars(caller=who.key)
        if seconds := serving.rate.wait(who.key):
            wait = str(seconds)
            raise Refused(
                429, "too_many_requests", f"more than {serving.settings.rate}: wait {wait} s",
                {"Retry-After": wait},
            )  # fmt: skip
        if scope and scope not in who.scopes:
            raise Refused(403, "wrong_scope", f"this needs a key with the scope {scope!r}")
        return who

    return allowed


ServingDep = Annotated[Serving, Depends(serving_of)]
Reader = Annotated[Caller, Depends(needing("read"))]
Submitter = Annotated[Caller, Depends(needing("submit"))]
Admin = Annotated[Caller, Depends(needing("admin"))]
