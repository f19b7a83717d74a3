"""Whether the service is there, and whether it can work."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from assay.jobs import database

ROUTER = APIRouter(tags=["health"])


class Health(BaseModel):
    """An answer is the news."""

    status: Literal["ok"] = "ok"


@ROUTER.get("/healthz", responses={401: {}, 403: {}})
def healthz() -> Health:
    """The process answers."""
    return Health()


@ROUTER.get("/readyz")
def readyz(request: Request) -> Health:
    """The database answers too, and has the right shape."""
    database.check(request.app.state.engine)
    return Health()
