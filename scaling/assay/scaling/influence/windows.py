"""Documents as windows of a proxy's context, and windows as batches of one shape.

A document's first window begins with the token that begins documents; a later one begins behind the
byte before it. Of a document with more windows than are looked at, they are spread evenly.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from assay.scaling.proxy.tokens import BYTES, IGNORED, Counts, Tokens

STEP = 32  # a short document is filled up to a multiple of so many tokens


@dataclass(frozen=True)
class Windows:
    """One document: inputs and targets, both (windows, length); IGNORED is not predicted."""

    inputs: Tokens
    targets: Tokens

    @property
    def predicted(self) -> int:
        return int((self.targets != IGNORED).sum())


def windows(text: bytes, context: int, most: int) -> Windows:
    """At most so many windows of a text; in that of an empty one nothing is predicted."""
    tokens = np.concatenate([[BYTES.begin], BYTES.encode(text)]).astype(np.int32)
    predicted = len(tokens) - 1
    every = max(1, -(-predicted // context))
    length = context if every > 1 else min(context, STEP * max(1, -(-predicted // STEP)))
    chosen = np.unique(np.round(np.linspace(0, every - 1, min(most, every))).astype(np.int64))
    inputs = np.full((len(chosen), length), BYTES.begin, np.int32)
    targets = np.full((len(chosen), length), IGNORED, np.int32)
    for row, place in enumerate(chosen.tolist()):
        run = tokens[place * context : place * context + length + 1]
        inputs[row, : len(run) - 1], targets[row, : len(run) - 1] = run[:-1], run[1:]
    return Windows(inputs, targets)


@dataclass(frozen=True)
class Stack:
    """Documents of one shape: (documents, windows, length), and where each stands in its list."""

    places: Counts
    inputs: Tokens
    targets: Tokens


def stacks(documents: Sequence[Windows], tokens: int, most: int) -> Iterator[Stack]:
    """Documents of one shape together: at most so many tokens and so many documents at once."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, document in enumerate(documents):
        alike.setdefault(document.inputs.shape, []).append(place)
    for shape in sorted(alike):
        places = alike[shape]
        each = max(1, min(most, tokens // (shape[0] * shape[1])))
        for first in range(0, len(places), each):
            some = places[first : first + each]
            yield Stack(
                np.array(some),
                np.stack([documents[place].inputs for place in some]),
                np.stack([documents[place].targets for place in some]),
            )
