"""How far the parameters would move with other runs: the multinomial bootstrap.

Drawing n of n runs with replacement is the same as counting each run a multinomial number of
times (Efron 1979), so that a replicate is a row of weights, and all replicates descend together
from the optimum of the whole.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.fit import Fit
from assay.scaling.law import natural, position, predict
from assay.scaling.observations import Columns
from assay.scaling.polish import polish
from assay.scaling.slopes import Floats


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error and an interval."""

    value: float
    se: float
    low: float
    high: float


@dataclass(frozen=True)
class Bootstrap:
    """A fit and its replicates: thetas (replicates, parameters)."""

    fit: Fit
    thetas: Floats

    def estimate(self, parameter: str, level: float = 0.95) -> Estimate:
        at = position(self.fit.law, parameter)
        return estimate(float(self.fit.theta[at]), self.thetas[:, at], level)

    def estimates(self, level: float = 0.95) -> dict[str, Estimate]:
        return {p.name: self.estimate(p.name, level) for p in self.fit.law.parameters}

    def predict(self, x: Columns) -> Floats:
        """Every replicate's prediction: (replicates, rows)."""
        return predict(self.fit.law, self.thetas, x)


def bootstrap(found: Fit, replicates: int = 4000, seed: int = 0) -> Bootstrap:
    weights = resampled(len(found.runs), replicates, seed)
    begin = np.repeat(found.z[None], replicates, axis=0)
    ended = polish(found.problem, begin, found.directions, weights, tolerance=1e-9)
    return Bootstrap(found, natural(found.law, ended.z))


def resampled(runs: int, replicates: int, seed: int) -> Floats:
    """How often each replicate takes each run: rows that sum to the number of runs."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(runs, np.full(runs, 1 / runs), replicates).astype(float)


def estimate(value: float, draws: Floats, level: float = 0.95) -> Estimate:
    """Percentile interval; the standard error is the spread of the draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    held = np.ptp(draws) == 0  # then rounding would make a spread of 1e-13
    return Estimate(value, 0.0 if held else float(np.std(draws, ddof=1)), float(low), float(high))
