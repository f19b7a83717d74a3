"""Durable work: what a worker does for a job, step by step.

A step's result is recorded; a worker that goes on with a job of another is handed the results and
does the first step that has none. Steps may run twice (a kill between the work and its record), so
each leaves its work under a name that hangs on what was asked, and the row of the job changes only
from a state that is expected. What goes wrong for good is a result too; what may pass is raised,
and tried again with growing pauses.
"""

import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import structlog
from dbos import DBOS
from dbos._error import DBOSMaxStepRetriesExceeded
from sqlalchemy.exc import SQLAlchemyError

from assay.jobs import problems, store
from assay.jobs.apart import Going, apart
from assay.jobs.database import Database
from assay.jobs.fitting import fitted
from assay.jobs.models import Job
from assay.jobs.roots import Roots
from assay.jobs.selecting import EVERY, Selecting, Telling, spec_of
from assay.jobs.validating import validated
from assay.selectors import selection as selections
from assay.selectors.errors import Stopped, StorageError, TooManyBadRows
from assay.selectors.manifest import Manifest

Answer = dict[str, Any]
OVER = "over"  # in an answer: the job ends here, and how
# 1, 2, 4, 8, 16 seconds: a store that is away for half a minute.
ATTEMPTS, PAUSE, GROWTH = 6, 1.0, 2.0

log = structlog.get_logger("assay.jobs")


@dataclass
class Hands:
    """What a worker has to work with. One per process, as the workflow library wants it."""

    database: Database
    worker: str
    roots: Roots
    workers: int
    open: dict[tuple[str, int], Selecting | Going] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)
    leaving: threading.Event = field(default_factory=threading.Event)
    going: set[tuple[str, int]] = field(default_factory=set)  # what threads of ours are at


HANDS: list[Hands] = []  # none, or the one


def hands() -> Hands:
    return HANDS[0]


def register() -> None:
    """Make the workflows known under the names that are in the queue."""
    DBOS.workflow(name="selection")(selection)
    DBOS.workflow(name="fit")(fit)
    DBOS.workflow(name="validation")(validation)


# Workflows -----------------------------------------------------------------------------------


def selection(job: str, attempt: int) -> str:
    return _to_the_end(job, attempt, _selected)


def fit(job: str, attempt: int) -> str:
    return _to_the_end(job, attempt, study)


def validation(job: str, attempt: int) -> str:
    return _to_the_end(job, attempt, proof)


def _selected(job: str, attempt: int) -> Answer:
    plan = survey(job, attempt)
    if OVER in plan:
        return plan
    done = {"units": 0, "bytes": 0, "rows": 0, "bad_rows": 0}
    for number, (_, size) in enumerate(plan["shards"]):
        scored = score(job, attempt, number, size, done)
        if OVER in scored:
            return scored
        done = scored
    return finish(job, attempt)


def _to_the_end(job: str, attempt: int, work: Callable[..., Answer]) -> str:
    """Do the steps of a job, and say in its row how it ended."""
    hands().going.add((job, attempt))
    try:
        return _end(job, attempt, work(job, attempt))
    except DBOSMaxStepRetriesExceeded as given_up:
        return _fail(job, attempt, problems.document(_last(given_up)))
    finally:
        if found := hands().open.pop((job, attempt), None):
            found.close()
        hands().going.discard((job, attempt))


def _last(given_up: DBOSMaxStepRetriesExceeded) -> BaseException:
    errors = getattr(given_up, "errors", None) or [given_up]
    last = errors[-1]
    return last if isinstance(last, BaseException) else given_up


def _end(job: str, attempt: int, answer: Mapping[str, Any]) -> str:
    """The row says how the job ended; once, since it says so only of a job that goes on."""
    over = str(answer[OVER])
    if over == "succeeded":
        result, warnings = answer["result"], answer["warnings"]
        _surely(lambda: store.succeed(hands().database, job, attempt, result, warnings))
    elif over == "failed":
        _fail(job, attempt, answer["error"])
    else:
        _surely(lambda: store.stop(hands().database, job, attempt))
    log.info("job over", job=job, attempt=attempt, how=over)
    return over


def _fail(job: str, attempt: int, error: Mapping[str, Any]) -> str:
    _surely(lambda: store.fail(hands().database, job, attempt, error))
    log.warning("job failed", job=job, attempt=attempt, **error)
    return "failed"


def _surely(change: Callable[[], object]) -> None:
    """A job's end is written down however long the database is away.

    A worker that cannot reach it for long ends (worker.py), and another comes here again.
    """
    while True:
        try:
            change()
            return
        except SQLAlchemyError as problem:
            if not problems.away(problem):
                raise
            log.warning("the database is away", problem=str(problem)[:300])
            time.sleep(PAUSE)


# Steps ---------------------------------------------------------------------------------------


