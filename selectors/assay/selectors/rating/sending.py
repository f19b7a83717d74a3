"""Sends questions until each is answered or given up: several at once, again after a failure, and
never more than the cap allows.

All decisions are made in one thread, which also keeps the ledger; the others only wait for the
network. A question that failed waits aside for its turn, so it holds up nobody. The cap is kept
beforehand: a request is sent only if it fits even at the most that it can cost, together with all
that are under way.
"""

import heapq
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from assay.selectors.errors import EndpointFailed, EndpointRefused, Stopped
from assay.selectors.rating.endpoint import Outcome, Remedy
from assay.selectors.rating.ledger import Ledger
from assay.selectors.rating.rubrics import Rubric

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds; doubled with each failure between them
IN_A_ROW = 10  # questions given up, none answered between them: the endpoint is at fault
LOOK = 0.5  # seconds between two looks at whether to stop


@dataclass(frozen=True, slots=True)
class Question:
    """One request about one text."""

    key: str
    body: bytes
    rubrics: tuple[Rubric, ...]
    most: int  # that it can cost


@dataclass(frozen=True)
class Patience:
    """How hard we try."""

    at_once: int = 8
    tries: int = 10
    first_pause: float = FIRST_PAUSE
    stop: threading.Event = field(default_factory=threading.Event)

    def pause(self, failures: int) -> float:
        """Half of the pause to the whole: those that failed together do not return together."""
        longest = min(self.first_pause * 2.0 ** (failures - 1), LONGEST_PAUSE)
        return longest * (1 + random.random()) / 2


Ask = Callable[[bytes, tuple[Rubric, ...]], Outcome]


@dataclass
class Sending:
    """One run through all questions."""

    ask: Ask
    ledger: Ledger
    patience: Patience
    cap: int | None  # pico
    where: str = "the endpoint"
    # What came of it
    failed: dict[str, str] = field(default_factory=dict)  # key -> reason
    retries: Counter[str] = field(default_factory=Counter)  # reasons of failures that were mended
    capped: bool = False
    # While it goes on
    _spent: int = 0  # at most
    _reserved: int = 0  # for what is under way
    _failures: Counter[str] = field(default_factory=Counter)  # by key
    _due: list[tuple[float, int, Question]] = field(default_factory=list)  # when, order, what
    _order: int = 0
    _dear: Question | None = None  # waits for money that is reserved for others
    _exhausted: bool = False
    _held_until: float = 0.0
    _in_a_row: int = 0  # questions given up, none answered between them
    _streak: int = 0  # requests that failed, none that went well between them

    def send(self, questions: Iterable[Question]) -> Iterator[tuple[str, Mapping[str, float]]]:
        """Key and points of each question as it is answered, in no order."""
        self._spent = self.ledger.spent().most
        coming = iter(questions)
        running: dict[Future[Outcome], tuple[int, Question]] = {}
        with ThreadPoolExecutor(self.patience.at_once) as threads:
            try:
                while True:
                    self._check_stop()
                    while len(running) < self.patience.at_once and (one := self._next(coming)):
                        if not self._affordable(one):
                            self._put_off(one)
                            break
                        number = self._begin(one)
                        running[threads.submit(self.ask, one.body, one.rubrics)] = (number, one)
                    if not running and self._over():
                        return
                    yield from self._settled(running)
            finally:
                # What is under way has been paid for: its answers are kept, whatever went wrong.
                for future in wait(running).done:
                    self._settle(*running[future], future.result())

    def _next(self, coming: Iterator[Question]) -> Question | None:
        now = time.monotonic()
        if self.capped or now < self._held_until:
            return None
        if self._dear:
            dear, self._dear = self._dear, None
            return dear
        if self._due and self._due[0][0] <= now:
            return heapq.heappop(self._due)[2]
        one = None if self._exhausted else next(coming, None)
        self._exhausted = one is None
        return one

    def _over(self) -> bool:
        return self.capped or (self._exhausted and not self._due and not self._dear)

    def _affordable(self, one: Question) -> bool:
        return self.cap is None or self._spent + self._reserved + one.most <= self.cap

    def _put_off(self, one: Question) -> None:
        """Too dear now: what is under way may turn out cheaper. If nothing is, that was the cap."""
        self._dear, self.capped = one, self._reserved == 0

    def _begin(self, one: Question) -> int:
        self._reserved += one.most
        return self.ledger.begin(one.key, one.most)

    def _settled(
        self, running: dict[Future[Outcome], tuple[int, Question]]
    ) -> Iterator[tuple[str, Mapping[str, float]]]:
        """Wait a little, and take in what came to its end."""
        if not running:
            self.patience.stop.wait(min(LOOK, self._until_due()))
            return
        # With no hand or no money free, only an answer changes anything.
        idle = len(running) < self.patience.at_once and not self._dear
        timeout = min(LOOK, max(self._until_due(), 0.001)) if idle else LOOK
        for future in wait(running, timeout, FIRST_COMPLETED).done:
            number, one = running.pop(future)
            outcome = future.result()
            self._settle(number, one, outcome)
            if outcome.points is not None:
                self._in_a_row = self._streak = 0
                yield one.key, outcome.points
            else:
                self._go_on_after(one, outcome)

    def _until_due(self) -> float:
        """Seconds until something waits for its turn."""
        now = time.monotonic()
        due = self._due[0][0] if self._due else now + LOOK
        return max(due, self._held_until) - now

    def _settle(self, number: int, one: Question, outcome: Outcome) -> None:
        self._reserved -= one.most
        self._spent += self.ledger.settle(number, one.key, one.most, outcome)

    def _go_on_after(self, one: Question, outcome: Outcome) -> None:
        said = f"{outcome.reason}: {outcome.detail}" if outcome.detail else outcome.reason
        if outcome.remedy is Remedy.STOP:
            raise EndpointRefused(f"{self.where}: {said}. What was answered before is kept")
        self._failures[one.key] += 1
        failures = self._failures[one.key]
        self._streak += 1
        if outcome.remedy in (Remedy.AGAIN, Remedy.LATER) and failures < self.patience.tries:
            self.retries[outcome.reason] += 1
            now = time.monotonic()
            if outcome.wait:
                self._held_until = max(self._held_until, now + outcome.wait)
            # Whose other answers come is not overworked: one unlucky question need not wait long.
            steps = failures if outcome.remedy is Remedy.LATER else min(failures, self._streak)
            due = now + max(self.patience.pause(steps), outcome.wait)
            self._order += 1
            heapq.heappush(self._due, (due, self._order, one))
            return
        self.failed[one.key] = outcome.reason
        self._in_a_row += 1
        if self._in_a_row >= IN_A_ROW:
            kind = EndpointRefused if outcome.remedy is Remedy.SKIP else EndpointFailed
            raise kind(
                f"{self.where}: {self._in_a_row} texts one after the other were given up, the last "
                f"one because {said}. What was answered is kept; run it again when the endpoint "
                "is well"
            )

    def _check_stop(self) -> None:
        if self.patience.stop.is_set():
            raise Stopped("stopped on request; what was answered is kept")
