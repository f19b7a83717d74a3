"""Principal components of score columns, from moments that are added up in integers.

Columns are first made comparable (`Scale`), then decorrelated (`axes`), then turned so that more of
what is wanted is up (`oriented`). Sums of integers do not depend on how documents were grouped, so
neither does anything here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from assay.selectors.records import Counts, Floats

UNIT = 1 << 26  # of the integers that moments are counted in
FAR = 8.0  # standard deviations: beyond it a value counts as this far
LOW_BITS = 29
TAILS = 0.001  # winsorised: of each end of a column
NOTHING = 1e-9  # a variance below it is none
CONTRAST = 0.2  # |sum of loadings| over the sum of |loadings|, below which neither end is better
PARALLEL = 100  # random tables of Horn's parallel analysis


@dataclass(frozen=True)
class Scale:
    """Makes one column comparable with others: by its ranks, or with its tails cut."""

    values: Floats  # of a sample, ascending, each once
    normal: Floats  # the standard normal quantiles of their ranks
    gaussian: bool

    @classmethod
    def of(cls, column: Floats, gaussian: bool) -> "Scale":
        found = column[np.isfinite(column)]
        values, times = np.unique(found, return_counts=True)
        ranks = (np.cumsum(times) - times / 2) / max(len(found), 1)
        return cls(values, ndtri(np.clip(ranks, TAILS, 1 - TAILS)), gaussian)

    @property
    def constant(self) -> bool:
        return len(self.values) < 2

    def __call__(self, column: Floats) -> Floats:
        """The column on its new scale; what is not a finite number stays as NaN."""
        plain = np.where(np.isfinite(column), column, np.nan)
        if self.gaussian:
            return np.interp(plain, self.values, self.normal)
        cut: Floats = np.clip(plain, *self._ends)
        return cut

    @cached_property
    def _ends(self) -> tuple[float, float]:
        inside = (self.normal > self.normal[0]) & (self.normal < self.normal[-1])
        kept = self.values[inside] if inside.any() else self.values
        return float(kept[0]), float(kept[-1])


@dataclass
class Moments:
    """Sums and sums of products of columns, exactly; a NaN counts as the value in `centre`."""

    centre: Floats  # (d,): about where the columns lie
    spread: Floats  # (d,): about how wide they are
    rows: int = 0
    missing: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    sums: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    high: Counts = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    low: Counts = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    def __post_init__(self) -> None:
        if not len(self.sums):
            d = len(self.centre)
            self.missing, self.sums = np.zeros(d, np.int64), np.zeros(d, np.int64)
            self.high, self.low = np.zeros((d, d), np.int64), np.zeros((d, d), np.int64)

    def add(self, columns: Floats) -> None:
        """Shape (documents, d)."""
        there = np.isfinite(columns)
        near = np.clip((columns - self.centre) / self.spread, -FAR, FAR)
        whole = np.rint(np.where(there, near, 0.0) * UNIT).astype(np.int64)
        self.rows += len(whole)
        self.missing += (~there).sum(axis=0)
        self.sums += whole.sum(axis=0)
        for place in range(whole.shape[1]):
            product = whole[:, place, None] * whole
            self.high[place] += (product >> LOW_BITS).sum(axis=0)
            self.low[place] += (product & ((1 << LOW_BITS) - 1)).sum(axis=0)

    def merge(self, other: "Moments") -> None:
        self.rows += other.rows
        for name in ("missing", "sums", "high", "low"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def mean(self) -> Floats:
        mean: Floats = self.centre + self.spread * self.sums / (max(self.rows, 1) * UNIT)
        return mean

    def covariance(self) -> Floats:
        """With rows - 1 below, as numpy.cov has it."""
        n, d = self.rows, len(self.sums)
        found = np.zeros((d, d))
        for i in range(d):
            for j in range(d):
                product = (int(self.high[i, j]) << LOW_BITS) + int(self.low[i, j])
                centred = n * product - int(self.sums[i]) * int(self.sums[j])
                found[i, j] = centred / (max(n, 1) * max(n - 1, 1) * UNIT * UNIT)
        return found * np.outer(self.spread, self.spread)


@dataclass(frozen=True)
class Axes:
    """Directions in standardised columns, most variance first."""

    mean: Floats  # (d,)
    deviation: Floats  # (d,)
    vectors: Floats  # (d, k): loadings, each of length 1
    variances: Floats  # (d,): all eigenvalues of the correlation matrix

    @property
    def explained(self) -> Floats:
        return np.asarray(self.variances / self.variances.sum())

    @property
    def weights(self) -> Floats:
        """(d, k): what a standardised column adds along each direction."""
        return np.asarray(self.vectors / np.sqrt(self.variances[: self.vectors.shape[1]]))

    def standard(self, columns: Floats) -> Floats:
        """(documents, d), mean 0 and variance 1; a NaN becomes the mean."""
        z = (columns - self.mean) / self.deviation
        return np.where(np.isfinite(z), z, 0.0)

    def project(self, columns: Floats) -> Floats:
        """(documents, k), each of variance 1."""
        return self.standard(columns) @ self.weights


def axes(moments: Moments) -> Axes:
    """All principal components of the correlation matrix (Pearson 1901; Hotelling 1933)."""
    covariance = moments.covariance()
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    variances, vectors = np.linalg.eigh((correlation + correlation.T) / 2)
    order = np.argsort(variances)[::-1]
    variances = np.maximum(variances[order], 0.0)
    some = vectors[:, order][:, variances > NOTHING]
    return Axes(moments.mean(), deviation, some * _signs(some), variances)


def _signs(vectors: Floats) -> Floats:
    """An eigenvector has no sign of its own: its largest loading is made positive."""
    largest = np.abs(vectors).argmax(axis=0)
    return np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)


@dataclass(frozen=True)
class Turned:
    """Axes whose upper end is the better one, where one is."""

    axes: Axes
    contrast: tuple[bool, ...]  # of each component: neither end is better


def oriented(found: Axes, polarity: Sequence[int], k: int) -> Turned:
    """The first k, each turned so that its loadings on what has a better end add up to more than 0.

    The columns with polarity -1 are loaded the other way round. A column without polarity has no
    say; a component on which the others nearly cancel is a contrast.
    """
    vectors = found.vectors[:, :k]
    said = np.asarray(polarity, float) @ vectors
    scale = np.abs(vectors).sum(axis=0)
    contrast = np.abs(said) / scale < CONTRAST
    signs = np.where(contrast | (said >= 0), 1.0, -1.0)
    turned = Axes(found.mean, found.deviation, vectors * signs, found.variances)
    return Turned(turned, tuple(contrast.tolist()))


# How many ------------------------------------------------------------------------------------


def how_many(found: Axes, wanted: int | float | str, rows: int, seed: int) -> int:
    """A number; a share of the variance (below 1); or "parallel": Horn's parallel analysis (1965):
    components that explain more than the 95th percentile of those of random tables."""
    most = int(found.vectors.shape[1])
    if isinstance(wanted, str):
        return max(1, min(most, _parallel(found.variances, rows, seed)))
    if 0 < wanted < 1:
        enough = np.cumsum(found.explained) >= wanted - 1e-12
        return min(most, int(np.argmax(enough)) + 1)
    return min(most, int(wanted))


def _parallel(variances: Floats, rows: int, seed: int) -> int:
    chance, d = np.random.default_rng(seed), len(variances)
    rows = max(min(rows, 10_000), d + 2)
    random = []
    for _ in range(PARALLEL):
        table = chance.standard_normal((rows, d))
        random.append(np.sort(np.linalg.eigvalsh(np.corrcoef(table.T)))[::-1])
    above = variances > np.quantile(random, 0.95, axis=0)
    return int(np.argmin(above)) if not above.all() else d


# How sure ------------------------------------------------------------------------------------


def stability(found: Axes, columns: Floats, times: int, seed: int) -> dict[str, Any]:
    """How far components move when documents are drawn anew: for each, the mean of |cosine| with
    the nearest one of the new draw; and the largest angle between the spaces they span, in degrees.
    """
    z, k = found.standard(columns), found.vectors.shape[1]
    chance = np.random.default_rng(seed)
    cosines: npt.NDArray[np.float64] = np.zeros((times, k))
    angles = np.zeros(times)
    for draw in range(times):
        again = z[chance.integers(0, len(z), len(z))]
        again = again[:, :] - again.mean(axis=0)
        correlation = again.T @ again / max(len(again) - 1, 1)
        _, vectors = np.linalg.eigh(correlation)
        new = vectors[:, ::-1][:, :k]
        overlap = np.abs(found.vectors.T @ new)
        cosines[draw] = overlap.max(axis=1)
        smallest = np.linalg.svd(found.vectors.T @ new, compute_uv=False).min(initial=1.0)
        angles[draw] = np.degrees(np.arccos(np.clip(smallest, -1, 1)))
    return {"cosine": cosines.mean(axis=0).round(4).tolist(),
            "angle": round(float(np.quantile(angles, 0.95)), 2)}  # fmt: skip
