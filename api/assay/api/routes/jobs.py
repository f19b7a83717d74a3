"""What every kind of job has: an address, a list, events, cancel, resume, delete."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import anyio
from fastapi import APIRouter, Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from assay.api.auth import Reader, ServingDep, Submitter
from assay.api.documents import event_document, job_document, page
from assay.api.problems import Refused
from assay.api.routes.common import After, Limit, answer, failing
from assay.api.serving import Serving, Shown
from assay.api.shapes import EventPage, JobDocument, JobPage
from assay.jobs import access, store
from assay.jobs.access import Caller
from assay.jobs.errors import NoSuchJob
from assay.jobs.models import Job
from assay.selectors import selection

STREAM = "text/event-stream"
POLL = 0.5  # seconds between two looks for new events
HEARTBEAT = 15.0  # seconds after which a stream says that it is still there
STATUSES = Literal[
    "queued", "running", "finalizing", "cancelling", "succeeded", "failed", "cancelled"
]
TAG = {"headers": {"ETag": {"schema": {"type": "string"}, "description": "Changes with the job."}}}
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": EventPage,
        "description": "A page of events, or all that come, as server-sent events.",
        "content": {STREAM: {"schema": {"type": "string"}}},
    }
}


def add_routes(router: APIRouter, kind: str, plural: str, job_id: Any) -> None:
    """The routes of one kind of job under /v1/PLURAL."""
    base = f"/v1/{plural}"

    @router.get(
        base, responses={200: {"model": JobPage}, **failing()}, operation_id=f"list_{plural}"
    )
    def list_jobs(
        request: Request,
        serving: ServingDep,
        who: Reader,
        after: After = None,
        limit: Limit = 20,
        order: Literal["asc", "desc"] = "desc",
        status: STATUSES | None = None,
    ) -> Response:
        """Newest first; `metadata[name]=value` picks by metadata."""
        found = store.listed(
            serving.database, who.owner, kind, after, limit + 1, order == "desc", status,
            labels_asked(request),
        )  # fmt: skip
        return answer(page([job_document(job) for job in found], limit))

    @router.get(
        base + "/{id}",
        responses={
            200: {"model": JobDocument, **TAG},
            304: {"description": "Not changed since the ETag in If-None-Match"},
            **failing(404),
        },
        operation_id=f"get_{kind}",
    )
    async def get_job(
        id: job_id,  # noqa: A002
        serving: ServingDep,
        who: Reader,
        if_none_match: Annotated[str | None, Header(max_length=200)] = None,
    ) -> Response:
        """One job, with an ETag; `Retry-After` is a hint while it runs."""
        there = await serving.versions(id)
        if there is None or there[:2] != (who.owner, kind):
            raise NoSuchJob(f"there is no {kind} {id!r}")
        shown = serving.shown.get(id)
        if shown is None or shown.version != there[2]:
            job = await run_in_threadpool(store.find_of, serving.database, who.owner, kind, id)
            shown = rendered(job)
            serving.show(id, shown)
        if if_none_match and shown.headers["ETag"] in if_none_match.split(", "):
            return Response(status_code=304, headers=shown.headers)
        return Response(shown.content, 200, shown.headers, "application/json")

    @router.post(
        base + "/{id}/cancel", status_code=202, operation_id=f"cancel_{kind}",
        responses={202: {"model": JobDocument}, **failing(404)},
    )  # fmt: skip
    def cancel_job(id: job_id, serving: ServingDep, who: Submitter) -> Response:  # noqa: A002
        """Stop between two shards. What is done stays; once more does no harm."""
        job = store.find_of(serving.database, who.owner, kind, id)
        before, job = job.status, store.cancel(serving.database, job.id)
        if before == "queued" and job.status == "cancelled":
            serving.queue.withdraw(job)
        return answer(job_document(job), 202)

    @router.post(
        base + "/{id}/resume", status_code=202, operation_id=f"resume_{kind}",
        responses={202: {"model": JobDocument}, **failing(404, 409)},
    )  # fmt: skip
    def resume_job(id: job_id, serving: ServingDep, who: Submitter) -> Response:  # noqa: A002
        """Go on with a job that failed or was cancelled, from what it left."""
        store.find_of(serving.database, who.owner, kind, id)
        return answer(job_document(store.resume(serving.database, serving.queue.enqueue, id)), 202)

    @router.delete(
        base + "/{id}", status_code=204, response_class=Response, operation_id=f"delete_{kind}",
        responses=failing(404, 409),
    )  # fmt: skip
    def delete_job(
        id: job_id,  # noqa: A002
        serving: ServingDep,
        who: Submitter,
        purge_outputs: bool = False,
    ) -> Response:
        """Forget a job that is over; its outputs stay unless `purge_outputs` is true.

        What another selection has since written there stays in any case.
        """
        job = store.find_of(serving.database, who.owner, kind, id)
        store.forget(serving.database, job.id)
        if purge_outputs and job.claim:  # a job that never had the folder has nothing in it
            serving.roots.check_output(job.request["out"])
            selection.purge(job.request["out"], job.claim)
        return Response(status_code=204)

    @router.get(
        base + "/{id}/events",
        responses={**EVENTS, **failing(404)},
        operation_id=f"list_{kind}_events",
    )
    async def list_events(
        id: job_id,  # noqa: A002
        request: Request,
        serving: ServingDep,
        who: Reader,
        after: Annotated[int, Query(ge=0, lt=2**53)] = 0,
        limit: Limit = 100,
        last_event_id: Annotated[str | None, Header(pattern="^[0-9]{1,15}$")] = None,
    ) -> Response:
        """A page; or, where the client accepts text/event-stream, a stream to the job's end.

        A stream goes on after `Last-Event-ID`, or `after`.
        """
        job = await run_in_threadpool(store.find_of, serving.database, who.owner, kind, id)
        since = int(last_event_id) if last_event_id else after
        if STREAM in request.headers.get("accept", ""):
            return StreamingResponse(stream(serving, who, job.id, since), media_type=STREAM)
        found = await run_in_threadpool(store.events, serving.database, job.id, since, limit + 1)
        return answer(page([event_document(event) for event in found], limit))


async def stream(serving: Serving, who: Caller, job: str, since: int) -> AsyncIterator[bytes]:
    """Events as they come, until the job is over or the server leaves."""
    quiet = 0.0
    yield b"retry: 2000\n\n"
    while not serving.leaving.is_set():
        if not await run_in_threadpool(access.alive, serving.database, who.key):
            return
        # Before the events: what comes between the two looks is then seen by the next.
        over = await run_in_threadpool(_is_over, serving, job)
        found = await run_in_threadpool(store.events, serving.database, job, since, 100)
        for event in found:
            since, quiet = event.number, 0.0
            data = json.dumps(event_document(event), ensure_ascii=False)
            yield f"id: {event.number}\nevent: {event.type}\ndata: {data}\n\n".encode()
        if found:
            if found[-1].data.get("status") in store.OVER:
                return
            continue
        if over:
            return
        quiet += POLL
        if quiet >= HEARTBEAT:
            quiet = 0.0
            yield b": still here\n\n"
        await anyio.sleep(POLL)


def _is_over(serving: Serving, job: str) -> bool:
    """All events of a job that is over, or gone, have been sent when none is new."""
    found = store.status_of(serving.database, job)
    return found is None or found in store.OVER


def labels_asked(request: Request) -> dict[str, str]:
    found = {}
    for name, value in request.query_params.multi_items():
        if name.startswith("metadata[") and name.endswith("]"):
            label = name[len("metadata[") : -1]
            if not label.isprintable() or not value.isprintable() or len(label) + len(value) > 300:
                raise Refused(422, "invalid", "metadata is picked by printable words")
            found[label] = value
    return found


def rendered(job: Job) -> Shown:
    """The document as bytes, which stand until the version changes."""
    content = json.dumps(job_document(job), ensure_ascii=False, separators=(",", ":")).encode()
    headers = {"ETag": f'"{job.version}"'}
    if job.status not in store.OVER:
        headers["Retry-After"] = "2"
    return Shown(job.version, content, headers)
