"""A worker: starts, says that it lives, takes over from the dead, passes on orders to stop, leaves.

kill -9 is a way to leave like any other: what a dead worker held is handed to the others.
"""

import os
import threading
import time
from dataclasses import dataclass, field

import structlog
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from sqlalchemy.exc import SQLAlchemyError

from assay.jobs import queue_of_jobs, roster, store, workflows
from assay.jobs.database import Database
from assay.jobs.models import Worker
from assay.jobs.queue_of_jobs import Queue
from assay.jobs.roots import Roots
from assay.jobs.workflows import Hands

log = structlog.get_logger("assay.worker")
LOOK = 0.5  # seconds between two looks at orders to stop
TIDY = 600.0


@dataclass
class Running:
    """A worker of this process."""

    queue: Queue
    hands: Hands
    threads: list[threading.Thread] = field(default_factory=list)
    suspects: set[tuple[str, int]] = field(default_factory=set)  # strays of the last look

    @property
    def id(self) -> str:
        return self.hands.worker

    def leave(self) -> None:
        """Hand over what is begun; the process has to end right after."""
        self.hands.leaving.set()
        for work in list(self.hands.open.values()):
            work.stop.set()
        roster.leave(self.hands.database, self.id)


def start(database: Database, roots: Roots, jobs: int, workers: int) -> Running:
    """Work from now on, in threads of this process; `jobs` at once, `workers` threads for each."""
    queue = Queue(database)
    queue.prepare()
    me: Worker = roster.enter(database)
    made = Hands(database, me.id, roots, workers)
    workflows.HANDS[:] = [made]
    workflows.register()
    config: DBOSConfig = {
        "name": queue_of_jobs.NAME,
        "system_database_engine": database.engine,
        "executor_id": me.id,
        "application_version": queue_of_jobs.VERSION,
        "serializer": DBOSPortableJSONSerializer(),
        "log_level": "WARNING",
        "max_executor_threads": jobs + 2,
        "run_migrations": True,
        "enable_otlp": False,
    }
    DBOS(config=config)
    DBOS.launch()
    queue.open(jobs)
    running = Running(queue, made)
    for loop in (_live, _reap, _watch):
        thread = threading.Thread(target=loop, args=(running,), name=loop.__name__, daemon=True)
        thread.start()
        running.threads.append(thread)
    log.info("worker started", worker=me.id, jobs=jobs, threads=workers)
    return running


def _live(running: Running) -> None:
    """Say that it lives. Who was given up ends at once: its jobs are somebody else's now."""
    heard = time.monotonic()
    while not running.hands.leaving.is_set():
        try:
            if not roster.beat(running.hands.database, running.id):
                log.error("given up by the others", worker=running.id)
                os._exit(1)
            heard = time.monotonic()
        except SQLAlchemyError as problem:
            log.warning("no sign of life", worker=running.id, problem=str(problem)[:300])
            if time.monotonic() - heard > 2 * roster.SILENT:
                os._exit(1)
        time.sleep(roster.BEAT)


def _reap(running: Running) -> None:
    """Take over from the dead, and tidy now and then."""
    tidied = time.monotonic()
    while not running.hands.leaving.is_set():
        try:
            reap(running.queue, running.id)
            retrieve(running)
            if time.monotonic() - tidied > TIDY:
                tidied = time.monotonic()
                store.tidy(running.hands.database)
        except SQLAlchemyError as problem:
            log.warning("nobody taken over", problem=str(problem)[:300])
        time.sleep(roster.BEAT)


def reap(queue: Queue, me: str) -> list[str]:
    """One look at the others; what was taken over."""
    taken: list[str] = []
    for dead in roster.claim_dead(queue.database, me):
        roster.end_if_hung(queue.database, dead)
        held = queue.hand_over(dead)
        roster.bury(queue.database, dead)
        if held:
            log.warning("taken over", dead=dead, jobs=held)
        taken += held
    return taken


def retrieve(running: Running) -> list[str]:
    """Take up again what no thread of ours is at though its row says so; what was taken up.

    The library gives a workflow up when the database refuses to note a step, as on a full disk.
    """
    held = store.held_by(running.hands.database, running.id)
    strays = held - running.hands.going
    sure, running.suspects = strays & running.suspects, strays
    states = running.queue.states([f"{job}/{attempt}" for job, attempt in sure])
    taken = []
    for job, attempt in sure:
        name = f"{job}/{attempt}"
        state = states.get(name)
        if (job, attempt) in running.hands.going or state == "ENQUEUED":
            continue
        log.warning("nobody is at a job that should go on", job=job, state=state)
        if state == "PENDING":
            running.queue.again(name)
        else:  # over for the library: it cannot be taken up, only told
            store.give_up(running.hands.database, job, attempt)
        taken.append(name)
    return taken


def _watch(running: Running) -> None:
    """Pass on orders to stop to the work that is going on."""
    while not running.hands.leaving.is_set():
        try:
            held = dict(running.hands.open)
            stopping = store.stopping(running.hands.database, [job for job, _ in held])
            for (job, _), work in held.items():
                if job in stopping:
                    work.stop.set()
        except SQLAlchemyError as problem:
            log.warning("no look at orders", problem=str(problem)[:300])
        time.sleep(LOOK)
