"""MiniCPM's batch law: the batch grows as the loss falls.

Hu et al. 2024, "MiniCPM" (arXiv 2404.06395), section 3.2: batch = 1.21e9 / loss^6.24 tokens, on
three sizes up to 0.17 billion parameters, C4. Its learning rate, 0.01, is one for all sizes and
holds under muP only. Nobody here has seen these constants in the paper.
"""

from dataclasses import dataclass

from assay.scaling.law import Published
from assay.scaling.laws.power import Power
from assay.scaling.observations import Conventions


@dataclass(frozen=True)
class MiniCpmBatch(Power):
    """Batch size in tokens from the loss that is aimed at."""

    name: str = "minicpm-batch"
    predicts: str = "batch_tokens"
    inputs: tuple[str, ...] = ("loss",)
    published: tuple[Published, ...] = (
        Published(
            "hu2024",
            "Hu et al. 2024, MiniCPM, arXiv 2404.06395, section 3.2",
            {"scale": 1.21e9, "loss": -6.24},
            mark="unverified",
            range={"loss": (2.9, 4.4)},
            conventions=Conventions(loss="nats/token"),
            note="constants and range from memory",
        ),
    )
