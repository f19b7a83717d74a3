"""Nats of the next token, from the last hidden layer; logits of a large vocabulary are never whole.

torch.nn.functional.linear_cross_entropy makes the logits of some tokens, takes their share of the
loss and of all derivatives, and lets them go. Of a small vocabulary the logits are small too, and
whole they are faster.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from assay.scaling.proxy.attention import Sight
from assay.scaling.proxy.ladder import LARGE_VOCABULARY, LOGITS
from assay.scaling.proxy.mixture import BALANCE
from assay.scaling.proxy.model import Decoder
from assay.scaling.proxy.tokens import IGNORED


class Objective(nn.Module):
    """Tokens and targets in, their summed nats out."""

    def __init__(self, model: Decoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, wanted: Tensor, seen: Sight) -> Tensor:
        lost = nats(self.model, self.model.hidden(tokens, seen), wanted, "sum")
        term = self.model.balance()
        if term is None:
            return lost
        # A pull on the router that the number does not show: losses stay nats.
        pull = BALANCE * term * (wanted != IGNORED).sum()
        return lost + (pull - pull.detach())


def nats(
    model: Decoder, hidden: Tensor, wanted: Tensor, reduction: Literal["sum", "none"]
) -> Tensor:
    """Of every target in (batch, sequence), 0 where it is IGNORED; or their sum."""
    if model.shape.vocabulary < LARGE_VOCABULARY:
        logits = model.logits(hidden).float().flatten(0, 1)
        targets = wanted.flatten()
        lost = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction=reduction)
    else:
        lost = in_parts(model, hidden, wanted.flatten(), reduction)
    return lost.view(wanted.shape) if reduction == "none" else lost


def in_parts(
    model: Decoder, hidden: Tensor, wanted: Tensor, reduction: Literal["sum", "none"]
) -> Tensor:
    rows = max(1, LOGITS // model.shape.vocabulary)
    scaled = (hidden * model.scale).flatten(0, 1)
    if torch.is_autocast_enabled(hidden.device.type):
        return by_checkpoints(model, scaled, wanted, reduction, rows)
    options = nn.LinearCrossEntropyOptions(
        batch_chunk_size=rows, allow_retain_graph=torch.compiler.is_compiling()
    )
    return F.linear_cross_entropy(
        scaled,
        model.ends,
        wanted,
        reduction=reduction,
        ignore_index=IGNORED,
        options=options,
    )


def by_checkpoints(
    model: Decoder, scaled: Tensor, wanted: Tensor, reduction: Literal["sum", "none"], rows: int
) -> Tensor:
    """In half precision torch's own would round the loss to 8 bits. Here products are halves, and
    the logits of a part, in single precision, are made a second time for its derivatives."""

    def part(hidden: Tensor, targets: Tensor) -> Tensor:
        logits = F.linear(hidden, model.ends).float()
        return F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction=reduction)

    pairs = zip(torch.split(scaled, rows), torch.split(wanted, rows), strict=True)
    found = [checkpoint(part, *pair, use_reentrant=False) for pair in pairs]
    return torch.cat(found) if reduction == "none" else torch.stack(found).sum()
