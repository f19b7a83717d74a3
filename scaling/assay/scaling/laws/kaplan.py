"""Loss from model size and tokens, the first of its kind: [(Nc/N)^(aN/aD) + Dc/D]^aD.

Kaplan et al. 2020, "Scaling Laws for Neural Language Models" (arXiv 2001.08361), equation 1.5 and
table 2. N leaves embeddings out, and no irreducible loss is assumed: far beyond its runs it
promises too much.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns, Conventions
from assay.scaling.slopes import Floats, log_sum_exp

KAPLAN_2020 = Published(
    name="kaplan2020",
    source="Kaplan et al. 2020 (arXiv 2001.08361), table 2",
    coefficients={"N_c": 6.4e13, "D_c": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103},
    mark="second-hand",
    range={"params": (768, 1.5e9), "tokens": (2.2e7, 2.3e10)},
    conventions=Conventions(params="non-embedding", loss="nats/token", tokenizer="gpt2"),
    note="the range is from memory",
)


@dataclass(frozen=True)
class Kaplan:
    """Loss of a model of N non-embedding parameters stopped early on D tokens."""

    name: str = "kaplan"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("params", "tokens")
    parameters: tuple[Parameter, ...] = (
        Parameter("N_c", (1e11, 1e16), positive=True, meaning="size at which the loss would be 1"),
        Parameter("D_c", (1e11, 1e16), positive=True, meaning="tokens at which it would be 1"),
        Parameter("alpha_N", (0.03, 0.3)),
        Parameter("alpha_D", (0.03, 0.3)),
    )
    published: tuple[Published, ...] = (KAPLAN_2020,)

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        N_c, D_c, alpha_N, alpha_D = theta
        model = (alpha_N / alpha_D) * (np.log(N_c) - np.log(x["params"]))
        data = np.log(D_c) - np.log(x["tokens"])
        return alpha_D * log_sum_exp(model, data)
