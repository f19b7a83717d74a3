"""Samples drawn by hash: nobody's order, grouping or number of workers can change them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assay.selectors.choice import mix
from assay.selectors.records import Batch, Counts, Floats, Ids, Mask, Scored

SAMPLE = 200_000  # documents behind quantiles and the rank correlation: its error is 0.002

# Seeds of the hashes that draw samples; far from any that a user would give.
DRAW, REPEAT, READ, TEXT = (2**63 + n for n in range(4))
EVERY = 2**64 - 1


@dataclass
class Sample:
    """The documents whose hashes come first: a sample that nobody's order can change."""

    limit: int = SAMPLE
    bar: int = EVERY  # priorities above it cannot be among the first
    priority: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))
    shard: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    row: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    score: Floats = field(default_factory=lambda: np.zeros(0))
    tokens: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    kept: Mask = field(default_factory=lambda: np.zeros(0, bool))

    COLUMNS = ("priority", "shard", "row", "score", "tokens", "kept")

    def add(self, scored: Scored, score: Floats, keep: Mask) -> None:
        priority = mix(scored.key, DRAW)
        columns = (priority, scored.shard, scored.row, score, scored.tokens, keep)
        inside = priority <= np.uint64(self.bar)
        self._extend([column[inside] for column in columns])

    def merge(self, other: "Sample") -> None:
        self._extend([getattr(other, name) for name in self.COLUMNS])

    def drawn(self) -> "Sample":
        """The sample itself, in the order of its hashes."""
        self._trim()
        return self

    def _extend(self, columns: Sequence[npt.NDArray[Any]]) -> None:
        for name, column in zip(self.COLUMNS, columns, strict=True):
            setattr(self, name, np.concatenate([getattr(self, name), column]))
        if len(self.priority) > 2 * self.limit:
            self._trim()

    def _trim(self) -> None:
        order = np.lexsort((self.row, self.shard, self.priority))[: self.limit]
        for name in self.COLUMNS:
            setattr(self, name, getattr(self, name)[order])
        if len(order) == self.limit:
            self.bar = int(self.priority[-1])


def first(priority: Ids, limit: int, bar: int) -> Counts:
    """Places of the `limit` lowest priorities, and of those level with the last of them."""
    if len(priority) > limit:
        bar = min(bar, int(np.partition(priority, limit - 1)[limit - 1]))
    return np.flatnonzero((priority <= np.uint64(bar)) & (priority < np.uint64(EVERY)))


def looked_at(batch: Batch, share: float) -> tuple[pa.Array, Ids, pa.Array]:
    """The share of a batch's documents whose hashes come first: texts, keys, ids."""
    if share >= 1:
        return batch.text, batch.key, batch.id
    inside = mix(batch.key, READ) <= np.uint64(int(share * EVERY))
    mask = pa.array(inside)
    return batch.text.filter(mask), batch.key[inside], batch.id.filter(mask)
