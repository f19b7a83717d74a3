"""Documents that belong together because they share a bucket, and the one of them that stays.

Buckets are 64-bit numbers that the score store holds for each document: the hash of its text, and
those of its bands. Who shares a bucket is in one cluster, and so are those whom others connect. Of
a cluster the document of the smallest rank stays, a hash of (id, text): it does not matter in which
shard or in which order the documents stand, but for complete twins, of which the first stays.

Memory: 16 bytes for each row of the corpus (a forest and the ranks), and the entries of the buckets
in hand, of which one pass over the score store takes as many as fit. No text is read.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from assay.native import kernels
from assay.selectors.choice import AllOf, mix
from assay.selectors.records import Counts, Ids, Mask, Scored
from assay.selectors.selector import Fold, Rule

ENTRY = 20  # bytes of a bucket and the number of a document, and a quarter more to grow into
BLOCK = 1 << 20  # rows looked at together when the forest is read
NOWHERE = np.uint64(2**64 - 1)  # no bucket

Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Places:
    """Numbers the rows of the corpus from 0, shard after shard."""

    first: Counts  # number of each shard's first row, and of the row after the last

    @property
    def rows(self) -> int:
        return int(self.first[-1])

    def of(self, scored: Scored) -> Counts:
        return self.first[scored.shard] + scored.row

    def find(self, number: int) -> tuple[int, int]:
        """(shard, row)."""
        shard = int(np.searchsorted(self.first, number, side="right")) - 1
        return shard, number - int(self.first[shard])


@dataclass(frozen=True, eq=False)
class Clusters:
    """Every document points to one of its cluster, and in the end to the one that stays."""

    places: Places
    above: Counts

    def top(self, number: int) -> int:
        while int(self.above[number]) != number:
            number = int(self.above[number])
        return number

    def members(self, number: int) -> Counts:
        """The numbers of all documents of a document's cluster."""
        top = self.above
        while not np.array_equal(top, again := top[top]):
            top = again
        return np.flatnonzero(top == self.top(number))

    def dropped(self) -> Bits:
        """A bit for each row: whether another document of its cluster stays."""
        blocks = [self._moved(begin) for begin in range(0, len(self.above), BLOCK)]
        return np.concatenate([np.packbits(block, bitorder="little") for block in blocks])

    def _moved(self, begin: int) -> Mask:
        here = self.above[begin : begin + BLOCK]
        moved: Mask = here != np.arange(begin, begin + len(here))
        return moved


@dataclass(frozen=True, eq=False)
class OneOfEach:
    """Keeps one document of each cluster."""

    places: Places
    dropped: Bits

    @classmethod
    def of(cls, clusters: Clusters) -> "OneOfEach":
        return cls(clusters.places, clusters.dropped())

    def keep(self, scored: Scored) -> Mask:
        number = self.places.of(scored)
        byte = self.dropped[number >> 3]
        stays: Mask = ((byte >> (number & 7).astype(np.uint8)) & 1) == 0
        return stays

    def describe(self) -> dict[str, Any]:
        return {"one_of_each_cluster": True, "duplicates": self.duplicates}

    @property
    def duplicates(self) -> int:
        return int(np.bitwise_count(self.dropped).sum())

    def __deepcopy__(self, memo: dict[int, Any]) -> "OneOfEach":
        return self  # nothing in it changes, and folds copy their settings for every unit


class Bucketing(Protocol):
    """Which buckets a document is in."""

    @property
    def each(self) -> int:
        """How many at most."""
        ...

    def of(self, scored: Scored, /) -> Ids:
        """Shape (documents, each), even over all 64-bit numbers; NOWHERE for no bucket."""
        ...


@dataclass(frozen=True)
class Contents:
    """Texts that are the same, byte by byte: by 64 bits of hash."""

    each: int = 1

    def of(self, scored: Scored) -> Ids:
        return scored.content[:, None]


@dataclass(frozen=True)
class Bands:
    """Score columns that hold a band each: a number of 53 bits, or -1."""

    names: tuple[str, ...]

    @property
    def each(self) -> int:
        return len(self.names)

    def of(self, scored: Scored) -> Ids:
        columns = [scored.names.index(name) for name in self.names]
        found = scored.scores[:, columns]
        return np.where(found < 0, NOWHERE, np.abs(found).astype(np.uint64) << np.uint64(11))


