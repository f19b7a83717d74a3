"""Step Law: the learning rate and the batch size at which a dense model learns best.

Li et al. 2025, "Predictable Scale: Part I, Step Law" (arXiv 2503.04715 v7). Over 3,700 trainings,
each with its own pair of learning rate and batch size, give power laws of the best pair:

    learning rate = 1.79 params^-0.713 tokens^0.307        batch = 0.58 tokens^0.571  (in tokens)

`StepSurface` says more: not only where the optimum lies but what it costs to miss it. It is fitted
to whole sweeps (sweeps.py), not to their noisy minima: the smallest of a hundred noisy losses is
lucky as well as good, and its place wanders.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.laws.power import Power
from assay.scaling.observations import Columns, Conventions
from assay.scaling.slopes import Floats

COUNTED = Conventions(params="non-embedding", loss="nats/token")
DENSE = {"params": (6e7, 1.07e9), "tokens": (2e9, 1e11)}  # section 3.4.1 and the released table
MOE = {"params": (2.15e9, 2.16e9), "tokens": (2e9, 2e10)}  # total; the 16 released sweeps

PAPER = "Li et al. 2025, Step Law, arXiv 2503.04715 v7, equation 1"
MIXTURES = "li2025-moe"  # the set whose range is that of the released mixtures
NOTE = (
    "Runs end at a learning rate of 1e-5. For a mixture of experts count total parameters: on the"
    " 16 released MoE sweeps the loss is then 0.16 % above the best, with active ones 1.00 %"
)


@dataclass(frozen=True)
class StepLearningRate(Power):
    """Peak learning rate from parameters and tokens."""

    name: str = "steplaw-lr"
    predicts: str = "learning_rate"
    inputs: tuple[str, ...] = ("params", "tokens")
    published: tuple[Published, ...] = (
        Published(
            "li2025",
            PAPER,
            {"scale": 1.79, "params": -0.713, "tokens": 0.307},
            mark="verified",
            range=DENSE,
            conventions=COUNTED,
            note=NOTE,
        ),
        Published(
            MIXTURES,
            PAPER,
            {"scale": 1.79, "params": -0.713, "tokens": 0.307},
            mark="verified",
            range=MOE,
            conventions=COUNTED,
            note=NOTE,
        ),
    )


@dataclass(frozen=True)
class StepBatch(Power):
    """Batch size in tokens from tokens alone; the authors found no effect of the size."""

    name: str = "steplaw-batch"
    predicts: str = "batch_tokens"
    inputs: tuple[str, ...] = ("tokens",)
    published: tuple[Published, ...] = (
        Published(
            "li2025",
            PAPER,
            {"scale": 0.58, "tokens": 0.571},
            mark="verified",
            range={"tokens": DENSE["tokens"]},
            conventions=COUNTED,
        ),
        Published(
            MIXTURES,
            PAPER,
            {"scale": 0.58, "tokens": 0.571},
            mark="verified",
            range={"tokens": MOE["tokens"]},
            conventions=COUNTED,
        ),
    )


# Where the surface is centred: about the middle of the released sweeps. Coefficients that are
# read off at the centre are hardly correlated with the exponents; at 1 parameter they would be.
CENTRE = {"params": 5e8, "tokens": 2e10}
TERMS = tuple((i, j) for order in (2, 3, 4) for i in range(order, -1, -1) for j in (order - i,))
SHAPE = tuple("u" * i + "v" * j for i, j in TERMS)


def _shape_parameters() -> tuple[Parameter, ...]:
    def start(i: int, j: int) -> tuple[float, float]:
        if (i, j) in ((2, 0), (0, 2)):
            return (0.005, 0.03)
        return (-0.005, 0.005)

    return tuple(
        Parameter(name, start(i, j), meaning=f"of u^{i} v^{j} in the log of the excess loss")
        for name, (i, j) in zip(SHAPE, TERMS, strict=True)
    )


RELEASED = Published(
    "released-sweeps",
    "the 17 dense sweeps released with Li et al. 2025 (step-law/steplaw at 32a8f4cc), fitted by"
    " this package: 1,225 runs within 3 % of the best of their sweep, sum-Huber 1e-3",
    {
        "lr": 1.714e-3,
        "lr_params": -0.6357,
        "lr_tokens": 0.2597,
        "batch": 3.952e5,
        "batch_params": -0.1337,
        "batch_tokens": 0.6007,
        "uu": 7.761e-3,
        "uv": -5.023e-3,
        "vv": 6.8e-3,
        "uuu": 2.337e-3,
        "uuv": -6.285e-4,
        "uvv": 2.886e-3,
        "vvv": -8.429e-4,
        "uuuu": 2.921e-4,
        "uuuv": -4.553e-5,
        "uuvv": 5.666e-4,
        "uvvv": -3.113e-4,
        "vvvv": 1.118e-4,
    },
    mark="verified",
    range={"params": (2.15e8, 1.07e9), "tokens": (4e9, 1e11)},
    conventions=COUNTED,
    note="leave one sweep out: 0.029 % above the best on average, 0.136 % at most; measured here",
)


@dataclass(frozen=True)
class StepSurface:
    """Loss over the best loss of its sweep, as a quartic around an optimum that follows power laws.

    With u = log(learning rate / best), v = log(batch / best): the log of the excess is a
    polynomial in u and v of orders 2 to 4, one for all sweeps. Unlike the paper's law the best
    batch may depend on the size as well: on the released sweeps that halves the gap.
    """

    name: str = "steplaw"
    predicts: str = "excess"
    inputs: tuple[str, ...] = ("params", "tokens", "learning_rate", "batch_tokens")
    parameters: tuple[Parameter, ...] = (
        Parameter("lr", (1e-3, 4e-3), positive=True, meaning="best at 5e8 parameters, 2e10 tokens"),
        Parameter("lr_params", (-0.9, -0.4)),
        Parameter("lr_tokens", (0.1, 0.4)),
        Parameter("batch", (2e5, 8e5), positive=True, meaning="best in tokens, at the same place"),
        Parameter("batch_params", (-0.3, 0.1)),
        Parameter("batch_tokens", (0.4, 0.7)),
        *_shape_parameters(),
    )
    published: tuple[Published, ...] = (RELEASED,)

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        best_lr, best_batch = self.optimum(theta, x)
        u = np.log(x["learning_rate"]) - best_lr
        v = np.log(x["batch_tokens"]) - best_batch
        return self.excess(theta, u, v)

    def optimum(self, theta: Theta, x: Columns) -> tuple[Floats, Floats]:
        """Logs of the best learning rate and of the best batch."""
        lr, lr_params, lr_tokens, batch, batch_params, batch_tokens, *_ = theta
        n = np.log(np.asarray(x["params"]) / CENTRE["params"])
        d = np.log(np.asarray(x["tokens"]) / CENTRE["tokens"])
        return (
            np.log(lr) + lr_params * n + lr_tokens * d,
            np.log(batch) + batch_params * n + batch_tokens * d,
        )

    def excess(self, theta: Theta, u: Floats, v: Floats) -> Floats:
        """Log of loss over best loss, this far (in logs) from the best pair."""
        uu, uv, vv, uuu, uuv, uvv, vvv, uuuu, uuuv, uuvv, uvvv, vvvv = theta[6:]
        second = uu * u * u + uv * u * v + vv * v * v
        third = uuu * u * u * u + uuv * u * u * v + uvv * u * v * v + vvv * v * v * v
        fourth = (
            uuuu * u * u * u * u
            + uuuv * u * u * u * v
            + uuvv * u * u * v * v
            + uvvv * u * v * v * v
            + vvvv * v * v * v * v
        )
        return second + third + fourth
