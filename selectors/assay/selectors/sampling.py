"""A sample of documents in bounded memory: those whose ids hash lowest.

The hash of (seed, id) puts the documents of a stream in one random order, and the sample is the
longest beginning of that order that fits the room. Where the documents stand, who reads them and
how parts are merged makes no difference (bottom-k sampling; Cohen and Kaplan 2007).
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from assay.native import kernels
from assay.selectors.choice import mix
from assay.selectors.errors import BadRequest, NothingToRead
from assay.selectors.records import Batch, Counts, Ids
from assay.selectors.selector import Fold

CONTENT_SEED = 3  # of the hash of a text, as in scoring.py
ROW = 64  # bytes that a document is counted for beside its text: no crowd of empty ones fits
LONGEST = 1 << 15  # bytes of a text that are looked at: a novel is known by its first chapter
LAST = (1 << 64) - 1


def both_sides(method: str, fold: Fold, room: int) -> tuple["Sample", "Sample"]:
    """A sample of the target, all targets taken together, and one of the raw pool."""
    if not fold.targets:
        raise BadRequest(f"{method} needs a target: name texts of the kind you want with --target")
    empty = Sample(room, LONGEST, fold.seed)
    target, raw = fold("target", empty), fold("raw", empty)
    if not kernels.count_tokens(target.texts()).any():
        names, read = ", ".join(fold.targets), target.documents
        raise NothingToRead(f"the target ({names}) holds no text: {read} documents read")
    return target, raw


@dataclass
class Sample:
    """The beginnings of some documents' texts, in the order of their hashes."""

    room: int  # bytes in all
    longest: int  # bytes of each text that are looked at
    seed: int
    text: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    size: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    place: Ids = field(default_factory=lambda: np.zeros((0, 2), np.uint64))
    key: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))  # hashes of the ids
    # The first place that did not fit: nothing from there on is in the sample, however small.
    floor: Ids = field(default_factory=lambda: np.full(2, LAST, np.uint64))
    documents: int = 0  # of the stream

    def __len__(self) -> int:
        return len(self.size)

    def add(self, batch: Batch) -> None:
        self.documents += len(batch)
        rank = mix(batch.key, self.seed)
        near = np.flatnonzero(rank <= self.floor[0])
        if not len(near):
            return
        text = pc.cast(batch.text, pa.large_binary()).take(pa.array(near))
        content = kernels.fingerprint(text, seed=CONTENT_SEED)
        place = np.stack([rank[near], content], axis=1)
        self._take(place, batch.key[near], *beginnings(text, self.longest))

    def merge(self, other: "Sample") -> None:
        self.documents += other.documents
        if _before(other.floor, self.floor):
            self.floor = other.floor
        self._take(other.place, other.key, other.text, other.size)

    def texts(self) -> pa.Array:
        """The sampled texts."""
        return _texts(self.text, self.size)

    def _take(self, place: Ids, key: Ids, text: npt.NDArray[np.uint8], size: Counts) -> None:
        """Puts more documents among those at hand, and drops what then does not fit."""
        place, size = np.concatenate([self.place, place]), np.concatenate([self.size, size])
        key, text = np.concatenate([self.key, key]), np.concatenate([self.text, text])
        order = np.lexsort((place[:, 1], place[:, 0]))
        over = np.flatnonzero(np.cumsum(size[order] + ROW) > self.room)
        if len(over) and _before(place[order[over[0]]], self.floor):
            self.floor = place[order[over[0]]].copy()
        order = order[: _count_before(place[order], self.floor)]
        self.place, self.key, self.size = place[order], key[order], size[order]
        self.text = _pick(text, size, order)


def beginnings(text: pa.Array, longest: int) -> tuple[npt.NDArray[np.uint8], Counts]:
    """The first bytes of each text, one after the other, and how many they are of each."""
    size = pc.binary_length(text).to_numpy().astype(np.int64)
    if size.max(initial=0) <= longest:
        return _bytes(text), size
    cut = [raw if len(raw) <= longest else whole(raw[:longest]) for raw in text.to_pylist()]
    size = np.fromiter((len(raw) for raw in cut), np.int64, len(cut))
    return np.frombuffer(b"".join(cut), np.uint8), size


def whole(cut: bytes) -> bytes:
    """Without the bytes of a character that was cut in two: valid UTF-8 stays valid."""
    return cut.decode(errors="ignore").encode()


def _pick(text: npt.NDArray[np.uint8], size: Counts, order: Counts) -> npt.NDArray[np.uint8]:
    """The texts in another order, or only some of them."""
    return _bytes(_texts(text, size).take(pa.array(order)))


def _texts(text: npt.NDArray[np.uint8], size: Counts) -> pa.Array:
    ends = np.concatenate([[0], np.cumsum(size)])
    buffers = [None, pa.py_buffer(ends.astype(np.int64)), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.large_binary(), len(size), buffers)


def _bytes(texts: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of large_binary texts, one after the other."""
    _, ends, data = texts.buffers()
    if not len(texts) or data is None:
        return np.zeros(0, np.uint8)
    place = np.frombuffer(ends, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data, np.uint8)[place[0] : place[-1]]


def _before(a: Ids, b: Ids) -> bool:
    return (int(a[0]), int(a[1])) < (int(b[0]), int(b[1]))


def _count_before(places: Ids, floor: Ids) -> int:
    """How many of some ascending places come before one."""
    first = int(np.searchsorted(places[:, 0], floor[0]))
    last = int(np.searchsorted(places[:, 0], floor[0], side="right"))
    return first + int(np.searchsorted(places[first:last, 1], floor[1]))
