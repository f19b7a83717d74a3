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
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import lsqr
from scipy.stats import norm, rankdata

from assay.native import kernels
from assay.selectors.ranks import spearman
from assay.selectors.records import Floats, Mask
from assay.selectors.stats import Features

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0)  # of the squared weights, against the summed squared error
FAR = 6.0  # standard deviations
NEAR_PENALTY = 0.01  # as `classifier` has it
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


def distilled(texts: pa.Array, wanted: Floats, by_chance: Mask, features: Features) -> Ridge:
    """Fitted to `wanted`, (documents,); measured on those that were drawn by chance, as the corpus
    is, and stand in random order."""
    rows = Rows.of(texts, features)
    place = np.cumsum(by_chance) % FOLDS
    enough = int(by_chance.sum()) >= LEAST
    tune, test = (by_chance & (place == fold) for fold in (FOLDS - 2, FOLDS - 1))
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

    def fit(self, some: Mask, wanted: Floats, penalty: float) -> Floats:
        return self.solved(self.matrix[some], wanted[some], penalty)

    def solved(self, matrix: Any, wanted: Floats, penalty: float) -> Floats:
        found = lsqr(
            matrix,
            wanted,
            damp=float(np.sqrt(penalty)),
            atol=TOLERANCE,
            btol=TOLERANCE,
            iter_lim=ROUNDS,
        )
        return np.asarray(found[0], np.float64)

    def ranking(self, learn: Mask, test: Mask, wanted: Floats, penalty: float) -> float:
        """Spearman's correlation on documents that were not learned from."""
        found = self.matrix[test] @ self.fit(learn, wanted, penalty)
        return spearman(np.asarray(found), wanted[test]) or 0.0


def nearness(target: pa.Array, raw: pa.Array, features: Features) -> Floats:
    """How much raw texts look like the target's, (raw,): a ridge classifier on the same n-grams,
    in which the two sides weigh the same. It only says where to look."""
    rows = Rows.of(pa.concat_arrays([target, raw]), features)
    wanted = np.repeat([1.0, -1.0], [len(target), len(raw)])
    share = np.repeat([0.5 / len(target), 0.5 / len(raw)], [len(target), len(raw)])
    weights = np.sqrt(share)
    found = rows.solved(diags(weights) @ rows.matrix, weights * wanted, NEAR_PENALTY)
    return np.asarray(rows.matrix[len(target) :] @ found, np.float64)


def standard(values: Floats, among: Floats) -> Floats:
    """In standard deviations from the mean of some, at most FAR of them: ranks would make the few
    that stand out, which a selection is about, like the many next to them."""
    return np.asarray(
        np.clip((values - among.mean()) / max(float(among.std()), 1e-30), -FAR, FAR), np.float64
    )


def normal(values: Floats) -> Floats:
    """Normal quantiles of the ranks: no outlier weighs more than its place."""
    return np.asarray(norm.ppf((rankdata(values) - 0.5) / max(len(values), 1)), np.float64)
