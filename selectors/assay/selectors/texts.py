"""Texts themselves, as bytes: those of a batch, and a sample of a stream that memory can hold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assay.native import kernels
from assay.selectors.choice import mix
from assay.selectors.records import Batch, Counts, Ids

Bytes = npt.NDArray[np.uint8]
CONTENT = 7  # seed of the hash that puts texts of one id in order
EXCERPT = 200  # characters of a text that are shown


def views(text: pa.Array) -> Iterator[memoryview]:
    """Each text as it lies in the column, without a copy."""
    data, offsets = _laid_out(text)
    for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        yield data[begin:end]


def _laid_out(text: pa.Array) -> tuple[memoryview, Counts]:
    plain = text.cast(pa.large_binary())
    _, offsets, data = plain.buffers()
    places = np.frombuffer(offsets, np.int64, len(plain) + 1, plain.offset * 8)
    return memoryview(data or b""), places


def beginning(texts: Sequence[bytes], limit: int) -> tuple[bytes, ...]:
    """The first texts, up to so many bytes of them."""
    before = np.cumsum([0, *map(len, texts)])[:-1].tolist()
    pairs = zip(texts, before, strict=True)
    return tuple(text[: limit - begin] for text, begin in pairs if begin < limit)


def shown(text: bytes) -> str:
    """The beginning of a text, for a person."""
    return text[: 4 * EXCERPT].decode(errors="ignore")[:EXCERPT]


@dataclass
class TextSample:
    """Texts whose ids' hashes come first, as many as it takes to fill `limit` bytes.

    A text that one part of the stream leaves out has `limit` bytes before it there, and so in
    the whole: the sample does not depend on how the stream was cut, nor on its order.
    """

    seed: int
    limit: int
    longest: int = 0  # bytes kept of one text; 0 keeps it whole
    documents: int = 0  # of the whole stream
    size: int = 0  # bytes of the whole stream
    priority: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))
    content: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))
    length: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    data: Bytes = field(default_factory=lambda: np.zeros(0, np.uint8))

    def add(self, batch: Batch) -> None:
        _, offsets = _laid_out(batch.text)
        whole = np.diff(offsets)
        priority = mix(batch.key, self.seed)
        content = kernels.fingerprint(batch.text, seed=CONTENT)
        length = np.minimum(whole, self.longest) if self.longest else whole
        first = self._first(priority, content, length)
        kept = [bytes(text[: length[n]]) for n, text in _at(batch.text, first)]
        self.documents += len(batch)
        self.size += int(whole.sum())
        self._extend(priority[first], content[first], length[first], joined(kept))

    def merge(self, other: "TextSample") -> None:
        self.documents += other.documents
        self.size += other.size
        self._extend(other.priority, other.content, other.length, other.data)

    @property
    def whole(self) -> bool:
        """Whether no document was left out."""
        return len(self.length) == self.documents

    def texts(self) -> tuple[bytes, ...]:
        """The sampled texts, in the order of their hashes."""
        ends = np.cumsum(self.length).tolist()
        pairs = zip([0, *ends[:-1]], ends, strict=True) if ends else ()
        return tuple(self.data[begin:end].tobytes() for begin, end in pairs)

    def _extend(self, priority: Ids, content: Ids, length: Counts, data: Bytes) -> None:
        if not len(length):
            return
        self.priority = np.concatenate([self.priority, priority])
        self.content = np.concatenate([self.content, content])
        self.length = np.concatenate([self.length, length])
        self.data = np.concatenate([self.data, data])
        first, texts = self._first(self.priority, self.content, self.length), self.texts()
        self.data = joined([texts[n] for n in first])
        self.priority, self.content = self.priority[first], self.content[first]
        self.length = self.length[first]

    def _first(self, priority: Ids, content: Ids, length: Counts) -> Counts:
        """Places of the texts that may be kept, first hash first."""
        order = np.lexsort((content, priority))
        before = np.cumsum(length[order]) - length[order]
        first: Counts = order[before < self.limit]
        return first


def _at(text: pa.Array, places: Counts) -> Iterator[tuple[int, memoryview]]:
    data, offsets = _laid_out(text)
    for place in places.tolist():
        yield place, data[offsets[place] : offsets[place + 1]]


def joined(texts: Sequence[Any]) -> Bytes:
    """Texts one after the other."""
    return np.frombuffer(b"".join(texts), np.uint8)
