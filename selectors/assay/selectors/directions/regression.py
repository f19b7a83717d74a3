"""Numbers of documents as a function of their texts: ridge regression and boosted trees.

Ridge regression sees the set of a document's hashed n-grams and the statistics of its surface;
gradient boosting these statistics, and what the ridge foretells. foretelling.py uses them.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_matrix, hstack

from assay.native import kernels
from assay.selectors.choice import mix
from assay.selectors.directions.orthogonal import Scale
from assay.selectors.errors import BadRequest
from assay.selectors.records import Counts, Floats, Ids, Mask
from assay.selectors.stats import Features
from assay.selectors.telling import told_by_set

FEATURES = Features("fast", 2, 1 << 18)
FOLDS = 5  # each document is foretold by a model of the other four fifths
FOLD_SEED = 17  # of the hash that says in which fifth a document is
# Penalties that are tried: of rows of length 2, against the sum of squares of standardised numbers.
PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1)
STEPS = 60  # of conjugate gradients
TOLERANCE = 0.01  # of the length of what is left over
TREES = {"max_iter": 200, "learning_rate": 0.05, "max_leaf_nodes": 15, "min_samples_leaf": 10}


# What a text is seen as ----------------------------------------------------------------------


def statistics(texts: pa.Array, scales: Sequence[Scale]) -> Floats:
    """(documents, statistics + 1): by normal quantiles of their ranks, and a 1 for the bias."""
    found = kernels.surface(texts)
    columns = [
        np.zeros(len(found)) if scale.constant else scale(column)
        for scale, column in zip(scales, found.T, strict=True)
    ]
    table = np.column_stack(columns) / np.sqrt(len(columns))  # a row has a length of about 1
    return np.column_stack([table.astype(np.float32), np.ones(len(found))])


def scales_of(texts: pa.Array) -> tuple[Scale, ...]:
    return tuple(Scale.of(column, gaussian=True) for column in kernels.surface(texts).T)


@dataclass(frozen=True)
class Rows:
    """Documents as rows of a table: 1 / sqrt(d) for each of d distinct n-grams, and statistics.

    An n-gram of one document alone has no column, since it tells nothing of another document: of
    the rows' products with each other it adds to those with themselves.
    """

    shared: csr_matrix  # n-grams of several documents, then statistics
    turned: csr_matrix  # the same, transposed
    alone: Floats  # (documents,): what the n-grams of no other document add
    ends: Counts  # the distinct n-grams of all documents,
    slots: npt.NDArray[np.uint32]
    statistics: Floats

    @classmethod
    def of(cls, texts: pa.Array, scales: Sequence[Scale]) -> "Rows":
        f = FEATURES
        ends, slots = kernels.distinct_ngrams(texts, f.definition, f.orders, f.buckets)
        count = np.diff(ends, prepend=0)
        row = np.repeat(np.arange(len(texts)), count)
        times = np.bincount(slots, minlength=f.slots)
        often = times[slots] > 1
        number = np.cumsum(times > 1) - 1
        share = 1 / np.sqrt(np.maximum(count, 1))
        shape = (len(texts), int((times > 1).sum()))
        entries = (share[row[often]], (row[often], number[slots[often]]))
        table = statistics(texts, scales)
        shared = hstack([csr_matrix(entries, shape=shape), csr_matrix(table)], format="csr")
        alone = np.bincount(row[~often], minlength=len(texts)) * share**2
        return cls(shared, shared.T.tocsr(), alone, ends, slots, table)

    def times(self, weights: Floats) -> Floats:
        """The table times its transpose times weights (documents, columns)."""
        return self.others(weights) + self.alone[:, None] * weights

    def others(self, weights: Floats) -> Floats:
        """The same without what a row has alone."""
        return np.asarray(self.shared @ (self.turned @ weights))


# Ridge ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ridge:
    """Numbers of a text: weights of its n-grams and of its statistics, the last one the bias."""

    ngrams: npt.NDArray[np.float32]  # (slots, columns)
    statistics: Floats  # (statistics + 1, columns)

    @classmethod
    def fit(cls, rows: Rows, wanted: Floats, penalty: float) -> "Ridge":
        """Minimises |table w - wanted|^2 + penalty |w|^2, for each column."""
        multipliers = solve(rows, wanted, np.ones_like(wanted, bool), penalty)
        count = np.diff(rows.ends, prepend=0)
        share = multipliers / np.sqrt(np.maximum(count, 1))[:, None]
        row = np.repeat(np.arange(len(count)), count)
        slots = FEATURES.slots
        ngrams = [np.bincount(rows.slots, column[row], slots) for column in share.T]
        own = np.einsum("rs,rc->sc", rows.statistics, multipliers)
        return cls(np.ascontiguousarray(np.column_stack(ngrams), np.float32), own)

    def of(self, texts: pa.Array, table: Floats) -> Floats:
        """(documents, columns) of texts whose statistics are at hand."""
        f = FEATURES
        sums, distinct = kernels.dot_distinct_columns(
            texts, self.ngrams, f.definition, f.orders, f.buckets
        )
        share = np.sqrt(np.maximum(distinct, 1))[:, None]
        return np.asarray(sums / share + np.einsum("rs,sc->rc", table, self.statistics))


def solve(rows: Rows, wanted: Floats, taken: Mask, penalty: float) -> Floats:
    """Multipliers of the rows (documents, columns), each column from the rows that it takes.

    Conjugate gradients (Hestenes and Stiefel 1952) on (T T' + penalty) x = wanted, all columns at
    once. No library of linear algebra has a part in it: its last bits hang on no number of
    threads.
    """
    wanted = np.where(taken, wanted, 0.0)
    found = np.zeros_like(wanted)
    left, step = wanted.copy(), wanted.copy()
    size = np.einsum("rc,rc->c", left, left)
    enough = TOLERANCE**2 * np.maximum(size, 1e-30)
    for _ in range(STEPS):
        if (size <= enough).all():
            break
        moved = np.where(taken, rows.times(step), 0.0) + penalty * step
        along = np.einsum("rc,rc->c", step, moved)
        reach = np.where(size > enough, size / np.where(along > 0, along, 1.0), 0.0)
        found += reach * step
        left -= reach * moved
        size, before = np.einsum("rc,rc->c", left, left), size
        step = left + size / np.where(before > 0, before, 1.0) * step
    return found


# Learning ------------------------------------------------------------------------------------


@dataclass
class Weights:
    """What a ridge learned, to be written down: see `Ridge`."""

    penalty: float = 0.0
    ngrams: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    statistics: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    held: Floats = field(default_factory=lambda: np.zeros((0, 0)))  # of each document by the others

    @property
    def ridge(self) -> Ridge:
        return Ridge(self.ngrams, self.statistics)


def fit(
    texts: pa.Array, key: Ids, wanted: Floats, told: Callable[[int], None] = lambda step: None
) -> Weights:
    """A ridge of standardised columns (documents, columns), and what it foretells of held-out ones.

    What is foretold of a document for the judgement comes from the other fifths; the penalty is the
    one with the least squared error there, summed over the columns. `told` is told of each penalty.
    """
    scales = scales_of(texts)
    rows, fold = Rows.of(texts, scales), fifth(key)
    penalty, held = _held_out(rows, wanted, fold, told)
    ridge = Ridge.fit(rows, wanted, penalty)
    return Weights(penalty, ridge.ngrams, ridge.statistics, held)


def fifth(key: Ids) -> Ids:
    """The part of the documents, 0 to 4, that each is held out with."""
    return np.asarray(mix(key, FOLD_SEED) % np.uint64(FOLDS))


def _parts(fold: Ids) -> list[Mask]:
    return [fold == part for part in range(FOLDS) if (fold == part).any()]


def _held_out(
    rows: Rows, wanted: Floats, fold: Ids, told: Callable[[int], None]
) -> tuple[float, Floats]:
    """The best penalty, and what is foretold with it of each part by the others."""
    parts = _parts(fold)
    columns = wanted.shape[1]
    many = np.tile(wanted, len(parts))
    taken = np.repeat(~np.column_stack(parts), columns, axis=1)
    tried: list[tuple[float, float, Floats]] = []
    for step, penalty in enumerate(PENALTIES):
        found = rows.others(solve(rows, many, taken, penalty))
        held = np.zeros_like(wanted)
        for number, out in enumerate(parts):
            held[out] = found[out, number * columns : (number + 1) * columns]
        tried.append((float(np.square(held - wanted).sum()), penalty, held))
        told(step + 1)
        if len(tried) > 1 and tried[-1][0] > tried[-2][0]:
            break  # the error falls, and then it rises
    _, penalty, held = min(tried, key=lambda one: one[:2])
    return penalty, held


# Trees ---------------------------------------------------------------------------------------


def boosted(
    texts: pa.Array, key: Ids, wanted: Floats, guess: Floats
) -> tuple[tuple[Any, ...], Floats]:
    """Trees on top of what a ridge foretells of held-out documents; and what both foretell."""
    table, held = statistics(texts, scales_of(texts)), np.zeros_like(wanted)
    for out in _parts(fifth(key)):
        some = grow(table[~out], guess[~out], wanted[~out])
        held[out] = grown(some, table[out], guess[out])
    return grow(table, guess, wanted), held


def _alone() -> AbstractContextManager[Any]:
    """One thread: sums of several come in an order that hangs on how many there are."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def grown(trees: Sequence[Any], table: Floats, ridge: Floats) -> Floats:
    seen = np.column_stack([table, ridge])
    return np.column_stack([tree.predict(seen) for tree in trees])


def grow(table: Floats, ridge: Floats, wanted: Floats) -> tuple[Any, ...]:
    """Boosted trees (Friedman 2001) for each column, on the statistics and on the ridge's guess."""
    try:
        from sklearn.ensemble import HistGradientBoostingRegressor as Boosting
    except ImportError as cause:
        raise BadRequest(
            "boosting needs scikit-learn: pip install 'assay[boosting]', or take scorer=ridge"
        ) from cause
    seen = np.column_stack([table, ridge])
    with _alone():
        return tuple(
            Boosting(random_state=0, early_stopping=False, **TREES).fit(seen, column)
            for column in wanted.T
        )


# A model -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Regression:
    """Foretells columns of a document from its text."""

    scales: tuple[Scale, ...]
    ridge: Ridge
    trees: tuple[Any, ...] = ()  # one regressor for each column

    @property
    def versions(self) -> dict[str, str]:
        found = {"ngrams": FEATURES.version}
        if self.trees:
            import sklearn

            found["scikit-learn"] = sklearn.__version__
        return found

    def __call__(self, texts: pa.Array) -> Floats:
        """Shape (documents, columns)."""
        table = statistics(texts, self.scales)
        found = self.ridge.of(texts, table)
        if not self.trees:
            return found
        with _alone():
            return grown(self.trees, table, found)

    def explain(self, text: bytes, column: int) -> dict[str, Any]:
        """The n-grams that weigh most in the ridge's part, and what each adds."""
        one = pa.array([text], pa.binary())
        other = float(statistics(one, self.scales)[0] @ self.ridge.statistics[:, column])
        return told_by_set(one, FEATURES, self.ridge.ngrams[:, column], other)
