"""/healthz, /readyz, /metrics: for those who watch the service. No key is needed."""

from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from assay.api.auth import ServingDep
from assay.api.routes.common import answer
from assay.api.serving import Serving
from assay.api.shapes import Health
from assay.jobs import roster, store
from assay.jobs.models import Key
from assay.selectors import storage
from assay.selectors.errors import AssayError

router = APIRouter(tags=["health"])
TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/healthz", operation_id="healthz", responses={200: {"model": Health}})
async def healthz() -> Response:
    """The process answers."""
    return answer({"status": "ok", "checks": {}})


@router.get("/readyz", operation_id="readyz",
            responses={200: {"model": Health}, 503: {"model": Health}})  # fmt: skip
def readyz(serving: ServingDep) -> Response:
    """Database, storage and workers are there; what is not, is named."""
    checks = {"database": _database(serving), "workers": _workers(serving)}
    for number, root in enumerate(serving.roots.roots):  # not named: anybody may ask
        checks[f"storage {number}"] = _storage(root)
    ready = all(found == "ok" for found in checks.values())
    status = "ok" if ready else "not ready"
    return answer({"status": status, "checks": checks}, 200 if ready else 503)


@router.get("/metrics", operation_id="metrics", response_class=Response, responses=TEXT)
def metrics(request: Request, serving: ServingDep) -> Response:
    """Requests, their times, jobs by state, workers: for Prometheus."""
    found = generate_latest(request.app.state.registry) + generate_latest(Jobs(serving))
    return Response(found, headers={"content-type": CONTENT_TYPE_LATEST})


class Jobs:
    """What the database knows, counted when somebody asks."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving

    def collect(self) -> Any:
        jobs = GaugeMetricFamily("assay_jobs", "Jobs by state.", labels=("kind", "status"))
        for (kind, status), number in store.counts(self.serving.database).items():
            jobs.add_metric((kind, status), number)
        workers = GaugeMetricFamily("assay_workers", "Workers that were heard of lately.")
        workers.add_metric((), len(roster.live(self.serving.database)))
        yield from (jobs, workers)


def _database(serving: Serving) -> str:
    try:
        with serving.database.session() as session:
            session.execute(select(Key.id).limit(1))  # a table of ours: another file has none
    except SQLAlchemyError:
        return "does not answer"
    return "ok"


def _workers(serving: Serving) -> str:
    try:
        return "ok" if roster.live(serving.database) else "none was heard of lately"
    except SQLAlchemyError:
        return "not known"


def _storage(root: str) -> str:
    try:
        storage.names(root)
    except AssayError:
        return "cannot be listed"
    return "ok"
