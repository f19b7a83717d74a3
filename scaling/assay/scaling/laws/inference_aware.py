"""The cheapest model of a given loss when it will also be served.

Sardana et al. 2024, "Beyond Chinchilla-Optimal: Accounting for Inference in Language Model Scaling
Laws" (arXiv 2401.00448): minimise 6 N D + 2 N D_inf at fixed loss. The loss is
Chinchilla's; what is new is the price. The more is served, the smaller and longer-trained the
model should be.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.errors import OutOfReach
from assay.scaling.laws.chinchilla import Chinchilla
from assay.scaling.slopes import Floats

HALVINGS = 200  # of the bracket in log tokens: to the last bit


@dataclass(frozen=True)
class InferenceAware(Chinchilla):
    """Chinchilla's law, for planning with `cheapest`."""

    name: str = "sardana"


def cheapest(theta: Floats, loss: float, served: float) -> tuple[Floats, Floats]:
    """Parameters and tokens of least training plus serving compute at this loss.

    Where it is least, e_N / e_D = 1 + D_inf / (3 D), with e_N = alpha A / N^alpha and e_D =
    beta B / D^beta. Along the curve of equal loss e_N rises with D and e_D falls, so that there is
    one such point, found by halving. `theta` is (..., 5).
    """
    E, A, B, alpha, beta = np.moveaxis(np.asarray(theta, float), -1, 0)
    room = loss - E
    if (room <= 0).any():
        raise OutOfReach(f"no model reaches a loss of {loss:g}: {float(E.max()):g} is irreducible")
    low = np.log(B / room) / beta  # with an endless model
    high = low + 100.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        data = B * np.exp(-beta * middle)
        gain = alpha * (room - data) / (beta * data)
        enough = gain > 1 + served / (3 * np.exp(middle))
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    tokens = np.exp(high)
    params = ((room - B * tokens**-beta) / A) ** (-1 / alpha)
    return params, tokens
