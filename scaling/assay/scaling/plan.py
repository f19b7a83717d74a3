"""From a budget to a model: size, tokens and loss, each as a distribution.

    plan(known("chinchilla"), PlanSpec(compute=5.76e23)).dense.params     # 73.2e9, 95 % from .. to
    plan(learned(bootstrap), PlanSpec(compute=1e22, unique_tokens=5e10))  # from runs of one's own

The best split of C = 6 N D is searched for every replicate of the law's coefficients at once, so
that intervals hold for whatever law is used: the best of each replicate, not the replicates of the
best. Compute may be split three ways: training tokens, tokens served later (2 N each), and size.
Beside every number stands how far, in decades, it lies outside the runs that the law came from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from assay.scaling import architecture
from assay.scaling.errors import OutOfReach
from assay.scaling.law import Law, Published, coefficients, decades_outside, find_published
from assay.scaling.laws.chinchilla import Chinchilla
from assay.scaling.laws.leverage import EfficiencyLeverage, best_granularity
from assay.scaling.laws.ling import LingSize
from assay.scaling.laws.repeated import Repeated
from assay.scaling.observations import Conventions
from assay.scaling.slopes import Floats
from assay.scaling.spreads import draws

if TYPE_CHECKING:  # at run time a plan from published numbers need not wait for scipy
    from assay.scaling.bootstrap import Bootstrap

REPLICATES = 2000
GRID = 49  # sizes looked at in each round; a round narrows the search by 24
ROUNDS = 4
WIDEST = np.log(1e5)  # between the best size and the square root of compute / 6
SMALLEST = 1e6  # parameters
NEARLY = 1e-3  # of the loss: sizes this close to the best are as good


@dataclass(frozen=True)
class Known:
    """A law of the loss with its coefficients, and what they might also have been."""

    law: Law
    theta: Floats
    replicates: Floats | None  # (replicates, parameters)
    range: Mapping[str, tuple[float, float]]
    source: str
    mark: str
    conventions: Conventions
    note: str = ""


def known(law: Law | None = None, published: str | None = None) -> Known:
    """From what was published; with replicates where they could be measured (spreads.py)."""
    law = law or Chinchilla()
    chosen = find_published(law, published)
    return Known(
        law,
        coefficients(law, chosen),
        draws(law, chosen, REPLICATES),
        chosen.range,
        f"{law.name}, {chosen.name}: {chosen.source}",
        chosen.mark,
        chosen.conventions,
        chosen.note,
    )


def learned(replicates: "Bootstrap") -> Known:
    """From a fit and its bootstrap."""
    found = replicates.fit
    runs = found.runs
    spans = {
        name: (float(column.min()), float(column.max()))
        for name, column in runs.columns.items()
        if name in ("params", "tokens", "compute", "unique_tokens")
    }
    return Known(
        found.law,
        found.theta,
        replicates.thetas,
        spans,
        f"{found.law.name}, fitted to {len(runs)} runs of {runs.source}",
        "verified",
        runs.conventions,
    )


FEWEST_TOKENS = 1e6  # a hundredth of the least in the runs of Muennighoff et al. 2023 (1e8)


@dataclass(frozen=True)
class MixtureSpec:
    """Which mixture to set beside the dense model."""

    activation: float = 0.05  # active share of experts
    granularity: float | None = None  # the best, unless given

    def __post_init__(self) -> None:
        if not 0 < self.activation <= 1:
            raise OutOfReach(f"activation is {self.activation:g}: a share above 0 and up to 1")
        if self.granularity is not None and not self.granularity >= 1:
            raise OutOfReach(f"granularity is {self.granularity:g}: 1 or more")


@dataclass(frozen=True)
class PlanSpec:
    """What there is to spend, and on what terms."""

    compute: float  # FLOPs, of training and serving together
    unique_tokens: float | None = None
    inference_tokens: float = 0.0
    params: float | None = None  # given, not searched for
    mixture: MixtureSpec | None = None
    sequence: int = 4096

    def __post_init__(self) -> None:
        for name in ("compute", "unique_tokens", "params"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise OutOfReach(f"{name} is {value:g}; it is a finite number above 0")
        if self.unique_tokens is not None and self.unique_tokens < FEWEST_TOKENS:
            raise OutOfReach(
                f"unique_tokens is {self.unique_tokens:g}: a count of tokens, such as 5e10; no law"
                f" of repeats saw fewer than {FEWEST_TOKENS:g}"
            )
        if not (np.isfinite(self.inference_tokens) and self.inference_tokens >= 0):
            raise OutOfReach(f"inference_tokens is {self.inference_tokens:g}; 0 or more")
        if self.compute < 1e14:
            raise OutOfReach(
                f"{self.compute:g} FLOPs: too little to train any language model; the smallest"
                " published runs used 1e17"
            )


@dataclass(frozen=True)
class Band:
    """A number over the replicates: 95 % from low to high, 80 % from low80 to high80."""

    value: float
    low: float | None = None
    low80: float | None = None
    high80: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Split:
    """A way to spend the budget."""

    params: Band
    tokens: Band
    tokens_per_param: Band
    loss: Band
    epochs: float | None
    training_compute: float
    decades_outside: Mapping[str, float]


@dataclass(frozen=True)
class Mixture:
    """A mixture of experts of the same training compute, by efficiency leverage."""

    leverage: float
    activation: float
    granularity: float
    active_params: float  # without embeddings, like total_params
    total_params: float
    experts: int  # routed, in a layer
    active_experts: int
    tokens: float
    loss: Band  # of the dense model that has `leverage` times the compute
    dense_compute: float  # that this dense model would need
    shape: architecture.Shape
    decades_outside: Mapping[str, float]


@dataclass(frozen=True)
class Curve:
    """Loss against size at equal compute."""

    params: Floats
    loss: Floats
    low: Floats | None
    high: Floats | None


@dataclass(frozen=True)
class Plan:
    """What the budget buys, and how far to trust it."""

    spec: PlanSpec
    law: Known
    source: str
    counted: str  # which parameters: "total", "non-embedding"; empty if nobody said
    dense: Split
    nearly: tuple[float, float]  # sizes within NEARLY of the best loss
    mixture: Mixture | None
    curve: Curve
    warnings: tuple[str, ...]


def plan(law: Known, spec: PlanSpec) -> Plan:
    """The best split of the budget; of a given size, its tokens and loss."""
    law = with_repetition(law, spec)
    dense = split(law, spec)
    curve = isoflop(law, spec, dense.params.value)
    mixed = mixture(law, spec) if spec.mixture else None
    return Plan(
        spec=spec,
        law=law,
        source=law.source,
        counted=law.conventions.params,
        dense=dense,
        nearly=nearly(curve),
        mixture=mixed,
        curve=curve,
        warnings=tuple(warnings(law, spec, dense, mixed)),
    )


# The best split ------------------------------------------------------------------------


def split(law: Known, spec: PlanSpec) -> Split:
    best = law.theta[None] if law.replicates is None else np.vstack([law.theta, law.replicates])
    log_params = (
        best_size(law.law, best, spec)
        if spec.params is None
        else np.full(len(best), np.log(spec.params))
    )
    tokens = tokens_left(log_params, spec)
    if not np.isfinite(tokens[0]):
        raise OutOfReach(
            f"serving {spec.inference_tokens:.3g} tokens with {spec.params or SMALLEST:.3g}"
            f" parameters takes more than {spec.compute:.3g} FLOPs alone: nothing is left to train"
        )
    loss = np.exp(log_loss(law.law, best, log_params[:, None], spec)[:, 0])
    params = np.exp(log_params)
    x = {
        "params": params[:1],
        "tokens": tokens[:1],
        "compute": 6 * params[:1] * tokens[:1],
    }
    return Split(
        params=band(params),
        tokens=band(tokens),
        tokens_per_param=band(tokens / params),
        loss=band(loss),
        epochs=None if spec.unique_tokens is None else float(tokens[0] / spec.unique_tokens),
        training_compute=float(x["compute"][0]),
        decades_outside=outside(law, x),
    )


def best_size(law: Law, thetas: Floats, spec: PlanSpec) -> Floats:
    """log of the best size for each row of `thetas`: a grid that closes in, then a parabola."""
    middle = np.full(len(thetas), 0.5 * np.log(spec.compute / 6))
    half = WIDEST
    for _ in range(ROUNDS):
        offsets = np.linspace(-half, half, GRID)
        sizes = np.maximum(middle[:, None] + offsets, np.log(SMALLEST))
        losses = log_loss(law, thetas, sizes, spec)
        at = np.argmin(losses, axis=1)
        middle = sizes[np.arange(len(sizes)), at]
        half = offsets[1] - offsets[0]
    return middle + parabola(law, thetas, middle, half, spec)


def parabola(law: Law, thetas: Floats, middle: Floats, step: float, spec: PlanSpec) -> Floats:
    """Where the bowl through three points is lowest; no farther than one step."""
    points = middle[:, None] + np.array([-step, 0.0, step])
    left, here, right = log_loss(law, thetas, points, spec).T
    with np.errstate(invalid="ignore", divide="ignore"):
        move = 0.5 * step * (left - right) / (left - 2 * here + right)
    return np.where(np.isfinite(move), np.clip(move, -step, step), 0.0)


def tokens_left(log_params: Floats, spec: PlanSpec) -> Floats:
    """What remains for training tokens: (C - 2 N served) / 6 N; NaN where nothing does."""
    params = np.exp(log_params)
    left = (spec.compute - 2 * params * spec.inference_tokens) / (6 * params)
    return np.where(left > 0, left, np.nan)


def log_loss(law: Law, thetas: Floats, log_params: Floats, spec: PlanSpec) -> Floats:
    """Of sizes (replicates, sizes); infinite where the budget is spent on serving."""
    tokens = tokens_left(log_params, spec)
    possible = np.isfinite(tokens)
    safe = np.where(possible, tokens, 1.0)
    x = {"params": np.exp(log_params), "tokens": safe, "compute": 6 * np.exp(log_params) * safe}
    if spec.unique_tokens is not None:
        x["unique_tokens"] = np.minimum(safe, spec.unique_tokens)
    missing = [name for name in law.inputs if name not in x]
    if missing:
        raise OutOfReach(
            f"{law.name} reads {', '.join(law.inputs)}; a plan cannot tell it {', '.join(missing)}."
            " Plan with a law of params and tokens, such as chinchilla"
        )
    values = law.log_value([column[:, None] for column in thetas.T], x)
    return np.where(possible & np.isfinite(values), values, np.inf)


def band(draws: Floats) -> Band:
    """The first is the estimate, the others its replicates."""
    value = float(draws[0])
    rest = draws[1:][np.isfinite(draws[1:])]
    if len(rest) == 0:
        return Band(value)
    low, low80, high80, high = np.quantile(rest, [0.025, 0.1, 0.9, 0.975])
    return Band(value, float(low), float(low80), float(high80), float(high))


def outside(law: Known, x: Mapping[str, Floats]) -> dict[str, float]:
    return decades_outside(Published("", "", {}, "verified", law.range), x)


# Beside it -----------------------------------------------------------------------------


def isoflop(law: Known, spec: PlanSpec, params: float) -> Curve:
    """A decade to either side of the best size."""
    sizes = np.log(params) + np.linspace(-np.log(10), np.log(10), 121)
    middle = np.exp(log_loss(law.law, law.theta[None], sizes[None], spec)[0])
    kept = np.isfinite(middle)
    sizes, middle = sizes[kept], middle[kept]
    low = high = None
    if law.replicates is not None:
        spread = log_loss(law.law, law.replicates, sizes[None], spec)
        low, high = np.exp(np.quantile(spread, [0.025, 0.975], axis=0))
    return Curve(np.exp(sizes), middle, low, high)


def path(found: Plan, computes: Floats, replicates: int = 300) -> list[Split]:
    """The best split at other budgets, for a picture of how far this one is extrapolated.

    Budgets must leave something beside serving: `enough` is the least.
    """
    thin = None if found.law.replicates is None else found.law.replicates[:replicates]
    law = replace(found.law, replicates=thin)
    return [split(law, replace(found.spec, compute=float(c), params=None)) for c in computes]


def enough(spec: PlanSpec) -> float:
    """A budget that serves the smallest model twice over."""
    return 4 * SMALLEST * spec.inference_tokens


def nearly(curve: Curve) -> tuple[float, float]:
    good = curve.params[curve.loss <= curve.loss.min() * (1 + NEARLY)]
    return float(good.min()), float(good.max())


LEVERAGE, SIZE = EfficiencyLeverage(), LingSize()


def mixture(law: Known, spec: PlanSpec) -> Mixture:
    """A mixture of the same training compute, split as Ling splits it (laws/ling.py)."""
    wanted = spec.mixture or MixtureSpec()
    theta = coefficients(LEVERAGE)
    constants = dict(zip((p.name for p in LEVERAGE.parameters), map(float, theta), strict=True))
    granularity = wanted.granularity or best_granularity(constants["gamma"], constants["beta"])
    x = {
        "activation": np.array([wanted.activation]),
        "granularity": np.array([granularity]),
        "compute": np.array([spec.compute]),
    }
    leverage = float(np.exp(LEVERAGE.log_value(list(theta), x)[0]))
    per_token = float(np.exp(SIZE.log_value(list(coefficients(SIZE, "moe")), x)[0]))
    active = active_params(per_token, spec.sequence)
    shape = architecture.mixture(active, wanted.activation, granularity, spec.sequence)
    counted, experts = architecture.count(shape), shape.experts
    assert experts is not None
    equal = replace(spec, compute=leverage * spec.compute, params=None, mixture=None)
    return Mixture(
        leverage=leverage,
        activation=experts.activation,
        granularity=granularity,
        active_params=float(counted.active),
        total_params=float(counted.non_embedding),
        experts=experts.count,
        active_experts=experts.active,
        tokens=spec.compute / per_token,
        loss=split(law, equal).loss,
        dense_compute=equal.compute,
        shape=shape,
        decades_outside=decades_outside(LEVERAGE.published[0], x),
    )


def active_params(per_token: float, sequence: int) -> float:
    """The size whose FLOPs per token, attention included, are these."""
    active = per_token / 6
    for _ in range(8):
        shape = architecture.dense(max(active, SMALLEST), sequence)
        active = active * (per_token / architecture.deepseek(shape)) ** 0.7
    return max(active, SMALLEST)


def with_repetition(law: Known, spec: PlanSpec) -> Known:
    """Chinchilla's law cannot know that tokens repeat: lend it the discount of Muennighoff's."""
    if spec.unique_tokens is None or "unique_tokens" in law.law.inputs:
        return law
    if split(law, replace(spec, unique_tokens=None)).tokens.value <= spec.unique_tokens:
        return law
    if not isinstance(law.law, Chinchilla):
        raise OutOfReach(
            f"{law.law.name} does not know that tokens repeat, and the budget calls for more than"
            f" {spec.unique_tokens:.3g}: plan with chinchilla or muennighoff"
        )
    discount = coefficients(Repeated())[5:]
    replicates = law.replicates
    if replicates is not None:
        replicates = np.hstack([replicates, discounts(len(replicates))])
    return replace(
        law,
        law=Repeated(),
        theta=np.concatenate([law.theta, discount]),
        replicates=replicates,
        source=f"{law.source}; repeats discounted as by Muennighoff et al. 2023",
        note=f"{law.note}; R_D and R_N are not identified by the runs they came from",
    )


# What a repeated token, and a parameter too many, may be worth: R_D from the low end of its 95 %
# profile on the 182 runs to the lowest objective, R_N all of its profile; scaling/NOTES.md.
R_D, R_N = (5.2, 95.4), (0.36, 19.0)


def discounts(count: int, seed: int = 0) -> Floats:
    """Drawn evenly in the log: the runs say no more, and one number would claim they did."""
    low, high = np.log([R_D, R_N]).T
    return np.exp(np.random.default_rng(seed).uniform(low, high, (count, 2)))


# Warnings ------------------------------------------------------------------------------


def warnings(law: Known, spec: PlanSpec, dense: Split, mixed: Mixture | None) -> list[str]:
    return [
        *marks(law),
        *beyond(law, dense),
        *repeats(law, spec, dense),
        *mixture_warnings(spec, mixed),
    ]


def marks(law: Known) -> list[str]:
    said = []
    if law.mark != "verified":
        said.append(f"the coefficients of {law.source} are {law.mark}")
    if law.replicates is None:
        said.append(f"no replicates are known for {law.source}: single numbers, without intervals")
    return said


def beyond(law: Known, dense: Split) -> list[str]:
    said = []
    for name, far in dense.decades_outside.items():
        low, high = law.range[name]
        said.append(
            f"{name}: the runs behind this law reach from {low:.3g} to {high:.3g}; the plan lies"
            f" {far:.2f} decades outside"
        )
    return said


def repeats(law: Known, spec: PlanSpec, dense: Split) -> list[str]:
    if dense.epochs is None or dense.epochs <= 1:
        return []
    said = [
        f"{dense.epochs:.1f} epochs of {spec.unique_tokens:.3g} tokens; what a repeat is worth"
        " (R_D, R_N) is not identified by the 182 runs it was fitted to"
    ]
    if dense.epochs > 4:
        said.append("beyond some 4 epochs repeats are worth visibly less than new tokens")
    return said


def mixture_warnings(spec: PlanSpec, mixed: Mixture | None) -> list[str]:
    if mixed is None:
        return []
    said = [
        "efficiency leverage is one group's law of its own models; no raw runs are public, so the"
        " mixture's size, tokens and leverage have no intervals"
    ]
    published = LEVERAGE.published[0]
    for name, far in mixed.decades_outside.items():
        low, high = published.range[name]
        said.append(
            f"leverage: fitted to {name} from {low:.3g} to {high:.3g}; the plan lies {far:.2f}"
            " decades outside"
        )
    if spec.inference_tokens:
        said.append("the mixture spends the whole budget on training: serving is not counted")
    if spec.unique_tokens is not None and mixed.tokens > spec.unique_tokens:
        said.append("the mixture would repeat tokens too; its discount is not known")
    return said
