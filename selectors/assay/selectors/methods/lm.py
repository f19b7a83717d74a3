"""Moore and Lewis: how much likelier a text is under a language model of the target than under one
of the raw pool (Moore and Lewis 2010, "Intelligent selection of language model training data").

Both models are small n-gram models over hashed words, learned from a bounded sample of either side;
native/src/ngram_model.hpp says what they are. Two things differ from the paper, both measured in
docs/classifier-lm.md. The target's model is mixed with the raw one, so that what a small target
happens to lack is not held against a document. And the raw counts are trusted as much as those of a
text of the target's size would be: this stands for the paper's raw sample of the target's size.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import log
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from assay.native import kernels
from assay.selectors.budget import Budget
from assay.selectors.choice import top
from assay.selectors.records import Batch, Floats
from assay.selectors.sampling import Sample, both_sides
from assay.selectors.selector import Fold, Rule
from assay.selectors.stats import Features
from assay.selectors.telling import Piece, most_telling

FLAT = 2000.0  # tokens' worth of an even choice in the raw pool's unigrams: for words never met
EMPTY = -1e9  # score of a text without a token: nothing speaks for it, so it comes last


@dataclass(frozen=True)
class LanguageModel:
    """Cross-entropy difference: documents that an n-gram model of the target expects more than one
    of the raw pool does."""

    orders: Annotated[int, Field(ge=1, le=4, description="n-grams of 1 to this many tokens")] = 2
    buckets: Annotated[int, Field(ge=1, le=1 << 28, description="hash buckets for each order")] = (
        1 << 20
    )
    background: Annotated[
        float,
        Field(gt=0, lt=1, description="share of the raw model that is mixed into the target's"),
    ] = 0.25
    prior: Annotated[
        float,
        Field(ge=1, description="tokens after a history that count as much as the shorter history"),
    ] = 10_000.0
    length_power: Annotated[
        float,
        Field(ge=0, le=1, description="divide by tokens to this power; 1: the mean per token"),
    ] = 0.7
    sample: Annotated[
        int, Field(ge=1, le=32, description="MiB of text of either side that are learned from")
    ] = 16

    def fit(self, fold: Fold) -> "Models":
        features = Features("fast", self.orders, self.buckets)
        sides = both_sides("lm", fold, self.sample << 20)
        counts = np.stack([_counted(side, features) for side in sides], axis=1)
        target, raw = counts[: self.buckets].sum(axis=0, dtype=np.float64).tolist()
        prior = (self.prior, self.prior * max(raw, 1.0) / target)
        return Models(features, counts, (target, raw), prior, self.background, self.length_power)

    def choose(self, budget: Budget, fold: Fold) -> Rule:
        return top(budget, fold)


def _counted(sample: Sample, features: Features) -> npt.NDArray[np.float32]:
    """How often each n-gram occurs. A sample has fewer than 2^24 tokens: float32 holds them all."""
    counts = np.zeros(features.slots, np.int64)
    kernels.add_ngrams(
        sample.texts(), counts, features.definition, features.orders, features.buckets
    )
    return counts.astype(np.float32)


@dataclass(frozen=True)
class Models:
    """What was learned of the target and of the raw pool, side by side."""

    features: Features
    counts: npt.NDArray[np.float32]  # (slots, 2): the target's, the raw pool's
    tokens: tuple[float, float]
    prior: tuple[float, float]
    background: float
    length_power: float
    names: tuple[str, ...] = ("score",)

    def score(self, batch: Batch) -> Floats:
        logs, tokens = self.logs(batch.text)
        scores = (logs[:, 0] - logs[:, 1]) / np.maximum(tokens, 1) ** self.length_power
        # float32: the last bits of a logarithm and of a power differ between processors.
        return np.where(tokens > 0, scores.astype(np.float32), EMPTY)

    def logs(self, text: pa.Array) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Of each text the log probability under either model, and its tokens."""
        f = self.features
        return kernels.score_ngrams(
            text, self.counts, self.tokens, self.prior, FLAT, self.background,
            f.definition, f.orders, f.buckets,
        )  # fmt: skip

    def explain(self, batch: Batch) -> dict[str, Any]:
        """The words, each after the words before it, that weigh most, and what each adds; and the
        perplexity of the document under either model."""
        logs, tokens = self.logs(batch.text)
        found: dict[bytes, list[float]] = defaultdict(list)
        length = max(int(tokens[0]), 1)
        for ngram, target, raw in self._words(batch):
            found[ngram].append(log(target / raw) / length**self.length_power)
        told = most_telling(Piece(n, len(adds), sum(adds)) for n, adds in found.items())
        target, raw = np.exp(-logs[0] / length).tolist()
        return told | {"perplexity": {"target": target, "raw": raw}}

    def _words(self, batch: Batch) -> Iterator[tuple[bytes, float, float]]:
        """Each word with its history, and its probability under either model."""
        f = self.features
        text = batch.text.cast(pa.binary())[0].as_py()
        last: list[int] = []
        here: list[tuple[bytes, int]] = []
        for ngram, order, slot in kernels.list_ngrams(text, f.definition, f.orders, f.buckets):
            if order == 1 and here:
                yield here[-1][0], *self._probabilities([slot for _, slot in here], last)
                last, here = [slot for _, slot in here], []
            here.append((ngram, slot))
        if here:
            yield here[-1][0], *self._probabilities([slot for _, slot in here], last)

    def _probabilities(self, slots: list[int], last: list[int]) -> tuple[float, float]:
        """As native/src/ngram_model.hpp says it."""
        raw = (self.counts[slots[0], 1] + FLAT / self.features.buckets) / (self.tokens[1] + FLAT)
        target = self._mixed(self.counts[slots[0], 0] / self.tokens[0], raw)
        for slot, before in zip(slots[1:], last, strict=False):
            met, history = np.minimum(self.counts[slot], self.counts[before]), self.counts[before]
            target = (met[0] + self.prior[0] * target) / (history[0] + self.prior[0])
            raw = (met[1] + self.prior[1] * raw) / (history[1] + self.prior[1])
        return float(self._mixed(target, raw)), float(raw)

    def _mixed(self, target: float, raw: float) -> float:
        return target + self.background * (raw - target)
