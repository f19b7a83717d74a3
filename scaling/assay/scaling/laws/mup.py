"""muP: the learning rate that was tuned on a narrow proxy, carried to the wide model.

Yang et al. 2022, "Tensor Programs V" (arXiv 2203.03466), table 8, for Adam: hidden matrices learn
at proxy rate / (width ratio), embeddings and biases at the proxy's own rate, and the output is
scaled by 1 / (width ratio). As a law, the exponent can be checked on runs of one's own: 1 and -1
mean that muP holds. The tables themselves were not read here, hence the mark.
"""

from dataclasses import dataclass

from assay.scaling.law import Published
from assay.scaling.laws.power import Power


@dataclass(frozen=True)
class MuTransfer(Power):
    """Learning rate of hidden matrices, from the proxy's and the ratio of widths."""

    name: str = "mup"
    predicts: str = "learning_rate"
    inputs: tuple[str, ...] = ("proxy_learning_rate", "width_ratio")
    published: tuple[Published, ...] = (
        Published(
            "yang2022",
            "Yang et al. 2022, arXiv 2203.03466, table 8 (Adam)",
            {"scale": 1.0, "proxy_learning_rate": 1.0, "width_ratio": -1.0},
            mark="unverified",
            note="needs a model that is parameterised by muP; depth, tokens and batch unchanged",
        ),
    )


@dataclass(frozen=True)
class Transfer:
    """What each group of weights gets in the wide model."""

    hidden_learning_rate: float
    embedding_learning_rate: float
    output_multiplier: float
    hidden_init_ratio: float  # of standard deviations, wide over narrow


def transfer(proxy_learning_rate: float, proxy_width: int, width: int) -> Transfer:
    """From a tuned proxy, with Adam."""
    ratio = width / proxy_width
    return Transfer(
        hidden_learning_rate=proxy_learning_rate / ratio,
        embedding_learning_rate=proxy_learning_rate,
        output_multiplier=1 / ratio,
        hidden_init_ratio=ratio**-0.5,
    )
