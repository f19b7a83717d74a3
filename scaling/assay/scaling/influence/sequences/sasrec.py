"""SASRec: the next item from the items before it, by self-attention (Kang and McAuley 2018, arXiv
1808.09781), with the blocks normed after each part, as in the surrogate of DEALRec.

A batch of sequences is three arrays of numbers of items, each (n, length): what was seen, what
came next, and for each place an item that did not. Sequences stand at the right end, zeros before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from assay.scaling.influence.directional import Losses
from assay.scaling.influence.sequences.reading import Places, Sequences
from assay.scaling.influence.vectors import Params
from assay.selectors.choice import mix

Batch = tuple[Tensor, Tensor, Tensor]
MATRIX = "blocks.{last}.out.weight"  # the one matrix that DEALRec's published code looks at


@dataclass(frozen=True)
class SasRecSpec:
    """The published settings of DEALRec's surrogate."""

    layers: int = 2
    heads: int = 2
    hidden: int = 64
    dropout: float = 0.5
    length: int = 50

    @property
    def matrix(self) -> str:
        """The read-out of the last attention."""
        return MATRIX.format(last=self.layers - 1)


class SasRec(nn.Module):
    """(n, length) items -> (n, length, hidden): what is expected next at each place."""

    def __init__(self, spec: SasRecSpec, items: int, generator: torch.Generator) -> None:
        super().__init__()
        self.spec = spec
        self.items = nn.Embedding(items + 1, spec.hidden)
        self.places = nn.Embedding(spec.length, spec.hidden)
        self.norm = nn.LayerNorm(spec.hidden)
        self.dropout = nn.Dropout(spec.dropout)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.layers))
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.ndim == 2:  # norms begin as the identity, biases at zero
                    parameter.normal_(0, 0.02, generator=generator)

    def forward(self, seen: Tensor) -> Tensor:
        length = seen.shape[1]
        there = seen > 0
        x = self.items(seen) + self.places.weight[self.spec.length - length :]
        x = self.dropout(self.norm(x))
        past = torch.ones(length, length, dtype=torch.bool, device=seen.device).tril()
        itself = torch.eye(length, dtype=torch.bool, device=seen.device)
        # Places before the sequence see themselves: a row of which nothing is seen is no number.
        mask = ((there[:, None, :] & past) | itself)[:, None]
        for block in self.blocks:
            x = block(x, mask)
        return cast(Tensor, x)


class Block(nn.Module):
    """Attention and a feed-forward; each is added to what came in, and then normed."""

    def __init__(self, spec: SasRecSpec) -> None:
        super().__init__()
        hidden = spec.hidden
        self.heads = spec.heads
        self.query, self.key = flat(hidden, hidden), flat(hidden, hidden)
        self.value, self.out = flat(hidden, hidden), flat(hidden, hidden)
        self.up, self.down = flat(hidden, 4 * hidden), flat(4 * hidden, hidden)
        self.after, self.last = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(spec.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.after(x + self.dropout(self.out(self.attention(x, mask))))
        return cast(Tensor, self.last(x + self.dropout(self.down(F.gelu(self.up(x))))))

    def attention(self, x: Tensor, mask: Tensor) -> Tensor:
        n, length, hidden = x.shape
        query, key, value = (
            part(x).view(n, length, self.heads, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        dropout = self.dropout.p if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, mask, dropout)
        return mixed.transpose(1, 2).reshape(n, length, hidden)


def flat(wide: int, out: int) -> nn.Linear:
    made = nn.Linear(wide, out)
    nn.init.zeros_(made.bias)
    return made


# Losses --------------------------------------------------------------------------------


def losses_of(model: SasRec) -> Losses:
    """(parameters, batch) -> (n,): the mean over a sequence's places of the binary cross-entropy
    of the item that came next and of one that did not, as published."""

    def losses(params: Params, batch: Batch) -> Tensor:
        seen, came, other = batch
        expected = functional_call(model, params, (seen,))
        items = params["items.weight"]
        right = (expected * F.embedding(came, items)).sum(-1)
        wrong = (expected * F.embedding(other, items)).sum(-1)
        there = (came > 0).to(right.dtype)
        each = (F.softplus(-right) + F.softplus(wrong)) * there
        return each.sum(1) / there.sum(1).clamp(min=1)

    return losses


def batches(
    sequences: Sequences, length: int, size: int, order: Places, seed: int, epoch: int = 0
) -> Iterator[Batch]:
    """The sequences in an order, so many at a time, as wide as the longest of them. The items that
    did not come next hang on the seed, the epoch, the user's id and the place alone."""
    keys = mix(sequences.keys, 2 * seed + 1)
    known = len(sequences.known)
    for first in range(0, len(order), size):
        some = order[first : first + size]
        tails = [sequences.of(int(i))[-length - 1 :] for i in some]
        width = max(1, max(len(tail) for tail in tails) - 1)
        seen, came = (np.zeros((len(some), width), np.int64) for _ in range(2))
        for row, tail in enumerate(tails):
            if len(tail) > 1:
                seen[row, 1 - len(tail) :] = tail[:-1]
                came[row, 1 - len(tail) :] = tail[1:]
        other = unlike(came, keys[some], known, epoch)
        yield torch.from_numpy(seen), torch.from_numpy(came), torch.from_numpy(other)


def unlike(came: Places, keys: np.ndarray, known: int, epoch: int) -> Places:
    """For each item another, evenly of all others; 0 where there is none."""
    width = came.shape[1]
    back = np.arange(width, 0, -1, dtype=np.uint64)[None, :]  # from the end: padding moves none
    drawn = mix(keys[:, None] + back * np.uint64(0x9E3779B97F4A7C15), epoch)
    other = (drawn % np.uint64(max(1, known - 1))).astype(np.int64) + 1
    other += other >= came  # leaves out the item itself
    return np.where(came > 0, np.minimum(other, known), 0)
