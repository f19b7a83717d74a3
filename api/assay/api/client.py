"""A small client of the service, for Python and for `assay jobs`.

    with Client("http://127.0.0.1:8765", key) as assay:
        job = assay.submit_selection({"method": "dsir", ...})
        for event in assay.events(job["id"]): print(event["message"])
        assay.selection(job["id"])["result"]

A test compares its calls with the OpenAPI document. A submission carries an Idempotency-Key of its
own, so it is tried again without harm when the network fails.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypedDict, cast

import httpx

from assay.selectors.errors import AssayError

TRIES, PAUSE = 5, 0.5  # 0.5, 1, 2, 4 seconds


class Progress(TypedDict):
    stage: str
    shards: dict[str, int]
    bytes: int
    bytes_total: int
    rows: int
    bad_rows: int


class Job(TypedDict):
    """A selection or a fit."""

    id: str
    object: str
    status: str
    attempt: int
    created_at: int
    queued_at: int
    started_at: int | None
    finished_at: int | None
    request: dict[str, Any]
    progress: Progress
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    warnings: list[str]
    metadata: dict[str, str]
    links: dict[str, str]


class Event(TypedDict):
    id: int
    object: str
    created_at: int
    level: str
    type: str
    message: str
    data: dict[str, Any]


class ServerSaid(AssayError):
    """The server refused: `status`, `code` and `retryable` are those of its problem document."""

    def __init__(self, answer: httpx.Response) -> None:
        try:
            found = answer.json()
        except ValueError:
            found = {}
        self.status = answer.status_code
        self.code = str(found.get("code", "unknown"))
        self.retryable = bool(found.get("retryable", self.status >= 500))
        self.exit_code = 75 if self.retryable else 2 if self.status == 422 else 1
        said = found.get("detail") or f"{self.status} {answer.text[:200]}"
        super().__init__(f"{answer.request.url.host}: {said} ({self.code})")


class NoServer(AssayError):
    """The server does not answer."""

    exit_code = 75


# What each call asks for: a test looks all of them up in the OpenAPI document.
CALLS = {
    "submit_selection": ("POST", "/v1/selections"),
    "list_selections": ("GET", "/v1/selections"),
    "get_selection": ("GET", "/v1/selections/{id}"),
    "cancel_selection": ("POST", "/v1/selections/{id}/cancel"),
    "resume_selection": ("POST", "/v1/selections/{id}/resume"),
    "delete_selection": ("DELETE", "/v1/selections/{id}"),
    "list_selection_events": ("GET", "/v1/selections/{id}/events"),
    "get_manifest": ("GET", "/v1/selections/{id}/manifest"),
    "submit_fit": ("POST", "/v1/fits"),
    "get_fit": ("GET", "/v1/fits/{id}"),
    "submit_validation": ("POST", "/v1/validations"),
    "get_validation": ("GET", "/v1/validations/{id}"),
    "recommend": ("POST", "/v1/recommendations"),
    "plan": ("POST", "/v1/plans"),
}


@dataclass
class Client:
    """One server and one key."""

    server: str
    key: str
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        self.http = httpx.Client(base_url=self.server, headers=headers, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.http.close()

    def submit_selection(self, request: Mapping[str, Any]) -> Job:
        return cast(Job, self._ask("submit_selection", request, once=True).json())

    def selection(self, job: str) -> Job:
        return cast(Job, self._ask("get_selection", job=job).json())

    def selections(self, status: str | None = None) -> Iterator[Job]:
        """All of them, newest first, page by page."""
        asked: dict[str, Any] = {"limit": 100} | ({"status": status} if status else {})
        while True:
            page = self._ask("list_selections", query=asked).json()
            yield from page["data"]
            if not page["has_more"]:
                return
            asked["after"] = page["last_id"]

    def cancel(self, job: str) -> Job:
        return cast(Job, self._ask("cancel_selection", job=job).json())

    def resume(self, job: str) -> Job:
        return cast(Job, self._ask("resume_selection", job=job).json())

    def delete(self, job: str, purge_outputs: bool = False) -> None:
        self._ask("delete_selection", job=job, query={"purge_outputs": purge_outputs})

    def manifest(self, job: str) -> dict[str, Any]:
        return cast(dict[str, Any], self._ask("get_manifest", job=job).json())

    def submit_fit(self, request: Mapping[str, Any]) -> Job:
        return cast(Job, self._ask("submit_fit", request, once=True).json())

    def fit(self, job: str) -> Job:
        return cast(Job, self._ask("get_fit", job=job).json())

    def recommend(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return cast(dict[str, Any], self._ask("recommend", request).json())

    def plan(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return cast(dict[str, Any], self._ask("plan", request).json())

    def events(self, job: str, after: int = 0) -> Iterator[Event]:
        """Events as they come, to the end of the job; goes on by itself where the line broke."""
        path = CALLS["list_selection_events"][1].format(id=job)
        failures = 0
        while True:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
            try:
                with self.http.stream("GET", path, headers=headers, timeout=60) as lines:
                    if lines.status_code != 200:
                        lines.read()
                        raise ServerSaid(lines)
                    for line in lines.iter_lines():
                        if line.startswith("data: "):
                            event = cast(Event, json.loads(line[6:]))
                            after, failures = event["id"], 0
                            yield event
            except httpx.TransportError as cause:
                failures = _tried(failures, self.server, cause)
                continue
            if self.selection(job)["status"] in ("succeeded", "failed", "cancelled"):
                return

    def _ask(
        self,
        name: str,
        body: Mapping[str, Any] | None = None,
        job: str = "",
        query: Mapping[str, Any] | None = None,
        once: bool = False,
    ) -> httpx.Response:
        method, path = CALLS[name]
        headers = {"Idempotency-Key": uuid.uuid4().hex} if once else {}
        again = once or method != "POST" or name in ("cancel_selection", "resume_selection")

        def send() -> httpx.Response:
            return self.http.request(
                method, path.format(id=job), json=body, params=query, headers=headers
            )

        return self._tried(send, again or name in ("recommend", "plan"))

    def _tried(self, send: Callable[[], httpx.Response], again: bool) -> httpx.Response:
        failures = 0
        while True:
            try:
                answer = send()
            except httpx.TransportError as cause:
                failures = _tried(failures if again else TRIES, self.server, cause)
                continue
            if answer.is_success:
                return answer
            refused = ServerSaid(answer)
            failures += 1
            if not refused.retryable or failures >= TRIES:
                raise refused
            time.sleep(min(30.0, float(answer.headers.get("Retry-After", PAUSE))))


def _tried(failures: int, server: str, cause: Exception) -> int:
    if failures + 1 >= TRIES:
        raise NoServer(f"{server} does not answer: {cause}") from cause
    time.sleep(PAUSE * 2**failures)
    return failures + 1
