"""Who does the work: an order-preserving map over threads or processes, with bounded look-ahead."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from assay.jobs.errors import WorkerDied
from assay.selectors.errors import BadRequest, Stopped

A = TypeVar("A")
B = TypeVar("B")

ENGINES = ("threads", "processes")
# Items given out beyond one for each worker: one more cost 30 MB and gained 7 % of the time.
AHEAD = 0


@dataclass(frozen=True)
class Pool:
    """Maps functions over items with some workers, until told to stop."""

    workers: int
    executor: Executor | None  # None: the caller's own thread does the work
    stop: threading.Event

    def __call__(self, function: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]:
        if self.executor is None:
            return self._alone(function, items)
        return self._together(self.executor, function, items)

    def _alone(self, function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        for item in items:
            self._check()
            yield function(item)

    def _together(
        self, executor: Executor, function: Callable[[A], B], items: Iterable[A]
    ) -> Iterator[B]:
        waiting: deque[Future[B]] = deque()
        coming = iter(items)
        try:
            while True:
                self._check()
                while len(waiting) < self.workers + AHEAD:
                    try:
                        waiting.append(executor.submit(function, next(coming)))
                    except StopIteration:
                        break
                if not waiting:
                    return
                yield waiting.popleft().result()
        except BrokenProcessPool as cause:
            raise WorkerDied() from cause
        finally:
            for future in waiting:
                future.cancel()

    def _check(self) -> None:
        if self.stop.is_set():
            raise Stopped("stopped on request; what was finished is saved")


@contextmanager
def pool(engine: str, workers: int, stop: threading.Event | None = None) -> Iterator[Pool]:
    """Workers of a kind, gone at the end; work that was begun is finished first."""
    stop = stop or threading.Event()
    if engine not in ENGINES:
        raise BadRequest(f"there is no engine {engine!r}: known are {', '.join(ENGINES)}")
    if workers == 1:
        yield Pool(1, None, stop)
        return
    executor = _executor(engine, workers)
    try:
        yield Pool(workers, executor, stop)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def _executor(engine: str, workers: int) -> Executor:
    if engine == "threads":
        return ThreadPoolExecutor(workers, thread_name_prefix="assay")
    # spawn: a forked child would inherit the locks of threads that it does not have.
    context: Any = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_ignore_interrupts)


def _ignore_interrupts() -> None:
    """Ctrl-C reaches the whole group; the parent decides what happens then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
