"""Several methods as one: a document's score is the weighted mean of its ranks under each.

Scores of different methods have no common unit, ranks have: the share of the raw pool that a
score beats. The ranks are read off a sample of the pool, the same in any shards and order. This is
Borda's count with weights; what it brings is measured in docs/methods.md. A method is fitted and
scored here, or its scores are taken from the score store of an earlier selection of the corpus.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, cast

import numpy as np
import pyarrow as pa
from pydantic import Field

from assay.selectors import catalog
from assay.selectors.budget import Budget
from assay.selectors.choice import mix, top
from assay.selectors.errors import BadSetting, UnknownName
from assay.selectors.records import Batch, Floats, Ids, Scored, best, score_names
from assay.selectors.sampling import Sample
from assay.selectors.selector import Explains, ExplainsChoice, Fold, Rule, Scorer, Selector
from assay.selectors.stages import numbered

LONGEST = 1 << 20  # bytes of a sampled text: some methods look far into a document
STORE = "scores/"  # begins the name of an ingredient that an earlier selection scored
ROWS = 1 << 16  # scores of such a one that its ranks are read off


@dataclass(frozen=True)
class Blend:
    """Weighted ranks: documents that stand high under several methods at once."""

    methods: Annotated[
        str,
        Field(
            description="NAME[:WEIGHT][:SETTING=VALUE ...] of each method, commas between them; "
            "scores/RUN[/COLUMN][:WEIGHT] of what --scores RUN=FOLDER names"
        ),
    ] = "dsir,classifier"
    sample: Annotated[
        int, Field(ge=1, le=1024, description="MiB of raw text that the ranks are read off")
    ] = 32

    def __post_init__(self) -> None:
        ingredients(self.methods)

    def fit(self, fold: Fold) -> "Ranks":
        wanted = ingredients(self.methods)
        known = [self._known(one, fold) for one in wanted if isinstance(one.source, Stored)]
        fitted = self._fitted([one for one in wanted if not isinstance(one.source, Stored)], fold)
        parts = {part.name: part for part in (*known, *fitted)}
        return Ranks(tuple(parts[one.name] for one in wanted))

    def choose(self, budget: Budget, fold: Fold) -> Rule:
        return top(budget, fold)

    def _known(self, one: "Ingredient", fold: Fold) -> "Part":
        """Of an earlier selection: the ranks are read off its store, no text is needed."""
        stored = cast(Stored, one.source)
        sample = fold(f"{STORE}{stored.run}", ColumnSample(stored.column, ROWS, fold.seed))
        return Part(one.name, one.weight, stored, Curve.of(sample.score))

    def _fitted(self, some: list["Ingredient"], fold: Fold) -> list["Part"]:
        scorers = [cast(Selector, one.source).fit(fold) for one in some]
        if not scorers:
            return []
        batch = as_batch(fold("raw", Sample(self.sample << 20, LONGEST, fold.seed)))
        curves = [Curve.of(overall(scorer, scorer.score(batch))) for scorer in scorers]
        pairs = zip(some, scorers, curves, strict=True)
        return [Part(one.name, one.weight, scorer, curve) for one, scorer, curve in pairs]


# What is blended ---------------------------------------------------------------------


@dataclass(frozen=True)
class Ingredient:
    """A method or a column of an earlier selection, and how much its rank counts."""

    name: str
    weight: float
    source: "Selector | Stored"


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
        source = _source(name, settings)
        found.append(Ingredient(name.removeprefix(STORE), weight, source))
    names = [one.name for one in found]
    return [replace(one, name=numbered(one.name, names[:place])) for place, one in enumerate(found)]


def _source(name: str, settings: Mapping[str, str]) -> "Selector | Stored":
    if not name.startswith(STORE):
        return _scoring(name, settings)
    run, _, column = name.removeprefix(STORE).partition("/")
    if not run or settings:
        raise BadSetting(
            f"methods: {name!r}: write {STORE}RUN or {STORE}RUN/COLUMN, with a weight but without "
            f"settings: what an earlier selection scored is taken as it is"
        )
    return Stored(run, column)


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


def _scoring(name: str, settings: Mapping[str, str]) -> Selector:
    selector = catalog.build(name, settings)
    if isinstance(selector, Blend | ExplainsChoice):
        raise BadSetting(
            f"methods: {name} decides by more than scores and cannot be blended: ask for it as a "
            f"stage, --stage {name}"
        )
    return selector


def as_batch(seen: Sample) -> Batch:
    """Sampled texts as documents; of an id its hash, the key, is all that is known."""
    text = seen.texts()
    names = pa.array([f"{key:016x}" for key in seen.key.tolist()], pa.string())
    return Batch(text, names, seen.key, np.arange(len(text), dtype=np.int64), 0)


def overall(scorer: Scorer, scores: Floats) -> Floats:
    """One number for each document: the highest of a scorer's ranking columns."""
    columns = scores if scores.ndim == 2 else scores[:, None]
    places = [scorer.names.index(name) for name in score_names(scorer.names)]
    return np.asarray(columns[:, places].max(axis=1), np.float64)


@dataclass(frozen=True)
class Stored:
    """A column in the score store of an earlier selection, as a scorer."""

    run: str
    column: str = ""  # by default the one that ranks
    names: tuple[str, ...] = ("score",)

    def score(self, batch: Batch) -> Floats:
        found = column_of(batch.known[self.run], self.column)
        return np.where(np.isnan(found), -np.inf, found)  # a table need not hold every document


@dataclass
class ColumnSample:
    """The scores in one column of the documents whose ids hash lowest: at most `limit`."""

    column: str
    limit: int
    seed: int
    place: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))
    score: Floats = field(default_factory=lambda: np.zeros(0))

    def add(self, scored: Scored) -> None:
        self._extend(mix(scored.key, self.seed), column_of(scored, self.column))

    def merge(self, other: "ColumnSample") -> None:
        self._extend(other.place, other.score)

    def _extend(self, place: Ids, score: Floats) -> None:
        place, score = np.concatenate([self.place, place]), np.concatenate([self.score, score])
        first = np.lexsort((score, place))[: self.limit]
        self.place, self.score = place[first], score[first]


def column_of(scored: Scored, name: str) -> Floats:
    if not name:
        return best(scored)
    if name not in scored.names and f"score.{name}" in scored.names:
        name = f"score.{name}"
    if name not in scored.names:
        known = list(scored.names)
        raise UnknownName(f"the score store has no column {name!r}{catalog.hint(name, known)}")
    return scored.scores[:, scored.names.index(name)]


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
            if isinstance(part.scorer, Stored) and part.scorer.run not in batch.known:
                continue  # a text that stands in no corpus
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
