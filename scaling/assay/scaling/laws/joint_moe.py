"""Loss of a mixture of experts from active parameters, tokens and the number of experts.

Ludziejewski et al. 2025, "Joint MoE Scaling Laws: Mixture of Experts Can Be Memory Efficient"
(arXiv 2502.05172): over 280 models of up to 5B parameters,

    L = a E^delta N^(alpha + gamma ln E) + b E^omega D^(beta + zeta ln E) + c,

with N the active parameters and E the number of experts, saturated as in Clark et al. (clark.py).
For one E it is Chinchilla's law with other coefficients; `reduced` gives these (their table 4).
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.laws.clark import log_saturated
from assay.scaling.observations import Columns, Conventions
from assay.scaling.slopes import Floats, log_sum_exp

LUDZIEJEWSKI_2025 = Published(
    name="ludziejewski2025",
    source="Ludziejewski et al. 2025 (arXiv 2502.05172)",
    coefficients={
        "a": 35.91,
        "alpha": -0.1889,
        "delta": -0.2285,
        "gamma": 0.0098,
        "b": 35.98,
        "beta": -0.1775,
        "omega": 0.5529,
        "zeta": -0.0259,
        "E_start": 2.0732,
        "E_max": 290.4521,
        "c": 1.3637,
    },
    mark="verified",
    range={"active_params": (2e7, 1e9), "tokens": (5e8, 8e10), "experts": (1, 32)},
    conventions=Conventions(params="active", loss="nats/token"),
    note="models of up to 5B parameters in all; the range of active parameters is a guess",
)


@dataclass(frozen=True)
class JointMoE:
    """Loss of E experts with N active parameters on D tokens."""

    name: str = "joint-moe"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("active_params", "tokens", "experts")
    parameters: tuple[Parameter, ...] = (
        Parameter("a", (1.0, 1e3), positive=True, linear=True),
        Parameter("alpha", (-0.4, -0.1)),
        Parameter("delta", (-0.5, 0.0)),
        Parameter("gamma", (0.0, 0.03)),
        Parameter("b", (1.0, 1e3), positive=True, linear=True),
        Parameter("beta", (-0.4, -0.1)),
        Parameter("omega", (0.0, 1.0)),
        Parameter("zeta", (-0.05, 0.0)),
        Parameter("E_start", (1.2, 4.0), positive=True),
        Parameter("E_max", (100.0, 1000.0), positive=True),
        Parameter("c", (0.5, 2.0), positive=True, linear=True),
    )
    published: tuple[Published, ...] = (LUDZIEJEWSKI_2025,)

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        a, alpha, delta, gamma, b, beta, omega, zeta, E_start, E_max, c = theta
        experts = log_saturated(x["experts"], E_start, E_max)
        size, tokens = np.log(x["active_params"]), np.log(x["tokens"])
        return log_sum_exp(
            np.log(a) + delta * experts + (alpha + gamma * experts) * size,
            np.log(b) + omega * experts + (beta + zeta * experts) * tokens,
            np.log(c),
        )


def reduced(theta: Floats, experts: float) -> tuple[float, float, float, float]:
    """m, mu, n, nu of L = m N^mu + n D^nu + c at this number of experts (their table 4)."""
    a, alpha, delta, gamma, b, beta, omega, zeta, E_start, E_max, _ = map(float, theta)
    log_e = float(log_saturated(np.array(float(experts)), np.array(E_start), np.array(E_max)))
    model = a * np.exp(delta * log_e), alpha + gamma * log_e
    data = b * np.exp(omega * log_e), beta + zeta * log_e
    return float(model[0]), model[1], float(data[0]), data[1]
