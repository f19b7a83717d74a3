"""Alignment by compression: the bits that a dictionary of the target saves on a document.

A zstd dictionary is filled with target text, another one with raw text. A document that resembles
the target takes fewer bytes with the first at hand than alone; what any text would save is taken
off by the second: the idea of Moore and Lewis (2010), with a compressor for a language model. Each
document is compressed three times, however many texts the target has. How the defaults were
chosen, and what else was tried: docs/compression.md.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from assay.selectors import passages
from assay.selectors.budget import Budget
from assay.selectors.choice import top
from assay.selectors.compression import ZSTD_VERSION, sizes_with
from assay.selectors.errors import BadRequest, NothingToRead
from assay.selectors.records import Batch, Floats
from assay.selectors.scoring import sizes
from assay.selectors.selector import Fold, Rule
from assay.selectors.texts import TextSample, views

# Savings are divided by the compressed size to this power. 0 prefers long documents, 1 short ones;
# measured on the development pool: docs/compression.md.
POWERS = {"saved": 0.0, "scaled": 0.7, "normalised": 1.0}
SHARE = 16  # no text fills more than this part of a dictionary
EMPTY = -1e9  # score of an empty text: nothing speaks for it, so it comes last


@dataclass(frozen=True)
class Align:
    """Bits saved by a dictionary of the target, less what a dictionary of the raw pool saves."""

    form: Annotated[
        Literal["scaled", "saved", "normalised"],
        Field(description="bits saved / bits^0.7; saved: bits; normalised: bits saved / bits"),
    ] = "scaled"
    contrast: Annotated[
        float,
        Field(ge=0, le=1, description="share of the raw dictionary's savings that is taken off"),
    ] = 0.5
    level: Annotated[int, Field(ge=1, le=22, description="of zstd")] = 3
    dictionary_bytes: Annotated[
        int, Field(ge=1024, le=1 << 27, description="text in each of the two dictionaries")
    ] = 1 << 20

    def fit(self, fold: Fold) -> "BitsSaved":
        if not fold.targets:
            raise BadRequest("align needs a target: name texts of the kind you want with --target")
        target = self._dictionary(fold, "target")
        if not target:
            raise NothingToRead("the target holds no text: a dictionary cannot be made of it")
        raw = self._dictionary(fold, "raw") if self.contrast else b""
        return BitsSaved(target, raw, self.contrast, POWERS[self.form], self.level)

    def choose(self, budget: Budget, fold: Fold) -> Rule:
        return top(budget, fold)

    def _dictionary(self, fold: Fold, stream: str) -> bytes:
        """Sampled texts, a line break between them. The first ones stand last: what is nearest
        takes the fewest bits to point at."""
        limit = self.dictionary_bytes
        sample = fold(stream, TextSample(fold.seed, limit, longest=limit // SHARE))
        return b"\n".join(text for text in sample.texts()[::-1] if text)[-limit:]


@dataclass(frozen=True)
class BitsSaved:
    """Two dictionaries: text of the target and of the raw pool."""

    target: bytes
    raw: bytes
    contrast: float
    power: float
    level: int
    names: tuple[str, ...] = ("score",)

    @property
    def versions(self) -> dict[str, str]:
        return ZSTD_VERSION

    def score(self, batch: Batch) -> Floats:
        alone, target, raw = self._sizes(list(views(batch.text)))
        saved = (alone - target) - self.contrast * (alone - raw)
        scores = 8.0 * saved / (8.0 * alone) ** self.power
        scores[sizes(batch.text) == 0] = EMPTY
        return scores

    def explain(self, batch: Batch) -> dict[str, Any]:
        """The longest passages shared with the target, and what was saved, in bytes."""
        text = next(views(batch.text))
        alone, target, raw = (int(size[0]) for size in self._sizes([text]))
        compressed = {"alone": alone, "with_target": target}
        both = compressed | ({"with_raw": raw} if self.contrast else {})
        return passages.told(bytes(text), (self.target,)) | {"compressed": both}

    def _sizes(self, texts: list[memoryview]) -> tuple[Floats, Floats, Floats]:
        """Compressed alone, with the target at hand, with raw text at hand."""
        dictionaries = (b"", self.target, self.raw) if self.contrast else (b"", self.target)
        found = [sizes_with(each, self.level, texts) for each in dictionaries]
        alone, target, raw = (np.array(size, np.float64) for size in (*found, found[0])[:3])
        return alone, target, raw
