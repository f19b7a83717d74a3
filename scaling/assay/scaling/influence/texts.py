"""Which sampled texts a proxy is trained on, which are weighed, and which are of the target."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from assay.scaling.influence.recipe import Recipe
from assay.scaling.influence.windows import Windows, windows
from assay.scaling.proxy.tokens import Packed, pack
from assay.selectors.records import Floats
from assay.selectors.sampling import Sample

LEAST_DOCUMENTS, LEAST_BYTES = 2, 256  # of the target; below, a gradient is that of one text
MOST_TARGET = 512  # documents of the target that gradients are taken of
FOLDS = 4  # of the target's documents, one is held out to see whether the ranking knows it
LEAST_HELD = 8  # documents below which none is
PIECE = 4  # contexts: longer documents are cut and their pieces trained on apart


@dataclass(frozen=True)
class AsWindows:
    """The documents as the proxy reads them."""

    oracle: list[Windows]
    target: list[Windows]
    held: list[Windows]


@dataclass(frozen=True)
class Texts:
    """Of either side, in the order of the sample."""

    training: Packed
    oracle: list[bytes]  # raw documents to be weighed
    target: list[bytes]  # whose loss is to fall
    held: list[bytes]  # of the target, held out
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
        return found.hexdigest()[:32]

    @property
    def sizes(self) -> Floats:
        return np.array([len(text) for text in self.oracle], np.float64)

    def column(self) -> pa.Array:
        return pa.array(self.oracle, pa.large_binary())

    def windows(self, recipe: Recipe) -> AsWindows:
        def cut(texts: Sequence[bytes]) -> list[Windows]:
            return [windows(text, recipe.context, recipe.windows) for text in texts]

        return AsWindows(cut(self.oracle), cut(self.target), cut(self.held))


def texts_of(target: Sample, raw: Sample, oracle: int, tokens: int, context: int) -> Texts:
    """Documents are trained on that are not weighed, where there are enough of them."""
    theirs, ours = texts(target), texts(raw)
    weighed, rest = ours[:oracle], ours[oracle:]
    apart = 2 * sum(len(text) for text in rest) >= tokens
    kept, held = theirs[: MOST_TARGET + MOST_TARGET // FOLDS], []
    if len(kept) >= LEAST_HELD:
        held, kept = kept[::FOLDS], [text for n, text in enumerate(kept) if n % FOLDS]
    training = pack(rest if apart else ours, piece=PIECE * context)
    return Texts(training, weighed, kept, held, apart)


def texts(sample: Sample) -> list[bytes]:
    """Those that are not blank, in the order of their hashes."""
    return [text for text in sample.texts().to_pylist() if text.strip()]
