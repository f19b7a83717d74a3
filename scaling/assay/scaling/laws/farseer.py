"""Loss whose data exponent depends on the size of the model.

Li et al. 2025, "Farseer: A Refined Scaling Law in Large Language Models" (arXiv 2506.10972):

    L = exp(a3 N^gamma + b3) + exp(a2 N^beta + b2) D^(-exp(a1 N^alpha + b1)).

Unlike Chinchilla's, its optimal tokens per parameter rise with compute. Nine parameters need a
full grid of sizes and tokens. The form is quoted at second hand and coefficients were never seen
here, so that there is nothing published to plan with: fit it.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns
from assay.scaling.slopes import Floats, log_sum_exp


@dataclass(frozen=True)
class Farseer:
    """Loss of N parameters on D tokens, with size-dependent data terms."""

    name: str = "farseer"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("params", "tokens")
    # Starts: terms of the size of a loss for N from 1e8 to 1e10; signs as a falling loss has them.
    parameters: tuple[Parameter, ...] = (
        Parameter("a1", (-0.3, -0.05)),
        Parameter("b1", (0.0, 0.6)),
        Parameter("alpha", (0.08, 0.16)),
        Parameter("a2", (40.0, 120.0)),
        Parameter("b2", (-8.0, -3.0)),
        Parameter("beta", (-0.14, -0.07)),
        Parameter("a3", (-0.05, -0.01)),
        Parameter("b3", (0.0, 0.5)),
        Parameter("gamma", (0.12, 0.2)),
    )
    published: tuple[Published, ...] = ()

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        a1, b1, alpha, a2, b2, beta, a3, b3, gamma = theta
        size, tokens = np.log(x["params"]), np.log(x["tokens"])
        floor = a3 * np.exp(gamma * size) + b3
        height = a2 * np.exp(beta * size) + b2
        speed = np.exp(a1 * np.exp(alpha * size) + b1)
        return log_sum_exp(floor, height - speed * tokens)
