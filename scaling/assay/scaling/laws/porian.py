"""Porian's laws: tuned learning rate and batch size by model size alone.

Porian et al. 2024, "Resolving discrepancies in compute-optimal scaling of language models" (arXiv
2406.19146), section 3.5. With both tuned, the exponent of the best size falls from Kaplan's 0.88
to 0.5 or so. The constants of the batch law were not seen here; it can be fitted.
"""

from dataclasses import dataclass

from assay.scaling.law import Published
from assay.scaling.laws.power import Power

SOURCE = "Porian et al. 2024, arXiv 2406.19146, section 3.5"


@dataclass(frozen=True)
class PorianLearningRate(Power):
    """Peak learning rate with AdamW, at compute-optimal tokens."""

    name: str = "porian-lr"
    predicts: str = "learning_rate"
    inputs: tuple[str, ...] = ("params",)
    published: tuple[Published, ...] = (
        Published(
            "porian2024",
            SOURCE,
            {"scale": 3.7, "params": -0.36},
            mark="second-hand",
            range={"params": (5e6, 9.01e8)},
            note="for about 20 tokens per parameter; the range is quoted from memory",
        ),
    )


@dataclass(frozen=True)
class PorianBatch(Power):
    """Batch size in tokens, at compute-optimal tokens. Fit only: no constants are known here."""

    name: str = "porian-batch"
    predicts: str = "batch_tokens"
    inputs: tuple[str, ...] = ("params",)
