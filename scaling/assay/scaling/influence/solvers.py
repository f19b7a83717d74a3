"""h = (H + ridge I)^-1 g: a gradient, turned into what removing samples does to parameters.

* `dense`: the whole Hessian, for models of some thousand parameters.
* `conjugate_gradients`: exact up to a tolerance, needs products with the whole Hessian.
* `lissa`: the stochastic Neumann series (Agarwal et al. 2017, arXiv 1602.03943; Koh and Liang
  2017), which needs products with one sample's Hessian; DEALRec's solver (Lin et al. 2024,
  arXiv 2401.17197, Eq. 10 and Algorithm 1).

The ridge matters. Where the eigenvalues of H are far below it, h is g / ridge and a score says no
more than the plain dot product with the mean gradient; `mean_eigenvalue` is there to choose it by.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.scaling.influence.errors import BadInfluence, NotPositive, SolverDiverged
from assay.scaling.influence.vectors import (
    Params,
    check_finite,
    dot,
    flat,
    mean,
    norm,
    plus,
    scaled,
    shaped,
    size,
)

Apply = Callable[[Params], Params]  # a product with a symmetric matrix
ApplyOne = Callable[[int, Params], Params]  # a product with one sample's Hessian

LOOK = 50  # steps between looks at the norm


@dataclass(frozen=True)
class Series:
    """What a Neumann series came to. `spread` is the standard deviation over repeats as a share of
    the mean's length (0 for one repeat, which is not known to be exact); `ridge` is what it adds
    to the Hessian."""

    direction: Params
    spread: float
    repeats: int
    ridge: float


@dataclass(frozen=True)
class Solved:
    """`residual` is |A h - g| / |g|; above the tolerance, the limit of steps came first."""

    direction: Params
    residual: float
    steps: int


def lissa(
    gradient: Params,
    hvp_of_sample: ApplyOne,
    n: int,
    steps: int = 5000,
    damping: float = 0.01,
    scale: float = 25,
    repeats: int = 1,
    seed: int = 0,
    normalised: bool = False,
) -> Series:
    """h <- g + (1 - damping) h - H_t h / scale, from h = g, with H_t the Hessian of one of n
    samples, drawn evenly: `hvp_of_sample(t, h)`. The mean over repeats, each with draws of its own.

    This is the form of DEALRec's published code (defaults too). It settles at
    scale (H + damping scale I)^-1 g: **the ridge is damping * scale**, .25 by default, and
    the result is `scale` times as long as the inverse. `normalised` divides by the scale. The form
    in the paper, h <- g + (I - H_t) h, is damping 0 and scale 1; it settles only where every
    sample's Hessian lies below 2.

    Raises SolverDiverged: h can gain |g| in a step and no more while the series contracts.
    """
    check_series(n, steps, repeats, damping, scale)
    check_finite(gradient, "the gradient")
    found = [
        neumann(gradient, hvp_of_sample, drawn(n, steps, seed, one), damping, scale)
        for one in range(repeats)
    ]
    settled = mean(found)
    spread = deviation(found, settled) / max(norm(settled), torch.finfo(torch.float64).tiny)
    direction = scaled(settled, 1 / scale) if normalised else settled
    return Series(direction, spread, repeats, damping * scale)


def check_series(n: int, steps: int, repeats: int, damping: float, scale: float) -> None:
    if not (n > 0 and steps > 0 and repeats > 0 and scale > 0 and 0 <= damping < 1):
        raise BadInfluence(
            f"the series needs samples, steps, repeats and a scale above 0 and a damping in [0, 1);"
            f" found n {n}, steps {steps}, repeats {repeats}, scale {scale}, damping {damping}"
        )


def drawn(n: int, steps: int, seed: int, repeat: int) -> list[int]:
    """Samples in the order of their steps; each repeat has draws of its own."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + repeat)
    return [int(one) for one in torch.randint(n, (steps,), generator=generator)]


def neumann(
    gradient: Params, hvp: ApplyOne, order: list[int], damping: float, scale: float
) -> Params:
    start = norm(gradient)
    h = gradient
    for step, sample in enumerate(order, 1):
        kept = plus(scaled(h, 1 - damping), hvp(sample, h), -1 / scale)
        h = plus(gradient, kept)
        if step % LOOK == 0 or step == len(order):
            check_settling(h, start, step, damping, scale)
    return h


