"""Several methods as one: a document's score is the weighted mean of its ranks under each.

Scores of different methods have no common unit, ranks have: the share of the raw pool that a
score beats. The ranks are read off a sample of the pool, the same in any shards and order. This is
Borda's count with weights; what it brings is measured in docs/methods.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from assay.native import kernels
from assay.selectors import catalog
from assay.selectors.budget import Budget
from assay.selectors.choice import top
from assay.selectors.errors import BadSetting
from assay.selectors.records import Batch, Floats, score_names
from assay.selectors.sampling import Sample
from assay.selectors.selector import Explains, ExplainsChoice, Fold, Rule, Scorer, Selector

LONGEST = 1 << 20  # bytes of a sampled text: some methods look far into a document


@dataclass(frozen=True)
class Blend:
    """Weighted ranks: documents that stand high under several methods at once."""

    methods: Annotated[
        str,
        Field(description="NAME[:WEIGHT][:SETTING=VALUE ...] of each method, commas between them"),
    ] = "dsir,classifier"
    sample: Annotated[
        int, Field(ge=1, le=1024, description="MiB of raw text that the ranks are read off")
    ] = 32

    def __post_init__(self) -> None:
        ingredients(self.methods)

    def fit(self, fold: Fold) -> "Ranks":
        fitted = [(part, part.selector.fit(fold)) for part in ingredients(self.methods)]
        seen = fold("raw", Sample(self.sample << 20, LONGEST, fold.seed))
        batch = as_batch(seen)
        parts = tuple(
            Part(part.name, part.weight, scorer, Curve.of(overall(scorer, scorer.score(batch))))
            for part, scorer in fitted
        )
        return Ranks(parts)

    def choose(self, budget: Budget, fold: Fold) -> Rule:
        return top(budget, fold)


# What is blended ---------------------------------------------------------------------


@dataclass(frozen=True)
class Ingredient:
    """A method, and how much its rank counts."""

    name: str
    weight: float
    selector: Selector


def ingredients(methods: str) -> list[Ingredient]:
    """`dsir:2,align:0.5:level=6` as methods with their weights and settings."""
    found: list[Ingredient] = []
    for text in methods.split(","):
        name, *rest = (word.strip() for word in text.split(":"))
        settings = dict(_setting(word, text) for word in rest if "=" in word)
        weights = [word for word in rest if "=" not in word]
        if not name or len(weights) > 1:
            raise BadSetting(
                f"methods: {text.strip()!r}: write NAME[:WEIGHT][:SETTING=VALUE ...], and commas "
                f"between methods"
            )
        weight = _weight(weights[0], text) if weights else 1.0
        found.append(Ingredient(_numbered(name, found), weight, _scoring(name, settings)))
    return found


def _setting(word: str, text: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    if not key or not value:
        raise BadSetting(f"methods: {text.strip()!r}: write {word!r} as SETTING=VALUE")
    return key, value


def _weight(word: str, text: str) -> float:
    try:
        weight = float(word)
    except ValueError as cause:
        raise BadSetting(f"methods: {text.strip()!r}: {word!r} is no weight: a number") from cause
    if not (0 < weight < float("inf")):
        raise BadSetting(f"methods: {text.strip()!r}: a weight is a finite number above 0")
    return weight


def _numbered(name: str, before: list[Ingredient]) -> str:
    times = sum(part.name.partition("-")[0] == name for part in before)
    return f"{name}-{times + 1}" if times else name


def _scoring(name: str, settings: Mapping[str, str]) -> Selector:
    selector = catalog.build(name, settings)
    if isinstance(selector, Blend | ExplainsChoice):
        raise BadSetting(
            f"methods: {name} decides by more than scores and cannot be blended: ask for it as a "
            f"stage, --stage {name}"
        )
    return selector


def as_batch(seen: Sample) -> Batch:
    """Sampled texts as documents; of what a scorer may look at, the text alone is real."""
    text = seen.texts()
    names = pa.array([str(number) for number in range(len(text))], pa.string())
    rows = np.arange(len(text), dtype=np.int64)
    return Batch(text, names, kernels.fingerprint(names, seed=0), rows, 0)


def overall(scorer: Scorer, scores: Floats) -> Floats:
    """One number for each document: the highest of a scorer's ranking columns."""
    columns = scores if scores.ndim == 2 else scores[:, None]
    places = [scorer.names.index(name) for name in score_names(scorer.names)]
    return np.asarray(columns[:, places].max(axis=1), np.float64)


# Ranks -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """Score -> share of the raw pool that it beats: in between straight lines, and beyond the
    sample ever nearer to 0 and 1, so that no two different scores have one rank."""

    values: Floats  # of the sample, ascending, each once
    ranks: Floats  # the share below, and half of those that are level
    reach: float  # the unit in which scores beyond the sample are measured

    @classmethod
    def of(cls, scores: Floats) -> "Curve":
        finite = scores[np.isfinite(scores)]
        if not len(finite):
            return cls(np.zeros(1), np.full(1, 0.5), 1.0)
        values, times = np.unique(finite, return_counts=True)
        ranks = (np.cumsum(times) - times / 2) / len(finite)
        return cls(values, ranks, float(values[-1] - values[0]) or 1.0)

    def __call__(self, scores: Floats) -> Floats:
        low, high = self.values[0], self.values[-1]
        inside = np.interp(scores, self.values, self.ranks)
        far = np.maximum(scores - high, low - scores)
        with np.errstate(invalid="ignore"):
            nearness = self.reach / (np.maximum(far, 0) + self.reach)
        above = 1 - (1 - self.ranks[-1]) * nearness
        below = self.ranks[0] * nearness
        found = np.where(scores > high, above, np.where(scores < low, below, inside))
        return np.where(np.isneginf(scores), -np.inf, found)


@dataclass(frozen=True)
class Part:
    """A method as it was fitted, with the ranks of its scores."""

    name: str
    weight: float
    scorer: Scorer
    curve: Curve


@dataclass(frozen=True)
class Ranks:
    """The weighted mean of the ranks, and each method's own score beside it."""

    parts: tuple[Part, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return ("score", *(f"blend.{part.name}" for part in self.parts))

    @property
    def features(self) -> Any:
        """Of the first method that has some: what the report measures distances in."""
        known = (getattr(part.scorer, "features", None) for part in self.parts)
        return next((features for features in known if features is not None), None)

    @property
    def versions(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for part in self.parts:
            found |= dict(getattr(part.scorer, "versions", {}))
        return found

    def score(self, batch: Batch) -> Floats:
        own = [overall(part.scorer, part.scorer.score(batch)) for part in self.parts]
        return np.column_stack([self._blended(own), *own])

    def explain(self, batch: Batch) -> dict[str, Any]:
        """Each method's score, rank and weight, and what the method itself says."""
        told: dict[str, Any] = {"blend": {}}
        for part in self.parts:
            score = overall(part.scorer, part.scorer.score(batch))
            rank = float(part.curve(score)[0])
            told["blend"][part.name] = {
                "score": float(score[0]),
                "rank": rank,
                "weight": part.weight / self._weight,
            }
            if isinstance(part.scorer, Explains):
                told[part.name] = part.scorer.explain(batch)
        return told

    @property
    def _weight(self) -> float:
        return sum(part.weight for part in self.parts)

    def _blended(self, own: list[Floats]) -> Floats:
        total = np.zeros(len(own[0]))
        for part, scores in zip(self.parts, own, strict=True):
            total = total + part.weight / self._weight * part.curve(scores)
        # float32: the last bits differ where a processor multiplies and adds in one step.
        return np.asarray(total.astype(np.float32), np.float64)
