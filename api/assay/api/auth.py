"""Who asks, and whether they may: bearer keys and their scopes."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from assay.api.problems import Refused
from assay.jobs import keys
from assay.jobs.keys import Caller

BEARER = HTTPBearer(auto_error=False, description="A key of `assay keys create`.")
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="assay"'}


def caller(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
) -> Caller:
    """Whose key came with the request."""
    if given is None:
        raise Refused(401, "unauthorized", "send Authorization: Bearer KEY", **CHALLENGE)
    state = request.app.state
    found = keys.verify(state.engine, state.secret, given.credentials)
    if found is None:
        raise Refused(401, "unauthorized", "this key opens nothing here", **CHALLENGE)
    return found


def having(scope: str) -> Callable[[Caller], Caller]:
    """A dependency: the caller, if they have this scope."""

    def check(who: Annotated[Caller, Depends(caller)]) -> Caller:
        if not who.may(scope):
            raise Refused(403, "forbidden", f"this key has no scope {scope!r}")
        return who

    return check


Reader = Annotated[Caller, Depends(having("read"))]
Submitter = Annotated[Caller, Depends(having("submit"))]
Admin = Annotated[Caller, Depends(having("admin"))]
