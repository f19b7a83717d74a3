"""Keys over HTTP, for whoever has the scope admin; and who one is."""

import time
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from assay.api.auth import Admin, Reader
from assay.api.problems import answer
from assay.jobs import keys
from assay.jobs.models import Key

ROUTER = APIRouter(prefix="/v1", tags=["keys"])
Scope = Literal["read", "submit", "admin"]


class Shown(BaseModel):
    """A key without its secret."""

    object: str = "key"
    id: str
    name: str
    owner: str
    scopes: list[Scope]
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None

    @classmethod
    def of(cls, row: Key) -> "Shown":
        names = cls.model_fields.keys() - {"object"}
        return cls(**{name: getattr(row, name) for name in names})


class Made(Shown):
    """A new key; `key` is shown this once."""

    key: str


class Listed(BaseModel):
    """Every key."""

    object: str = "list"
    data: list[Shown]


class Wanted(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, pattern=r"\S")
    owner: str = Field(min_length=1, max_length=100, pattern=r"\S")
    scopes: list[Scope] = Field(["read", "submit"], min_length=1)
    expires_in: int | None = Field(None, ge=1, le=10 * 365 * 86_400, description="seconds")


class Whoami(BaseModel):
    """The key that asks."""

    key: str
    owner: str
    scopes: list[Scope]


@ROUTER.get("/whoami")
def whoami(who: Reader) -> Whoami:
    """The key that asks, its owner and scopes."""
    scopes = [scope for scope in keys.SCOPES if scope in who.scopes]
    return Whoami.model_validate({"key": who.key, "owner": who.owner, "scopes": scopes})


@ROUTER.post("/keys", status_code=201)
def create(request: Request, _: Admin, wanted: Wanted) -> Made:
    """Make a key. It is shown once."""
    until = None if wanted.expires_in is None else int(time.time()) + wanted.expires_in
    state = request.app.state
    row, text = keys.create(
        state.engine,
        state.secret,
        name=wanted.name,
        owner=wanted.owner,
        scopes=wanted.scopes,
        expires_at=until,
    )
    return Made(**Shown.of(row).model_dump(), key=text)


@ROUTER.get("/keys")
def listed(request: Request, _: Admin) -> Listed:
    """Every key, without its secret."""
    return Listed(data=[Shown.of(row) for row in keys.listed(request.app.state.engine)])


@ROUTER.delete("/keys/{key}", responses={404: answer("There is no such key.")})
def revoke(request: Request, _: Admin, key: str) -> Shown:
    """Close a key for good."""
    return Shown.of(keys.revoke(request.app.state.engine, key))
