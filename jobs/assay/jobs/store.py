"""Jobs in the database: every query and every transaction about them.

A change names the state that it expects, so of two that race one wins and the other sees it. Each
change to a job also takes the next number for an event, which locks the row: events of a job have
no gaps and come in the order of their commits.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from assay.jobs import ids
from assay.jobs.database import Database
from assay.jobs.errors import InFlight, KeyUsedOtherwise, NoSuchJob, WrongState
from assay.jobs.models import Event, Job, Submission, Target

MARKS = {"selection": "sel", "fit": "fit", "validation": "val"}
WAITING = ("queued",)
WORKING = ("running", "finalizing")
STOPPING = ("cancelling",)
OVER = ("succeeded", "failed", "cancelled")
ABANDONED = 30.0  # seconds after which a key that led to nothing may be used again
REMEMBERED = 86_400.0  # seconds that an Idempotency-Key is known

Enqueue = Callable[[Session, Job], None]
VERSIONS = select(Job.id, Job.owner, Job.kind, Job.version).where(
    Job.id.in_(bindparam("jobs", expanding=True))
)


# Submitting ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Once:
    """An Idempotency-Key, and the hash of the request that came with it."""

    key: str
    fingerprint: str


def reserve(database: Database, owner: str, once: Once) -> str | None:
    """Take the key for a first request; or the id of what the first one made."""
    now = time.time()
    row = Submission(
        owner=owner, key=once.key, fingerprint=once.fingerprint, created_at=now, made=None
    )
    try:
        with database.session() as session:
            session.add(row)
        return None
    except IntegrityError:
        return _known(database, owner, once, now)


def _known(database: Database, owner: str, once: Once, now: float) -> str | None:
    with database.session() as session:
        found = session.get(Submission, (owner, once.key))
        if found is None:  # given back in between
            raise InFlight("a request with this Idempotency-Key was being answered: try again")
        if found.fingerprint != once.fingerprint:
            raise KeyUsedOtherwise(
                "this Idempotency-Key came before with another request: use a new key for it"
            )
        if found.made is not None:
            return found.made
        taken = session.execute(
            update(Submission)
            .where(Submission.owner == owner, Submission.key == once.key)
            .where(Submission.made.is_(None), Submission.created_at < now - ABANDONED)
            .values(created_at=now)
            .returning(Submission.key)
        ).first()
        if taken is None:
            raise InFlight("the first request with this Idempotency-Key is still being answered")
        return None


def give_back(database: Database, owner: str, once: Once) -> None:
    """The request came to nothing: its key may be used again."""
    with database.session() as session:
        session.execute(
            delete(Submission).where(
                Submission.owner == owner, Submission.key == once.key, Submission.made.is_(None)
            )
        )


def fulfil(session: Session, owner: str, once: Once | None, made: str) -> None:
    """Of two requests that hold the key, one being very slow, the second comes to nothing."""
    if once is None:
        return
    mine = session.execute(
        update(Submission)
        .where(Submission.owner == owner, Submission.key == once.key, Submission.made.is_(None))
        .values(made=made)
        .returning(Submission.key)
    ).first()
    if mine is None:
        raise InFlight("another request with this Idempotency-Key was answered first: try again")


def submit(
    database: Database,
    enqueue: Enqueue,
    kind: str,
    owner: str,
    request: Mapping[str, Any],
    labels: Mapping[str, str],
    once: Once | None = None,
) -> Job:
    """A new job: its row, its first event, its key and its place in the queue, or none of them."""
    now = time.time()
    job = Job(
        id=ids.new(MARKS[kind]),
        kind=kind,
        owner=owner,
        status="queued",
        attempt=1,
        version=1,
        events=1,
        created_at=now,
        queued_at=now,
        request=dict(request),
        labels=dict(labels),
        stage="",
        units_total=0,
        units_done=0,
        bytes_total=0,
        bytes_done=0,
        rows_done=0,
        bad_rows=0,
        warnings=[],
    )
    with database.session() as session:
        session.add(job)
        session.flush()
        session.add(_event(job.id, 1, "info", "status", "queued", {"status": "queued"}))
        fulfil(session, owner, once, job.id)
        enqueue(session, job)
    return job


# Asking --------------------------------------------------------------------------------------


def find(database: Database, job: str) -> Job:
    with database.session() as session:
        return _found(session, job)


def find_of(database: Database, owner: str, kind: str, job: str) -> Job:
    """The job, if it is this owner's: to others it does not exist."""
    with database.session() as session:
        found = session.get(Job, job)
    if found is None or found.owner != owner or found.kind != kind:
        raise NoSuchJob(f"there is no {kind} {job[:60]!r}")
    return found


def versions(database: Database, jobs: Collection[str]) -> dict[str, tuple[str, str, int]]:
    """Owner, kind and version of some jobs: all that has to be read where the rest is known."""
    with database.engine.connect() as connection:
        rows = connection.execute(VERSIONS, {"jobs": list(jobs)})
        return {job: (owner, kind, version) for job, owner, kind, version in rows}


