"""Loss and downstream error of models trained longer than compute-optimal.

Gadre et al. 2024, "Language models scale reliably with over-training and on downstream tasks"
(arXiv 2403.08540). In compute C = 6ND and token multiplier M = D/N,

    L = E + (a M^eta + b M^-eta) C^-eta,       error = epsilon - k exp(-gamma L).

That is Chinchilla's law with alpha = beta = 2 eta. Tying them helps to extrapolate: fitted to all
but the two largest RedPajama runs, the tied law misses a 1.4B model at M = 640 and a 6.9B model at
M = 20 by -.01 % and +.16 %, the untied one by -.47 % and -1.89 % (measured here on the released
runs).
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns, Conventions
from assay.scaling.slopes import Floats, log_sum_exp

FIVE_RUNS = {"params": (1.06e7, 4.12e8), "tokens": (2.11e8, 8.24e9)}


def trained_on(corpus: str, E: float, a: float, b: float, eta: float) -> Published:
    return Published(
        name=f"gadre2024-{corpus}",
        source=f"Gadre et al. 2024 (arXiv 2403.08540), {corpus}: least squares on the loss"
        " of five small runs, repeated here to more digits",
        coefficients={"E": E, "a": a, "b": b, "eta": eta},
        mark="verified",
        range=FIVE_RUNS,
        conventions=Conventions(params="total", loss="nats/token", tokenizer="gpt-neox"),
        note="loss on C4",
    )


@dataclass(frozen=True)
class Overtraining:
    """Loss from compute and tokens per parameter, with one exponent for both."""

    name: str = "gadre"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("params", "tokens")
    parameters: tuple[Parameter, ...] = (
        Parameter("E", (0.1, 2.5), positive=True, linear=True),
        Parameter("a", (1.0, 1e5), positive=True, linear=True, meaning="cost of a small model"),
        Parameter("b", (1.0, 1e5), positive=True, linear=True, meaning="cost of few tokens"),
        Parameter("eta", (0.05, 0.4), meaning="exponent of compute"),
    )
    published: tuple[Published, ...] = (
        trained_on("redpajama", 1.836648, 212.2361, 366.6872, 0.13642535),
        trained_on("c4", 1.508261, 141.2773, 189.5156, 0.12123613),
        trained_on("refinedweb", 1.734462, 157.1163, 246.2067, 0.12719742),
    )

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        E, a, b, eta = theta
        return excess(E, a, b, eta, eta, x)


@dataclass(frozen=True)
class OvertrainingUntied:
    """The same with an exponent each for the model's share of the loss and for the data's."""

    name: str = "gadre-untied"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("params", "tokens")
    parameters: tuple[Parameter, ...] = (
        Parameter("E", (0.1, 2.5), positive=True, linear=True),
        Parameter("a", (1.0, 1e5), positive=True, linear=True),
        Parameter("b", (1.0, 1e5), positive=True, linear=True),
        Parameter("eta_N", (0.05, 0.4)),
        Parameter("eta_D", (0.05, 0.4)),
    )
    published: tuple[Published, ...] = ()

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        E, a, b, eta_N, eta_D = theta
        return excess(E, a, b, eta_N, eta_D, x)


def excess(E: Floats, a: Floats, b: Floats, eta_N: Floats, eta_D: Floats, x: Columns) -> Floats:
    """log of E + a (C/M)^-eta_N + b (C M)^-eta_D; C/M = 6 N^2 and C M = 6 D^2."""
    log_model = np.log(6.0) + 2 * np.log(x["params"])
    log_data = np.log(6.0) + 2 * np.log(x["tokens"])
    return log_sum_exp(np.log(E), np.log(a) - eta_N * log_model, np.log(b) - eta_D * log_data)


@dataclass(frozen=True)
class DownstreamError:
    """Average top-1 error from the loss: epsilon - k exp(-gamma L)."""

    name: str = "gadre-error"
    predicts: str = "error"
    inputs: tuple[str, ...] = ("loss",)
    parameters: tuple[Parameter, ...] = (
        Parameter(
            "epsilon", (0.5, 1.0), positive=True, linear=True, meaning="error at endless loss"
        ),
        Parameter("k", (0.05, 0.4), positive=True, linear=True),
        Parameter("gamma", (0.2, 2.0), positive=True),
    )
    published: tuple[Published, ...] = ()

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        epsilon, k, gamma = theta
        return np.log(epsilon - k * np.exp(-gamma * x["loss"]))
