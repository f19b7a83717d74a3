"""Jobs that nobody is at, whatever brought it about, are taken up again or told."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from sqlalchemy import text, update

from assay.api.routes import jobs as routes
from assay.jobs import store
from assay.jobs.models import Job


def strand(service, job, worker, state):
    """As a database leaves it that refused to note a step: begun, and nobody at it."""
    table = "workflow_status" if service.database.sqlite else "dbos.workflow_status"
    with service.database.session() as session:
        session.execute(
            text(f"UPDATE {table} SET status = :s, executor_id = :e WHERE workflow_uuid = :w"),
            {"s": state, "e": worker, "w": f"{job}/1"},
        )
        session.execute(
            update(Job).where(Job.id == job).values(status="running", worker=worker, started_at=1.0)
        )


@pytest.mark.parametrize("state, end", [("PENDING", "succeeded"), ("ERROR", "failed")])
def test_a_job_that_nobody_is_at_does_not_run_for_ever(
    service, rows_of, shards_of, monkeypatch, state, end
):
    raw = str(shards_of(service.folder / "raw", rows_of(40), 2, 20))
    service.start("worker")
    (worker,) = service.live()
    made = []

    def enqueue(session, job):  # in one transaction: the worker must not see it queued
        service.queue.enqueue(session, job)
        made.append(job.id)
        session.flush()
        table = "workflow_status" if service.database.sqlite else "dbos.workflow_status"
        session.execute(
            text(f"UPDATE {table} SET status = :s, executor_id = :e WHERE workflow_uuid = :w"),
            {"s": state, "e": worker, "w": f"{job.id}/1"},
        )

    asked = {"method": "watched", "budget": "10%", "out": str(service.folder / "out"), "raw": [raw]}
    job = store.submit(service.database, enqueue, "selection", "ada", asked, {}).id
    strand(service, job, worker, state)
    over = service.over(job, 40)
    assert over.status == end
    if end == "failed":
        assert over.error["code"] == "lost" and over.error["retryable"]
        store.resume(service.database, service.queue.enqueue, job)
        assert service.over(job, 40).status == "succeeded"


def test_texts_that_a_database_refuses_end_no_job(service, tmp_path):
    (tmp_path / "nul.csv").write_bytes(b"params,tok\x00ens,loss\n1e9,1e10,3.0\n")
    service.start("worker")
    asked = {"law": "chinchilla", "runs": str(tmp_path / "nul.csv")}
    job = store.submit(service.database, service.queue.enqueue, "fit", "ada", asked, {}).id
    over = service.over(job, 60)
    assert over.status == "failed" and "\x00" not in str(over.error)
    assert "nul.csv" in over.error["message"] and "/assay-" not in over.error["message"]


def test_a_fit_is_cancelled_in_the_middle(service):
    chance = [(n, d) for n in (1e7, 1e8, 1e9, 1e10) for d in (1e9, 1e10, 1e11, 1e12)]
    rows = [
        {"params": n * (1 + k / 100), "tokens": d, "loss": 1.7 + 400 / n**0.34 + 410 / d**0.28}
        for n, d in chance
        for k in range(60)
    ]
    asked = {"law": "chinchilla", "rows": rows, "bootstrap": 20_000, "starts": 1000}
    service.start("worker")
    job = store.submit(service.database, service.queue.enqueue, "fit", "ada", asked, {}).id
    service.until(lambda: service.job(job).status == "running")
    time.sleep(1.5)
    assert store.cancel(service.database, job).status == "cancelling"
    assert service.over(job, 10).status == "cancelled"


def test_a_stream_tells_the_end_even_if_it_comes_between_two_looks(monkeypatch):
    events, status = [], ["running"]

    def event(number, data):
        return SimpleNamespace(number=number, created_at=0.0, level="info", type="status",
                               message="m", data=data)  # fmt: skip

    events.append(event(1, {"status": "running"}))

    def look(_database, _job, after, _limit):
        found = [one for one in events if one.number > after]
        if not found and status == ["running"]:  # the job ends right after this look
            status[:] = ["succeeded"]
            events.append(event(2, {"status": "succeeded"}))
        return found

    monkeypatch.setattr(store, "events", look)
    monkeypatch.setattr(store, "status_of", lambda _database, _job: status[0])
    monkeypatch.setattr(routes.access, "alive", lambda _database, _key: True)
    monkeypatch.setattr(routes, "POLL", 0.01)
    leaving = SimpleNamespace(is_set=lambda: False)
    serving, who = SimpleNamespace(database=None, leaving=leaving), SimpleNamespace(key="k")

    async def streamed():
        return [chunk async for chunk in routes.stream(serving, who, "sel_x", 0)]

    told = b"".join(asyncio.run(streamed())).decode()
    assert "id: 1" in told and "id: 2" in told
