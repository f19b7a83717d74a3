"""The REST API: `create_app(engine, secret)` is an ASGI application.

    uvicorn.run(create_app(database.connect(url), secret))

Errors leave as problem documents (problems.py); every answer carries X-Request-Id.
"""

import re
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from assay.api import problems
from assay.api.routes import health, key_routes, knowledge
from assay.jobs import database, names

LARGEST = 1_000_000  # bytes of a request's body
GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_app(engine: Engine, secret: str) -> FastAPI:
    """The API over a database that is up to date."""
    database.check(engine)
    app = FastAPI(
        title="assay",
        version=version("assay"),
        summary="Decides what a language model is trained on, and how.",
        responses=problems.ANSWERS,
    )
    app.state.engine, app.state.secret = engine, secret
    problems.install(app)
    app.add_middleware(Limited)
    app.add_middleware(Named)
    for room in (health, knowledge, key_routes):
        app.include_router(room.ROUTER)
    return app


class Named:
    """Gives every request a name: its own X-Request-Id, if that is harmless, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if GIVEN_ID.fullmatch(given) else names.make("req")
        scope.setdefault("state", {})["request_id"] = name

        async def signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = name
            await send(message)

        await self.app(scope, receive, signed)


class Limited:
    """Refuses bodies that are too large, whether or not they say so."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # whoever asked has gone
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > LARGEST:
                await _too_large(scope, receive, send)
                return
        replayed: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return replayed.pop() if replayed else await receive()

        await self.app(scope, replay, send)


async def _too_large(scope: Scope, receive: Receive, send: Send) -> None:
    from fastapi import Request

    answer = problems.document(
        Request(scope), 413, "too_large", f"a body has at most {LARGEST:,} bytes", False
    )
    await answer(scope, receive, send)
