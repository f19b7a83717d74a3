"""How often values occur, in bounded memory."""

from dataclasses import dataclass, field

import numpy as np

from assay.selectors.choice import mix
from assay.selectors.records import Counts, Ids, Mask
from assay.selectors.report.samples import EVERY, REPEAT
from assay.selectors.report.values import NAMED

DISTINCT = 1 << 20  # hashes tracked to find repeats; beyond, a share of 1/2, 1/4, ... of them


@dataclass
class Repeats:
    """How often values occur. Beyond `limit` distinct ones, only those whose hash begins with
    `level` zero bits are counted: which they are does not depend on the order of arrival."""

    limit: int = DISTINCT
    level: int = 0
    value: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))  # mixed, ascending
    times: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    low: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))  # of what comes with it
    high: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))
    waiting: list[tuple[Ids, Counts, Ids, Ids]] = field(default_factory=list)
    held: int = 0  # values in `waiting`

    def add(self, value: Ids, beside: Ids) -> None:
        mixed = mix(value, REPEAT)
        inside = self._inside(mixed)
        beside = beside[inside]
        self._wait((mixed[inside], np.ones(len(beside), np.int64), beside, beside))

    def merge(self, other: "Repeats") -> None:
        self.level = max(self.level, other.level)
        for columns in [(other.value, other.times, other.low, other.high), *other.waiting]:
            self._wait(columns)

    def settled(self) -> "Repeats":
        """With nothing waiting to be counted."""
        columns = [(self.value, self.times, self.low, self.high), *self.waiting]
        value, times, low, high = (np.concatenate(column) for column in zip(*columns, strict=True))
        self.waiting, self.held = [], 0
        order = np.argsort(value, kind="stable")
        value, times, low, high = (column[order] for column in (value, times, low, high))
        first = np.flatnonzero(np.diff(value, prepend=~value[:1]) != 0)
        self.value, self.times = value[first], _added(times, first)
        self.low = np.minimum.reduceat(low, first) if len(first) else low
        self.high = np.maximum.reduceat(high, first) if len(first) else high
        self._raise_level()
        return self

    def _raise_level(self) -> None:
        inside = self._inside(self.value)
        while int(inside.sum()) > self.limit:
            self.level += 1
            inside = self._inside(self.value)
        for name in ("value", "times", "low", "high"):
            setattr(self, name, getattr(self, name)[inside])

    def _inside(self, mixed: Ids) -> Mask:
        return mixed <= np.uint64(EVERY >> self.level)

    def _wait(self, columns: tuple[Ids, Counts, Ids, Ids]) -> None:
        if len(columns[0]):
            self.waiting.append(columns)
            self.held += len(columns[0])
        if self.held > max(1 << 16, len(self.value)):
            self.settled()


def most_repeated(repeats: Repeats, ambiguous: bool = False) -> Ids:
    """Which values to name: the commonest, of those that repeat or that stand for several."""
    again = np.flatnonzero(repeats.low != repeats.high if ambiguous else repeats.times > 1)
    order = np.lexsort((repeats.value[again], -repeats.times[again]))[:NAMED]
    return repeats.value[again[order]]


def _added(values: Counts, first: Counts) -> Counts:
    return np.add.reduceat(values, first) if len(first) else values
