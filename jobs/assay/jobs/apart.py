"""A function in a process of its own, which can be stopped in the middle."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from assay.jobs import problems
from assay.jobs.errors import WorkerDied
from assay.selectors.errors import Stopped

LOOK = 0.1  # seconds between two looks at an order to stop

Work = Callable[..., Mapping[str, Any]]


def apart(work: Work, given: tuple[Any, ...], stop: threading.Event) -> dict[str, Any]:
    """{"done": what `work` returned} or {"problem": a document, "passing": whether to try again}.

    Stopped when it is asked to stop; WorkerDied where the process was killed.
    """
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_carry_out, args=(theirs, work, given), daemon=True)
    process.start()
    theirs.close()
    try:
        while not mine.poll(LOOK):
            if stop.is_set():
                raise Stopped("stopped on request")
        found: dict[str, Any] = mine.recv()
        return found
    except EOFError as cause:
        raise WorkerDied() from cause
    finally:
        process.kill()
        process.join()
        mine.close()


def _carry_out(out: Connection, work: Work, given: tuple[Any, ...]) -> None:
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
