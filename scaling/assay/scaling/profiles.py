"""What the runs say about one parameter, whatever the others are.

A profile holds one parameter at each value of a grid and fits all the others again. Where the
objective stays flat the runs do not determine the parameter, and a point with a standard error
would hide that. The height at which the interval is read is that of a robust likelihood ratio:
chi-squared times E[psi^2] / (2 E[psi']) (Heritier & Ronchetti 1994).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from assay.scaling import identify
from assay.scaling.fit import Fit
from assay.scaling.law import names, position
from assay.scaling.polish import polish
from assay.scaling.slopes import Floats

# Distances from the optimum, in rough standard errors, far enough to see a flat end.
STEPS = np.array([0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 9.0, 15.0])
NEAREST, FARTHEST = 0.05, 1.5  # bounds on the rough error of a logarithm: to factors of e^22
TELLING = 10.0  # an interval wider than this factor tells nothing


@dataclass(frozen=True)
class Profile:
    """The best objective at each value of one parameter, and the interval below the height."""

    parameter: str
    value: float
    grid: Floats
    objective: Floats
    height: float  # the objective at which the interval ends
    low: float  # minus infinity, or zero, where the profile never reaches the height
    high: float  # infinity likewise
    positive: bool
    level: float

    @property
    def identified(self) -> bool:
        """Bounded on both sides, and for a positive parameter within a factor of ten."""
        bounded = bool(np.isfinite(self.low) and np.isfinite(self.high))
        return bounded and (not self.positive or 0 < self.high <= TELLING * self.low)

    def __str__(self) -> str:
        reach = f"{self.level:.0%} interval {self.low:.4g} to {self.high:.4g}"
        verdict = "" if self.identified else ": not identified by these runs"
        return f"{self.parameter} = {self.value:.4g}, {reach}{verdict}"


def profile(found: Fit, parameter: str, level: float = 0.95) -> Profile:
    at = position(found.law, parameter)
    grid = grid_around(found, at)
    begin = np.repeat(found.z[None], len(grid), axis=0)
    begin[:, at] = grid
    others = found.directions[:, found.directions[at] == 0]
    objective = polish(found.problem, begin, others, rounds=200).objective
    height = found.objective + margin(found, level)
    low, high = ends(grid, objective, float(found.z[at]), height)
    positive = found.law.parameters[at].positive
    if positive:
        grid, low, high = np.exp(grid), float(np.exp(low)), float(np.exp(high))
    return Profile(
        parameter, float(found.theta[at]), grid, objective, height, low, high, positive, level
    )


def weak(found: Fit) -> list[Profile]:
    """Profiles of the parameters that the runs do not identify.

    The fit's own list rests on slopes at the optimum. Where it names one parameter the surface is
    far from a bowl, and the others are profiled too.
    """
    if not found.weak:
        return []
    held = (*found.spec.fixed, *found.spec.tied)
    seen = [profile(found, name) for name in names(found.law) if name not in held]
    return [p for p in seen if p.parameter in found.weak or not p.identified]


def grid_around(found: Fit, at: int) -> Floats:
    """Fitted coordinates on both sides of the optimum, and the optimum itself."""
    residual, slopes = found.problem.look(found.z)
    moves = found.directions
    error = (np.abs(moves) @ identify.rough_errors(residual, moves.T @ slopes, found.spec.delta))[
        at
    ]
    if found.law.parameters[at].positive:
        error = float(np.clip(error, NEAREST, FARTHEST))
    side = STEPS * error
    return np.asarray(found.z[at] + np.concatenate([-side[::-1], [0.0], side]))


def margin(found: Fit, level: float) -> float:
    """By how much the objective may rise inside the interval."""
    residual, delta = found.residuals, found.spec.delta
    zone = max(delta, 0.5 * float(np.median(np.abs(residual))))
    inside = float(np.mean(np.abs(residual) <= zone)) * min(1.0, delta / zone)
    psi = np.clip(residual, -delta, delta)
    return float(chi2.ppf(level, 1) / 2 * np.mean(psi**2) / max(inside, 1 / len(residual)))


def ends(grid: Floats, objective: Floats, best: float, height: float) -> tuple[float, float]:
    """Where the profile crosses the height, on either side; infinite where it does not."""
    left, right = grid <= best, grid >= best
    low = crossing(grid[left][::-1], objective[left][::-1], height)
    high = crossing(grid[right], objective[right], height)
    return (-np.inf if low is None else low), (np.inf if high is None else high)


def crossing(grid: Floats, objective: Floats, height: float) -> float | None:
    """The last crossing, walking outwards: the profile must stay above it."""
    below = np.flatnonzero(objective <= height)
    last = int(below[-1]) if len(below) else 0
    if last == len(grid) - 1:
        return None
    rise = objective[last + 1] - objective[last]
    share = 1.0 if not np.isfinite(rise) else (height - objective[last]) / rise
    return float(grid[last] + np.clip(share, 0, 1) * (grid[last + 1] - grid[last]))
