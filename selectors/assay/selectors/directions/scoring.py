"""Directions of quality: what is learned of score columns, and how documents are scored along them.

The scorer of `odis`. Columns are had of every document (`made`), or those of a sample are foretold
of all from their texts (`taught`).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.cluster.vq import kmeans2

from assay.selectors.directions import foretelling, orthogonal, surface
from assay.selectors.directions.columns import OfText, Source
from assay.selectors.directions.orthogonal import Axes, Moments
from assay.selectors.directions.tails import ALONG, DOWN, MEAN, UP, Tail
from assay.selectors.errors import BadRequest
from assay.selectors.methods.blend import Curve
from assay.selectors.records import Batch, Counts, Floats
from assay.selectors.sampling import Sample
from assay.selectors.selector import Fold

BOOTSTRAP = 50
LEAST_ROWS = 30  # documents below which correlations mean nothing
RAW = "z."
ROUNDS = 50  # of k-means
ELSEWHERE = -1e3  # along a cluster, of a document that is not in it


@dataclass(frozen=True)
class Asked:
    """Which directions of those found are used, and how."""

    along: str  # components, columns, average or clusters
    clusters: int
    only: int  # one component alone, from 1 on; 0: all
    ends: str  # of a direction without a better end: both, up, down, leave
    floor: float  # share of the corpus, the worst by mean score, that is ruled out
    seed: int


def made(
    asked: Asked, source: Source, turned: orthogonal.Turned, found: Axes, moments: Moments
) -> "Directions":
    axes = turned.axes
    names = direction_names(asked, source, axes)
    contrast = list(turned.contrast)
    y = axes.project(source.sample)
    if asked.along == "average":
        mean = y.mean(axis=1, keepdims=True)
        deviation = float(mean.std()) or 1.0
        weights = axes.weights.mean(axis=1)
        one = Axes(axes.mean, axes.deviation, (weights / deviation)[:, None], np.ones(1))
        axes, contrast, names = one, [False], ["average"]
        y = axes.project(source.sample)
    polarity = np.array([column.polarity for column in source.columns], float)
    z = axes.standard(source.sample)
    overall = mean_score(z, polarity)
    centres = None
    if asked.along == "clusters":
        centres = clustered(z, asked.clusters, asked.seed)
        y = by_cluster(z, overall, centres)
        names = [f"cluster{number + 1}" for number in range(len(centres))]
        contrast = [False] * len(names)
    kept = (
        [asked.only - 1] if asked.only and asked.along == "components" else list(range(len(names)))
    )
    stable = (
        orthogonal.stability(axes, source.sample, BOOTSTRAP, asked.seed)
        if asked.along == "components" and len(source.sample) >= LEAST_ROWS else None
    )  # fmt: skip
    return Directions(
        source=source,
        axes=axes,
        directions=tuple(names),
        contrasts=tuple(contrast),
        kept=tuple(kept),
        ends=asked.ends,
        curves=tuple(Curve.of(column[column > ELSEWHERE / 2]) for column in y.T),
        polarity=polarity,
        overall=Curve.of(overall),
        floor=asked.floor,
        explained=tuple(found.explained.tolist()),
        stable=stable,
        missing=tuple((moments.missing / max(moments.rows, 1)).tolist()),
        centres=centres,
    )


def mean_score(z: Floats, polarity: Floats) -> Floats:
    """The mean of standardised columns, each the better way round."""
    return np.asarray(z @ mean_weights(polarity))


def mean_weights(polarity: Floats) -> Floats:
    """(columns,): what each standardised column adds to the mean score."""
    return np.asarray(polarity / max(np.abs(polarity).sum(), 1.0))


def clustered(z: Floats, clusters: int, seed: int) -> Floats:
    """(clusters, columns): centres of k-means (Lloyd 1982; begun as k-means++, Arthur 2007)."""
    if len(z) < clusters * LEAST_ROWS:
        raise BadRequest(
            f"components={clusters}: {len(z)} documents are too few for so many clusters: "
            f"{LEAST_ROWS} for each are the least"
        )
    centres, _ = kmeans2(z, clusters, iter=ROUNDS, minit="++", seed=seed)
    return np.asarray(centres.round(6))


def by_cluster(z: Floats, overall: Floats, centres: Floats) -> Floats:
    """(documents, clusters): the mean score in the column of the nearest centre."""
    distance = np.square(z[:, None, :] - centres[None]).sum(axis=2)
    here = distance.argmin(axis=1)[:, None] == np.arange(len(centres))
    return np.where(here, overall[:, None], ELSEWHERE)


def direction_names(asked: Asked, source: Source, axes: Axes) -> list[str]:
    if asked.along == "columns":
        return [column.name for column in source.columns]
    return [f"pc{number + 1}" for number in range(axes.vectors.shape[1])]


@dataclass(frozen=True)
class Directions:
    """What was learned: columns, their scales, the directions, and what ranks along them mean."""

    source: Source
    axes: Axes
    directions: tuple[str, ...]
    contrasts: tuple[bool, ...]
    kept: tuple[int, ...]
    ends: str
    curves: tuple[Curve, ...]
    polarity: Floats
    overall: Curve
    floor: float  # share of the corpus, the worst by the mean of the columns, that is ruled out
    explained: tuple[float, ...]
    stable: dict[str, Any] | None
    missing: tuple[float, ...]
    centres: Floats | None = None  # (clusters, columns), where documents are taken by clusters
    learned: foretelling.Learned | None = None  # foretells the directions, and the mean score

    @property
    def tails(self) -> tuple[tuple[int, Tail], ...]:
        """Each with the place of its direction."""
        found: list[tuple[int, Tail]] = []
        for place in self.kept:
            ends = self.ends_of(place)
            found += [(place, Tail(self.directions[place] + end, 1 if end == UP else -1,
                                   1 / len(ends))) for end in ends]  # fmt: skip
        return tuple(found)

    def ends_of(self, place: int) -> str:
        if not self.contrasts[place]:
            return UP
        return {"both": UP + DOWN, "up": UP, "down": DOWN, "leave": ""}[self.ends]

    @property
    def names(self) -> tuple[str, ...]:
        along = [f"{ALONG}{self.directions[place]}" for place in self.kept]
        raw = [] if self.learned else [f"{RAW}{column.name}" for column in self.source.columns]
        return ("score", MEAN, *along, *(tail.place for _, tail in self.tails), *raw)

    @property
    def versions(self) -> dict[str, str]:
        if self.learned:
            return self.learned.model.versions
        raw = self.source.raw
        return raw.surface.versions if isinstance(raw, OfText) else {}

    @property
    def features(self) -> Any:
        """What the report measures distances in."""
        return surface.FEATURES

    def score(self, batch: Batch) -> Floats:
        overall, y, z = self._found(batch)
        places = self._places(y)
        mean = self.overall(overall)
        best = places.max(axis=1) if places.shape[1] else mean
        best = np.where(mean >= self.floor, best, -np.inf)
        found = np.column_stack([best, mean, y[:, self.kept], places, z])
        # float32: the last bits of logarithms and sums of products differ between processors.
        return np.asarray(found.astype(np.float32), np.float64)

    def _found(self, batch: Batch) -> tuple[Floats, Floats, Floats]:
        if not self.learned:
            return self.measured(self.source(batch))
        found = self.learned.model(batch.text)
        return found[:, -1], found[:, :-1], np.zeros((len(batch), 0))

    def measured(self, columns: Floats) -> tuple[Floats, Floats, Floats]:
        """The mean score, the directions and the standardised columns of scaled ones."""
        z = self.axes.standard(columns)
        overall = mean_score(z, self.polarity)
        if self.centres is not None:
            return overall, by_cluster(z, overall, self.centres), z
        return overall, self.axes.project(columns), z

    def _places(self, y: Floats) -> Floats:
        """In each tail the share of the corpus that a document beats."""
        found = [self.curves[place](y[:, place]) for place, _ in self.tails]
        ends = [tail.sign for _, tail in self.tails]
        turned = [p if sign > 0 else 1 - p for p, sign in zip(found, ends, strict=True)]
        return np.column_stack(turned) if turned else np.zeros((len(y), 0))

    def explain(self, batch: Batch) -> dict[str, Any]:
        """Where the document stands in each tail, and what each column adds to that."""
        if self.learned:
            return self._explain_learned(self.learned, batch)
        if not self.source.knows(batch):
            return {"directions": {}, "columns": {}}  # a text that stands in no corpus
        _, y, standard = self.measured(self.source(batch))
        z, places = standard[0], self._places(y)[0]
        names = [column.name for column in self.source.columns]
        weights = self._weights()
        told = {}
        for number, (place, tail) in enumerate(self.tails):
            adds = tail.sign * z * weights[:, place]
            order = np.argsort(-np.abs(adds), kind="stable")
            told[tail.name] = {
                "beats": float(places[number]),
                "because": {names[n]: round(float(adds[n]), 4) for n in order[:5]},
            }
        return {"directions": told, "columns": dict(zip(names, z.round(4).tolist(), strict=True))}

    def _weights(self) -> Floats:
        """(columns, directions): what a standardised column adds along each."""
        if self.centres is not None:
            return np.tile(mean_weights(self.polarity)[:, None], len(self.centres))
        return self.axes.weights

    def _explain_learned(self, learned: foretelling.Learned, batch: Batch) -> dict[str, Any]:
        """Where the document stands in each tail, and the n-grams that put it there."""
        places = self._places(learned.model(batch.text)[:, :-1])[0]
        text = batch.text.cast(pa.binary())[0].as_py()
        told = {}
        for number, (place, tail) in enumerate(self.tails):
            because = learned.model.explain(text, place)
            adds = {n["ngram"]: round(tail.sign * n["adds"], 4) for n in because["ngrams"][:5]}
            told[tail.name] = {"beats": float(places[number]), "because": adds}
        return {"directions": told, "columns": {}}

    def portrait(self) -> dict[str, Any]:
        """The directions in numbers, for the report: plain JSON values."""
        columns = self.source.columns
        return {
            "columns": [
                {"name": c.name, "group": c.group, "polarity": c.polarity, "missing": round(m, 6)}
                for c, m in zip(columns, self.missing, strict=True)
            ],
            "directions": [
                {"name": name, "contrast": contrast, "kept": place in self.kept}
                for place, (name, contrast) in enumerate(
                    zip(self.directions, self.contrasts, strict=True)
                )
            ],
            "loadings": (self.axes.vectors.T if self.centres is None else self.centres)
            .round(4)
            .tolist(),
            "explained": [round(share, 4) for share in self.explained],
            "stability": self.stable,
            "learned": self.learned and self.learned.told(),
        }


# Learned from texts --------------------------------------------------------------------------


@dataclass(frozen=True)
class Lesson:
    """Texts whose scores are known, and how to learn from them."""

    fold: Fold
    sample: Sample
    rows: Counts  # the places of the sampled texts among the source's scores
    reference: pa.Array  # texts drawn from all documents
    scorer: foretelling.Scorer
    encoder: str


def taught(directions: "Directions", lesson: Lesson, leave: bool) -> "Directions":
    """The same directions, foretold from texts as documents with scores show it.

    What part of the corpus a document beats is read off what is foretold of the reference.
    """
    if len(lesson.sample) < foretelling.LEAST:
        raise BadRequest(
            f"{len(lesson.sample)} documents of the corpus have scores and text: "
            f"{foretelling.LEAST} are the least that a direction can be learned from; rate more"
        )
    overall, y, _ = directions.measured(directions.source.sample[lesson.rows])
    wanted = np.column_stack([y, overall])
    deviation = np.where(wanted.std(axis=0) > 0, wanted.std(axis=0), 1.0)
    learned = foretelling.learn(
        lesson.fold, lesson.sample, (wanted - wanted.mean(axis=0)) / deviation,
        (*directions.directions, MEAN), lesson.scorer, lesson.encoder,
    )  # fmt: skip
    kept, floor = passing(directions, learned, leave)
    found = learned.model(lesson.reference)
    return replace(
        directions,
        kept=kept,
        floor=floor,
        learned=learned,
        curves=tuple(Curve.of(column) for column in found.T[:-1]),
        overall=Curve.of(found[:, -1]),
    )


def passing(
    directions: "Directions", learned: foretelling.Learned, leave: bool
) -> tuple[tuple[int, ...], float]:
    """The directions that are foretold well enough, and the floor if the mean score is."""
    good = [
        place for place in directions.kept
        if learned.trust[place].passes(len(directions.ends_of(place)) > 1)
    ]  # fmt: skip
    weak = [directions.directions[p] for p in directions.kept if p not in good]
    mean = learned.trust[-1].spearman >= foretelling.SPEARMAN
    floor = directions.floor if mean else 0.0
    without = [*weak, *(["the mean score"] if directions.floor and not mean else [])]
    if without and not (leave and good):
        raise BadRequest(refusal(directions, learned, without, bool(good)))
    return tuple(good), floor


def refusal(
    directions: "Directions", learned: foretelling.Learned, without: list[str], some: bool
) -> str:
    columns = [column.name for column in directions.source.columns]
    lines = []
    for place, trust in enumerate(learned.trust[:-1]):
        if trust.name in without:
            loadings = directions.axes.vectors[:, place]
            order = np.argsort(-np.abs(loadings), kind="stable")[:3]
            made_of = ", ".join(f"{columns[n]} {loadings[n]:+.2f}" for n in order)
            lines.append(f"{trust.name} ({made_of}): {trust.words()}")
    if "the mean score" in without:
        lines.append(f"the mean score, which `floor` goes by: {learned.trust[-1].words()}")
    advice = ", or go on without with gate=leave" if some else ""
    return (
        f"cannot be learned well enough from the texts of {learned.documents} documents with "
        f"scores: {'; '.join(lines)}. Asked is a Spearman correlation of {foretelling.SPEARMAN} "
        f"and {foretelling.PRECISION:g} times what chance finds of the best tenth, on documents "
        f"held out: rate more documents, try scorer=boosting or other columns{advice}"
    )
