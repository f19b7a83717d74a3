"""Where fits begin: shapes at random, sizes by least squares.

Variable projection (Golub & Pereyra 1973): once the exponents are chosen, most laws are linear in
the rest, so only the exponents need to be guessed. A law says of each parameter whether the
predicted value is linear in it; the weights make the linear problem one of relative errors.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from assay.scaling.law import Law, log_values_and_slopes
from assay.scaling.polish import Problem
from assay.scaling.slopes import Floats

Mask = npt.NDArray[np.bool_]

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
    positive = np.array([task.law.parameters[i].positive for i in linear], bool)
    basis, rest = parts(task, z, linear, positive)
    sizes = solve(np.exp(task.target), basis, rest, positive)
    good = np.isfinite(sizes).all(axis=1)
    z = z.copy()
    found = np.where(positive, np.log(np.where(positive, sizes, 1.0)), sizes)
    rows = np.flatnonzero(good)
    z[rows[:, None], linear] = found[rows]
    return z


def parts(task: Problem, z: Floats, linear: list[int], positive: Mask) -> tuple[Floats, Floats]:
    """What a unit of each linear parameter adds to each run, and what is there without any."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values, slopes = log_values_and_slopes(task.law, z, task.x)
        value = np.exp(values)
        sizes = np.where(positive, np.exp(np.where(positive, z[:, linear], 0.0)), z[:, linear])
        unit = np.where(positive, sizes, 1.0)
        basis = slopes[:, linear] * value[:, None] / unit[..., None]
        return basis, value - (sizes[:, None] @ basis)[:, 0]


def solve(observed: Floats, basis: Floats, rest: Floats, positive: Mask) -> Floats:
    """Sizes (starts, linear parameters) of least relative error; nan where there are none."""
    design, aim = basis / observed, 1 - rest / observed
    scale = np.abs(design).max(axis=-1)
    good = np.isfinite(design).all(axis=(1, 2)) & np.isfinite(aim).all(axis=1)
    good &= (scale > 0).all(axis=1)
    rows = np.flatnonzero(good)
    sizes = np.full(scale.shape, np.nan)
    # Least squares on the triangle of a QR is that on the whole: a few rows instead of hundreds.
    q, triangles = np.linalg.qr((design[rows] / scale[rows, :, None]).swapaxes(1, 2))
    aims = (q.swapaxes(1, 2) @ aim[rows, :, None])[..., 0]
    for row, triangle, short in zip(rows, triangles, aims, strict=True):
        sizes[row] = least(triangle, short, positive) / scale[row]
    return sizes


def least(triangle: Floats, aim: Floats, positive: Mask) -> Floats:
    if not positive.all():
        return np.asarray(np.linalg.lstsq(triangle, aim, rcond=None)[0])
    return np.asarray(np.maximum(nnls(triangle, aim)[0], CRUMB))
