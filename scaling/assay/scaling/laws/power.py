"""A power law: what most laws of hyperparameters turn out to be.

    value = scale * input1^exponent1 * input2^exponent2 ...

Exponents are named after their inputs, so that coefficients read like the formula:
{"scale": 1.79, "params": -0.713, "tokens": 0.307}.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns
from assay.scaling.slopes import Floats


@dataclass(frozen=True)
class Power:
    """One number that is a product of powers of others."""

    name: str
    predicts: str
    inputs: tuple[str, ...]
    published: tuple[Published, ...] = ()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        scale = Parameter("scale", (1e-9, 1e9), positive=True, linear=True)
        return (scale, *(Parameter(name, (-1.0, 1.0)) for name in self.inputs))

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        scale, *exponents = theta
        value = np.log(scale)
        for name, exponent in zip(self.inputs, exponents, strict=True):
            value = value + exponent * np.log(x[name])
        return value
