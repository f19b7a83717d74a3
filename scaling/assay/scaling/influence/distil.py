"""Influence learned from text: a ridge regression on hashed n-grams.

What gradients say of some thousand documents is fitted to their sets of n-grams, the features of
`classifier`, so that a whole corpus is scored at its speed and without torch. MATES (Yu et al.
2024, arXiv 2406.06046) distils into a BERT; here the fit takes seconds. How well it ranks documents
that it has not seen is measured and told.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import lsqr
from scipy.stats import norm, rankdata, spearmanr

from assay.native import kernels
from assay.selectors.records import Floats
from assay.selectors.stats import Features

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0)  # of the squared weights, against the summed squared error
FOLDS = 10  # of the documents; one is to choose the penalty by, one to be held out
ROUNDS, TOLERANCE = 200, 1e-4  # of LSQR
LEAST = 40  # documents below which nothing is held out: four would say nothing


@dataclass
class Ridge:
    """Weights of n-grams, and how well they rank documents that were held out."""

    table: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    bias: float = 0.0
    penalty: float = 0.0
    spearman: float = 0.0  # of held-out documents; nan where nothing was held out
    held_out: int = 0  # documents
    fitted: Floats = field(default_factory=lambda: np.zeros(0))  # scores of its own documents


def distilled(texts: pa.Array, wanted: Floats, features: Features) -> Ridge:
    """Fitted to `wanted`, (documents,), which stand in random order."""
    rows = Rows.of(texts, features)
    place = np.arange(len(wanted)) % FOLDS
    enough = len(wanted) >= LEAST
    tune, test = place == FOLDS - 2, place == FOLDS - 1
    learn = ~(tune | test) if enough else np.ones(len(wanted), bool)
    penalty, held = 1.0, float("nan")
    if enough:
        tried = [rows.ranking(learn, tune, wanted, penalty) for penalty in PENALTIES]
        penalty = PENALTIES[int(np.argmax(tried))]
        held = rows.ranking(~test, test, wanted, penalty)
    weights = rows.fit(np.ones(len(wanted), bool), wanted, penalty)
    table = np.zeros(features.slots, np.float32)
    table[rows.slots] = weights[:-1]
    return Ridge(
        # float32: half the cache in scoring, and no trace of the last bits of a sum.
        table,
        float(np.float32(weights[-1])),
        penalty,
        held,
        int(test.sum()) if enough else 0,
        np.asarray(rows.matrix @ weights, np.float64),
    )


@dataclass(frozen=True)
class Rows:
    """Documents as rows of length one over their distinct n-grams, and a column of ones."""

    matrix: Any  # (documents, slots + 1), sparse
    slots: npt.NDArray[np.int64]  # of the columns but the last

    @classmethod
    def of(cls, texts: pa.Array, features: Features) -> "Rows":
        f = features
        ends, slots = kernels.distinct_ngrams(texts, f.definition, f.orders, f.buckets)
        counts = np.diff(ends, prepend=0)
        known, columns = np.unique(slots, return_inverse=True)
        values = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts)
        every = len(ends)
        row = np.concatenate([np.repeat(np.arange(every), counts), np.arange(every)])
        column = np.concatenate([columns, np.full(every, len(known))])
        both = np.concatenate([values, np.ones(every)])
        shape = (every, len(known) + 1)
        return cls(csr_matrix((both, (row, column)), shape=shape), known.astype(np.int64))

    def fit(self, some: npt.NDArray[np.bool_], wanted: Floats, penalty: float) -> Floats:
        found = lsqr(
            self.matrix[some],
            wanted[some],
            damp=float(np.sqrt(penalty)),
            atol=TOLERANCE,
            btol=TOLERANCE,
            iter_lim=ROUNDS,
        )
        return np.asarray(found[0], np.float64)

    def ranking(
        self,
        learn: npt.NDArray[np.bool_],
        test: npt.NDArray[np.bool_],
        wanted: Floats,
        penalty: float,
    ) -> float:
        """Spearman's correlation on documents that were not learned from."""
        found = self.matrix[test] @ self.fit(learn, wanted, penalty)
        return correlation(np.asarray(found), wanted[test])


def correlation(x: Floats, y: Floats) -> float:
    """Spearman's; 0 where either is the same everywhere."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(spearmanr(x, y).statistic)


def normal(values: Floats) -> Floats:
    """Normal quantiles of the ranks: no outlier weighs more than its place."""
    return np.asarray(norm.ppf((rankdata(values) - 0.5) / max(len(values), 1)), np.float64)
