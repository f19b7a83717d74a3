"""Optimal size or tokens from compute, by parabolas at fixed compute (Chinchilla, approach 2).

Hoffmann et al. 2022 (arXiv 2203.15556), section 3.2: at each budget, loss against log size is
nearly a parabola; a power law through the minima. On sweeps that lie lopsided about the optimum
the parabola is biased, so read it beside approach 3 (chinchilla.py): on the isoFLOP sets that
Marin released the two exponents differ beyond their intervals (.43 against .33-.37).
"""

from dataclasses import dataclass, replace

import numpy as np

from assay.scaling.errors import TooFewRuns
from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns, Conventions, Observations, noted
from assay.scaling.slopes import Floats

SAME_BUDGET = 0.15  # budgets closer than this in log compute are one: sweeps miss theirs by < 10 %

LLAMA_3 = Published(
    name="llama3",
    source="Grattafiori et al. 2024 (arXiv 2407.21783), section 3.2.1: D = .29 C^.53",
    coefficients={"k": 0.29, "a": 0.53},
    mark="second-hand",
    range={"compute": (6e18, 1e22)},
    conventions=Conventions(tokenizer="llama3"),
    note="tokens, not parameters",
)


@dataclass(frozen=True)
class IsoFlop:
    """The size at the bottom of each budget's parabola, k C^a."""

    name: str = "chinchilla-2"
    predicts: str = "params"
    inputs: tuple[str, ...] = ("compute",)
    parameters: tuple[Parameter, ...] = (
        Parameter("k", (1e-3, 1e3), positive=True, linear=True),
        Parameter("a", (0.3, 0.9), meaning="share of new compute that goes into it"),
    )
    # The paper's table 2 gives the exponent only, .49 (.462, .534): not enough to predict with.
    published: tuple[Published, ...] = ()

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        k, a = theta
        return np.log(k) + a * np.log(x["compute"])

    def prepare(self, runs: Observations, /) -> Observations:
        return minima(runs)


@dataclass(frozen=True)
class IsoFlopTokens(IsoFlop):
    """The tokens at the bottom of each budget's parabola, k C^a."""

    name: str = "chinchilla-2-tokens"
    predicts: str = "tokens"
    published: tuple[Published, ...] = (LLAMA_3,)


def minima(runs: Observations) -> Observations:
    """One row a budget: compute, and the params and tokens of least loss there."""
    found = [bottom(runs, rows) for rows in budgets(runs["compute"])]
    kept = np.array([row for row in found if row is not None])
    if len(kept) < 3:
        raise TooFewRuns(
            f"{runs.source}: {len(kept)} of {len(found)} budgets have a minimum inside their sizes;"
            " a law of the optimum needs 3. Each budget needs sizes on both sides of its best"
        )
    compute, params = np.exp(kept).T
    columns = {"compute": compute, "params": params, "tokens": compute / (6 * params)}
    labels = tuple(f"budget {c:.2e}" for c in compute)
    distilled = replace(runs, columns=columns, labels=labels)
    return noted(distilled, f"minima of {len(kept)} of {len(found)} budgets, {len(runs)} runs")


def budgets(compute: Floats) -> list[np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Rows grouped by compute: a gap in log compute begins a new budget."""
    order = np.argsort(compute)
    gaps = np.flatnonzero(np.diff(np.log(compute[order])) > SAME_BUDGET)
    return np.split(order, gaps + 1)


def bottom(
    runs: Observations, rows: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> tuple[float, float] | None:
    """Log compute and log size of the parabola's minimum, if the runs enclose it."""
    size = np.log(runs["params"][rows])
    if len(np.unique(size)) < 4:  # through three points a parabola always passes
        return None
    curve, slope, _ = np.polyfit(size - size.mean(), runs["loss"][rows], 2)
    if curve <= 0:
        return None
    best = size.mean() - slope / (2 * curve)
    if not size.min() < best < size.max():
        return None
    return float(np.log(runs["compute"][rows]).mean()), float(best)
