"""Loss of a model trained in few bits: low precision makes a model act smaller.

Kumar et al. 2024, "Scaling Laws for Precision" (arXiv 2411.04330): Chinchilla's law with
N_eff = N (1 - exp(-P / gamma)) for P bits. The form is quoted at second hand; with one precision
for weights, activations and cache the factor is cubed (`parts` = 3). Coefficients were not seen
here; the optimum of 7-8 bits that the paper reports follows from gamma of about 4 with parts = 3.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns
from assay.scaling.slopes import Floats, log_sum_exp


@dataclass(frozen=True)
class Precision:
    """Loss of N parameters of P bits trained on D tokens."""

    name: str = "precision"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("params", "tokens", "bits")
    parameters: tuple[Parameter, ...] = (
        Parameter("E", (0.1, 2.5), positive=True, linear=True),
        Parameter("A", (1.0, 1e6), positive=True, linear=True),
        Parameter("B", (1.0, 1e6), positive=True, linear=True),
        Parameter("alpha", (0.1, 0.8)),
        Parameter("beta", (0.1, 0.8)),
        Parameter("gamma", (1.0, 6.0), positive=True, meaning="bits that give 63 % of the size"),
    )
    published: tuple[Published, ...] = ()
    parts: int = 1

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        E, A, B, alpha, beta, gamma = theta
        kept = self.parts * np.log(-np.expm1(-x["bits"] / gamma))
        return log_sum_exp(
            np.log(E),
            np.log(A) - alpha * (np.log(x["params"]) + kept),
            np.log(B) - beta * np.log(x["tokens"]),
        )


def best_bits(gamma: float, parts: int = 3) -> float:
    """Bits of least loss when compute is proportional to N D P, and N may grow as P shrinks.

    Maximises (1 - exp(-P/gamma))^parts / P; with u = P/gamma that is exp(u) = 1 + parts u. With one
    part there is no optimum above zero bits: every bit saved is better spent on size.
    """
    u = 2.0
    for _ in range(60):
        u = float(np.log1p(parts * u))
    return gamma * u
