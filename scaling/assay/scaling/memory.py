"""Does it fit? Bytes on the fullest accelerator, and the gentlest parallelism that gets there.

States of mixed-precision Adam: Rajbhandari et al. 2020, "ZeRO" (arXiv 1910.02054), section 3.1;
activations: Korthikanti et al. 2022 (arXiv 2205.05198), section 4, counted matrix by matrix so
that gated feed-forwards, grouped queries and mixtures come out right. Two things that estimators
of mixtures often get wrong: every expert that a token visits keeps its activations, and experts
are split over the expert-parallel ranks only, not over tensor-parallel ones too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log2

from assay.scaling.architecture import Count, Shape, count
from assay.scaling.errors import OutOfReach
from assay.scaling.hardware import Hardware

WEIGHT, GRADIENT, ADAM = 2, 4, 12  # bytes: bf16; 32-bit sums; 32-bit copy and two moments
HALF, SINGLE = 2, 4
USABLE = 0.92  # of the memory; the rest is taken by libraries and fragments (an assumption)


@dataclass(frozen=True)
class Parallelism:
    """How one replica, and the replicas, are spread over accelerators."""

    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    expert: int = 1
    zero: int = 1  # ZeRO stage: 1 spreads optimiser states, 3 gradients and weights as well
    recompute: bool = False  # activations of whole layers
    micro_batch: int = 1  # sequences

    @property
    def accelerators(self) -> int:
        return self.data * self.tensor * self.pipeline


@dataclass(frozen=True)
class Memory:
    """Bytes on the fullest accelerator, which is on the first stage of the pipeline."""

    weights: float
    gradients: float
    optimiser: float
    activations: float

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimiser + self.activations


def memory(shape: Shape, how: Parallelism) -> Memory:
    """Of training with AdamW, sequence parallelism and an attention that keeps no square."""
    dense, experts = on_one(count(shape), how)
    # Data-parallel copies of a dense weight, and of an expert's.
    copies, expert_copies = how.data, max(1, how.data * how.tensor // how.expert)
    states = dense / copies + experts / expert_copies
    whole = dense + experts
    return Memory(
        weights=WEIGHT * (states + gathered(shape, whole, how) if how.zero >= 3 else whole),
        gradients=GRADIENT * (states if how.zero >= 2 else whole),
        optimiser=ADAM * (states if how.zero >= 1 else whole),
        activations=activations(shape, how),
    )


def gathered(shape: Shape, whole: float, how: Parallelism) -> float:
    """ZeRO 3 collects two layers at a time: the one at work and the one that follows."""
    return 2 * whole / max(1.0, shape.layers / how.pipeline)


def on_one(counted: Count, how: Parallelism) -> tuple[float, float]:
    """Dense and expert parameters on one accelerator."""
    layers = counted.non_embedding - counted.routed
    dense = layers / (how.tensor * how.pipeline) + counted.embedding / how.tensor
    return dense, counted.routed / (how.expert * how.pipeline)


def activations(shape: Shape, how: Parallelism) -> float:
    """A pipeline's first stage keeps as many micro-batches as it has stages: all layers' worth."""
    tokens = how.micro_batch * shape.sequence / how.tensor
    per_layer = activation_bytes(shape)
    logits = (SINGLE + HALF) * shape.vocabulary if how.pipeline == 1 else 0
    if how.recompute:
        kept = HALF * shape.width * shape.layers + per_layer
        return tokens * (kept + logits)
    return tokens * (per_layer * shape.layers + logits)


def activation_bytes(shape: Shape) -> float:
    """Kept per token and layer. For Korthikanti's shape 32 width: their 34 less dropout masks."""
    d, kv = shape.width, shape.kv_heads * shape.head_width
    norms = 2 * HALF * d
    attention = HALF * (d + d + 2 * kv + d)  # input, queries, keys and values, output
    return norms + attention + feedforward_bytes(shape)


def feedforward_bytes(shape: Shape) -> float:
    """Input and what the non-linearity needs; of a mixture once for every expert visited."""
    d, inner = shape.width, 3 if shape.gated else 2
    mixture = shape.experts
    if not mixture:
        return HALF * (d + inner * shape.feedforward)
    visited = mixture.active + mixture.shared
    copies = HALF * d * mixture.active * 2  # gathered for the expert, and what it hands back
    return HALF * (d + inner * mixture.width * visited) + copies + SINGLE * mixture.count


@dataclass(frozen=True)
class Placed:
    """A parallelism that fits, with its memory."""

    how: Parallelism
    memory: Memory
    limit: float  # bytes that may be used


def place(shape: Shape, hardware: Hardware, accelerators: int, batch: int | None = None) -> Placed:
    """The gentlest way to fit the model on so many accelerators; `batch` in sequences."""
    limit = USABLE * hardware.memory
    tried = [(how, memory(shape, how)) for how in ways(shape, hardware, accelerators, batch)]
    if not tried:
        raise OutOfReach(
            f"{accelerators} accelerators cannot share a batch of {batch} sequences: take fewer"
            " accelerators or a larger batch"
        )
    fitting = [pair for pair in tried if pair[1].total <= limit]
    if not fitting:
        least = min(tried, key=lambda pair: pair[1].total)[1].total
        raise OutOfReach(
            f"{count(shape).total:.3g} parameters need {least / 1e9:.0f} GB on each of"
            f" {accelerators} {hardware.name}, which can use {limit / 1e9:.0f} GB: take more"
            " accelerators or ones with more memory"
        )
    how, need = min(fitting, key=lambda pair: burden(pair[0], shape, batch))
    return Placed(how, need, limit)


def ways(
    shape: Shape, hardware: Hardware, accelerators: int, batch: int | None
) -> Iterator[Parallelism]:
    """Tensor parallel inside a node only; everything in powers of two, pipelines by layers."""
    experts = shape.experts.count if shape.experts else 1
    for tensor in powers(min(hardware.node, accelerators, shape.heads)):
        for pipeline in powers(min(accelerators // tensor, shape.layers)):
            data, left = divmod(accelerators, tensor * pipeline)
            if left or shape.heads % tensor or (batch is not None and data > batch):
                continue
            for expert in powers(min(experts, data * tensor)):
                if (data * tensor) % expert:
                    continue
                for zero in (1, 3):
                    for recompute in (False, True):
                        yield Parallelism(data, tensor, pipeline, expert, zero, recompute)


def powers(most: int) -> list[int]:
    return [2**k for k in range(int(log2(max(1, most))) + 1)]


def burden(how: Parallelism, shape: Shape, batch: int | None) -> float:
    """A rough price in time, to rank ways by; hours are computed from the stated MFU instead.

    Recomputing repeats a forward pass, a third more FLOPs. A pipeline of p stages idles
    (p - 1) / (m + p - 1) of the time with m micro-batches (Narayanan et al. 2021, arXiv
    2104.04473, 2.2). Five per cent a doubling of tensor parallelism, two of expert parallelism
    and ten for ZeRO 3 are our assumptions: a tie-break, no measurement.
    """
    rounds = max(1, (batch or 8 * how.data) // how.data)
    bubble = (how.pipeline - 1) / (rounds + how.pipeline - 1)
    links = 0.05 * log2(how.tensor) + 0.02 * log2(how.expert) + 0.1 * (how.zero == 3)
    return (1 + how.recompute / 3 + links) / (1 - bubble)
