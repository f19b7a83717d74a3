"""kill -9 at any moment: the job ends with the bytes of an undisturbed run, nothing done twice."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from assay.jobs import roster, store
from assay.jobs.models import Worker
from assay.selectors import manifest

SHARDS = 6


@pytest.fixture
def raw(service, rows_of, shards_of):
    return str(shards_of(service.folder / "raw", rows_of(SHARDS * 40), SHARDS, 20))


@pytest.fixture
def undisturbed(service, raw):
    """The digest and the bytes of a run that nobody disturbs."""
    out = service.folder / "undisturbed"
    words = ["--raw", raw, "--budget", "10%", "--out", out, "--workers", "1", "--json"]
    done = service.assay("select", "watched", *words)
    assert done.returncode == 0, done.stderr
    service.log.write_text("")
    return json.loads(done.stdout)["digest"], content(out)


def content(out):
    """Every file that a user reads, as bytes; the manifest without when and where it was made."""
    found = {p.name: p.read_bytes() for p in Path(out).glob("part-*")}
    made = json.loads((Path(out) / "manifest.json").read_text())
    return found | {"manifest": {k: v for k, v in made.items() if k != "run"}}


def disturb(service, raw, undisturbed, moments, words, seed):
    """Kill at so many random moments, over as many jobs as that takes; then look at every job."""
    chance, names, kills = random.Random(seed), [], 0
    while kills < moments:
        job = service.submit(f"out{len(names)}", raw=[raw])
        names.append(job)
        before = []  # (when it was killed, how many shards stood recorded)
        while service.job(job).status not in store.OVER:
            process = service.start(*words)
            if kills < moments:
                time.sleep(chance.uniform(0.0, 2.5))
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                before.append((time.time(), service.recorded(job)))
            else:
                service.over(job)
                process.send_signal(signal.SIGKILL)
                process.wait()
        assert service.job(job).status == "succeeded", service.job(job).error
        out = service.folder / f"out{len(names) - 1}"
        assert (manifest.read(str(out)).digest, content(out)) == undisturbed
        assert manifest.verify(manifest.read(str(out))) == []
        for killed, recorded in before:
            again = [shard for when, _, shard in service.scored() if when > killed]
            assert not [shard for shard in again if shard < recorded], (recorded, again)
        service.log.write_text("")
        ends = [e for e in store.events(service.database, job, limit=10_000)]
        assert [e.number for e in ends] == list(range(1, len(ends) + 1))
        assert [e.data.get("status") for e in ends].count("succeeded") == 1
    return names


def test_a_killed_worker_costs_nothing_that_was_recorded(service, raw, undisturbed):
    disturb(service, raw, undisturbed, 2, ["worker"], seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("words", [["worker"], ["serve", "--port", "0"]])
def test_fifty_kills_cost_nothing_that_was_recorded(service, raw, undisturbed, words):
    disturb(service, raw, undisturbed, 50, words, seed=2)


def two_at_work(service, raw):
    """Two workers, the one that has begun a job, the other, and the job."""
    both = [service.start("worker", wait=False) for _ in range(2)]
    service.until(lambda: len(service.live()) == 2)
    job = service.submit("out", raw=[raw], settings={"pause": 0.3})
    service.until(lambda: service.recorded(job) >= 1)
    at_work = service.scored()[0][1]
    return *sorted(both, key=lambda process: process.pid != at_work), job


def test_a_second_worker_takes_over_within_thirty_seconds(service, raw):
    first, second, job = two_at_work(service, raw)
    first.send_signal(signal.SIGKILL)
    first.wait()
    killed = time.time()
    taker = service.until(lambda: {p for when, p, _ in service.scored() if when > killed})
    assert taker == {second.pid} and time.time() - killed < 30
    assert service.over(job).status == "succeeded"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["another machine", "hung"])
def test_a_silent_worker_is_taken_over_within_thirty_seconds(service, raw, how):
    first, second, job = two_at_work(service, raw)
    if how == "another machine":  # there nobody can see that the process is gone
        with service.database.session() as session:
            for row in session.query(Worker).where(Worker.process == first.pid):
                row.machine = "elsewhere"
    first.send_signal(signal.SIGKILL if how == "another machine" else signal.SIGSTOP)
    killed = time.time()
    service.until(lambda: [1 for w, p, _ in service.scored() if p == second.pid], seconds=35)
    assert time.time() - killed < 30
    assert service.over(job).status == "succeeded"
    assert first.wait(10) == -signal.SIGKILL


def test_a_worker_that_was_given_up_ends_by_itself(service, raw):
    process = service.start("worker")
    with service.database.session() as session:
        row = session.query(Worker).one()
        row.reaper, row.reaped_at = "wrk_other", time.time()
    assert process.wait(20) == 1


def test_a_worker_that_is_told_to_leave_hands_over(service, raw):
    first = service.start("worker")
    job = service.submit("out", raw=[raw], settings={"pause": 0.3})
    service.until(lambda: service.recorded(job) >= 1)
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0
    assert service.job(job).status == "running"
    service.start("worker")
    assert service.over(job).status == "succeeded"


def test_a_running_job_is_cancelled_between_shards_and_resumed(service, raw):
    service.start("worker")
    job = service.submit("out", raw=[raw], settings={"pause": 0.4})
    service.until(lambda: service.recorded(job) >= 1)
    assert store.cancel(service.database, job).status == "cancelling"
    assert service.over(job, 20).status == "cancelled"
    shards = {shard for _, _, shard in service.scored()}
    assert len(shards) < SHARDS
    assert not (service.folder / "out" / "manifest.json").exists()
    done, now = service.recorded(job) - 1, time.time()  # the last says that it was cancelled
    store.resume(service.database, service.queue.enqueue, job)
    assert service.over(job).status == "succeeded"
    assert min(shard for when, _, shard in service.scored() if when > now) >= done


def test_only_one_of_two_takes_over(service):
    dead = roster.enter(service.database)
    roster.leave(service.database, dead.id)
    assert roster.claim_dead(service.database, "wrk_a") == [dead.id]
    assert roster.claim_dead(service.database, "wrk_b") == []
    assert os.getpid() == dead.process
