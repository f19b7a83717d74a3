"""Who works, who was last heard of when, and who takes over from the dead.

The workflow library recovers only what a process of the same name left. So each worker here has a
name of its own, says every few seconds that it lives, and all look out for the silent.
"""

import os
import platform
import signal
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import delete, or_, select, update

from assay.jobs import ids
from assay.jobs.database import Database
from assay.jobs.models import Worker

BEAT = 2.0  # seconds between two signs of life
SILENT = 15.0  # seconds without one, and a worker counts as dead
LEASE = 30.0  # seconds that one has to take over; then another may
KEPT = 86_400.0  # seconds that the dead are listed


def enter(database: Database) -> Worker:
    """This process, as a new worker."""
    now = time.time()
    worker = Worker(
        id=ids.new("wrk"),
        host=platform.node()[:200],
        machine=machine(),
        process=os.getpid(),
        born=_born(os.getpid()),
        state="live",
        started_at=now,
        heard_at=now,
        reaper=None,
        reaped_at=None,
    )
    with database.session() as session:
        session.add(worker)
    return worker


def beat(database: Database, worker: str) -> bool:
    """Say that it lives; False if the others have given it up: then it must stop at once."""
    with database.session() as session:
        heard = session.execute(
            update(Worker)
            .where(Worker.id == worker, Worker.state == "live", Worker.reaper.is_(None))
            .values(heard_at=time.time())
            .returning(Worker.id)
        )
        return heard.first() is not None


def leave(database: Database, worker: str) -> None:
    """It stops on purpose: the others need not wait."""
    with database.session() as session:
        session.execute(update(Worker).where(Worker.id == worker).values(state="left"))


def live(database: Database) -> list[Worker]:
    with database.session() as session:
        heard = Worker.heard_at > time.time() - SILENT
        return list(session.scalars(select(Worker).where(Worker.state == "live", heard)))


def claim_dead(database: Database, reaper: str) -> list[str]:
    """The dead whom this worker, and no other, is to take over from now."""
    now = time.time()
    with database.session() as session:
        known = select(Worker).where(Worker.state.in_(("live", "left")), Worker.id != reaper)
        dead = [worker.id for worker in session.scalars(known) if is_dead(worker, now)]
        free = or_(Worker.reaper.is_(None), Worker.reaped_at < now - LEASE)
        claimed = (
            update(Worker)
            .where(Worker.id.in_(dead), Worker.state.in_(("live", "left")), free)
            .values(reaper=reaper, reaped_at=now)
            .returning(Worker.id)
        )
        return list(session.scalars(claimed)) if dead else []


def end_if_hung(database: Database, worker: str) -> None:
    """End a given-up process of this machine: it may hold an output folder and say nothing."""
    with database.session() as session:
        found = session.get(Worker, worker)
    if found is None or found.state != "live" or found.machine != machine():
        return
    if found.process != os.getpid() and found.born and _born(found.process) == found.born:
        with suppress(OSError):
            os.kill(found.process, signal.SIGKILL)


def bury(database: Database, worker: str) -> None:
    """All that it held is taken over."""
    with database.session() as session:
        session.execute(update(Worker).where(Worker.id == worker).values(state="gone"))
        old = Worker.heard_at < time.time() - KEPT
        session.execute(delete(Worker).where(Worker.state == "gone", old))


def is_dead(worker: Worker, now: float) -> bool:
    """Silent for long; or gone from this very machine, which can be seen at once."""
    if worker.state == "left" or now - worker.heard_at > SILENT:
        return True
    return worker.machine == machine() and _born(worker.process) != worker.born


def machine() -> str:
    """Where a process number means something: this boot, this namespace of processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{platform.node()} {ids.new('boot')}"  # like no other: wait for the silence


def _born(process: int) -> str:
    """When a process started, in ticks since the boot; empty if there is none."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]