def check_settling(h: Params, start: float, step: int, damping: float, scale: float) -> None:
    """While no step stretches h, |h| after t steps is at most (t + 1) |g|."""
    length = norm(h)
    if length <= start * (step + 1) * 1.001:
        return
    raise SolverDiverged(
        f"the series diverges: after {step} steps |h| is {length:.3g}, and the gradient's length is"
        f" {start:.3g}. Every sample's Hessian must have its eigenvalues between -damping * scale"
        f" ({-damping * scale:.3g}) and about 2 * scale ({2 * scale:.3g}): take a larger scale, or"
        " a larger damping where the model is not at a minimum"
    )


def deviation(found: list[Params], settled: Params) -> float:
    """Root of the summed variances over repeats."""
    if len(found) < 2:
        return 0.0
    away = [plus(one, settled, -1.0) for one in found]
    return math.sqrt(sum(norm(one) ** 2 for one in away) / (len(found) - 1))


def conjugate_gradients(
    apply: Apply, gradient: Params, ridge: float, tolerance: float = 1e-6, limit: int = 1000
) -> Solved:
    """(H + ridge I) h = g by conjugate gradients (Hestenes and Stiefel 1952), with
    `apply(h)` = H h, until |residual| <= tolerance |g| or after `limit` steps. Deterministic.
    Raises NotPositive where a direction of negative curvature is met."""
    check_finite(gradient, "the gradient")
    start = norm(gradient)
    h = scaled(gradient, 0.0)
    rest, toward = gradient, gradient
    left, step = start**2, 0
    while left**0.5 > tolerance * start and step < limit:
        across = plus(apply(toward), toward, ridge)
        curvature = float(dot(toward, across))
        check_positive(curvature, toward, ridge)
        h = plus(h, toward, left / curvature)
        rest = plus(rest, across, -left / curvature)
        before, left = left, float(dot(rest, rest))
        toward = plus(rest, toward, left / before)
        step += 1
    return Solved(h, left**0.5 / start if start else 0.0, step)


def check_positive(curvature: float, toward: Params, ridge: float) -> None:
    if curvature > 0:
        return
    along = curvature / max(float(dot(toward, toward)), torch.finfo(torch.float64).tiny)
    raise NotPositive(
        f"the Hessian with a ridge of {ridge:.3g} has the curvature {along:.3g} in one direction:"
        f" take a ridge above {ridge - along:.3g}, or the Gauss-Newton matrix in its place"
    )


def dense(hessian: Tensor, gradient: Tensor, ridge: float) -> Tensor:
    """(H + ridge I)^-1 g, (m, m) and (m,) or (m, k), by Cholesky. Raises NotPositive."""
    shifted = hessian + ridge * torch.eye(len(hessian), dtype=hessian.dtype)
    factor, failed = torch.linalg.cholesky_ex(shifted)
    if int(failed):
        least = float(torch.linalg.eigvalsh(hessian)[0])
        raise NotPositive(
            f"the Hessian's least eigenvalue is {least:.3g}: take a ridge above {-least:.3g}, not"
            f" {ridge:.3g}"
        )
    columns = gradient if gradient.ndim == 2 else gradient[:, None]
    return torch.cholesky_solve(columns, factor).view_as(gradient)


def whole(apply: Apply, like: Params) -> Tensor:
    """The matrix (m, m) behind a product: for small models, and for tests."""
    unit = torch.eye(size(like), dtype=flat(like).dtype)
    return torch.stack([flat(apply(shaped(row, like))) for row in unit])


def mean_eigenvalue(apply: Apply, like: Params, probes: int = 8, seed: int = 0) -> float:
    """tr(H) / m by Hutchinson's estimator: the mean of z'Hz / m over random signs z. A ridge of a
    tenth of it is Grosse et al.'s choice (2023, arXiv 2308.03296)."""
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for _ in range(probes):
        signs = {
            name: torch.randint(0, 2, value.shape, generator=generator).to(value) * 2 - 1
            for name, value in like.items()
        }
        total += float(dot(signs, apply(signs)))
    return total / (probes * size(like))
