"""Rows of the database as JSON documents."""

from collections.abc import Sequence
from typing import Any

from assay.jobs.models import Event, Job, Target

PLURAL = {"selection": "selections", "fit": "fits", "validation": "validations"}


def job_document(job: Job) -> dict[str, Any]:
    base = f"/v1/{PLURAL[job.kind]}/{job.id}"
    links = {"self": base, "events": f"{base}/events"}
    if job.kind == "selection":
        links |= {name: f"{base}/{name}" for name in ("manifest", "stats", "quarantine")}
    if job.kind == "validation":
        links["report"] = f"{base}/report"
    return {
        "id": job.id,
        "object": job.kind,
        "status": job.status,
        "attempt": job.attempt,
        "created_at": int(job.created_at),
        "queued_at": int(job.queued_at),
        "started_at": _seconds(job.started_at),
        "finished_at": _seconds(job.finished_at),
        "request": job.request,
        "progress": {
            "stage": job.stage,
            "shards": {"total": job.units_total, "completed": job.units_done},
            "bytes": job.bytes_done,
            "bytes_total": job.bytes_total,
            "rows": job.rows_done,
            "bad_rows": job.bad_rows,
        },
        "result": job.result,
        "error": job.error,
        "warnings": job.warnings,
        "metadata": job.labels,
        "links": links,
    }


def event_document(event: Event) -> dict[str, Any]:
    return {
        "id": event.number,
        "object": "event",
        "created_at": int(event.created_at),
        "level": event.level,
        "type": event.type,
        "message": event.message,
        "data": event.data,
    }


def target_document(target: Target) -> dict[str, Any]:
    plain = ("id", "name", "uris", "text_column", "shards", "rows", "bytes", "hash")
    found = {name: getattr(target, name) for name in plain}
    return {**found, "object": "target", "created_at": int(target.created_at)}


def page(documents: Sequence[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A page of one more document than was asked for tells that there are more."""
    shown = list(documents[:limit])
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(documents) > limit,
    }


def _seconds(when: float | None) -> int | None:
    return None if when is None else int(when)
