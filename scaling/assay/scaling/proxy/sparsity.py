"""How few neurons of the feed-forwards a model could do with: CETT-PPL-1%.

A neuron's output is its activation times its column of the last matrix. In each layer those below a
threshold are dropped; the threshold is the one at which what is dropped has, in the mean over
tokens, a given share of the output's length (the cumulative error of tail truncation, Zhang et al.
2024, arXiv 2402.03804). That share is one for all layers, and as large as it may be if perplexity
rises by 1 % (Luo et al. 2024, arXiv 2411.02335, section 3). Thresholds are taken on the whole
model, before anything is dropped.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import Any, cast

import torch
from torch import Tensor, nn

from assay.scaling.proxy.evaluate import surprise
from assay.scaling.proxy.model import Block, Decoder
from assay.scaling.proxy.tokens import Packed

RISE = 0.01  # of the perplexity
TOKENS = 8192  # that are looked at
HALVINGS = 10  # of the share, and of each threshold


@dataclass(frozen=True)
class Activation:
    """The share of neurons that stay, at the largest error that perplexity allows."""

    activation: float  # mean over tokens and layers
    layers: tuple[float, ...]
    error: float  # the share of each layer's output that is dropped
    rise: float  # of the perplexity, as it came out


@torch.no_grad()
def measured(model: Decoder, packed: Packed, where: torch.device, rise: float = RISE) -> Activation:
    """Of a dense model, on up to TOKENS tokens of held-out text."""
    some = packed.take(packed.starts[1:] <= max(TOKENS, int(packed.starts[1])))
    before = nats(model, some, where)
    layers = [Layer(down, seen) for down, seen in activations(model, some, where)]
    low, high = 0.0, 1.0
    found: Activation | None = None
    for _ in range(HALVINGS):
        error = (low + high) / 2
        thresholds = [layer.threshold(error) for layer in layers]
        with dropped(layers, thresholds):
            more = nats(model, some, where) - before
        if more > log(1 + rise):
            high = error
            continue
        low = error
        shares = tuple(
            layer.share(threshold) for layer, threshold in zip(layers, thresholds, strict=True)
        )
        mean = sum(shares) / len(shares)
        found = Activation(mean, shares, error, float(torch.tensor(more).exp()) - 1)
    return found or Activation(1.0, (1.0,) * len(layers), 0.0, 0.0)


def nats(model: Decoder, packed: Packed, where: torch.device) -> float:
    """For each token, the log of the perplexity."""
    tokens = len(packed.values) - len(packed)
    return float(surprise(model, packed, where).nats.sum()) / max(1, tokens)


@dataclass(frozen=True)
class Layer:
    """The last matrix of a feed-forward, and what went into it: (tokens, neurons)."""

    down: nn.Linear
    seen: Tensor

    @cached_property
    def columns(self) -> Tensor:
        """The length of each neuron's column."""
        found: Tensor = self.down.weight.float().norm(dim=0)
        return found

    @cached_property
    def whole(self) -> Tensor:
        """The length of each token's output."""
        found: Tensor = (self.seen @ self.down.weight.float().T).norm(dim=-1)
        return found.clamp(min=1e-12)

    def kept(self, seen: Tensor, threshold: float) -> Tensor:
        return seen.abs() * self.columns >= threshold

    def share(self, threshold: float) -> float:
        return float(self.kept(self.seen, threshold).float().mean())

    def error(self, threshold: float) -> float:
        """Mean over tokens of |sum of what is dropped| / |all|."""
        lost = self.seen * ~self.kept(self.seen, threshold)
        return float(((lost @ self.down.weight.float().T).norm(dim=-1) / self.whole).mean())

    def threshold(self, error: float) -> float:
        """The largest at which no more than this share is lost, to a part in 2^HALVINGS."""
        low, high = 0.0, float((self.seen.abs() * self.columns).max()) * 1.001
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.error(middle) <= error else (low, middle)
        return low


def activations(
    model: Decoder, packed: Packed, where: torch.device
) -> Iterator[tuple[nn.Linear, Tensor]]:
    """What goes into the last matrix of each feed-forward."""
    blocks = cast(Sequence[Block], list(model.blocks))
    kept: list[list[Tensor]] = [[] for _ in blocks]

    def listen(to: list[Tensor]) -> Any:
        return lambda module, given: to.append(given[0].flatten(0, 1).float())

    hooks = [
        block.down.register_forward_pre_hook(listen(to))
        for block, to in zip(blocks, kept, strict=True)
    ]
    try:
        surprise(model, packed, where)
    finally:
        for hook in hooks:
            hook.remove()
    for block, to in zip(blocks, kept, strict=True):
        yield block.down, torch.cat(to)


@contextmanager
def dropped(layers: Sequence[Layer], thresholds: Sequence[float]) -> Iterator[None]:
    """Inside, neurons below their layer's threshold give nothing."""

    def drop(layer: Layer, threshold: float) -> Any:
        return lambda module, given: (given[0] * layer.kept(given[0], threshold),)

    hooks = [
        layer.down.register_forward_pre_hook(drop(layer, threshold))
        for layer, threshold in zip(layers, thresholds, strict=True)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
