"""Efficiency leverage: how much more compute a dense model needs for the loss of a mixture.

Tian et al. 2025, "Towards Greater Leverage" (arXiv 2507.17702), section 5, equation 9:

    EL(A, G, C) = Ahat^(alpha + gamma (log G)^2 + beta log G)        alpha = a + d log C
    1 / Ahat = 1 / (A + (1/A_start - 1/A_max)^-1) + 1 / A_max

A is the active share of experts (shared ones count as active), G the granularity
2 d_model / d_expert, C = M D the compute of the mixture, M non-embedding FLOPs per token.

The paper does not state the bases of its logarithms. Only log10 of C with log2 of G agrees with
what it reports (above 7 at A = 3.1 %, G = 12, C = 1e22; best G between 8 and 12); natural
logarithms put the best G at 33, log10 of G at 3184. It also calls d a positive constant, where its
table 2 has a negative one; the table is right. EL of a dense model comes out as 0.994, not 1.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns, Conventions
from assay.scaling.slopes import Floats


@dataclass(frozen=True)
class EfficiencyLeverage:
    """Dense compute over mixture compute at equal loss."""

    name: str = "leverage"
    predicts: str = "leverage"
    inputs: tuple[str, ...] = ("activation", "granularity", "compute")
    parameters: tuple[Parameter, ...] = (
        Parameter("a", (0.5, 2.0)),
        Parameter("d", (-0.15, 0.0), meaning="of log10 compute"),
        Parameter("gamma", (0.0, 0.05), meaning="of (log2 G)^2"),
        Parameter("beta", (-0.25, 0.0), meaning="of log2 G"),
        Parameter("A_start", (5e-3, 5e-2), positive=True, meaning="activation of saturation"),
        Parameter("A_max", (1e2, 1e17), positive=True),
    )
    published: tuple[Published, ...] = (
        Published(
            "tian2025",
            "Tian et al. 2025, arXiv 2507.17702, table 2",
            {
                "a": 1.23,
                "d": -7.61e-2,
                "gamma": 1.67e-2,
                "beta": -1.17e-1,
                "A_start": 1.63e-2,
                "A_max": 5.28e16,
            },
            mark="verified",
            range={"activation": (0.008, 1.0), "granularity": (2, 16), "compute": (1e18, 6e20)},
            conventions=Conventions(compute="MD"),
            note=(
                "bases of the logarithms inferred here; checked by the authors at 1e22 with one"
                " model; one shared expert; poor load balance moves the best granularity to 6-8"
            ),
        ),
    )

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        a, d, gamma, beta, start, most = theta
        fineness = np.log2(x["granularity"])
        exponent = a + d * np.log10(x["compute"]) + fineness * (gamma * fineness + beta)
        return exponent * self.log_saturated(start, most, x["activation"])

    def log_saturated(self, start: Floats, most: Floats, activation: Floats) -> Floats:
        """log Ahat: the activation, kept from having an effect below A_start."""
        offset = 1 / (1 / start - 1 / most)
        return -np.log(1 / (activation + offset) + 1 / most)


def best_granularity(gamma: float, beta: float) -> float:
    """Where the leverage peaks: the exponent of an activation below 1 is smallest there."""
    return float(2 ** (-beta / (2 * gamma)))
