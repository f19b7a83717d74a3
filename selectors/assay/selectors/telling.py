"""What a score is made of, as explanations show it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

TELLING = 50  # pieces named by an explanation


@dataclass(frozen=True, slots=True)
class Piece:
    """An n-gram of a document, how often it occurs, and what it adds to the score in all."""

    ngram: bytes
    times: int
    adds: float


def most_telling(pieces: Iterable[Piece], other: float = 0.0) -> dict[str, Any]:
    """The pieces that weigh most, and the sum of the others and of what is no n-gram's."""
    ordered = sorted(pieces, key=lambda piece: (-abs(piece.adds), piece.ngram))
    listed = [
        {"ngram": p.ngram.decode(errors="replace"), "times": p.times, "adds": p.adds}
        for p in ordered[:TELLING]
    ]
    rest = other + sum(piece.adds for piece in ordered[TELLING:])
    return {"ngrams": listed, "rest": rest, "distinct": len(ordered)}
