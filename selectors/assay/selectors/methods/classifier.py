"""A linear classifier on hashed n-grams: the target's documents against the raw pool's.

What the industry does with fastText (DCLM, Li et al. 2024, arXiv:2406.11794): positives are the
target, negatives the raw pool, and a document's score is the log odds of being a target's. The
model is a logistic regression on the set of a document's n-grams, fitted in memory to a bounded
sample of either side: the corpus is read once, however many rounds the fit takes. Why these
features and this strength of the penalty: docs/classifier-lm.md.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from assay.native import kernels
from assay.selectors.budget import Budget
from assay.selectors.choice import top
from assay.selectors.records import Batch, Floats
from assay.selectors.sampling import Sample, both_sides
from assay.selectors.selector import Fold, Rule
from assay.selectors.stats import Features
from assay.selectors.telling import told_by_set

ROUNDS = 20  # over the examples; measured: what comes later changes no ranking (docs)
TOLERANCE = 0.03  # a round that moves no multiplier by more than 3 % of its cost is the last
EMPTY = -1e9  # score of a text without a token: nothing speaks for it, so it comes last


@dataclass(frozen=True)
class Classifier:
    """A logistic model on hashed n-grams that tells the target's documents from the raw pool's."""

    orders: Annotated[int, Field(ge=1, le=8, description="n-grams of 1 to this many tokens")] = 2
    buckets: Annotated[int, Field(ge=1, le=1 << 28, description="hash buckets for each order")] = (
        1 << 20
    )
    l2: Annotated[
        float,
        Field(gt=0, description="penalty of the weights, against the mean loss of the two sides"),
    ] = 0.01
    sample: Annotated[
        int, Field(ge=1, le=1024, description="MiB of text of either side that are learned from")
    ] = 16

    def fit(self, fold: Fold) -> "LogOdds":
        features = Features("fast", self.orders, self.buckets)
        target, raw = both_sides("classifier", fold, self.sample << 20)
        examples = Examples.of(target, raw)
        ends, slots = kernels.distinct_ngrams(examples.text, "fast", self.orders, self.buckets)
        # float32: half the cache in scoring, and no trace of the last bits of an exponential.
        weights = np.zeros(features.slots + 1, np.float32)
        costs = examples.costs / self.l2
        kernels.fit_logistic(ends, slots, examples.labels, costs, weights, ROUNDS, TOLERANCE)
        return LogOdds(features, weights[:-1], float(weights[-1]))

    def choose(self, budget: Budget, fold: Fold) -> Rule:
        return top(budget, fold)


@dataclass(frozen=True)
class Examples:
    """The documents that are learned from, in one order for all corpora, and what each counts."""

    text: pa.Array
    labels: Floats  # 1: of the target, -1: of the raw pool
    costs: Floats  # half a side's share: the two sides weigh the same, however many they are

    @classmethod
    def of(cls, target: Sample, raw: Sample) -> "Examples":
        labels = np.repeat([1.0, -1.0], [len(target), len(raw)])
        costs = np.repeat(
            [0.5 / max(len(target), 1), 0.5 / max(len(raw), 1)], [len(target), len(raw)]
        )
        # By the hashes of the ids: as good as shuffled, so that the sides take turns in the fit.
        place = np.concatenate([target.place, raw.place])
        order = np.lexsort((-labels, place[:, 1], place[:, 0]))
        text = pa.concat_arrays([target.texts(), raw.texts()]).take(pa.array(order))
        return cls(text, labels[order], costs[order])


@dataclass(frozen=True)
class LogOdds:
    """What the classifier learned: what each n-gram adds to the log odds, before the document's
    length is taken out."""

    features: Features
    table: npt.NDArray[np.float32]
    bias: float
    names: tuple[str, ...] = ("score",)

    def score(self, batch: Batch) -> Floats:
        f = self.features
        sums, distinct = kernels.dot_distinct(
            batch.text, self.table, f.definition, f.orders, f.buckets
        )
        odds = sums / np.sqrt(np.maximum(distinct, 1)) + self.bias
        return np.where(distinct > 0, odds, EMPTY)

    def explain(self, batch: Batch) -> dict[str, Any]:
        """The n-grams that weigh most, and what each adds to the score; the rest holds the bias."""
        return told_by_set(batch.text, self.features, self.table, self.bias)
