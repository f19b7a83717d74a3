"""What is left of the loss when data are limited and compute is not.

Kim et al. 2025, "Pre-training under infinite compute" (arXiv 2509.14786). With weight decay tuned
(about 30 times the usual), loss falls as a power law of size to an asymptote; an ensemble of K
models, their logits averaged, falls as 1/K to a lower one; both limits together lie lower still.
An asymptote says what a recipe can reach, which a loss at one budget does not.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns, Conventions
from assay.scaling.slopes import Floats, log_sum_exp

DCLM_200M = Conventions(loss="nats/token")
# The paper counts N in billions; here params are params, so A = .05 * (1e9)^1.02.
A_200M = 0.05 * 1e9**1.02
AFTER_200M = "Kim et al. 2025 (arXiv 2509.14786), 200M tokens"

REGULARISED_200M = Published(
    name="kim2025-200M",
    source=f"{AFTER_200M}: .05 / N^1.02 + 3.43, N in billions",
    coefficients={"E": 3.43, "A": A_200M, "alpha": 1.02},
    mark="second-hand",
    range={"params": (1.5e8, 1.4e9)},
    conventions=DCLM_200M,
)
ENSEMBLE_300M = Published(
    name="kim2025-300M",
    source=f"{AFTER_200M}, 300M parameters: asymptote 3.34",
    coefficients={"E": 3.34, "A": 0.2607},
    mark="second-hand",
    range={"members": (1, 5)},
    conventions=DCLM_200M,
    note="A is derived here, so that one member has the loss of the regularised law at 300M; with"
    " twice the epochs and half the weight decay the asymptote is 3.27; the range is a guess",
)
JOINT_200M = Published(
    name="kim2025-joint-200M",
    source=f"{AFTER_200M}: joint asymptote 3.17",
    coefficients={"E": 3.17, "A": A_200M, "alpha": 1.02, "B": 0.2607},
    mark="unverified",
    range={"params": (1.5e8, 1.4e9), "members": (1, 5)},
    conventions=DCLM_200M,
    note="put together here: only the asymptote is the paper's",
)


@dataclass(frozen=True)
class Regularised:
    """Loss of one well-regularised model of N parameters on fixed data: E + A / N^alpha."""

    name: str = "regularised"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("params",)
    parameters: tuple[Parameter, ...] = (
        Parameter("E", (0.1, 4.0), positive=True, linear=True, meaning="loss of an endless model"),
        Parameter("A", (1.0, 1e12), positive=True, linear=True),
        Parameter("alpha", (0.2, 1.5)),
    )
    published: tuple[Published, ...] = (REGULARISED_200M,)

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        E, A, alpha = theta
        return log_sum_exp(np.log(E), np.log(A) - alpha * np.log(x["params"]))


@dataclass(frozen=True)
class Ensemble:
    """Loss of K models of one size, logits averaged: E + A / K."""

    name: str = "ensemble"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("members",)
    parameters: tuple[Parameter, ...] = (
        Parameter("E", (0.1, 4.0), positive=True, linear=True, meaning="loss of endless members"),
        Parameter("A", (0.01, 1.0), positive=True, linear=True),
    )
    published: tuple[Published, ...] = (ENSEMBLE_300M,)

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        E, A = theta
        return log_sum_exp(np.log(E), np.log(A) - np.log(x["members"]))


@dataclass(frozen=True)
class Joint:
    """Loss of K models of N parameters each: E + A / N^alpha + B / K.

    The paper takes the limits one after the other (members first, then size); this is the simplest
    law that has both.
    """

    name: str = "joint-asymptote"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("params", "members")
    parameters: tuple[Parameter, ...] = (
        Parameter("E", (0.1, 4.0), positive=True, linear=True, meaning="loss of both limits"),
        Parameter("A", (1.0, 1e12), positive=True, linear=True),
        Parameter("alpha", (0.2, 1.5)),
        Parameter("B", (0.01, 1.0), positive=True, linear=True),
    )
    published: tuple[Published, ...] = (JOINT_200M,)

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        E, A, alpha, B = theta
        return log_sum_exp(
            np.log(E), np.log(A) - alpha * np.log(x["params"]), np.log(B) - np.log(x["members"])
        )
