"""What every law says of one training, with its range and how far the training lies outside.

No law is preferred here, only asked: recommend.py puts one first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import exp

import numpy as np

from assay.scaling import architecture
from assay.scaling.errors import OutOfReach
from assay.scaling.law import Law, Published, coefficients, decades_outside, log_values
from assay.scaling.laws.deepseek import DeepSeekBatch, DeepSeekLearningRate
from assay.scaling.laws.ling import LingBatch, LingLearningRate
from assay.scaling.laws.ludziejewski import JointMoeLearningRate
from assay.scaling.laws.minicpm import MiniCpmBatch
from assay.scaling.laws.mup import MuTransfer
from assay.scaling.laws.porian import PorianLearningRate
from assay.scaling.laws.power_lines import PowerLinesBatch
from assay.scaling.laws.steplaw import MIXTURES, StepBatch, StepLearningRate, StepSurface
from assay.scaling.spreads import POWERS

# A decade and more below the smallest runs behind any law here: not advice, but numerology.
LEAST = {"params": 1e6, "tokens": 1e7}
MOST = {  # a hundred times anything that was ever planned, and more
    "params": 1e15,
    "tokens": 1e18,
    "sequence": 1e9,
    "experts": 1e6,
    "active_params": 1e15,
    "unique_tokens": 1e18,
    "loss": 100.0,
    "proxy_learning_rate": 100.0,
    "width_ratio": 1e6,
}
LEAST_ACTIVE = 1e4
LEAST_LOSS = 0.01  # nats per token; powers of less leave the range of numbers
OPTIONAL = ("active_params", "unique_tokens", "loss", "proxy_learning_rate", "width_ratio")
EDGE = 1.96  # standard deviations: 95 %


@dataclass(frozen=True)
class Request:
    """What is to be trained. Parameters without embeddings; of a mixture, `params` is the total."""

    params: float
    tokens: float
    sequence: int = 4096
    active_params: float | None = None  # of a mixture
    experts: float = 1  # routed experts in a layer, or total over active feed-forward parameters
    unique_tokens: float | None = None
    loss: float | None = None  # that is aimed at; some laws want it
    proxy_learning_rate: float | None = None  # tuned on a narrower model, under muP
    width_ratio: float | None = None  # width over the proxy's

    def __post_init__(self) -> None:
        for name in ("params", "tokens", "sequence", "experts"):
            check(name, getattr(self, name))
        for name in OPTIONAL:
            if (value := getattr(self, name)) is not None:
                check(name, value)
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise OutOfReach(
                    f"{name} is {getattr(self, name):g}: no law here saw a run within a decade of"
                    f" that; ask for at least {least:g}"
                )
        for name, most in MOST.items():
            if (getattr(self, name) or 0) > most:
                raise OutOfReach(
                    f"{name} is {getattr(self, name):g}: beyond anything that could be trained; ask"
                    f" for at most {most:g}"
                )
        if self.active_params is not None and self.active_params < LEAST_ACTIVE:
            raise OutOfReach(
                f"active_params is {self.active_params:g}; ask for at least {LEAST_ACTIVE:g}"
            )
        if self.loss is not None and self.loss < LEAST_LOSS:
            raise OutOfReach(f"loss is {self.loss:g}; a model aims at {LEAST_LOSS:g} or more")
        if self.active_params is not None and self.active_params > self.params:
            raise OutOfReach(
                f"{self.active_params:.3g} active parameters of {self.params:.3g}: at most all are"
            )
        if self.experts > 1 and self.active_params is None:
            raise OutOfReach("a mixture of experts needs its active parameters: --active-params")
        if (self.proxy_learning_rate is None) != (self.width_ratio is None):
            raise OutOfReach("muP needs both the proxy's learning rate and the ratio of widths")

    @property
    def is_mixture(self) -> bool:
        return self.active_params is not None and self.active_params < self.params

    @cached_property
    def columns(self) -> dict[str, float]:
        """What laws may read."""
        active = self.active_params or self.params
        known = {
            "params": self.params,
            "active_params": active,
            "tokens": self.tokens,
            "experts": self.experts,
            "compute": flops_per_token(active, self.sequence) * self.tokens,
            "loss": self.loss,
            "proxy_learning_rate": self.proxy_learning_rate,
            "width_ratio": self.width_ratio,
        }
        return {name: float(value) for name, value in known.items() if value is not None}


def check(name: str, value: float) -> None:
    if not (np.isfinite(value) and value > 0):
        raise OutOfReach(f"{name} is {value:g}; it is a finite number above 0")


def flops_per_token(active: float, sequence: int) -> float:
    """DeepSeek's and Ling's M, of a usual shape: attention included, embeddings not."""
    return architecture.deepseek(architecture.dense(max(active, 1e6), sequence))


@dataclass(frozen=True)
class Opinion:
    """What one law says."""

    quantity: str
    law: str
    value: float
    low: float | None  # 95 % interval, where the law's constants come with one
    high: float | None
    source: str
    mark: str
    range: Mapping[str, tuple[float, float]]
    outside: Mapping[str, float]  # decades beyond that range, by column
    cost: float | None  # per cent of the loss, if the primary answer is right; None: off the map
    note: str = ""

    @property
    def distance(self) -> float:
        """In decades of size: compute grows as its square, so that its decades count half."""
        return max((d / 2 if c == "compute" else d for c, d in self.outside.items()), default=0.0)


# In the order in which equals are preferred: by their gap on the released sweeps, of those that
# were tried there (0.044, 0.76, 1.0 % of the loss); a proxy that the user tuned comes before all.
LEARNING_RATES: tuple[Law, ...] = (
    MuTransfer(),
    StepLearningRate(),
    StepSurface(),
    LingLearningRate(),
    JointMoeLearningRate(),
    DeepSeekLearningRate(),
    PorianLearningRate(),
)
BATCHES: tuple[Law, ...] = (
    StepBatch(),
    StepSurface(),
    LingBatch(),
    DeepSeekBatch(),
    PowerLinesBatch(),
    MiniCpmBatch(),
)
TIMELESS = ("joint-moe-lr", "porian-lr")  # they know neither tokens nor compute
OF_DENSE = ("steplaw",)  # whose batch depends on a size that nobody counted for mixtures
OF_MIXTURES = ("ling-lr", "joint-moe-lr", "ling-batch")


def opinions(quantity: str, laws: tuple[Law, ...], request: Request) -> tuple[Opinion, ...]:
    """Of every law that can read what is known of the request."""
    known = request.columns
    return tuple(
        opinion(quantity, law, request)
        for law in laws
        if all(name in known or name in ("learning_rate", "batch_tokens") for name in law.inputs)
        and law.name not in (OF_DENSE if request.is_mixture else OF_MIXTURES)
    )


def opinion(quantity: str, law: Law, request: Request) -> Opinion:
    x = {name: np.array([value]) for name, value in request.columns.items()}
    published = fitting_set(law, request)
    value = predicted(quantity, law, published, x)
    spread = POWERS.get((law.name, quantity))
    factor = exp(EDGE * spread.log_sd(request.columns)) if spread else None
    return Opinion(
        quantity=quantity,
        law=law.name,
        value=value,
        low=value / factor if factor else None,
        high=value * factor if factor else None,
        source=published.source,
        mark=published.mark,
        range=published.range,
        outside=decades_outside(published, x),
        cost=None,
        note=published.note,
    )


def fitting_set(law: Law, request: Request) -> Published:
    """Step Law's constants were checked on mixtures too: over another range, with another gap."""
    mixtures = [p for p in law.published if p.name == MIXTURES]
    return mixtures[0] if request.is_mixture and mixtures else law.published[0]


def predicted(quantity: str, law: Law, published: Published, x: Mapping[str, np.ndarray]) -> float:
    theta = coefficients(law, published)
    if isinstance(law, StepSurface):
        learning_rate, batch = law.optimum(list(theta), x)
        return exp(float((learning_rate if quantity == "learning_rate" else batch)[0]))
    return exp(float(log_values(law, theta, x)[0]))