def step(work: Callable[..., Answer]) -> Callable[..., Answer]:
    """A durable step: its answer is recorded, and says so when the job ends with it."""

    @wraps(work)
    def told(job: str, attempt: int, *given: Any) -> Answer:
        row = store.start(hands().database, job, attempt, hands().worker)
        if row is None:
            return {OVER: "cancelled"}
        structlog.contextvars.bind_contextvars(job=job, attempt=attempt)
        try:
            return work(row, *given)
        except Stopped:
            _wait_for_the_end()
            return {OVER: "cancelled"}
        except Exception as problem:
            _wait_for_the_end()
            if problems.passing(problem):
                again = f"{problem}: tried again soon"
                with suppress(SQLAlchemyError):  # the database may be what is away
                    store.tell(hands().database, job, attempt, "warn", again[:2000])
                raise
            found = problems.document(problem)
            if found["code"] == "internal":
                log.error("bug", job=job, trace=traceback.format_exc())
            return {OVER: "failed", "error": found}

    made: Callable[..., Answer] = DBOS.step(
        name=work.__name__,
        retries_allowed=True,
        max_attempts=ATTEMPTS,
        interval_seconds=PAUSE,
        backoff_rate=GROWTH,
    )(told)
    return made


def _wait_for_the_end() -> None:
    """A process that is leaving records nothing more: another takes the step up."""
    if hands().leaving.is_set():
        time.sleep(3600)


@step
def survey(row: Job) -> Answer:
    """Look at the corpora and take the output folder."""
    work = _opened(row)
    found = [] if work.done else work.shards()
    totals: Answer = {"units_total": len(found), "bytes_total": sum(size for _, size in found)}
    said = "finished before" if work.done else f"{len(found)} shards to score"
    claim = selections.claim_of(work.ground.request)
    store.advance(
        hands().database, row.id, row.attempt, said, True, stage="scoring", claim=claim, **totals
    )
    return {"shards": found}


@step
def score(row: Job, number: int, size: int, before: Mapping[str, int]) -> Answer:
    """Score one shard."""
    counts = _opened(row).score(number)
    after = {
        "units": number + 1,
        "bytes": before["bytes"] + size,
        "rows": before["rows"] + counts["rows"],
        "bad_rows": before["bad_rows"] + counts["bad_rows"],
    }
    allowed = row.request.get("max_bad_rows")
    if allowed is not None and after["bad_rows"] > allowed:
        raise TooManyBadRows(
            f"{after['bad_rows']} rows could not be read, max_bad_rows allows {allowed}: see the "
            f"quarantine, mend the data or allow more"
        )
    _note(row, after, last=number + 1 == row.units_total)
    return after


@step
def finish(row: Job) -> Answer:
    """Choose, write and finish; the manifest is created once, whoever comes twice."""
    store.advance(
        hands().database, row.id, row.attempt, "choosing and writing", True, status="finalizing",
        stage="writing",
    )  # fmt: skip
    made = _opened(row).finish(row.started_at or time.time())
    return {OVER: "succeeded", "result": result(made), "warnings": made.content["warnings"]}


@step
def study(row: Job) -> Answer:
    """Fit a law to runs."""
    going = Going()
    hands().open[(row.id, row.attempt)] = going
    return _over(apart(fitted, (dict(row.request), hands().roots), going.stop))


@step
def proof(row: Job) -> Answer:
    """Train small models on a subset and its controls; a worker that goes on finds what is done."""
    going = Going()
    hands().open[(row.id, row.attempt)] = going

    def heard(told: Mapping[str, Any]) -> None:
        values = {"units_done": told["done"], "units_total": told["trainings"]}
        said = (
            f"{told['training']}: step {told['step']} of {told['steps']},"
            f" {told['bits_per_byte']:.4f} bits per byte"
        )
        store.advance(
            hands().database, row.id, row.attempt, "", False, stage=told["training"], **values
        )
        store.tell(hands().database, row.id, row.attempt, "info", said, "point", told)

    return _over(apart(validated, (dict(row.request), hands().roots), going.stop, heard))


def _over(told: Mapping[str, Any]) -> Answer:
    if told.get("passing"):
        raise StorageError(told["problem"]["message"])
    if "problem" in told:
        return {OVER: "failed", "error": told["problem"]}
    found = told["done"]
    return {OVER: "succeeded", "result": found, "warnings": found["warnings"]}


def result(made: Manifest) -> dict[str, Any]:
    """What a row keeps of a manifest."""
    content = made.content
    return {
        "digest": made.digest,
        "manifest": made.uri("manifest.json"),
        "corpus": content["corpus"],
        "spent": content["spent"],
        "parts": len(content["parts"]),
    }


def _opened(row: Job) -> Selecting:
    """The selection as this worker holds it: opened again where another left it."""
    held, name = hands().open, (row.id, row.attempt)
    found = held.get(name)
    if not isinstance(found, Selecting):
        tell = Telling(_teller(row))
        found = Selecting(spec_of(row.request), hands().roots, hands().workers, tell)
        held[name] = found
    return found


def _teller(row: Job) -> Callable[[str, int, int], None]:
    def tell(stage: str, done: int, total: int) -> None:
        store.advance(hands().database, row.id, row.attempt, "", False, stage=stage[:200])

    return tell


def _note(row: Job, after: Mapping[str, int], last: bool) -> None:
    """Progress in the row at every shard; an event at most once in a while, and at the last."""
    now, told = time.monotonic(), hands().told
    event = last or now - told.get(row.id, 0.0) > EVERY
    if event:
        told[row.id] = now
    if last:
        told.pop(row.id, None)
    store.advance(
        hands().database, row.id, row.attempt, f"{after['units']} of {row.units_total} shards",
        event, units_done=after["units"], bytes_done=after["bytes"], rows_done=after["rows"],
        bad_rows=after["bad_rows"],
    )  # fmt: skip
