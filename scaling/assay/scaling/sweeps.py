"""Sweeps of learning rate and batch size, and the surface that lies over all of them.

A sweep is a set of trainings of one size on one number of tokens. Its losses, over the best loss
that the sweep could reach, are what `StepSurface` (laws/steplaw.py) describes. That best loss is
not observed: it is one more number for each sweep, fitted together with the surface.

    found = fit(runs)                      # a Fit like any other, whose law is StepSurface
    replicates = bootstrap(runs, found)    # whole sweeps are drawn: runs of one sweep err alike
    leave_one_out(runs)                    # the gap of each sweep, predicted from the others

What was tried on the released sweeps (17 of them, leave one out, gap on a smooth surface of the
sweep left out): minima and least squares .040 %, a quadratic of the runs within 3 % .046 %, this
quartic of the same runs, with size in the batch law, .029 %. See docs/scaling.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from assay.scaling.bootstrap import Bootstrap
from assay.scaling.errors import BadRuns
from assay.scaling.fit import DELTA, Fit, FitSpec
from assay.scaling.identify import conditioning
from assay.scaling.law import fitted, log_values_and_slopes, natural
from assay.scaling.laws.steplaw import CENTRE, StepSurface
from assay.scaling.observations import Columns, Observations, check_values
from assay.scaling.polish import Problem, huber
from assay.scaling.slopes import Floats

Ids = npt.NDArray[np.intp]

LAW = StepSurface()
NEAR = 0.03  # runs this close to the best of their sweep bear on where the optimum is
FEWEST = 8  # runs of a sweep, near its best, below which a quadratic has no room to err
NEEDED = (*LAW.inputs, "loss")


def fit(runs: Observations, delta: float = DELTA) -> Fit:
    """The surface over all sweeps; needs several, of different sizes and different tokens."""
    near = nearby(runs)
    theta, floors, objective = descend(near, start(), delta)
    return described(near, theta, floors, objective, delta)


@dataclass(frozen=True)
class Sweeps:
    """Runs near the best of their sweep: log inputs, log loss, and the sweep of each."""

    runs: Observations
    sweep: Ids
    places: Floats  # params and tokens of each sweep
    losses: Floats  # log loss; rows of one sweep stand together

    @cached_property
    def starts(self) -> Ids:
        """Where each sweep begins."""
        return np.searchsorted(self.sweep, np.arange(len(self.places)))

    @cached_property
    def inputs(self) -> Columns:
        return {name: self.runs[name] for name in LAW.inputs}

    def without(self, sweep: int) -> "Sweeps":
        return self.take([s for s in range(len(self.places)) if s != sweep])

    def take(self, chosen: Sequence[int] | Ids) -> "Sweeps":
        """These sweeps, in this order; one drawn twice counts as two."""
        rows = [np.flatnonzero(self.sweep == s) for s in chosen]
        at = np.concatenate(rows)
        sweep = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
        return Sweeps(self.runs.take(at), sweep, self.places[list(chosen)], self.losses[at])


def nearby(runs: Observations) -> Sweeps:
    """The runs that bear on the optimum; sweeps with too few of them are refused by name."""
    for name in NEEDED:
        check_values(runs, name, runs[name])
    places, sweep = np.unique(
        np.stack([runs["params"], runs["tokens"]], axis=1), axis=0, return_inverse=True
    )
    losses = np.log(runs["loss"])
    best = np.array([losses[sweep == s].min() for s in range(len(places))])
    keep = losses < best[sweep] + np.log1p(NEAR)
    check_sweeps(runs, places, sweep[keep])
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(sweep[rows], kind="stable")]
    return Sweeps(runs.take(rows), sweep[rows], places, losses[rows])


def check_sweeps(runs: Observations, places: Floats, sweep: Ids) -> None:
    for number, (params, tokens) in enumerate(places):
        count = int(np.sum(sweep == number))
        if count < FEWEST:
            raise BadRuns(
                f"{runs.source}: the sweep at {params:.3g} parameters and {tokens:.3g} tokens has"
                f" {count} runs within {NEAR:.0%} of its best loss; {FEWEST} are needed to place"
                " its optimum. Leave it out or add runs"
            )
    if min(len(np.unique(places[:, 0])), len(np.unique(places[:, 1]))) < 2 or len(places) < 4:
        raise BadRuns(
            f"{runs.source} has {len(places)} sweeps (runs of equal parameters and tokens); a law"
            " of both needs at least 4, of at least two sizes and two numbers of tokens"
        )


def start() -> Floats:
    """The paper's law at the centre, and a bowl."""
    theta = {p.name: 0.0 for p in LAW.parameters}
    theta |= {"lr": 1.7e-3, "lr_params": -0.713, "lr_tokens": 0.307}
    theta |= {"batch": 4.5e5, "batch_tokens": 0.571, "uu": 0.01, "vv": 0.01}
    return np.array(list(theta.values()))


