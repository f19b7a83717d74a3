"""Loss when data are repeated: a repeated token, and a parameter too many, are worth less.

Muennighoff et al. 2023, "Scaling Data-Constrained Language Models" (arXiv 2305.16264), and
the authors' parametric_fit notebook. With U unique tokens seen R_D times more,

    L = E + A / N'^alpha + B / D'^beta,    D' = U + U R_D* (1 - exp(-R_D / R_D*)),

and the same for N' beyond the size that is optimal for U tokens. On the 182 released runs R_D* and
R_N* are not identified: the objective is lower at (95, 1.7) than at the published (15.4, 5.3).
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns, Conventions
from assay.scaling.slopes import Floats, log_sum_exp

MUENNIGHOFF_2023 = Published(
    name="muennighoff2023",
    source="Muennighoff et al. 2023 (arXiv 2305.16264), utils/parametric_fit.ipynb",
    coefficients={
        "E": float(np.exp(0.6254804)),
        "A": float(np.exp(6.255414)),
        "B": float(np.exp(7.3049974)),
        "alpha": 0.3526596,
        "beta": 0.3526596,
        "R_D": 15.387756,
        "R_N": 5.309743,
    },
    mark="verified",
    range={"params": (7.1e6, 8.67e9), "tokens": (1e8, 9e11), "unique_tokens": (1e8, 1.78e11)},
    conventions=Conventions(params="total", loss="nats/token", tokenizer="gpt2"),
    note="the first five were fitted to runs without repetition and then held; R_D and R_N are not"
    " identified by the 182 runs: 95 % of bootstraps reach from 6 to 3e9 and from .3 to 15",
)


@dataclass(frozen=True)
class Repeated:
    """Loss of N parameters after D tokens of which U are different."""

    name: str = "muennighoff"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("params", "tokens", "unique_tokens")
    parameters: tuple[Parameter, ...] = (
        Parameter("E", (0.1, 2.5), positive=True, linear=True),
        # Their sizes also set the optimal model for U, so that the loss is not linear in them.
        Parameter("A", (1e2, 1e4), positive=True),
        Parameter("B", (1e2, 1e4), positive=True),
        Parameter("alpha", (0.2, 0.5)),
        Parameter("beta", (0.2, 0.5)),
        Parameter("R_D", (2.0, 50.0), positive=True, meaning="repeats after which 63 % is used up"),
        Parameter("R_N", (1.0, 20.0), positive=True, meaning="the same for excess parameters"),
    )
    published: tuple[Published, ...] = (MUENNIGHOFF_2023,)

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        E, A, B, alpha, beta, R_D, R_N = theta
        unique = x["unique_tokens"]
        size = optimal_size(A, B, alpha, beta, unique)
        base = np.minimum(x["params"], size)
        log_model = log_worth(base, x["params"], R_N)
        log_data = log_worth(unique, x["tokens"], R_D)
        return log_sum_exp(np.log(E), np.log(A) - alpha * log_model, np.log(B) - beta * log_data)


def optimal_size(A: Floats, B: Floats, alpha: Floats, beta: Floats, tokens: Floats) -> Floats:
    """The size for which `tokens` are compute-optimal."""
    log_balance = (np.log(alpha * A) - np.log(beta * B)) / (alpha + beta)
    return np.exp((np.log(tokens) + log_balance) * (beta / alpha) + log_balance)


def log_worth(base: Floats, total: Floats, half_life: Floats) -> Floats:
    """log of base + base * R* (1 - exp(-R / R*)), with R = total / base - 1 repeats."""
    repeats = np.maximum(total / base - 1, 0.0)
    return np.log(base) + np.log1p(half_life * -np.expm1(-repeats / half_life))
