"""Where fits begin: shapes at random, sizes by least squares.

Variable projection (Golub & Pereyra 1973): once the exponents are chosen, most laws are linear in
the rest, so only the exponents need to be guessed. A law says of each parameter whether the
predicted value is linear in it; the weights make the linear problem one of relative errors.
"""

import numpy as np
from scipy.optimize import nnls

from assay.scaling.law import Law, log_values_and_slopes
from assay.scaling.polish import Problem
from assay.scaling.slopes import Floats

CRUMB = 1e-3  # a term that least squares throws out starts at this share of the observations


def draw(task: Problem, count: int, seed: int) -> Floats:
    """`count` rows of fitted coordinates."""
    z = at_random(task.law, count, np.random.default_rng(seed))
    solvable = [i for i, p in enumerate(task.law.parameters) if p.linear]
    return solved(task, z, solvable) if solvable else z


def at_random(law: Law, count: int, rng: np.random.Generator) -> Floats:
    """Evenly inside each parameter's range, in the coordinate that is fitted."""
    low, high = (np.array([p.start[end] for p in law.parameters], float) for end in (0, 1))
    positive = np.array([p.positive for p in law.parameters], bool)
    low[positive], high[positive] = np.log(low[positive]), np.log(high[positive])
    return rng.uniform(low, high, (count, len(low)))


def solved(task: Problem, z: Floats, linear: list[int]) -> Floats:
    """The starts with their linear parameters at the (non-negative) least-squares solution."""
    z = z.copy()
    for row in range(len(z)):
        basis, rest = parts(task, z[row], linear)
        sizes = solve(task, basis, rest, linear)
        if np.isfinite(sizes).all():
            positive = [task.law.parameters[i].positive for i in linear]
            z[row, linear] = np.where(positive, np.log(np.where(positive, sizes, 1.0)), sizes)
    return z


def parts(task: Problem, z: Floats, linear: list[int]) -> tuple[Floats, Floats]:
    """What a unit of each linear parameter adds to each run, and what is there without any."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values, slopes = log_values_and_slopes(task.law, z, task.x)
    value = np.exp(values)
    positive = np.array([task.law.parameters[i].positive for i in linear], bool)
    sizes = np.where(positive, np.exp(np.where(positive, z[linear], 0.0)), z[linear])
    basis = slopes[linear] * value / np.where(positive, sizes, 1.0)[:, None]
    return basis, value - sizes @ basis


def solve(task: Problem, basis: Floats, rest: Floats, linear: list[int]) -> Floats:
    observed = np.exp(task.target)
    design, aim = (basis / observed).T, 1 - rest / observed
    scale = np.abs(design).max(axis=0)
    if not (np.isfinite(design).all() and np.isfinite(aim).all() and (scale > 0).all()):
        return np.full(len(linear), np.nan)
    if not all(task.law.parameters[i].positive for i in linear):
        return np.asarray(np.linalg.lstsq(design / scale, aim, rcond=None)[0] / scale)
    sizes = nnls(design / scale, aim)[0]
    return np.asarray(np.maximum(sizes, CRUMB) / scale)
