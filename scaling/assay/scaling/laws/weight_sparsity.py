"""Weight sparsity: the loss of a model most of whose weights are zero.

Frantar et al. 2023, "Scaling laws for sparsely-connected foundation models" (arXiv 2309.08520),
equation 1, with N the non-zero parameters and S their missing share:

    L = (a_S (1 - S)^b_S + c_S) (1 / N)^b_N + (a_D / D)^b_D + c

Its coefficients were not found here: fit it to runs of your own.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns
from assay.scaling.slopes import Floats, log_sum_exp


@dataclass(frozen=True)
class WeightSparsity:
    """Loss from sparsity, non-zero parameters and tokens."""

    name: str = "weight-sparsity"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("sparsity", "params", "tokens")
    parameters: tuple[Parameter, ...] = (
        Parameter("a_S", (0.5, 100.0), positive=True, linear=True),
        Parameter("b_S", (0.2, 1.5)),
        Parameter("c_S", (0.1, 10.0), positive=True, linear=True),
        Parameter("b_N", (0.1, 0.5)),
        Parameter("a_D", (1e5, 1e10), positive=True, meaning="tokens at which data cost 1 nat"),
        Parameter("b_D", (0.1, 0.6)),
        Parameter("c", (0.3, 2.5), positive=True, linear=True, meaning="loss that remains"),
    )
    published: tuple[Published, ...] = ()

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        a_S, b_S, c_S, b_N, a_D, b_D, c = theta
        kept = np.log1p(-np.asarray(x["sparsity"]))
        size = b_N * np.log(x["params"])
        return log_sum_exp(
            np.log(a_S) + b_S * kept - size,
            np.log(c_S) - size,
            b_D * (np.log(a_D) - np.log(x["tokens"])),
            np.log(c),
        )
