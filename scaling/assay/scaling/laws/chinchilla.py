"""Loss from model size and training tokens: E + A / N^alpha + B / D^beta.

Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models" (arXiv 2203.15556), approach
3, equation 2 and appendix D.3; refitted by Besiroglu et al. 2024, "Chinchilla Scaling: A
replication attempt" (arXiv 2404.10102), whose 240 runs were read off a figure of the first paper.
Approaches 1 and 2 are in envelope.py and isoflop.py; where they disagree with this one beyond
their intervals, believe none of them blindly.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns, Conventions
from assay.scaling.slopes import Floats, log_sum_exp

MASSIVE_TEXT = Conventions(params="total", loss="nats/token", tokenizer="chinchilla")
# Smallest and largest of the 240 runs, measured here on the released table.
EPOCH_RANGE: Mapping[str, tuple[float, float]] = {
    "params": (5.73e7, 1.62e10),
    "tokens": (8.19e8, 3.18e11),
    "compute": (1.40e18, 1.30e22),
}

EPOCH_240 = Published(
    name="epoch240",
    source="the 240 runs of Besiroglu et al. 2024 (arXiv 2404.10102), fitted by this package with"
    " sum-Huber 1e-3: objective .0010182740178, lower than any published",
    coefficients={
        "E": 1.817218098,
        "A": 477.8258664,
        "B": 2143.417354,
        "alpha": 0.3473104985,
        "beta": 0.3671724323,
    },
    mark="verified",
    range=EPOCH_RANGE,
    conventions=MASSIVE_TEXT,
)
BESIROGLU = Published(
    name="besiroglu2024",
    source="Besiroglu et al. 2024 (arXiv 2404.10102), table 1 and notebook",
    coefficients={"E": 1.8169, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658},
    mark="verified",
    range=EPOCH_RANGE,
    conventions=MASSIVE_TEXT,
    note="standard errors .0257, 124.5, 1293, .0154, .0206; the text prints E as 1.8172",
)
HOFFMANN = Published(
    name="hoffmann2022",
    source="Hoffmann et al. 2022 (arXiv 2203.15556), equation 10",
    coefficients={"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28},
    mark="second-hand",
    range=EPOCH_RANGE,
    conventions=MASSIVE_TEXT,
    note="its optimiser stopped early: chi-squared 238 against the same runs (Besiroglu 2024)",
)
KRAJEWSKI_DENSE = Published(
    name="krajewski2024-dense",
    source="Krajewski et al. 2024 (arXiv 2402.07871), dense baseline",
    coefficients={"E": 0.47, "A": 16.3, "B": 26.7, "alpha": 0.126, "beta": 0.127},
    mark="second-hand",
    range={"params": (1.29e8, 3.7e9), "tokens": (1.6e10, 1.3e11)},
    conventions=Conventions(loss="nats/token"),
)


@dataclass(frozen=True)
class Chinchilla:
    """Loss of a model of N parameters trained on D tokens, each seen once."""

    name: str = "chinchilla"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("params", "tokens")
    parameters: tuple[Parameter, ...] = (
        Parameter("E", (0.1, 2.5), positive=True, linear=True, meaning="loss that no size removes"),
        Parameter("A", (1.0, 1e6), positive=True, linear=True, meaning="cost of a finite model"),
        Parameter("B", (1.0, 1e6), positive=True, linear=True, meaning="cost of finite data"),
        Parameter("alpha", (0.1, 0.8), meaning="how fast the model's cost falls"),
        Parameter("beta", (0.1, 0.8), meaning="how fast the data's cost falls"),
    )
    published: tuple[Published, ...] = (EPOCH_240, BESIROGLU, HOFFMANN, KRAJEWSKI_DENSE)

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        E, A, B, alpha, beta = theta
        return log_sum_exp(
            np.log(E),
            np.log(A) - alpha * np.log(x["params"]),
            np.log(B) - beta * np.log(x["tokens"]),
        )


def optimum(theta: Floats, compute: Floats | float) -> tuple[Floats, Floats]:
    """Parameters and tokens of least loss at C = 6ND (Hoffmann 2022, equation 4).

    `theta` (..., 5) in the order of `Chinchilla.parameters`; its leading axes and `compute`
    broadcast.
    """
    _, A, B, alpha, beta = np.moveaxis(np.asarray(theta, float), -1, 0)
    balance = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    pairs = np.asarray(compute, float) / 6
    params = balance * pairs ** (beta / (alpha + beta))
    return params, pairs / params