def listed(
    database: Database,
    owner: str,
    kind: str,
    after: str | None = None,
    limit: int = 20,
    descending: bool = True,
    status: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> list[Job]:
    """One page, by age; `after` is the last id of the page before."""
    asked = select(Job).where(Job.owner == owner, Job.kind == kind)
    if status:
        asked = asked.where(Job.status == status)
    for name, value in (labels or {}).items():
        asked = asked.where(Job.labels[name].as_string() == value)
    if after:
        asked = asked.where(Job.id < after if descending else Job.id > after)
    asked = asked.order_by(Job.id.desc() if descending else Job.id).limit(limit)
    with database.session() as session:
        return list(session.scalars(asked))


def events(database: Database, job: str, after: int = 0, limit: int = 100) -> list[Event]:
    with database.session() as session:
        asked = select(Event).where(Event.job == job, Event.number > after)
        return list(session.scalars(asked.order_by(Event.number).limit(limit)))


def status_of(database: Database, job: str) -> str | None:
    with database.session() as session:
        return session.scalar(select(Job.status).where(Job.id == job))


def counts(database: Database) -> dict[tuple[str, str], int]:
    """How many jobs there are of each kind in each state."""
    with database.session() as session:
        rows = session.execute(
            select(Job.kind, Job.status, func.count()).group_by(Job.kind, Job.status)
        )
        return {(kind, status): number for kind, status, number in rows}


def stopping(database: Database, jobs: Sequence[str]) -> set[str]:
    """Those of some jobs that are asked to stop, or no longer go on."""
    if not jobs:
        return set()
    with database.session() as session:
        alive = select(Job.id).where(Job.id.in_(jobs), Job.status.in_(WORKING))
        return set(jobs) - set(session.scalars(alive))


def held_by(database: Database, worker: str) -> set[tuple[str, int]]:
    """The jobs, each with its attempt, that a worker should be at."""
    with database.session() as session:
        asked = select(Job.id, Job.attempt).where(
            Job.worker == worker, Job.status.in_((*WORKING, *STOPPING))
        )
        return {(job, attempt) for job, attempt in session.execute(asked)}


# What a user does ----------------------------------------------------------------------------


def cancel(database: Database, job: str) -> Job:
    """A queued job is cancelled at once, a running one when its worker sees it."""
    with database.session() as session:
        over = _change(session, job, WAITING, "cancelled", "cancelled", finished_at=time.time())
        if not over:
            _change(session, job, WORKING, "cancelling", "asked to stop")
        return _found(session, job)


def resume(database: Database, enqueue: Enqueue, job: str) -> Job:
    """A job that failed or was cancelled goes on from what it left."""
    with database.session() as session:
        begun = _change(
            session, job, ("failed", "cancelled"), "queued", "queued again", queued_at=time.time(),
            finished_at=None, error=None, attempt=Job.attempt + 1,
        )  # fmt: skip
        found = _found(session, job)
        if begun:
            enqueue(session, found)
        elif found.status in ("succeeded", "cancelling"):
            raise WrongState(
                f"{job} is {found.status}: only a job that failed or was cancelled is resumed"
            )
        return found


def forget(database: Database, job: str) -> None:
    """Delete the record of a job that is over, with its events."""
    with database.session() as session:
        gone = session.execute(
            delete(Job).where(Job.id == job, Job.status.in_(OVER)).returning(Job.id)
        )
        if gone.first() is None:
            found = _found(session, job)
            raise WrongState(f"{job} is {found.status}: cancel it before it is deleted")
        # An Idempotency-Key that led to it may lead to another.
        session.execute(delete(Submission).where(Submission.made == job))


# What a worker does --------------------------------------------------------------------------


def start(database: Database, job: str, attempt: int, worker: str) -> Job | None:
    """Begin or go on; None if the job is over, asked to stop, or another attempt's."""
    with database.session() as session:
        found = session.get(Job, job)
        if found is None or found.attempt != attempt:
            return None
        if found.worker == worker and found.status in WORKING:
            return found
        fresh = found.status == "queued"
        said = "running" if fresh else f"taken over by another worker ({worker})"
        begun = found.started_at if found.started_at is not None else time.time()
        values: dict[str, Any] = {"worker": worker, "started_at": begun}
        if not _change(session, job, (*WAITING, *WORKING), "running", said, attempt, **values):
            return None
        return _found(session, job)


def advance(
    database: Database, job: str, attempt: int, said: str = "", event: bool = True, /, **values: Any
) -> None:
    """Note how far a job is, with an event or without."""
    with database.session() as session:
        if event:
            status = values.pop("status", None)
            _change(
                session, job, WORKING, status, said, attempt, kind="progress", data=values, **values
            )
            return
        session.execute(
            update(Job)
            .where(Job.id == job, Job.attempt == attempt, Job.status.in_(WORKING))
            .values(version=Job.version + 1, **values)
            .execution_options(synchronize_session=False)
        )


def succeed(
    database: Database, job: str, attempt: int, result: Mapping[str, Any], warnings: Sequence[str]
) -> bool:
    """Even if it was asked to stop: what is done is done."""
    with database.session() as session:
        for warning in warnings:
            _note(session, job, attempt, "warn", warning)
        return _change(
            session, job, (*WORKING, *STOPPING), "succeeded", "succeeded", attempt,
            finished_at=time.time(), result=clean(result), warnings=clean(warnings), stage="",
        )  # fmt: skip


def fail(database: Database, job: str, attempt: int, error: Mapping[str, Any]) -> bool:
    with database.session() as session:
        return _change(
            session, job, (*WORKING, *STOPPING), "failed", str(error["message"]), attempt,
            level="error", finished_at=time.time(), error=clean(error), stage="",
        )  # fmt: skip


def stop(database: Database, job: str, attempt: int) -> bool:
    with database.session() as session:
        return _change(
            session, job, STOPPING, "cancelled", "cancelled", attempt, finished_at=time.time(),
            stage="",
        )  # fmt: skip


def give_up(database: Database, job: str, attempt: int) -> None:
    """A job that no worker is at any more, for reasons that only the log knows."""
    said = "its end could not be written down, the worker's log says why: resume it"
    if not stop(database, job, attempt):
        fail(database, job, attempt, {"code": "lost", "message": said, "retryable": True})


def tell(
    database: Database,
    job: str,
    attempt: int,
    level: str,
    message: str,
    kind: str = "message",
    data: Mapping[str, Any] | None = None,
) -> None:
    """An event that changes nothing."""
    with database.session() as session:
        _note(session, job, attempt, level, message, kind, data)


def tidy(database: Database) -> None:
    """Forget what nobody asks for any more."""
    with database.session() as session:
        old = Submission.created_at < time.time() - REMEMBERED
        session.execute(delete(Submission).where(old))


# Targets -------------------------------------------------------------------------------------


def add_target(database: Database, target: Target, once: Once | None) -> None:
    with database.session() as session:
        session.add(target)
        fulfil(session, target.owner, once, target.id)


def target_of(database: Database, owner: str, target: str) -> Target:
    with database.session() as session:
        found = session.get(Target, target)
    if found is None or found.owner != owner:
        raise NoSuchJob(f"there is no target {target[:60]!r}")
    return found


def targets(database: Database, owner: str, after: str | None, limit: int) -> list[Target]:
    asked = select(Target).where(Target.owner == owner)
    if after:
        asked = asked.where(Target.id < after)
    with database.session() as session:
        return list(session.scalars(asked.order_by(Target.id.desc()).limit(limit)))


def forget_target(database: Database, owner: str, target: str) -> None:
    target_of(database, owner, target)
    with database.session() as session:
        session.execute(delete(Target).where(Target.id == target))


# Texts that every database takes ---------------------------------------------------------------


def clean(value: Any) -> Any:
    """Without NUL and halves of characters, which files may bring and PostgreSQL refuses."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {clean(str(name)): clean(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean(inner) for inner in value]
    return value


# Inside --------------------------------------------------------------------------------------


def _found(session: Session, job: str) -> Job:
    found = session.get(Job, job, populate_existing=True)
    if found is None:
        raise NoSuchJob(f"there is no job {job[:60]!r}")
    return found


def _change(
    session: Session,
    job: str,
    expected: Sequence[str],
    status: str | None,
    said: str,
    of_attempt: int | None = None,
    level: str = "info",
    kind: str = "status",
    data: Mapping[str, Any] | None = None,
    **values: Any,
) -> bool:
    """Change a job that is in one of these states, and tell of it; False if it is in none."""
    asked = update(Job).where(Job.id == job, Job.status.in_(expected))
    if of_attempt is not None:
        asked = asked.where(Job.attempt == of_attempt)
    if status is not None:
        values["status"] = status
    changed = session.execute(
        asked.values(version=Job.version + 1, events=Job.events + 1, **values)
        .returning(Job.events)
        .execution_options(synchronize_session=False)
    ).scalar()
    if changed is None:
        return False
    told = dict(data or {}) | ({"status": status} if status else {})
    session.add(_event(job, changed, level, kind, clean(said), clean(told)))
    session.flush()
    return True


def _note(
    session: Session,
    job: str,
    attempt: int,
    level: str,
    message: str,
    kind: str = "message",
    data: Mapping[str, Any] | None = None,
) -> None:
    anything = (*WAITING, *WORKING, *STOPPING)
    _change(session, job, anything, None, message, attempt, level=level, kind=kind, data=data)


def _event(
    job: str, number: int, level: str, kind: str, message: str, data: Mapping[str, Any]
) -> Event:
    return Event(
        job=job,
        number=number,
        created_at=time.time(),
        level=level,
        type=kind,
        message=message,
        data=dict(data),
    )
