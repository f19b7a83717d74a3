"""Activation sparsity: which share of neurons fires after so many tokens.

Luo et al. 2024, "Sparsing Law" (arXiv 2411.02335, ICML 2025), section 4. With D in billions of
tokens, the active share of

    ReLU falls as  exp(b - c D^alpha) + A0        SiLU rises as  A0 - c / D^alpha

The active share is measured at the threshold that raises validation perplexity by 1 %
(CETT-PPL-1%). The limit A0 hardly depends on size. Coefficients of one size are strongly
correlated (alpha and c span four orders between sizes): compare predictions, never coefficients.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns
from assay.scaling.slopes import Floats, log_sum_exp

SOURCE = "Luo et al. 2024, Sparsing Law, arXiv 2411.02335, section 4"
BILLION = 1e9


def _published(size: str, coefficients: dict[str, float], note: str = "") -> Published:
    said = f"model of {size} parameters; CETT-PPL-1%{note}"
    return Published(size, SOURCE, coefficients, mark="verified", note=said)


def _relu(size: str, alpha: float, b: float, c: float, A0: float, note: str = "") -> Published:
    return _published(size, {"alpha": alpha, "b": b, "c": c, "A0": A0}, note)


def _silu(size: str, alpha: float, c: float, A0: float) -> Published:
    return _published(size, {"alpha": alpha, "c": c, "A0": A0})


@dataclass(frozen=True)
class ReluSparsity:
    """Active share of a ReLU model, falling with tokens."""

    name: str = "sparsing-relu"
    predicts: str = "activation"
    inputs: tuple[str, ...] = ("tokens",)
    parameters: tuple[Parameter, ...] = (
        Parameter("alpha", (0.1, 1.5)),
        Parameter("b", (-4.0, 0.0)),
        Parameter("c", (1e-4, 4.0), positive=True),
        Parameter("A0", (0.02, 0.2), positive=True),
    )
    published: tuple[Published, ...] = (
        _relu("1.2B", 1.33, -3.89, 9.03e-4, 0.0782),
        _relu("0.8B", 1.01, -3.49, 7.97e-3, 0.0721),
        _relu("0.4B", 0.683, -3.46, 0.0790, 0.0690),
        _relu("0.2B", 0.449, -3.05, 0.286, 0.0674),
        _relu("0.1B", 0.101, -0.0151, 3.20, 0.0614),
        _relu("2.4B", 1.53, -3.46, 1.56e-4, 0.0648, "; held out, some 800 billion tokens"),
    )

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        alpha, b, c, limit = theta
        billions = x["tokens"] / BILLION
        return log_sum_exp(b - c * billions**alpha, np.log(limit))


@dataclass(frozen=True)
class SiluSparsity:
    """Active share of a SiLU model, rising with tokens."""

    name: str = "sparsing-silu"
    predicts: str = "activation"
    inputs: tuple[str, ...] = ("tokens",)
    parameters: tuple[Parameter, ...] = (
        Parameter("alpha", (0.3, 1.5)),
        Parameter("c", (0.05, 0.5), positive=True),
        Parameter("A0", (0.2, 0.6), positive=True),
    )
    published: tuple[Published, ...] = (
        _silu("1.2B", 0.967, 0.538, 0.382),
        _silu("0.8B", 0.995, 0.562, 0.383),
        _silu("0.4B", 1.03, 0.420, 0.385),
        _silu("0.2B", 0.844, 0.208, 0.390),
        _silu("0.1B", 0.479, 0.102, 0.409),
    )

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        alpha, c, limit = theta
        billions = x["tokens"] / BILLION
        return np.log(np.maximum(limit - c / billions**alpha, 1e-9))


@dataclass(frozen=True)
class WidthDepthSparsity:
    """Active share by width over depth: a slope down to a bend, then flat.

    The bend at about 114 and the level of about 8 % are the paper's, for 0.1 billion parameters;
    its slope is in a figure only, so there is no published set. Loss is best from 74 to 282.
    """

    name: str = "sparsing-shape"
    predicts: str = "activation"
    inputs: tuple[str, ...] = ("width_over_depth",)
    parameters: tuple[Parameter, ...] = (
        Parameter("level", (0.02, 0.3), positive=True, meaning="active share beyond the bend"),
        Parameter("slope", (1e-4, 1e-2), positive=True, meaning="per unit of width over depth"),
        Parameter("bend", (50.0, 250.0), positive=True),
    )
    published: tuple[Published, ...] = ()

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        level, slope, bend = theta
        return np.log(level + slope * np.maximum(bend - x["width_over_depth"], 0.0))