def clusters(fold: Fold, near: Bucketing | None, memory: int) -> Clusters:
    """Equal texts first; then, of one of each, those that share a bucket of `near`.

    `memory` is how many bytes the entries in hand may take.
    """
    extents = fold("scores", Extents())
    found = Clusters(places := extents.places(), np.arange(places.rows))
    rank = fold("scores", Ranks(places)).whole()
    _join(fold, found, rank, Buckets(places, Contents(), AllOf(())), extents.documents, memory)
    if near is not None:
        one = OneOfEach.of(found)
        _join(fold, found, rank, Buckets(places, near, one), extents.documents, memory)
    return found


def _join(
    fold: Fold, found: Clusters, rank: Ids, empty: "Buckets", documents: int, memory: int
) -> None:
    """Join the documents of each bucket, a portion of the buckets at a time."""
    portions = max(1, -(-documents * empty.by.each * ENTRY // memory))
    for portion in range(portions):
        entries = fold("scores", replace(empty, portion=portion, portions=portions)).found()
        kernels.join_buckets(found.above, rank, entries)


# Statistics over the score store ------------------------------------------------------


@dataclass
class Extents:
    """How many rows each shard has, as far as documents are known."""

    rows: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    documents: int = 0

    def add(self, scored: Scored) -> None:
        shards = int(scored.shard.max(initial=-1)) + 1
        rows = np.zeros(shards, np.int64)
        np.maximum.at(rows, scored.shard, scored.row + 1)
        self.merge(Extents(rows, len(scored)))

    def merge(self, other: "Extents") -> None:
        short, long = sorted((self.rows, other.rows), key=len)
        self.rows = np.maximum(long, np.pad(short, (0, len(long) - len(short))))
        self.documents += other.documents

    def places(self) -> Places:
        return Places(np.concatenate([[0], np.cumsum(self.rows)]).astype(np.int64))


@dataclass
class Ranks:
    """A hash of (id, text) for each document, in a table of all rows."""

    places: Places
    number: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    rank: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))
    table: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))

    def add(self, scored: Scored) -> None:
        self.number = np.concatenate([self.number, self.places.of(scored)])
        self.rank = np.concatenate([self.rank, mix(scored.key, 0) ^ mix(scored.content, 1)])

    def merge(self, other: "Ranks") -> None:
        self._settle(other)

    def whole(self) -> Ids:
        self._settle(self)
        return self.table

    def _settle(self, part: "Ranks") -> None:
        if not len(self.table):
            self.table = np.zeros(self.places.rows, np.uint64)
        self.table[part.number] = part.rank


@dataclass
class Buckets:
    """(bucket, document) for each document that takes part, of a portion of the buckets."""

    places: Places
    by: Bucketing
    among: Rule
    portion: int = 0
    portions: int = 1
    entries: Ids = field(default_factory=lambda: np.zeros((0, 2), np.uint64))
    used: int = 0

    def add(self, scored: Scored) -> None:
        some = scored.take(self.among.keep(scored))
        bucket = self.by.of(some)
        mine = (bucket != NOWHERE) & (_portion(bucket, self.portions) == self.portion)
        document = np.broadcast_to(self.places.of(some)[:, None], bucket.shape)
        self._extend(np.stack([bucket[mine], document[mine].astype(np.uint64)], axis=1))

    def merge(self, other: "Buckets") -> None:
        self._extend(other.found())

    def found(self) -> Ids:
        return self.entries[: self.used]

    def _extend(self, more: Ids) -> None:
        need = self.used + len(more)
        if not self.used:
            self.entries = more.copy()
        elif need > len(self.entries):
            # In place, so that two copies never stand beside each other; nobody keeps a view.
            self.entries.resize((need * 5 // 4, 2), refcheck=False)
        self.entries[self.used : need] = more
        self.used = need


def _portion(bucket: Ids, portions: int) -> Counts:
    return ((bucket >> np.uint64(32)) * np.uint64(portions) >> np.uint64(32)).astype(np.int64)