def descend(
    near: Sweeps, theta: Floats, delta: float, rounds: int = 60
) -> tuple[Floats, Floats, float]:
    """Levenberg-Marquardt on Huber's objective, the best loss of every sweep included."""
    z, floors = fitted(LAW, theta), np.minimum.reduceat(near.losses, near.starts)
    damping = 1e-3
    residual, slopes, objective = look(near, z, floors, delta)
    for _ in range(rounds):
        move, floor_moves = step(near, residual, slopes, delta, damping)
        trial = look(near, z - move, floors - floor_moves, delta)
        if not trial[2] < objective:
            damping *= 10
            if damping > 1e6:
                break
            continue
        gained = objective - trial[2]
        z, floors, damping = z - move, floors - floor_moves, max(damping * 0.1, 1e-9)
        residual, slopes, objective = trial
        if gained < 1e-8 * objective:
            break
    return natural(LAW, z), floors, objective


def look(near: Sweeps, z: Floats, floors: Floats, delta: float) -> tuple[Floats, Floats, float]:
    """Residuals, their slopes by the surface, and the objective."""
    values, slopes = log_values_and_slopes(LAW, z, near.inputs)
    residual = values + floors[near.sweep] - near.losses
    return residual, slopes, float(huber(residual, delta).sum())


def step(
    near: Sweeps, residual: Floats, slopes: Floats, delta: float, damping: float
) -> tuple[Floats, Floats]:
    """One damped step of the surface, and the one of the best losses that goes with it."""
    weight = np.minimum(1, delta / np.maximum(np.abs(residual), 1e-300))
    total = np.add.reduceat(weight, near.starts)
    mean = np.add.reduceat(residual * weight, near.starts) / total
    mean_slopes = np.add.reduceat(slopes * weight, near.starts, axis=1) / total
    r, j = residual - mean[near.sweep], slopes - mean_slopes[:, near.sweep]
    # Not `@`: on a busy machine, threads for an 18 by 18 product take ten times what it does.
    system = np.einsum("in,jn->ij", j * weight, j)
    system[np.diag_indices_from(system)] *= 1 + damping
    move = np.linalg.solve(system, np.einsum("in,n->i", j, r * weight))
    return move, mean - move @ mean_slopes


def described(near: Sweeps, theta: Floats, floors: Floats, objective: float, delta: float) -> Fit:
    """As a Fit like any other, of the excess over the best losses that were found."""
    excess = np.exp(near.losses - floors[near.sweep])
    note = f"{len(near.runs)} runs within {NEAR:.0%} of the best of {len(floors)} sweeps"
    runs = replace(near.runs, notes=(*near.runs.notes, note)).having(excess=excess)
    task = Problem(LAW, {name: runs[name] for name in LAW.inputs}, np.log(excess), delta)
    condition, _ = conditioning(task.look(fitted(LAW, theta))[1])
    return Fit(LAW, runs, FitSpec(1, delta), theta, objective, 1.0, condition)


def formulas(found: Fit) -> dict[str, str]:
    """The two power laws as one writes them, with scales at one parameter and one token."""
    said = {}
    for word, key in (("learning rate", "lr"), ("batch in tokens", "batch")):
        size, length = (found.parameters[f"{key}_{name}"] for name in ("params", "tokens"))
        scale = found.parameters[key] / CENTRE["params"] ** size / CENTRE["tokens"] ** length
        said[word] = f"{scale:.4g} params^{size:.4f} tokens^{length:.4f}"
    return said


def bootstrap(runs: Observations, found: Fit, replicates: int = 4000, seed: int = 0) -> Bootstrap:
    """Whole sweeps drawn with replacement: what another choice of sweeps would have said.

    Each replicate is one Newton step from the optimum of the whole, so that what a sweep says is
    computed once and only added up afterwards.
    """
    near = nearby(runs)
    curvature, gradient = per_sweep(near, found)
    drawn = drawn_sweeps(near.places, replicates, np.random.default_rng(seed))
    system = np.einsum("rs,sij->rij", drawn, curvature)
    right = np.einsum("rs,si->ri", drawn, gradient)
    steps = np.linalg.solve(system, right[..., None])[..., 0]
    return Bootstrap(found, natural(LAW, found.z - steps))


