"""Optimal size from compute, by the lower envelope of training curves (Chinchilla, approach 1).

Hoffmann et al. 2022 (arXiv 2203.15556), section 3.1: at each amount of compute, the run with the
lowest loss so far; a power law through these. Every row of the runs is a point of a curve: params,
compute so far (or tokens so far), loss there.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.errors import TooFewRuns
from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns, Observations, noted
from assay.scaling.slopes import Floats


@dataclass(frozen=True)
class Envelope:
    """The size with the lowest loss at each amount of compute, k C^a."""

    name: str = "chinchilla-1"
    predicts: str = "params"
    inputs: tuple[str, ...] = ("compute",)
    parameters: tuple[Parameter, ...] = (
        Parameter("k", (1e-3, 1e3), positive=True, linear=True),
        Parameter("a", (0.3, 0.9), meaning="share of new compute that goes into size"),
    )
    # The paper's table 2 gives the exponent only, .50 (.488, .502): not enough to predict with.
    published: tuple[Published, ...] = ()
    bins_per_decade: int = 20

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        k, a = theta
        return np.log(k) + a * np.log(x["compute"])

    def prepare(self, runs: Observations, /) -> Observations:
        """The best run of each bin of compute that several sizes reach."""
        bins = np.floor(np.log10(runs["compute"]) * self.bins_per_decade)
        best = [row for one in np.unique(bins) if (row := lowest(runs, bins == one)) is not None]
        if len(best) < 3:
            raise TooFewRuns(
                f"{runs.source}: only {len(best)} bins of compute hold runs of two sizes; an"
                " envelope needs 3. Give whole training curves, one row a checkpoint"
            )
        return noted(runs.take(np.array(best)), f"lower envelope of {len(runs)} points")


def lowest(runs: Observations, inside: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int | None:
    """The row of the lowest loss among several sizes; None where one size has no rival."""
    rows = np.flatnonzero(inside)
    if len(np.unique(runs["params"][rows])) < 2:
        return None
    return int(rows[np.argmin(runs["loss"][rows])])
