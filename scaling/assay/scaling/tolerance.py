"""What it costs to miss the best learning rate and batch, in per cent of the loss.

Read off the surface that was fitted to the released sweeps of Step Law (laws/steplaw.py), the only
ones public: 215 million to 1.07 billion parameters, 4 to 100 billion tokens.
"""

from dataclasses import dataclass
from functools import cache
from math import exp, expm1, log
from typing import cast

from assay.scaling.law import Theta, coefficients
from assay.scaling.laws.steplaw import StepSurface
from assay.scaling.slopes import Floats

SURFACE = StepSurface()
BOWL = coefficients(SURFACE).tolist()
# As far as the runs within 3 % of the best reach: a factor of about 4 each way (measured here).
FARTHEST = log(4.0)
FACTORS = (0.25, 0.5, 2**-0.5, 1.0, 2**0.5, 2.0, 4.0)
HARMLESS = 0.1  # per cent of the loss: as much as one run differs from its repetition there


@dataclass(frozen=True)
class Off:
    """What it costs, in per cent of the loss, to use this multiple of the best value."""

    factor: float
    learning_rate: float
    batch: float
    both: float  # learning rate and batch by the same factor: much of the harm cancels


def excess(u: float, v: float) -> float:
    """Per cent of the loss above the best, this far (in logs) from the best pair."""
    # With plain floats the formula is plain arithmetic: a microsecond instead of eighty.
    return 100 * expm1(SURFACE.excess(cast(Theta, BOWL), cast(Floats, u), cast(Floats, v)))


@cache
def tolerance() -> tuple[Off, ...]:
    return tuple(
        Off(factor, excess(log(factor), 0.0), excess(0.0, log(factor)), excess(*[log(factor)] * 2))
        for factor in FACTORS
    )


@cache
def harmless(quantity: str) -> tuple[float, float]:
    """The factors between which a mistake costs less than HARMLESS."""
    steps = [FARTHEST * i / 200 for i in range(-200, 201)]
    pairs = [(u, 0.0) if quantity == "learning_rate" else (0.0, u) for u in steps]
    inside = [u for u, pair in zip(steps, pairs, strict=True) if excess(*pair) < HARMLESS]
    return exp(inside[0]), exp(inside[-1])
