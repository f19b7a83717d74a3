"""What every request passes: a name, a size limit, a log line, a measurement."""

import re
import time
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from assay.api.problems import problem
from assay.jobs import ids

NAME = re.compile(rb"[A-Za-z0-9._-]{1,64}")
log = structlog.get_logger("assay.api")


class Measures:
    """Counts and times of requests, by route and status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("method", "route", "status")
        self.requests = Counter("assay_requests", "Requests answered.", labels, registry=registry)
        self.seconds = Histogram(
            "assay_request_seconds", "Seconds to an answer.", ("method", "route"), registry=registry
        )

    def note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")  # never the path: ids would pile up
        self.requests.labels(scope["method"], route, status).inc()
        self.seconds.labels(scope["method"], route).observe(seconds)


class Guards:
    """ASGI middleware in one piece: three layers of wrappers would cost more than they do."""

    def __init__(self, app: ASGIApp, max_body: int, measures: Measures) -> None:
        self.app, self.max_body, self.measures = app, max_body, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, name = time.perf_counter(), _name(scope)
        scope["assay.request_id"] = name
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request=name)
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *_extra(name)]
            await send(message)

        try:
            await self._limited(scope, receive, sending, name)
        finally:
            seconds = time.perf_counter() - begun
            self.measures.note(scope, status, seconds)
            log.debug(
                "answered", method=scope["method"], path=scope["path"][:200], status=status,
                ms=round(1000 * seconds, 1),
            )  # fmt: skip

    async def _limited(self, scope: Scope, receive: Receive, send: Send, name: str) -> None:
        """The body is read here, up to its limit, whatever its length claims to be."""
        if scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        chunks, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self.max_body or _claimed(scope) > self.max_body:
                said = f"the body is larger than {self.max_body} bytes (ASSAY_MAX_BODY)"
                headers = {"Connection": "close"}
                answer = problem(413, "too_large", said, name, headers=headers)
                await answer(scope, receive, send)
                return
            chunks.append(chunk)
            more = message.get("more_body", False)
        whole: Message | None = {"type": "http.request", "body": b"".join(chunks)}

        async def replayed() -> Message:
            nonlocal whole
            if whole is None:
                return await receive()
            first, whole = whole, None
            return first

        await self.app(scope, replayed, send)


def _name(scope: Scope) -> str:
    given = _header(scope, b"x-request-id")
    return given.decode() if NAME.fullmatch(given) else ids.new("req")


def _claimed(scope: Scope) -> int:
    text = _header(scope, b"content-length")
    return int(text) if text.isdigit() and len(text) < 20 else 0


def _header(scope: Scope, name: bytes) -> bytes:
    headers: Any = scope["headers"]
    return next((bytes(value) for key, value in headers if key == name), b"")


def _extra(name: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-request-id", name.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
    ]
