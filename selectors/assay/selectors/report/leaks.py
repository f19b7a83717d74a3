"""Target documents that stand in the chosen text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from assay.native import kernels
from assay.selectors.choice import mix
from assay.selectors.records import Batch, Counts, Ids, Mask
from assay.selectors.report.samples import DRAW, EVERY, READ, first, looked_at
from assay.selectors.report.values import NAMED

WINDOW = 8  # tokens at the beginning of a target document by which it is found
PASSAGES = 20_000  # target documents looked for
PASSAGE_SEED = 6


@dataclass
class Passages:
    """By what a target document is found in another: its first and last windows, how many tokens
    it has, and a hash of all of them."""

    limit: int = PASSAGES
    width: int = WINDOW
    documents: int = 0
    tokens: int = 0
    short: int = 0  # documents of fewer tokens than a window has: never looked for
    found: Ids = field(default_factory=lambda: np.zeros((0, 5), np.uint64))

    PRIORITY, FIRST, LAST, LENGTH, WHOLE = range(5)

    def add(self, batch: Batch) -> None:
        tokens = kernels.count_tokens(batch.text)
        self.documents += len(batch)
        self.tokens += int(tokens.sum())
        self.short += int((tokens < self.width).sum())
        priority = mix(batch.key, DRAW)
        bar = int(self.found[-1, 0]) if len(self.found) == self.limit else EVERY
        wanted = first(np.where(tokens < self.width, np.uint64(EVERY), priority), self.limit, bar)
        rows = [passage(batch.text[place], self.width) for place in wanted.tolist()]
        if rows:
            self._extend(np.column_stack([priority[wanted], np.array(rows, np.uint64)]))

    def merge(self, other: "Passages") -> None:
        self.documents += other.documents
        self.tokens += other.tokens
        self.short += other.short
        self._extend(other.found)

    def _extend(self, rows: Ids) -> None:
        # Equal documents are one passage: sorted by all columns, which also breaks ties.
        self.found = np.unique(np.concatenate([self.found, rows]), axis=0)[: self.limit]


@dataclass
class Leaks:
    """Target documents that stand, whole, in a chosen document."""

    passages: Ids  # those of all targets, without repeats, by their first window
    share: float  # of the chosen documents that is looked at
    looked: int = 0
    documents: int = 0
    found: Mask = field(default_factory=lambda: np.zeros(0, bool))  # per passage
    named: list[tuple[int, str]] = field(default_factory=list)  # (hash, id)

    @classmethod
    def of(cls, passages: Sequence[Passages], share: float) -> "Leaks":
        columns = [some.found[:, 1:] for some in passages] or [np.zeros((0, 4), np.uint64)]
        rows = np.unique(np.concatenate(columns), axis=0)
        return cls(rows, share, found=np.zeros(len(rows), bool))

    def add(self, batch: Batch) -> None:
        if not len(self.passages):
            return
        text, key, ids = looked_at(batch, self.share)
        self.looked += len(text)
        wanted = np.unique(self.passages[:, 0])
        rows, places = kernels.find_windows(text, WINDOW, wanted)
        for row in np.unique(rows).tolist():
            windows = wanted[places[rows == row]]
            if found := list(self._contained(text[row], windows)):
                self.documents += 1
                self.found[found] = True
                self.named.append((int(mix(key[row : row + 1], READ)[0]), ids[row].as_py()))
        self.named = sorted(self.named)[:NAMED]

    def merge(self, other: "Leaks") -> None:
        self.looked += other.looked
        self.documents += other.documents
        self.found |= other.found
        self.named = sorted(self.named + other.named)[:NAMED]

    def _contained(self, text: Any, firsts: Ids) -> Iterator[int]:
        plain = text.as_buffer().to_pybytes()
        windows, tokens = kernels.windows(plain, WINDOW), kernels.tokens(plain)
        for opening in firsts:
            begins = np.flatnonzero(windows == opening)
            alike = [opening, opening + np.uint64(1)]
            among = np.arange(*np.searchsorted(self.passages[:, 0], alike))
            for begin, number in likely(self.passages[among], begins, windows):
                _, _, length, hashed = (int(value) for value in self.passages[among[number]])
                if whole(tokens[begin : begin + length]) == hashed:
                    yield int(among[number])


def passage(text: Any, width: int) -> tuple[int, int, int, int]:
    """The first window of a text, the last, the number of its tokens, and the hash of them all."""
    plain = text.as_buffer().to_pybytes()
    windows, tokens = kernels.windows(plain, width), kernels.tokens(plain)
    return int(windows[0]), int(windows[-1]), len(tokens), whole(tokens)


def whole(tokens: Sequence[bytes]) -> int:
    """The hash of a run of tokens. No token holds a space, so a space tells them apart."""
    joined = pa.array([b" ".join(tokens)], pa.binary())
    return int(kernels.fingerprint(joined, seed=PASSAGE_SEED)[0])


def likely(passages: Ids, begins: Counts, windows: Ids) -> list[list[int]]:
    """Where a passage may stand, (place, number of the passage): its last window is there too."""
    last_window = begins[:, None] + passages[None, :, 2].astype(np.int64) - WINDOW
    inside = last_window < len(windows)
    same = windows[np.where(inside, last_window, 0)] == passages[None, :, 1]
    found = np.argwhere(inside & same)
    return [[int(begins[begin]), int(number)] for begin, number in found]
