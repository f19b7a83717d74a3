"""Ling's laws: learning rate, batch, size and tokens of mixtures of experts, from compute.

Tian et al. 2025, "Towards Greater Leverage" (arXiv 2507.17702), section 3. Compute is C = M D with
M the non-embedding FLOPs per token; schedules are warm-up, stable, decay; "near-best" is within
0.25 % of the loss. The paper's own table 7 does not sit on its law: batches there imply 1.8 to 1.9
times the stated compute. Read the values as good to some 20 %.
"""

from dataclasses import dataclass

from assay.scaling.law import Published
from assay.scaling.laws.power import Power
from assay.scaling.observations import Conventions

BY_COMPUTE = Conventions(compute="MD")
RANGE = {"compute": (3e17, 3e20)}
SOURCE = "Tian et al. 2025, arXiv 2507.17702, section 3"


def _published(name: str, scale: float, compute: float) -> Published:
    coefficients = {"scale": scale, "compute": compute}
    return Published(name, SOURCE, coefficients, "verified", RANGE, BY_COMPUTE, "good to some 20 %")


@dataclass(frozen=True)
class LingLearningRate(Power):
    """Peak learning rate of a mixture of experts."""

    name: str = "ling-lr"
    predicts: str = "learning_rate"
    inputs: tuple[str, ...] = ("compute",)
    published: tuple[Published, ...] = (_published("tian2025", 1.1576, -0.1529),)


@dataclass(frozen=True)
class LingBatch(Power):
    """Batch size of a mixture of experts, in tokens."""

    name: str = "ling-batch"
    predicts: str = "batch_tokens"
    inputs: tuple[str, ...] = ("compute",)
    published: tuple[Published, ...] = (_published("tian2025", 0.0694, 0.3644),)


@dataclass(frozen=True)
class LingSize(Power):
    """Best model scale, as non-embedding FLOPs per token; of a mixture, or dense."""

    name: str = "ling-size"
    predicts: str = "flops_per_token"
    inputs: tuple[str, ...] = ("compute",)
    published: tuple[Published, ...] = (
        _published("moe", 0.1915, 0.5095),
        _published("dense", 0.0655, 0.5422),
    )


@dataclass(frozen=True)
class LingTokens(Power):
    """Best number of tokens; of a mixture, or dense."""

    name: str = "ling-tokens"
    predicts: str = "tokens"
    inputs: tuple[str, ...] = ("compute",)
    published: tuple[Published, ...] = (
        _published("moe", 5.2232, 0.4905),
        _published("dense", 15.2582, 0.4578),
    )
