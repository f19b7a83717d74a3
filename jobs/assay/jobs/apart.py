"""A function in a process of its own, which can be stopped in the middle."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from assay.jobs import problems
from assay.jobs.errors import WorkerDied
from assay.selectors.errors import Stopped

LOOK = 0.1  # seconds between two looks at an order to stop


@dataclass
class Going:
    """Work of one step that is going on in a process of its own, as a worker holds it."""

    stop: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None: ...


Work = Callable[..., Mapping[str, Any]]
Heard = Callable[[Mapping[str, Any]], None]


def apart(
    work: Work, given: tuple[Any, ...], stop: threading.Event, heard: Heard | None = None
) -> dict[str, Any]:
    """{"done": what `work` returned} or {"problem": a document, "passing": whether to try again}.

    With `heard`, `work` is given one thing more: a function whose argument arrives there.
    Stopped when it is asked to stop; WorkerDied where the process was killed.
    """
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_carry_out, args=(theirs, work, given, heard is not None), daemon=True
    )
    process.start()
    theirs.close()
    try:
        while True:
            while not mine.poll(LOOK):
                _unless(stop)
            found: dict[str, Any] = mine.recv()
            if "told" not in found or heard is None:
                return found
            _unless(stop)
            heard(found["told"])
    except EOFError as cause:
        raise WorkerDied() from cause
    finally:
        process.kill()
        process.join()
        mine.close()


def _unless(stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped("stopped on request")


def _carry_out(out: Connection, work: Work, given: tuple[Any, ...], telling: bool) -> None:
    if telling:
        given = (*given, lambda told: out.send({"told": told}))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        out.send({"done": dict(work(*given))})
    except Exception as problem:
        told = {"problem": problems.document(problem), "passing": problems.passing(problem)}
        out.send(told)


def _end_with(parent: int) -> None:
    """Nobody waits for the answer of a process whose parent was killed."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
