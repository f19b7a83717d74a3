"""The longest passages that a document shares with target texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

GRAM = 8  # bytes: what is shorter is chance
LOOKED_AT = 1 << 16  # bytes of a document that are searched
TARGET_BYTES = 1 << 20  # of target text that is searched
TRIED = 32  # places of one gram in the target that are followed
SHOWN = 10
AROUND = 60  # bytes of the target shown on each side

Grams = npt.NDArray[np.uint64]


def told(text: bytes, targets: Sequence[bytes]) -> dict[str, Any]:
    """The longest shared passages in words, and the share of the document that is shared."""
    looked_at, within = text[:LOOKED_AT], b"\0".join(targets)[:TARGET_BYTES]
    found = list(shared(looked_at, within))
    covered = sum(passage.length for passage in found)
    longest = sorted(_distinct(looked_at, found), key=lambda p: (-p.length, p.begin))[:SHOWN]
    return {
        "passages": [passage.told(looked_at, within) for passage in longest],
        "shared": covered / max(len(looked_at), 1),
        "looked_at": len(looked_at),
    }


@dataclass(frozen=True)
class Passage:
    """Bytes that stand in the document and in the target."""

    begin: int  # in the document
    place: int  # in the target
    length: int

    def told(self, text: bytes, target: bytes) -> dict[str, Any]:
        around = target[max(self.place - AROUND, 0) : self.place + self.length + AROUND]
        return {
            "text": _words(text[self.begin : self.begin + self.length]),
            "bytes": self.length,
            "at": self.begin,
            "target": _words(around.replace(b"\0", b" ")),
        }


def shared(text: bytes, target: bytes) -> Iterator[Passage]:
    """The document from left to right in the longest passages that also stand in the target."""
    grams = _grams(target)
    order = np.argsort(grams, kind="stable")
    ordered, asked = grams[order], _grams(text)
    first = np.searchsorted(ordered, asked, side="left")
    last = np.searchsorted(ordered, asked, side="right")
    free = 0
    for begin in np.flatnonzero(last > first).tolist():
        if begin >= free:
            places = order[first[begin] : min(last[begin], first[begin] + TRIED)]
            longest = _longest(text, target, begin, places.tolist())
            free = begin + longest.length
            yield longest


def _longest(text: bytes, target: bytes, begin: int, places: list[int]) -> Passage:
    found = [Passage(begin, place, _common(text, begin, target, place)) for place in places]
    return max(found, key=lambda passage: passage.length)


def _common(text: bytes, begin: int, target: bytes, place: int) -> int:
    """How far two texts agree: the step is doubled while it holds, then halved."""
    done, step = GRAM, GRAM
    while step:
        ours = text[begin + done : begin + done + step]
        theirs = target[place + done : place + done + step]
        if len(ours) == step and ours == theirs:
            done, step = done + step, step * 2
        else:
            step //= 2
    return done


def _grams(text: bytes) -> Grams:
    """The number of each run of eight bytes."""
    if len(text) < GRAM:
        return np.zeros(0, np.uint64)
    runs = np.lib.stride_tricks.sliding_window_view(np.frombuffer(text, np.uint8), GRAM)
    return np.ascontiguousarray(runs).view(np.uint64).ravel()


def _distinct(text: bytes, found: Sequence[Passage]) -> Iterator[Passage]:
    """Each wording once; what is all blanks and rules tells nothing."""
    seen = set()
    for passage in found:
        words = text[passage.begin : passage.begin + passage.length].strip()
        if words not in seen and len(set(words)) > 3:
            seen.add(words)
            yield passage


def _words(text: bytes) -> str:
    """As text; a character cut in two is left out."""
    return text.decode(errors="ignore")