def per_sweep(near: Sweeps, found: Fit) -> tuple[Floats, Floats]:
    """What each sweep adds to curvature and gradient, its own best loss solved for."""
    residual, slopes = found.problem.look(found.z)
    # Huber's own curvature is one inside delta and none outside; the weights of the descent are
    # larger, and errors from them were half of what full refits gave (tried on the released data).
    bends = (np.abs(residual) <= found.spec.delta).astype(float)
    pull = np.clip(residual, -found.spec.delta, found.spec.delta)
    curvature, gradient = [], []
    for sweep in range(len(near.places)):
        own = near.sweep == sweep
        j, w = slopes[:, own], bends[own]
        j = j - (j @ w)[:, None] / max(1.0, w.sum())
        curvature.append((j * w) @ j.T)
        gradient.append(j @ pull[own])
    return np.array(curvature), np.array(gradient)


def drawn_sweeps(places: Floats, replicates: int, rng: np.random.Generator) -> Floats:
    """How often each replicate draws each sweep; never all of one size or of one length."""
    counts: list[Floats] = []
    while len(counts) < replicates:
        drawn = rng.multinomial(len(places), np.full(len(places), 1 / len(places)))
        if varied(np.repeat(places, drawn, axis=0)):
            counts.append(drawn.astype(float))
    return np.array(counts)


def varied(places: Floats) -> bool:
    """Whether sizes and tokens can be told apart at all: places that do not stand in a row."""
    centred = np.log(places) - np.log(places).mean(axis=0)
    smallest = np.linalg.svd(centred, compute_uv=False)[-1]
    return bool(smallest > 0.1 * np.sqrt(len(places)))


@dataclass(frozen=True)
class Gap:
    """How far above the best loss of a sweep a predicted pair lies, in per cent of the loss."""

    params: float
    tokens: float
    smooth: float  # on a quartic through the sweep
    nearest: float  # at the nearest pair that was trained, against the luckiest


def leave_one_out(runs: Observations, delta: float = DELTA) -> list[Gap]:
    """Each sweep's gap at the pair that the other sweeps predict."""
    near = nearby(runs)
    theta = descend(near, start(), delta)[0]
    gaps = []
    for number, (params, tokens) in enumerate(near.places):
        others = descend(near.without(number), theta, delta)[0]
        lr, batch = LAW.optimum(list(others), {"params": params, "tokens": tokens})
        gaps.append(gap(runs, float(params), float(tokens), float(lr), float(batch)))
    return gaps


def gap(runs: Observations, params: float, tokens: float, lr: float, batch: float) -> Gap:
    """Of one sweep, at the pair whose logs are given."""
    own = runs.take((runs["params"] == params) & (runs["tokens"] == tokens))
    place = np.array([lr, batch])
    losses = np.log(own["loss"])
    pairs = np.log(np.stack([own["learning_rate"], own["batch_tokens"]], axis=1))
    at = int(np.argmin(np.sum((pairs - place) ** 2, axis=1)))
    nearest = 100 * float(np.expm1(losses[at] - losses.min()))
    return Gap(params, tokens, smooth_gap(pairs, losses, place), nearest)


def smooth_gap(pairs: Floats, losses: Floats, place: Floats) -> float:
    """On a quartic through the runs within 3 % of the best, against its own lowest point there."""
    keep = losses < losses.min() + np.log1p(0.03)
    pairs, losses = pairs[keep], losses[keep]
    middle, spread = pairs.mean(axis=0), pairs.std(axis=0)
    quartic = np.linalg.lstsq(_quartic((pairs - middle) / spread), losses, rcond=None)[0]
    axes = [np.linspace(low, high, 121) for low, high in zip(*_box(pairs), strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    lowest = float((_quartic((grid - middle) / spread) @ quartic).min())
    inside = np.clip(place, *_box(pairs))
    here = float((_quartic((inside[None] - middle) / spread) @ quartic)[0])
    return 100 * float(np.expm1(here - lowest))


def _quartic(points: Floats) -> Floats:
    x, y = points.T
    return np.stack([x**i * y**j for i in range(5) for j in range(5 - i)], axis=1)


def _box(pairs: Floats) -> tuple[Floats, Floats]:
    return pairs.min(axis=0), pairs.max(axis=0)
