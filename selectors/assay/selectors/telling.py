"""What a score is made of, as explanations show it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assay.native import kernels
from assay.selectors.stats import Features

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


def told_by_set(
    text: pa.Array, features: Features, weights: npt.NDArray[np.float32], other: float
) -> dict[str, Any]:
    """What each n-gram adds to the score of a text, one alone, by a model that is linear in the set
    of its n-grams with 1 / sqrt(distinct) for each; `other` is what the rest of the model adds."""
    f = features
    plain = text.cast(pa.binary())[0].as_py()
    listed = kernels.list_ngrams(plain, f.definition, f.orders, f.buckets)
    slots = {slot: ngram for ngram, _, slot in reversed(listed)}  # the first of each slot
    times = Counter(slot for _, _, slot in listed)
    share = 1 / np.sqrt(max(len(slots), 1))
    pieces = [Piece(n, times[s], float(weights[s] * share)) for s, n in slots.items()]
    return most_telling(pieces, other)
