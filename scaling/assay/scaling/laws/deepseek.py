"""DeepSeek's laws: learning rate, batch, size and tokens from compute alone.

Bi et al. 2024, "DeepSeek LLM" (arXiv 2401.02954), equations 1 and 4. Compute is C = M D, where
M is non-embedding FLOPs per token, 72 n d^2 + 12 n d l for n layers of width d over sequences of
l tokens (`deepseek_flops_per_token` in costs.py): not 6 N.
"""

from dataclasses import dataclass

from assay.scaling.law import Mark, Published
from assay.scaling.laws.power import Power
from assay.scaling.observations import Conventions

BY_COMPUTE = Conventions(compute="MD")
RANGE = {"compute": (1e17, 2e19)}
SOURCE = "Bi et al. 2024, DeepSeek LLM, arXiv 2401.02954, section 3"


def _published(scale: float, compute: float, note: str = "") -> tuple[Published, ...]:
    mark: Mark = "second-hand"
    coefficients = {"scale": scale, "compute": compute}
    return (Published("bi2024", SOURCE, coefficients, mark, RANGE, BY_COMPUTE, note),)


@dataclass(frozen=True)
class DeepSeekLearningRate(Power):
    """Peak learning rate of the multi-step schedule; near-best is within 0.25 % of the loss."""

    name: str = "deepseek-lr"
    predicts: str = "learning_rate"
    inputs: tuple[str, ...] = ("compute",)
    published: tuple[Published, ...] = _published(
        0.3118, -0.125, "on the released Step Law sweeps 0.76 % above the best loss, measured here"
    )


@dataclass(frozen=True)
class DeepSeekBatch(Power):
    """Batch size in tokens."""

    name: str = "deepseek-batch"
    predicts: str = "batch_tokens"
    inputs: tuple[str, ...] = ("compute",)
    published: tuple[Published, ...] = _published(0.2920, 0.3271)


@dataclass(frozen=True)
class DeepSeekSize(Power):
    """Best model scale, as non-embedding FLOPs per token."""

    name: str = "deepseek-size"
    predicts: str = "flops_per_token"
    inputs: tuple[str, ...] = ("compute",)
    published: tuple[Published, ...] = _published(0.1715, 0.5243)


@dataclass(frozen=True)
class DeepSeekTokens(Power):
    """Best number of tokens."""

    name: str = "deepseek-tokens"
    predicts: str = "tokens"
    inputs: tuple[str, ...] = ("compute",)
    published: tuple[Published, ...] = _published(5.8316, 0.4757)
