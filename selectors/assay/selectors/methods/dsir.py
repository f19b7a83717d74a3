"""DSIR: importance resampling on hashed n-grams (Xie et al. 2023, arXiv:2302.03169).

A text is a bag of hashed n-grams. Two distributions over the buckets are counted, one of the
target and one of the raw pool; a document's log importance weight is the sum over its n-grams of
log p_target - log p_raw (section 3, equation 2). Why our defaults are not those of the reference
package: docs/dsir-defaults.md.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from assay.native import kernels
from assay.selectors.budget import Budget
from assay.selectors.choice import ByScore, Order, Sampled, quotas, top
from assay.selectors.errors import BadRequest, BadSetting, NothingToRead
from assay.selectors.records import Batch, Counts, Floats
from assay.selectors.selector import Fold, Rule
from assay.selectors.stats import Features, NgramCounts

BUCKETS = {"fast": 1 << 20, "reference": 10_000}  # the reference package's own default is 10,000
EPSILON = 1e-8  # added to unsmoothed probabilities by the reference package
EMPTY = -1e9  # score of a text without a token: nothing speaks for it, so it comes last
TELLING = 50  # n-grams named by an explanation


@dataclass(frozen=True)
class Dsir:
    """Importance resampling: documents whose n-grams are likelier in the target than in the raw
    pool."""

    orders: Annotated[int, Field(ge=1, le=8, description="n-grams of 1 to this many tokens")] = 2
    buckets: Annotated[
        int | None,
        Field(ge=1, le=1 << 31, description="hash buckets; by default 2^20, reference: 10,000"),
    ] = None
    features: Annotated[
        Literal["fast", "reference"],
        Field(description="fast: 64-bit hash, orders apart; reference: SHA-256, one table"),
    ] = "fast"
    smoothing: Annotated[
        float,
        Field(ge=0, lt=1, description="share of the raw pool mixed into the target; 0 adds 1e-8"),
    ] = 0.4
    length_normalised: Annotated[
        Literal["sqrt", "mean"] | bool,
        Field(description="sqrt or mean (= true): divide by n-grams so; false: the plain sum"),
    ] = "sqrt"
    min_length: Annotated[
        int, Field(ge=0, description="documents of fewer tokens are never chosen")
    ] = 0
    draw: Annotated[
        Literal["top", "sample"],
        Field(description="top: the highest scores; sample: in proportion to the weights"),
    ] = "top"
    temperature: Annotated[
        float,
        Field(gt=0, allow_inf_nan=False, description="of the sample: higher is nearer to uniform"),
    ] = 1.0
    proportions: Annotated[
        dict[str, Annotated[float, Field(allow_inf_nan=False)]] | None,
        Field(description="share of the budget for each target; by default equal shares"),
    ] = None

    def fit(self, fold: Fold) -> "LogRatio":
        features = Features(self.features, self.orders, self.buckets or BUCKETS[self.features])
        empty = NgramCounts.empty(features)
        if not fold.targets:
            raise BadRequest("dsir needs a target: name texts of the kind you want with --target")
        self._shares(fold.targets)
        targets = [fold(f"target/{name}", empty) for name in fold.targets]
        raw = fold("raw", empty).counts.astype(np.float64)
        pairs = zip(fold.targets, targets, strict=True)
        ratios = [self._log_ratio(_some(counts, name), raw) for name, counts in pairs]
        # float32 for speed: half the cache, and the same on machines whose logarithms differ.
        kind = np.float64 if self.features == "reference" else np.float32
        table = np.stack(ratios, axis=1).astype(kind) if len(ratios) > 1 else ratios[0].astype(kind)
        several = tuple(f"score.{name}" for name in fold.targets)
        names = several if len(several) > 1 else ("score",)
        return LogRatio(features, table, self._power(), self.min_length, names)

    def choose(self, budget: Budget, fold: Fold) -> Rule:
        orders = [self._order(fold.seed, column) for column in range(max(len(fold.targets), 1))]
        if len(orders) == 1:
            return top(budget, fold, orders[0])
        return quotas(budget, fold, self._shares(fold.targets), orders)

    def _order(self, seed: int, column: int) -> Order:
        return ByScore(column) if self.draw == "top" else Sampled(seed, self.temperature, column)

    def _shares(self, targets: tuple[str, ...]) -> list[float]:
        given = self.proportions or dict.fromkeys(targets, 1.0)
        if (
            set(given) != set(targets)
            or min(given.values(), default=1) < 0
            or not sum(given.values())
        ):
            raise BadSetting(
                f"dsir: proportions names {sorted(given)}, the targets are {sorted(targets)}: give "
                f"each target a share, and no share below zero"
            )
        return [given[name] / sum(given.values()) for name in targets]

    def _log_ratio(self, found: NgramCounts, raw: Floats) -> Floats:
        """log p_target / p_raw for each slot.

        Smoothed (Jelinek and Mercer 1980): the target is mixed with the raw pool, and a bucket
        that the pool lacks counts as met once. Unsmoothed: as the reference package does it.
        """
        target = found.counts / found.counts.sum()
        if not self.smoothing:
            return _logs(target + EPSILON) - _logs(raw / raw.sum() + EPSILON)
        seen = np.maximum(raw, 1.0)
        target /= seen  # in place from here on: the tables are what a selection's memory goes to
        target *= (1.0 - self.smoothing) * seen.sum()
        target += self.smoothing
        return _logs(target)

    def _power(self) -> float:
        """A sum over n n-grams is divided by n to this power."""
        return {"sqrt": 0.5, "mean": 1.0, True: 1.0, False: 0.0}[self.length_normalised]


def _logs(values: Floats) -> Floats:
    """Natural logarithms, in the place of the values."""
    np.log(values, out=values)
    return values


def _some(counts: NgramCounts, name: str) -> NgramCounts:
    if not counts.counts.any():
        raise NothingToRead(f"the target {name!r} holds no text: {counts.documents} documents read")
    return counts


@dataclass(frozen=True)
class LogRatio:
    """What DSIR learned: for each slot, how much likelier it is in the target, in nats."""

    features: Features
    table: npt.NDArray[Any]  # shape (slots,) or (slots, targets)
    power: float  # sums over n n-grams are divided by n ** power
    min_length: int
    names: tuple[str, ...] = field(default=("score",))

    def score(self, batch: Batch) -> Floats:
        return self.score_and_count(batch)[0]

    def score_and_count(self, batch: Batch) -> tuple[Floats, Counts]:
        f = self.features
        sums, ngrams = kernels.dot_ngrams(batch.text, self.table, f.definition, f.orders, f.buckets)
        scores = self._normalise(sums, ngrams)
        short = tokens_of(ngrams, f.orders) < self.min_length
        if self.power:  # the plain sum of nothing is 0, as in the reference package
            scores[ngrams == 0] = EMPTY
        scores[short] = -np.inf
        return scores, tokens_behind(ngrams, f.orders)

    def explain(self, batch: Batch) -> dict[str, Any]:
        """The n-grams that weigh most, and what each adds to the score; the first target's where
        there are several."""
        f = self.features
        text = batch.text[0].as_py()
        raw = text if isinstance(text, bytes) else text.encode()
        found = Counter(kernels.list_ngrams(raw, f.definition, f.orders, f.buckets))
        table = self.table if self.table.ndim == 1 else self.table[:, 0]
        total = max(sum(found.values()), 1) ** self.power
        weighed = [
            (float(table[slot]) * times / total, ngram.decode(errors="replace"), times)
            for (ngram, _order, slot), times in found.items()
        ]
        weighed.sort(key=lambda item: (-abs(item[0]), item[1]))
        listed = [{"ngram": n, "times": t, "adds": a} for a, n, t in weighed[:TELLING]]
        rest = sum(adds for adds, _, _ in weighed[TELLING:])
        return {"ngrams": listed, "rest": rest, "distinct": len(weighed)}

    def _normalise(self, sums: Floats, ngrams: Counts) -> Floats:
        scaled = sums.T / np.maximum(ngrams, 1) ** self.power
        return np.ascontiguousarray(scaled.T)


def tokens_of(ngrams: Counts, orders: int) -> Counts:
    """Tokens of a document with so many n-grams: the reference package's length formula."""
    return (ngrams + orders * (orders - 1) // 2) // orders


def tokens_behind(ngrams: Counts, orders: int) -> Counts:
    """Tokens of a document with so many n-grams of 1 to `orders` tokens, exactly.

    n tokens make n + (n-1) + ... n-grams, `orders` summands at most.
    """
    long = (ngrams + orders * (orders - 1) // 2) // orders
    short = ((np.sqrt(8 * ngrams + 1) - 1) / 2).astype(np.int64)
    return np.where(ngrams < orders * (orders + 1) // 2, short, long)
