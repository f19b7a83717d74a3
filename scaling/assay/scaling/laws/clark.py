"""Loss of routed models from dense size and the number of experts.

Clark et al. 2022, "Unified Scaling Laws for Routed Language Models" (arXiv 2202.01169):
with logs to base 10 and a saturated number of experts E^,

    log L = a log N + b log E^ + c log N log E^ + d,
    1/E^ = 1 / (E - 1 + 1 / (1/E_start - 1/E_max)) + 1/E_max.

N are the parameters of the dense model that is being routed. All runs saw 130B tokens: the law
does not know what more tokens would do.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.observations import Columns, Conventions
from assay.scaling.slopes import Floats

NAMES = ("a", "b", "c", "d", "E_start", "E_max")
LN_10 = float(np.log(10.0))


def routed(router: str, *values: float) -> Published:
    return Published(
        name=router,
        source=f"Clark et al. 2022 (arXiv 2202.01169), {router} routing",
        coefficients=dict(zip(NAMES, values, strict=True)),
        mark="second-hand",
        range={"params": (1.6e7, 1.31e9), "experts": (1, 512)},
        conventions=Conventions(params="dense", loss="nats/token"),
        note="130B tokens; with three digits printed, off by .004 to .008 in log10 of the loss",
    )


@dataclass(frozen=True)
class Clark:
    """Loss of a dense model of N parameters whose feed-forward layers are routed E ways."""

    name: str = "clark"
    predicts: str = "loss"
    inputs: tuple[str, ...] = ("params", "experts")
    parameters: tuple[Parameter, ...] = (
        Parameter("a", (-0.15, -0.05)),
        Parameter("b", (-0.3, -0.05)),
        Parameter("c", (0.0, 0.03)),
        Parameter("d", (0.8, 1.5)),
        Parameter("E_start", (1.2, 6.0), positive=True, meaning="where routing begins to help"),
        Parameter("E_max", (100.0, 1000.0), positive=True, meaning="where it ceases to help"),
    )
    published: tuple[Published, ...] = (
        routed("S-Base", -0.082, -0.108, 0.009, 1.104, 1.847, 314.478),
        routed("RL-R", -0.083, -0.126, 0.012, 1.111, 1.880, 469.982),
        routed("Hash", -0.087, -0.136, 0.012, 1.157, 4.175, 477.741),
    )

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        a, b, c, d, E_start, E_max = theta
        size = np.log10(x["params"])
        experts = log_saturated(x["experts"], E_start, E_max) / LN_10
        return LN_10 * (a * size + b * experts + c * size * experts + d)


def log_saturated(experts: Floats, E_start: Floats, E_max: Floats) -> Floats:
    """ln E^: E_start for a dense model, E_max for endless experts."""
    start = 1 / (1 / E_start - 1 / E_max)
    return -np.log(1 / (experts - 1 + start) + 1 / E_max)
