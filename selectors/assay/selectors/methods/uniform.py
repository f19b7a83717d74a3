"""A uniform random sample: the control that every other method must beat."""

from dataclasses import dataclass

import numpy as np

from assay.selectors.budget import Budget
from assay.selectors.choice import Sampled, top
from assay.selectors.records import Batch, Floats
from assay.selectors.selector import Fold, Rule


@dataclass(frozen=True)
class Same:
    """Every document scores 0."""

    names: tuple[str, ...] = ("score",)

    def score(self, batch: Batch) -> Floats:
        return np.zeros(len(batch))


@dataclass(frozen=True)
class Uniform:
    """A uniform random sample without replacement, fixed by the seed and the ids."""

    def fit(self, fold: Fold) -> Same:
        return Same()

    def choose(self, budget: Budget, fold: Fold) -> Rule:
        return top(budget, fold, Sampled(fold.seed))
