"""Texts as tokens, and tokens as batches: the same batch for the same seed and step, anywhere.

    stream = Stream(pack(texts, BYTES), seed=0)
    inputs, targets = stream.batch(step=7, sequences=8, length=512)

Documents stand one behind the other, each behind a token that begins it; every epoch has an order
of its own. A batch is found by its step alone, so a resumed training needs no more than a number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from assay.scaling.proxy.errors import TooFewTokens

Tokens = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]

IGNORED = -1  # a target that is not predicted: the beginning of another document


@dataclass(frozen=True)
class Encoding:
    """How text becomes tokens; `begin` stands before each document and is of no text."""

    name: str
    vocabulary: int  # with `begin`
    begin: int
    encode: Callable[[bytes], Tokens] = field(compare=False)


def byte_tokens(text: bytes) -> Tokens:
    return np.frombuffer(text, np.uint8).astype(np.int32)


BYTES = Encoding("bytes", 257, 256, byte_tokens)


@dataclass(frozen=True)
class Packed:
    """Documents as one run of tokens; document i is values[starts[i]:starts[i + 1]]."""

    values: Tokens
    starts: Counts
    bytes: Counts  # UTF-8 of each document
    encoding: Encoding = BYTES

    def __len__(self) -> int:
        return len(self.bytes)

    @property
    def lengths(self) -> Counts:
        return np.diff(self.starts)

    def take(self, chosen: Any) -> "Packed":
        """The documents of a mask or of places."""
        places = np.arange(len(self))[chosen]
        parts = [self.values[self.starts[i] : self.starts[i + 1]] for i in places]
        return joined(parts, self.bytes[places], self.encoding)


def pack(texts: Sequence[bytes], how: Encoding = BYTES, piece: int = 0) -> Packed:
    """Texts as tokens; those of more than `piece` tokens as several documents, so that a book is
    not all that a short training sees."""
    head = np.array([how.begin], np.int32)
    parts, sizes = [], []
    for text in texts:
        tokens = how.encode(text)
        count = max(1, -(-len(tokens) // piece)) if piece else 1
        for part in np.array_split(tokens, count):
            parts.append(np.concatenate([head, part]))
            sizes.append(len(text) * len(part) / max(1, len(tokens)))
    return joined(parts, np.round(sizes).astype(np.int64), how)


def joined(parts: Sequence[Tokens], sizes: Counts, how: Encoding) -> Packed:
    lengths = np.array([len(part) for part in parts], np.int64)
    values = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    return Packed(values, np.concatenate([[0], np.cumsum(lengths)]), sizes, how)


@dataclass
class Stream:
    """Packed documents without end, in an order for each epoch that hangs on the seed."""

    packed: Packed
    seed: int
    _epoch: int = -1
    _order: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    _ends: Counts = field(default_factory=lambda: np.zeros(0, np.int64))

    def check(self, sequences: int, length: int, what: str) -> None:
        have, need = len(self.packed.values), sequences * length
        if have < need:
            raise TooFewTokens(
                f"{what} has {have:,} tokens in {len(self.packed):,} documents, and one batch is"
                f" {sequences} sequences of {length:,}, so {need:,}: choose a larger subset, or"
                " train with a smaller --batch or --sequence"
            )

    def batch(self, step: int, sequences: int, length: int) -> tuple[Tokens, Tokens]:
        """Inputs and targets, both (sequences, length)."""
        size = sequences * length
        run = self.window(step * size, size + 1)
        targets = np.where(run[1:] == self.packed.encoding.begin, IGNORED, run[1:])
        return run[:-1].reshape(sequences, length), targets.reshape(sequences, length)

    def window(self, start: int, size: int) -> Tokens:
        """So many tokens of the stream from a place on, over as many epochs as it takes."""
        every, parts = len(self.packed.values), []
        while size:
            epoch, offset = divmod(start, every)
            part = self._inside(epoch, offset, min(size, every - offset))
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return np.concatenate(parts)

    def _inside(self, epoch: int, offset: int, size: int) -> Tokens:
        self._turn_to(epoch)
        first, last = np.searchsorted(self._ends, [offset, offset + size - 1], side="right")
        packed = self.packed
        run = [
            packed.values[packed.starts[i] : packed.starts[i + 1]]
            for i in self._order[first : last + 1]
        ]
        before = int(self._ends[first - 1]) if first else 0
        return np.concatenate(run)[offset - before : offset - before + size]

    def _turn_to(self, epoch: int) -> None:
        if epoch != self._epoch:
            chance = np.random.Generator(np.random.PCG64([self.seed, epoch]))
            self._order = chance.permutation(len(self.packed))
            self._ends = np.cumsum(self.packed.lengths[self._order])
            self._epoch = epoch
