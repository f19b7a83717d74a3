"""A sample of a corpus, in the order of the hashes of its ids, in a file beside memory.

The documents whose (seed, id) hash lowest: a larger sample holds the smaller one, and whoever stops
anywhere on the way has rated a sample too, not the beginning of the corpus. Two passes: the first
finds how low is low enough, the second writes the texts down.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import IO

import numpy as np

from assay.selectors.choice import mix
from assay.selectors.errors import NothingToRead
from assay.selectors.folding import BUNDLE, Folding
from assay.selectors.records import Batch, Ids
from assay.selectors.selection import Documents, Means
from assay.selectors.shards import Unit

LAST = (1 << 64) - 1


@dataclass
class Lowest:
    """The lowest ranks of a stream's documents, each once."""

    count: int
    seed: int
    ranks: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))
    documents: int = 0

    def add(self, batch: Batch) -> None:
        self.documents += len(batch)
        self._take(mix(batch.key, self.seed))

    def merge(self, other: "Lowest") -> None:
        self.documents += other.documents
        self._take(other.ranks)

    def _take(self, ranks: Ids) -> None:
        if len(self.ranks) >= self.count:
            ranks = ranks[ranks < self.ranks[-1]]
        self.ranks = np.unique(np.concatenate([self.ranks, ranks]))[: self.count]

    @property
    def floor(self) -> int:
        """The highest rank that belongs to the sample."""
        return int(self.ranks[-1]) if len(self.ranks) >= self.count else LAST


@dataclass(frozen=True, slots=True)
class Drawn:
    """A document of the sample."""

    rank: int
    id: str
    begin: int  # of its text in the spool
    size: int


@dataclass(frozen=True)
class Sample:
    """Documents in the order of their ranks; their texts are read when asked for."""

    documents: tuple[Drawn, ...]
    spool: IO[bytes]
    of: int  # documents of the corpus
    unreadable: int  # rows that were left out
    repeated: int  # documents whose id another one, before it, has too
    empty: int  # documents without a text

    def text(self, document: Drawn) -> str:
        self.spool.seek(document.begin)
        return self.spool.read(document.size).decode()


@contextmanager
def drawn(raw: Documents, count: int, seed: int, characters: int, means: Means) -> Iterator[Sample]:
    """A sample of `count` documents, with the first `characters` of each text."""
    fold = Folding({"raw": raw}, seed, (), means.map, means.progress, bundle=BUNDLE)
    lowest = fold("raw", Lowest(count, seed))
    if not lowest.documents:
        raise NothingToRead("the corpus holds no document that can be read")
    with tempfile.TemporaryFile(prefix="assay-rate-") as spool:
        documents: dict[int, Drawn] = {}
        repeated = empty = end = 0
        pick = partial(picked, raw, seed, lowest.floor, characters)
        for found in means.map(pick, raw.units):
            for rank, name, text in found:
                if rank in documents:
                    repeated += 1
                    continue
                documents[rank] = Drawn(rank, name, end, len(text))
                end += spool.write(text)
        kept = [one for _, one in sorted(documents.items())]
        empty = sum(1 for one in kept if not one.size)
        unreadable = raw.corpus.rows - lowest.documents
        filled = tuple(one for one in kept if one.size)
        yield Sample(filled, spool, lowest.documents, unreadable, repeated, empty)


def picked(
    raw: Documents, seed: int, floor: int, characters: int, unit: Unit
) -> list[tuple[int, str, bytes]]:
    """Rank, id and beginning of the text of a unit's documents in the sample. Runs in a worker."""
    found = []
    for batch in raw.batches(unit):
        ranks = mix(batch.key, seed)
        for place in np.flatnonzero(ranks <= np.uint64(floor)).tolist():
            text = beginning(batch.text[place].as_buffer().to_pybytes(), characters)
            found.append((int(ranks[place]), batch.id[place].as_py(), text))
    return found


def beginning(text: bytes, characters: int) -> bytes:
    """The first characters; none of what is only blanks."""
    # Four bytes hold any character: nothing beyond them is decoded.
    kept = text[: 4 * characters].decode("utf-8", "ignore")[:characters]
    return kept.encode() if kept.strip() else b""
