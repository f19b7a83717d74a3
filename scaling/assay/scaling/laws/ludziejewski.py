"""The learning rate of a mixture of experts, from active parameters and number of experts.

Ludziejewski et al. 2025, "Joint MoE Scaling Laws" (arXiv 2502.05172), section 5:

    learning rate = exp(8.39 - 0.81 ln active - 0.25 ln experts)

Tuned on models of up to 5 billion parameters, 1 to 32 experts; active parameters without
embeddings.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Published
from assay.scaling.laws.power import Power
from assay.scaling.observations import Conventions


@dataclass(frozen=True)
class JointMoeLearningRate(Power):
    """Peak learning rate; more experts want a smaller one."""

    name: str = "joint-moe-lr"
    predicts: str = "learning_rate"
    inputs: tuple[str, ...] = ("active_params", "experts")
    published: tuple[Published, ...] = (
        Published(
            "ludziejewski2025",
            "Ludziejewski et al. 2025, arXiv 2502.05172, section 5",
            {"scale": float(np.exp(8.39)), "active_params": -0.81, "experts": -0.25},
            mark="verified",
            range={"active_params": (3e7, 1e9), "experts": (1, 32)},
            conventions=Conventions(params="non-embedding"),
            note="total parameters up to 5e9; the range of active ones is read off that",
        ),
    )
