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
from assay.selectors.choice import mix, top
from assay.selectors.compression import ZSTD_VERSION, sizes_with
from assay.selectors.errors import BadRequest, NothingToRead
from assay.selectors.records import Batch, Floats, Ids
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
    ] = 0.4
    level: Annotated[int, Field(ge=1, le=22, description="of zstd")] = 3
    dictionary_bytes: Annotated[
        int, Field(ge=1024, le=1 << 27, description="text in each dictionary")
    ] = 1 << 20

    def fit(self, fold: Fold) -> "BitsSaved":
        if not fold.targets:
            raise BadRequest("align needs a target: name texts of the kind you want with --target")
        target = self._dictionary(self._sample(fold, "target", self.dictionary_bytes).texts())
        if not target:
            raise NothingToRead("the target holds no text: a dictionary cannot be made of it")
        raw = self._raw(fold) if self.contrast else Raw(b"", b"", np.zeros(0, np.uint64), 0)
        return BitsSaved(target, raw, self.contrast, POWERS[self.form], self.level)

    def choose(self, budget: Budget, fold: Fold) -> Rule:
        return top(budget, fold)

    def _raw(self, fold: Fold) -> "Raw":
        found = self._sample(fold, "raw", 2 * self.dictionary_bytes)
        texts = found.texts()
        usual, other = (self._dictionary(texts[half::2]) for half in (0, 1))
        return Raw(usual, other, np.sort(found.priority[0::2]), fold.seed)

    def _sample(self, fold: Fold, stream: str, limit: int) -> TextSample:
        longest = self.dictionary_bytes // SHARE
        return fold(stream, TextSample(fold.seed, limit, longest))

    def _dictionary(self, texts: tuple[bytes, ...]) -> bytes:
        """Texts with a line break between them. The first ones stand last: what is nearest takes
        the fewest bits to point at."""
        return b"\n".join(text for text in texts[::-1] if text)[-self.dictionary_bytes :]


@dataclass(frozen=True)
class Raw:
    """Two dictionaries of raw text. A document that stands in the first is measured with the
    second: its own copy would save nearly all of it, and the contrast would rule it out."""

    usual: bytes
    other: bytes
    inside: Ids  # hashes of the ids in the first
    seed: int

    def sizes(self, batch: Batch, level: int) -> Floats:
        """Compressed with raw text at hand."""
        texts, own = list(views(batch.text)), np.isin(mix(batch.key, self.seed), self.inside)
        found = np.empty(len(texts))
        for mine, dictionary in ((~own, self.usual), (own, self.other)):
            places = np.flatnonzero(mine)
            found[places] = sizes_with(dictionary, level, [texts[n] for n in places.tolist()])
        return found


@dataclass(frozen=True)
class BitsSaved:
    """Dictionaries: text of the target and of the raw pool."""

    target: bytes
    raw: Raw
    contrast: float
    power: float
    level: int
    names: tuple[str, ...] = ("score",)

    @property
    def versions(self) -> dict[str, str]:
        return ZSTD_VERSION

    def score(self, batch: Batch) -> Floats:
        alone, target, raw = self._sizes(batch)
        saved = (alone - target) - self.contrast * (alone - raw)
        scores = 8.0 * saved / (8.0 * alone) ** self.power
        scores[sizes(batch.text) == 0] = EMPTY
        return scores

    def explain(self, batch: Batch) -> dict[str, Any]:
        """The longest passages shared with the target, and what was saved, in bytes."""
        alone, target, raw = (int(size[0]) for size in self._sizes(batch))
        compressed = {"alone": alone, "with_target": target}
        both = compressed | ({"with_raw": raw} if self.contrast else {})
        return passages.told(bytes(next(views(batch.text))), (self.target,)) | {"compressed": both}

    def _sizes(self, batch: Batch) -> tuple[Floats, Floats, Floats]:
        """Compressed alone, with the target at hand, with raw text at hand."""
        texts = list(views(batch.text))
        found = [sizes_with(known, self.level, texts) for known in (b"", self.target)]
        alone, target = (np.array(size, np.float64) for size in found)
        return alone, target, self.raw.sizes(batch, self.level) if self.contrast else alone
