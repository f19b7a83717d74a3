"""Loss of a mixture of experts from how finely its experts are split.

Krajewski et al. 2024, "Scaling Laws for Fine-Grained Mixture of Experts" (arXiv 2402.07871):
L = c + (g / G^gamma + a) / N^alpha + b / D^beta, at 64 experts. It falls with G for
ever and so cannot express an optimal granularity (arXiv 2507.17702 finds one near 12); its G counts
4 d / d_expert where theirs counts 2 d / d_expert. The dense baseline is in chinchilla.py.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns, Conventions
from assay.scaling.slopes import Floats, log_sum_exp

KRAJEWSKI_2024 = Published(
    name="krajewski2024",
    source="Krajewski et al. 2024 (arXiv 2402.07871), mixture of experts",
    coefficients={
        "c": 0.47,
        "g": 2.1,
        "gamma": 0.58,
        "a": 18.1,
        "alpha": 0.115,
        "b": 30.8,
        "beta": 0.147,
    },
    mark="second-hand",
    range={"params": (1.29e8, 3.7e9), "tokens": (1.6e10, 1.3e11), "granularity": (1, 16)},
    conventions=Conventions(params="total", loss="nats/token"),
    note="64 experts throughout; that all parameters count is inferred here: with active ones the"
    " mixture would lose to its own dense baseline",
)


@dataclass(frozen=True)
class FineGrained:
    """Loss of N parameters on D tokens with experts split G ways."""

    name: str = "krajewski"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("params", "tokens", "granularity")
    parameters: tuple[Parameter, ...] = (
        Parameter("c", (0.1, 2.0), positive=True, linear=True),
        Parameter("g", (0.5, 10.0), positive=True, linear=True),
        Parameter("gamma", (0.2, 1.5)),
        Parameter("a", (1.0, 1e3), positive=True, linear=True),
        Parameter("alpha", (0.08, 0.5)),
        Parameter("b", (1.0, 1e3), positive=True, linear=True),
        Parameter("beta", (0.08, 0.5)),
    )
    published: tuple[Published, ...] = (KRAJEWSKI_2024,)

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        c, g, gamma, a, alpha, b, beta = theta
        model = log_sum_exp(np.log(g) - gamma * np.log(x["granularity"]), np.log(a))
        return log_sum_exp(
            np.log(c), model - alpha * np.log(x["params"]), np.log(b) - beta * np.log(x["tokens"])
        )
