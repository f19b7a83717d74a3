"""Critical batch size: where twice the batch stops saving half the steps.

Kaplan et al. 2020 (arXiv 2001.08361, equation 5.3) tie it to the loss reached, Zhang et al. 2024
(arXiv 2410.21676) to the tokens seen. McCandlish et al. 2018 (arXiv 1812.06162) is where the idea
and the price of a batch come from: `steps_for` below.
"""

from dataclasses import dataclass

from assay.scaling.law import Published
from assay.scaling.laws.power import Power
from assay.scaling.observations import Conventions


@dataclass(frozen=True)
class CriticalBatchOfLoss(Power):
    """From the loss: the gradient grows noisier, against its length, as the loss falls."""

    name: str = "critical-batch-loss"
    predicts: str = "critical_batch_tokens"
    inputs: tuple[str, ...] = ("loss",)
    published: tuple[Published, ...] = (
        Published(
            "kaplan2020",
            "Kaplan et al. 2020, arXiv 2001.08361, equation 5.3",
            {"scale": 2e8, "loss": -1 / 0.21},
            mark="second-hand",
            conventions=Conventions(loss="nats/token"),
        ),
    )


@dataclass(frozen=True)
class CriticalBatchOfTokens(Power):
    """From the tokens: size matters little (Zhang et al. 2024, abstract)."""

    name: str = "critical-batch-tokens"
    predicts: str = "critical_batch_tokens"
    inputs: tuple[str, ...] = ("tokens",)
    published: tuple[Published, ...] = (
        Published(
            "zhang2024",
            "Zhang et al. 2024, arXiv 2410.21676",
            # 22.91 (tokens / 1e6)^0.47 sequences of 512 tokens.
            {"scale": 22.91 * 512 / 1e6**0.47, "tokens": 0.47},
            mark="unverified",
            range={"tokens": (1.7e9, 2.4e10)},
            note="constants from memory; the sizes, 85 million to 1.2 billion, from the abstract",
        ),
    )


def extra_tokens(batch: float, critical: float) -> float:
    """Tokens needed at this batch, over those that tiny batches need: 1 + batch / critical.

    McCandlish et al. 2018, equation 2.11.
    """
    return 1 + batch / critical
