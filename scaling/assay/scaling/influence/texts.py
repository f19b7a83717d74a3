"""Which sampled texts a proxy is trained on, which are weighed, and which are of the target."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from assay.scaling.influence.distil import nearness
from assay.scaling.influence.recipe import Recipe
from assay.scaling.influence.windows import Windows, windows
from assay.scaling.proxy.tokens import Packed, pack
from assay.selectors.records import Floats, Mask
from assay.selectors.sampling import Sample
from assay.selectors.stats import Features

LEAST_DOCUMENTS, LEAST_BYTES = 2, 256  # of the target; below, a gradient is that of one text
MOST_TARGET = 512  # documents of the target that gradients are taken of
FOLDS = 4  # of the target's documents, one is held out to see whether the ranking knows it
LEAST_HELD = 8  # documents below which none is
PIECE = 4  # contexts: longer documents are cut and their pieces trained on apart


@dataclass(frozen=True)
class AsWindows:
    """The documents as the proxy reads them."""

    oracle: list[Windows]
    drawn: list[Windows]  # of them, by chance
    target: list[Windows]
    held: list[Windows]


@dataclass(frozen=True)
class Texts:
    """Of either side, in the order of the sample."""

    training: Packed
    oracle: list[bytes]  # raw documents to be weighed
    target: list[bytes]  # whose loss is to fall
    held: list[bytes]  # of the target, held out
    by_chance: Mask  # which of those weighed stand for the corpus; others are like the target
    apart: bool  # whether those weighed were kept from the training

    @property
    def training_mark(self) -> str:
        """A digest of what is trained on."""
        return hashlib.sha256(self.training.values.tobytes()).hexdigest()[:32]

    @property
    def mark(self) -> str:
        """A digest of all texts."""
        found = hashlib.sha256(self.training_mark.encode())
        for some in (self.oracle, self.target, self.held):
            for text in some:
                found.update(len(text).to_bytes(8, "little") + text)
        found.update(self.by_chance.tobytes())
        return found.hexdigest()[:32]

    @property
    def sizes(self) -> Floats:
        return np.array([len(text) for text in self.oracle], np.float64)

    def column(self) -> pa.Array:
        """What is learned from: those weighed, and the target's own."""
        return arrow([*self.oracle, *self.target, *self.held])

    def windows(self, recipe: Recipe) -> AsWindows:
        def cut(texts: Sequence[bytes]) -> list[Windows]:
            return [windows(text, recipe.context, recipe.windows) for text in texts]

        oracle = cut(self.oracle)
        drawn = [oracle[place] for place in np.flatnonzero(self.by_chance)]
        return AsWindows(oracle, drawn, cut(self.target), cut(self.held))


def texts_of(
    target: Sample, raw: Sample, oracle: int, near: float, tokens: int, context: int
) -> Texts:
    """Documents are trained on that are not weighed, where there are enough of them."""
    theirs, ours = texts(target), texts(raw)
    by_chance = np.arange(len(ours)) < oracle - round(near * oracle)
    chosen = by_chance | nearest(theirs, ours, min(oracle, len(ours)), by_chance)
    weighed = [ours[place] for place in np.flatnonzero(chosen)]
    rest = [ours[place] for place in np.flatnonzero(~chosen)]
    apart = 2 * sum(len(text) for text in rest) >= tokens
    kept, held = theirs[: MOST_TARGET + MOST_TARGET // FOLDS], []
    if len(kept) >= LEAST_HELD:
        held, kept = kept[::FOLDS], [text for n, text in enumerate(kept) if n % FOLDS]
    training = pack(rest if apart else ours, piece=PIECE * context)
    return Texts(training, weighed, kept, held, by_chance[chosen], apart)


def arrow(texts: Sequence[bytes]) -> pa.Array:
    return pa.array(texts, pa.large_binary())


def nearest(target: list[bytes], raw: list[bytes], wanted: int, taken: Mask) -> Mask:
    """Of the documents that are not taken, those most like the target: as many as are missing.

    A rare kind has few documents in a sample by chance, too few to learn from which of them have
    influence: what that does is in docs/influence.md."""
    found = np.zeros(len(raw), bool)
    missing = wanted - int(taken.sum())
    if missing > 0 and target:
        left = np.flatnonzero(~taken)
        alike = nearness(arrow(target), arrow(raw), Features())
        found[left[np.argsort(-alike[left], kind="stable")[:missing]]] = True
    return found


def texts(sample: Sample) -> list[bytes]:
    """Those that are not blank, in the order of their hashes."""
    return [text for text in sample.texts().to_pylist() if text.strip()]
