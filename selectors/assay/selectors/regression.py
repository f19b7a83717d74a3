"""Numbers of a sample of documents, learned from their texts, for documents that have none.

Ridge regression on the set of a document's hashed n-grams and on the statistics of its surface, or
gradient boosting on those statistics and on what the ridge foretells. Whether that works is
measured on documents that were held out; `Trust` says how far it does.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_matrix, hstack
from scipy.stats import rankdata

from assay.native import kernels
from assay.selectors.choice import mix
from assay.selectors.errors import BadRequest
from assay.selectors.orthogonal import Scale
from assay.selectors.records import Batch, Counts, Floats, Ids, Mask
from assay.selectors.sampling import Sample
from assay.selectors.stats import Features
from assay.selectors.telling import Piece, most_telling

FEATURES = Features("fast", 2, 1 << 18)
FOLDS = 5  # each document is foretold by a model of the other four fifths
FOLD_SEED = 17  # of the hash that says in which fifth a document is
# Penalties that are tried: of rows of length 2, against the sum of squares of standardised numbers.
PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1)
STEPS = 60  # of conjugate gradients
TOLERANCE = 0.01  # of the length of what is left over
TREES = {"max_iter": 200, "learning_rate": 0.05, "max_leaf_nodes": 15, "min_samples_leaf": 10}
LEAST = 200  # documents; with fewer, a fifth of them says nothing about how well a model does
SPEARMAN = 0.6
PRECISION = 3.0  # times what chance gives
DECILE = 0.1


@dataclass
class SampleOf(Sample):
    """A sample of those documents of a stream whose ids hash to one of some numbers."""

    digest: str = ""  # of these numbers: a record of others answers another question
    wanted: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))  # ascending
    met: int = 0  # documents of the stream that are wanted

    @classmethod
    def of(cls, wanted: Ids, room: int, longest: int, seed: int) -> "SampleOf":
        ordered = np.unique(wanted)
        digest = hashlib.sha256(ordered.tobytes()).hexdigest()[:16]
        return cls(room, longest, seed, digest=digest, wanted=ordered)

    def add(self, batch: Batch) -> None:
        if not len(self.wanted):
            return
        place = np.minimum(np.searchsorted(self.wanted, batch.key), len(self.wanted) - 1)
        rows = np.flatnonzero(self.wanted[place] == batch.key)
        self.met += len(rows)
        if len(rows):
            text, ids = (column.take(pa.array(rows)) for column in (batch.text, batch.id))
            key, row = batch.key[rows], batch.row[rows]
            some = replace(batch, text=text, id=ids, key=key, row=row, source=None, known={})
            super().add(some)

    def merge(self, other: "Sample") -> None:
        super().merge(other)
        self.met += other.met if isinstance(other, SampleOf) else 0


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
        return np.asarray(self.shared @ (self.turned @ weights) + self.alone[:, None] * weights)

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


# A model -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """Foretells columns of a document from its text."""

    scales: tuple[Scale, ...]
    ridge: Ridge
    trees: tuple[Any, ...] = ()  # one regressor for each column

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
        f = FEATURES
        listed = kernels.list_ngrams(text, f.definition, f.orders, f.buckets)
        slots = {slot: ngram for ngram, _, slot in reversed(listed)}
        share = 1 / np.sqrt(max(len(slots), 1))
        weights = self.ridge.ngrams[:, column]
        pieces = [Piece(n, 1, float(weights[s] * share)) for s, n in slots.items()]
        table = statistics(pa.array([text], pa.large_binary()), self.scales)
        other = float(table[0] @ self.ridge.statistics[:, column])
        return most_telling(pieces, other)


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


# Learning, and how far to trust it -----------------------------------------------------------


@dataclass(frozen=True)
class Trust:
    """How well a column was foretold of documents that the model had not seen."""

    name: str
    spearman: float
    precision: float  # of the tenth that is foretold as the best, over what chance gives
    lower: float  # the same of the other end

    def passes(self, both: bool) -> bool:
        ends = min(self.precision, self.lower) if both else self.precision
        return self.spearman >= SPEARMAN and ends >= PRECISION

    def words(self) -> str:
        return (
            f"Spearman {self.spearman:.2f}, the best tenth found {self.precision:.1f} times as "
            f"often as by chance, the worst {self.lower:.1f} times"
        )

    def told(self) -> dict[str, Any]:
        return {"name": self.name, "spearman": round(self.spearman, 4),
                "precision": round(self.precision, 3), "lower": round(self.lower, 3)}  # fmt: skip


@dataclass(frozen=True)
class Learned:
    model: Model
    trust: tuple[Trust, ...]
    penalty: float
    documents: int

    @property
    def versions(self) -> dict[str, str]:
        found = {"ngrams": FEATURES.version}
        if self.model.trees:
            import sklearn

            found["scikit-learn"] = sklearn.__version__
        return found

    def told(self) -> dict[str, Any]:
        """In numbers, for the report: plain JSON values."""
        return {
            "scorer": "boosting" if self.model.trees else "ridge",
            "documents": self.documents,
            "penalty": self.penalty,
            "held_out": [trust.told() for trust in self.trust],
        }


def learn(
    texts: pa.Array, key: Ids, wanted: Floats, names: Sequence[str], boosting: bool,
    told: Callable[[int], None] = lambda step: None,
) -> Learned:  # fmt: skip
    """A model of standardised columns (documents, columns), judged on documents held out.

    What is foretold of a document for the judgement comes from a model of the other fifths; the
    penalty is the one with the least squared error there, summed over the columns.
    """
    scales = scales_of(texts)
    rows, fold = Rows.of(texts, scales), mix(key, FOLD_SEED) % np.uint64(FOLDS)
    penalty, held = _held_out(rows, wanted, fold, told)
    ridge = Ridge.fit(rows, wanted, penalty)
    trees: tuple[Any, ...] = ()
    if boosting:
        guess, table = held, rows.statistics
        held = np.zeros_like(wanted)
        for out in _parts(fold):
            some = grow(table[~out], guess[~out], wanted[~out])
            held[out] = grown(some, table[out], guess[out])
        trees = grow(table, guess, wanted)
    trust = tuple(judged(n, h, w) for n, h, w in zip(names, held.T, wanted.T, strict=True))
    return Learned(Model(scales, ridge, trees), trust, penalty, len(texts))


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


def judged(name: str, foretold: Floats, wanted: Floats) -> Trust:
    """Spearman's rank correlation, and how much of either tenth is found."""
    a, b = rankdata(foretold), rankdata(wanted)
    spread = float(a.std() * b.std())
    spearman = float(np.mean((a - a.mean()) * (b - b.mean())) / spread) if spread else 0.0
    return Trust(name, spearman, _found(foretold, wanted), _found(-foretold, -wanted))


def _found(foretold: Floats, wanted: Floats) -> float:
    """The part of the best tenth among those foretold as the best tenth, over a tenth."""
    most = max(round(len(wanted) * DECILE), 1)
    chosen = np.argsort(-foretold, kind="stable")[:most]
    best = np.argsort(-wanted, kind="stable")[:most]
    return len(np.intersect1d(chosen, best)) / most / (most / max(len(wanted), 1))
