"""Power Lines: how long AdamW should remember, and the batch that suits the tokens.

Bergsma et al. 2025, "Power Lines" (arXiv 2505.13738). AdamW's time-scale, as a share of the run,

    timescale = batch / (learning rate * weight decay * tokens)

has a best value that depends on tokens per parameter alone: 1.084 (tokens/params)^-0.527. Turned
around it gives the weight decay for a learning rate, a batch and a number of tokens. Best and
critical batch are powers of the tokens, whatever the size. Learning rates there are set by muP:
outside muP read "learning rate" as the one that hidden matrices get.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Parameter, Published, Theta
from assay.scaling.laws.power import Power
from assay.scaling.observations import Columns
from assay.scaling.slopes import Floats

PAPER = "Bergsma et al. 2025, Power Lines, arXiv 2505.13738"
RANGE = {"params": (1.11e8, 3.3e9), "tokens": (2.19e9, 2.66e11)}


@dataclass(frozen=True)
class Timescale:
    """Best AdamW time-scale, as a share of the run."""

    name: str = "power-lines-timescale"
    predicts: str = "timescale"
    inputs: tuple[str, ...] = ("params", "tokens")
    parameters: tuple[Parameter, ...] = (
        Parameter("scale", (0.01, 100.0), positive=True, linear=True),
        Parameter("tokens_per_param", (-1.0, 1.0)),
    )
    published: tuple[Published, ...] = (
        Published(
            "bergsma2025",
            PAPER,
            {"scale": 1.084, "tokens_per_param": -0.527},
            mark="second-hand",
            range=RANGE,
            note="sizes as the abstract page states them; the range of tokens is from memory",
        ),
    )

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        scale, exponent = theta
        per_param = np.log(x["tokens"]) - np.log(x["params"])
        return np.asarray(np.log(scale) + exponent * per_param)


def weight_decay(timescale: Floats, learning_rate: Floats, batch: Floats, tokens: Floats) -> Floats:
    """The weight decay that gives AdamW this time-scale."""
    return np.asarray(batch / (learning_rate * timescale * tokens))


@dataclass(frozen=True)
class PowerLinesBatch(Power):
    """Best batch size in tokens."""

    name: str = "power-lines-batch"
    predicts: str = "batch_tokens"
    inputs: tuple[str, ...] = ("tokens",)
    published: tuple[Published, ...] = (
        Published(
            "bergsma2025",
            PAPER,
            {"scale": 0.0306 * 2048, "tokens": 0.383},
            mark="unverified",
            range={"tokens": RANGE["tokens"]},
            note="the exponent is second-hand, the scale (in sequences of 2048) from memory",
        ),
    )


@dataclass(frozen=True)
class PowerLinesCriticalBatch(Power):
    """Batch size in tokens beyond which more of it hardly saves steps."""

    name: str = "power-lines-critical"
    predicts: str = "critical_batch_tokens"
    inputs: tuple[str, ...] = ("tokens",)
    published: tuple[Published, ...] = (
        Published(
            "bergsma2025",
            PAPER,
            {"scale": 0.0471 * 2048, "tokens": 0.462},
            mark="unverified",
            range={"tokens": RANGE["tokens"]},
            note=(
                "scale (in sequences of 2048) from memory; two notes that quote this paper and"
                " Zhang et al. 2024 disagree which of them has 0.462 and which 0.47"
            ),
        ),
    )
