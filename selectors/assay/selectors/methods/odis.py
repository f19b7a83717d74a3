"""ODiS: the best documents along each of several uncorrelated directions of quality.

Scores of quality mostly rise and fall together, so taking the best by their mean takes one kind of
document. ODiS (arXiv:2510.18909) decorrelates them by principal components and takes the top of
each. The paper leaves open how components get a sign, what happens to a document that several
want, and what its scores are; what is done here, and why, is in docs/odis.md. Without scores of
your own the eleven statistics of `directions/surface.py` are used. They are not the paper's.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from assay.selectors.budget import Budget
from assay.selectors.choice import AnyOf, quotas
from assay.selectors.directions import foretelling, orthogonal
from assay.selectors.directions.columns import (
    SURFACE,
    Source,
    fold_moments,
    of_samples,
    of_store,
    of_text,
    wanted,
)
from assay.selectors.directions.orthogonal import Axes, Moments
from assay.selectors.directions.scoring import Asked, Directions, Lesson, made, taught
from assay.selectors.directions.tails import (
    Diverse,
    Mine,
    Overlaps,
    Seen,
    overlap_at,
    tails_in,
)
from assay.selectors.errors import BadRequest, BadSetting, NothingToRead
from assay.selectors.sampling import LONGEST, Sample
from assay.selectors.selector import Fold, Rule

REFERENCE = 8 << 20  # bytes of text of all documents that ranks of what is learned are read off


@dataclass(frozen=True)
class Odis:
    """The best along each of several uncorrelated directions of quality (ODiS)."""

    columns: Annotated[
        str,
        Field(
            description="surface: eleven statistics of the text; or scores/RUN[/COLUMN][:+|-|0] of "
            "what --scores RUN=... names, with its better end; commas between several"
        ),
    ] = SURFACE
    components: Annotated[
        int | float | Literal["parallel"],
        Field(description="how many; a share of the variance below 1; parallel: Horn's analysis"),
    ] = 4
    transform: Annotated[
        Literal["gaussian", "winsorised"],
        Field(description="columns by normal quantiles of their ranks, or with their tails cut"),
    ] = "gaussian"
    along: Annotated[
        Literal["components", "columns", "average", "clusters"],
        Field(
            description="components; the arms that they have to beat: columns, each score as it "
            "is; average, the mean of the components; clusters, the best by mean score of each of "
            "as many clusters as there are components"
        ),
    ] = "components"
    only: Annotated[int, Field(ge=0, description="one component alone, from 1 on; 0: all")] = 0
    contrast: Annotated[
        Literal["both", "up", "down", "leave"],
        Field(description="of a direction without a better end: both ends at half the quota each"),
    ] = "both"
    floor: Annotated[
        float,
        Field(ge=0, lt=100, description="percent of documents, the worst by mean score, left out"),
    ] = 20.0
    temperature: Annotated[
        float, Field(ge=0, le=100, description="0: the top; else a weighted sample (QuRating)")
    ] = 0.0
    sample: Annotated[
        int, Field(ge=1, le=1024, description="MiB of raw text that the statistics are learned on")
    ] = 16
    scorer: Annotated[
        foretelling.Scorer,
        Field(
            description="exact: every document has its scores; ridge, boosting, encoder: only a "
            "sample has, and what they say is learned from the texts"
        ),
    ] = "exact"
    encoder: Annotated[
        str, Field(description="folder of a text encoder and its tokenizer, for scorer=encoder")
    ] = ""
    gate: Annotated[
        Literal["refuse", "leave"],
        Field(
            description="of a component that cannot be learned well enough: refuse the selection, "
            "or leave the component out"
        ),
    ] = "refuse"

    def __post_init__(self) -> None:
        if wanted(self.columns) == [SURFACE] and self.from_samples:
            raise BadSetting(
                f"scorer={self.scorer}: is for scores that a sample has, columns=scores/...: the "
                f"statistics of {SURFACE} are had of every document"
            )
        if self.along == "clusters" and (
            self.from_samples or self.components not in range(2, 1001)
        ):
            raise BadSetting(
                "along=clusters: needs scorer=exact and components=N, a whole number from 2 on"
            )
        if not _sound(self.components):
            raise BadSetting(
                f"components: {self.components}: a whole number from 1 on, a share of the variance "
                f"between 0 and 1, or parallel"
            )

    @property
    def from_samples(self) -> bool:
        """Whether the scores need be those of some documents only."""
        return self.scorer != "exact"

    def fit(self, fold: Fold) -> Directions:
        if not self.from_samples:
            return self._directions(self._source(fold), fold)
        gaussian = self.transform == "gaussian"
        source, texts, rows = of_samples(fold, wanted(self.columns), self.sample << 20, gaussian)
        directions = self._directions(source, fold)
        reference = fold("raw", Sample(REFERENCE, LONGEST, fold.seed))
        lesson = Lesson(fold, texts, rows, reference.texts(), self.scorer, self.encoder)
        return taught(directions, lesson, self.gate == "leave")

    def _directions(self, source: Source, fold: Fold) -> Directions:
        moments = fold_moments(source, fold)
        check(source, moments)
        found = orthogonal.axes(moments)
        rows = len(source.sample)
        turned = self._turned(found, source, rows, fold.seed)
        clusters = int(self.components) if isinstance(self.components, int | float) else 0
        asked = Asked(self.along, clusters, self.only, self.contrast, self.floor / 100, fold.seed)
        return made(asked, source, turned, found, moments)

    def _turned(self, found: Axes, source: Source, rows: int, seed: int) -> orthogonal.Turned:
        polarity = [column.polarity for column in source.columns]
        if self.along == "columns":
            loadings = np.diag([float(p or 1) for p in polarity])
            same = Axes(found.mean, found.deviation, loadings, np.ones(len(polarity)))
            return orthogonal.Turned(same, tuple(p == 0 for p in polarity))
        if self.along == "clusters":
            return orthogonal.oriented(found, polarity, found.vectors.shape[1])
        k = orthogonal.how_many(found, self.components, rows, seed)
        if isinstance(self.components, int | float) and 1 <= self.components != k:
            raise BadRequest(
                f"{self.components:g} components are asked for, and the {len(polarity)} columns "
                f"have only {k} independent directions: ask for {k}, or leave out columns that "
                f"repeat others"
            )
        if self.only > k:
            raise BadRequest(f"only={self.only}: there are {k} components")
        return orthogonal.oriented(found, polarity, k)

    def _source(self, fold: Fold) -> "Source":
        parts = wanted(self.columns)
        if parts == [SURFACE]:
            return of_text(fold, self.sample << 20, self.transform == "gaussian")
        return of_store(fold, parts, self.transform == "gaussian")

    def choose(self, budget: Budget, fold: Fold) -> Rule:
        """Each tail takes its share from the documents that stand higher in it than in others."""
        seen = fold("scores", Seen())
        tails = tails_in(seen.names)
        if not tails:
            return AnyOf(())
        shares = [tail.share for tail in tails]
        places = tuple(seen.names.index(tail.place) for tail in tails)
        score = seen.names.index("score")
        orders = [
            Mine(number, places, score, seen.names.index(tail.along),
                 tail.sign, self.temperature, fold.seed)
            for number, tail in enumerate(tails)
        ]  # fmt: skip
        rule = quotas(budget, fold, shares, orders, apart=True)
        overlaps = fold("scores", Overlaps(places, tuple(overlap_at(shares))))
        return Diverse(AnyOf(rule.rules, tuple(tail.name for tail in tails)), overlaps.told())


def _sound(components: int | float | str) -> bool:
    if isinstance(components, str):
        return True  # parallel: pydantic has looked
    return 0 < components < 1 or components in range(1, 1001)


def check(source: Source, moments: Moments) -> None:
    if len(source.columns) < 2:
        names = ", ".join(column.name for column in source.columns) or "none"
        raise BadRequest(
            f"odis needs two score columns that differ between documents, and has {names}: there "
            f"is nothing to decorrelate"
        )
    if len(source.sample) < 2:
        raise NothingToRead("odis needs two documents at least to tell scores apart")
