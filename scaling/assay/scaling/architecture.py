"""What a transformer is made of: parameters and FLOPs, each convention by its name.

Two counts of one model differ by tens of per cent, and laws differ in which they use: Kaplan and
Step Law count parameters without embeddings, Hoffmann counts all, DeepSeek and Ling count FLOPs
per token. The functions here are named after the convention, so that a plan can say which it used.
"""

from dataclasses import dataclass
from math import ceil

from assay.scaling.errors import OutOfReach


@dataclass(frozen=True)
class Experts:
    """A mixture in place of a feed-forward layer."""

    count: int  # routed experts in a layer
    active: int  # of them, chosen for a token
    width: int  # of one expert's feed-forward
    shared: int = 1  # experts that every token passes, of the same width
    dense_layers: int = 0  # first layers that keep a plain feed-forward

    @property
    def activation(self) -> float:
        """Active share, shared experts included (Tian et al. 2025, section 2)."""
        return (self.active + self.shared) / (self.count + self.shared)


@dataclass(frozen=True)
class Shape:
    """A decoder with gated feed-forwards and grouped queries, or without either."""

    layers: int
    width: int
    feedforward: int
    heads: int
    kv_heads: int
    vocabulary: int = 128_000
    sequence: int = 4096
    gated: bool = True
    tied: bool = False  # one matrix for input and output embeddings
    experts: Experts | None = None

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def granularity(self) -> float:
        """2 width / expert width (Tian et al. 2025); 1 for a dense model."""
        return 2 * self.width / self.experts.width if self.experts else 1.0


@dataclass(frozen=True)
class Count:
    """Parameters of a model, by what they do."""

    attention: int
    feedforward: int  # of dense layers
    routed: int  # experts that are chosen
    shared: int
    router: int
    norms: int
    embedding: int  # input, and output unless tied
    idle: int  # routed parameters that a token does not use

    @property
    def total(self) -> int:
        return self.non_embedding + self.embedding

    @property
    def non_embedding(self) -> int:
        dense = self.attention + self.feedforward + self.norms
        return dense + self.routed + self.shared + self.router

    @property
    def active(self) -> int:
        """Without embeddings, as laws of mixtures want it."""
        return self.non_embedding - self.idle


def count(shape: Shape) -> Count:
    """Every parameter; biases are left out, as current models do."""
    d, mixture = shape.width, shape.experts
    matrices = 3 if shape.gated else 2
    kv = shape.kv_heads * shape.head_width
    sparse = shape.layers - mixture.dense_layers if mixture else 0
    one = matrices * d * mixture.width if mixture else 0
    return Count(
        attention=shape.layers * (2 * d * d + 2 * d * kv),
        feedforward=(shape.layers - sparse) * matrices * d * shape.feedforward,
        routed=sparse * mixture.count * one if mixture else 0,
        shared=sparse * mixture.shared * one if mixture else 0,
        router=sparse * mixture.count * d if mixture else 0,
        norms=(2 * shape.layers + 1) * d,
        embedding=shape.vocabulary * d * (1 if shape.tied else 2),
        idle=sparse * (mixture.count - mixture.active) * one if mixture else 0,
    )


# FLOPs per token, forward and backward ---------------------------------------------------


def six_n(params: float) -> float:
    """6 N: two for a multiply-add, three passes (Kaplan et al. 2020, arXiv 2001.08361, 2.1)."""
    return 6 * params


def palm(shape: Shape) -> float:
    """6 N + 12 layers width sequence, N active with output embedding (PaLM, arXiv 2204.02311, B).

    Attention is counted over the whole square, causal or not, as MFU usually is.
    """
    counted = count(shape)
    output = shape.vocabulary * shape.width
    attention = 12 * shape.layers * shape.width * shape.sequence
    return six_n(counted.active + output) + attention


def deepseek(shape: Shape) -> float:
    """72 n d^2 + 12 n d l, for any matrices; no embeddings (arXiv 2401.02954, 3.1)."""
    attention = 12 * shape.layers * shape.width * shape.sequence
    return six_n(count(shape).active - count(shape).norms) + attention


# A shape for a size ----------------------------------------------------------------------

ASPECT = 128  # width over layers; Kaplan et al. 2020, figure 5: loss is flat from 50 to 300
HEAD = 128  # width of a head
GROUP = 4  # query heads that share keys and values, as in the smallest Llama 3 (arXiv 2407.21783)


def dense(params: float, sequence: int = 4096, vocabulary: int = 128_000) -> Shape:
    """A usual shape of about so many parameters without embeddings."""
    if params < 1e6:
        raise OutOfReach(f"{params:g} parameters: no usual shape is that small; at least 1e6")
    layers = max(2, round((params / (12 * ASPECT**2)) ** (1 / 3)))
    # Heads in eights where that moves the width little: they are then easy to share out.
    width = rounded((params / (12 * layers)) ** 0.5, 8 * HEAD if params > 2e9 else HEAD)
    heads = max(1, width // HEAD)
    kv = heads // GROUP if heads % GROUP == 0 and heads > GROUP else heads
    kv_width = kv * (width // heads)
    left = params / layers - 2 * width * width - 2 * width * kv_width
    feedforward = rounded(left / (3 * width), 64)
    return Shape(layers, width, feedforward, heads, kv, vocabulary, sequence)


def dense_of_total(total: float, sequence: int = 4096, vocabulary: int = 128_000) -> Shape:
    """The same, where embeddings are counted: laws differ in that (Conventions.params)."""
    inner = total
    for _ in range(8):
        shape = dense(max(inner, 1e6), sequence, vocabulary)
        # Of the smallest models a usual vocabulary would leave nothing: then a fifth stays.
        inner = max(total - count(shape).embedding, total / 5)
    return dense(max(inner, 1e6), sequence, vocabulary)


def mixture(
    active: float,
    activation: float,
    granularity: float,
    sequence: int = 4096,
    vocabulary: int = 128_000,
) -> Shape:
    """A usual mixture of so many active parameters, without embeddings; one shared expert."""
    base = dense(active, sequence, vocabulary)
    width = max(16, rounded(2 * base.width / granularity, 16))
    used = max(2, round(base.feedforward / width))  # active ones, the shared one included
    every = max(used, ceil(used / activation))
    experts = Experts(count=every - 1, active=used - 1, width=width, shared=1)
    return Shape(
        base.layers,
        base.width,
        base.feedforward,
        base.heads,
        base.kv_heads,
        vocabulary,
        sequence,
        experts=experts,
    )


def rounded(value: float, step: int) -> int:
    return max(step, round(value / step) * step)
