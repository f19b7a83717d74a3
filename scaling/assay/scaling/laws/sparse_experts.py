"""Loss of a mixture of experts from the share of its parameters that a token leaves idle.

Abnar et al. 2025, "Parameters vs FLOPs: Scaling Laws for Optimal Sparsity for Mixture-of-Experts
Language Models" (arXiv 2501.12370):

    L = a / N^alpha + b / D^beta + c / (1 - S)^lambda + d / ((1 - S)^delta N^gamma) + e,

with N all parameters and S the sparsity. R^2 was 99 % on its runs but 68 % on those held out at
S = .98: do not extrapolate it in S.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns, Conventions
from assay.scaling.slopes import Floats, log_sum_exp

ABNAR_2025 = Published(
    name="abnar2025",
    source="Abnar et al. 2025 (arXiv 2501.12370)",
    coefficients={
        "a": 16612.5,
        "alpha": 0.5962,
        "b": 5455.67,
        "beta": 0.3954,
        "c": 0.4598,
        "lambda": -0.1666,
        "d": 17.26,
        "delta": 0.1603,
        "gamma": 0.1595,
        "e": 0.94,
    },
    mark="second-hand",
    range={"sparsity": (0.0, 0.98)},
    conventions=Conventions(params="total", loss="nats/token"),
    note="held-out R^2 68 % at sparsity .98",
)


@dataclass(frozen=True)
class SparseExperts:
    """Loss of N parameters of which a token uses a share 1 - S, on D tokens."""

    name: str = "abnar"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("params", "tokens", "sparsity")
    parameters: tuple[Parameter, ...] = (
        Parameter("a", (1e2, 1e6), positive=True, linear=True),
        Parameter("alpha", (0.3, 0.8)),
        Parameter("b", (1e2, 1e6), positive=True, linear=True),
        Parameter("beta", (0.2, 0.6)),
        Parameter("c", (0.1, 1.0), positive=True, linear=True),
        Parameter("lambda", (-0.4, -0.05)),
        Parameter("d", (1.0, 1e2), positive=True, linear=True),
        Parameter("delta", (0.05, 0.4)),
        Parameter("gamma", (0.05, 0.3)),
        Parameter("e", (0.1, 2.0), positive=True, linear=True),
    )
    published: tuple[Published, ...] = (ABNAR_2025,)

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        a, alpha, b, beta, c, lambda_, d, delta, gamma, e = theta
        size, dense = np.log(x["params"]), np.log1p(-x["sparsity"])
        return log_sum_exp(
            np.log(a) - alpha * size,
            np.log(b) - beta * np.log(x["tokens"]),
            np.log(c) - lambda_ * dense,
            np.log(d) - delta * dense - gamma * size,
            np.log(e),
        )
