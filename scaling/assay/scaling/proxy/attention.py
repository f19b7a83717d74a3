"""Attention inside documents: a token sees its own document's earlier tokens.

On a CPU by our own kernel, which makes the scores of what can be seen and no others; torch's, under
a mask, makes all of a sequence of up to 512 tokens. On a GPU by torch's, under a mask; or, where
that is asked for and compiled, by its flex attention, which leaves out blocks that nobody sees.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from assay.native import layers
from assay.scaling.proxy.kernels import derivative, plain


@dataclass(frozen=True)
class Starts:
    """(batch, sequence), int32: the first place that each token sees; the last is its own."""

    places: Tensor

    @cached_property
    def mask(self) -> Tensor:
        """The same, as `document_mask` has it."""
        own = torch.arange(self.places.shape[1], device=self.places.device)
        seen = (own[None, :] >= self.places[:, :, None]) & (own[None, :] <= own[:, None])
        return as_numbers(seen)


Sight = Tensor | Starts | BlockMask | None  # what tokens see; None: all that came before


def sight(tokens: Tensor, begin: int, flex: bool = False) -> Sight:
    """What each token of (batch, sequence) sees: its document's earlier tokens. Documents begin
    with the token `begin`."""
    if flex:
        return block_mask(tokens, begin)
    if tokens.is_cuda or torch.compiler.is_compiling():
        return document_mask(tokens, begin)
    places = torch.arange(tokens.shape[1], dtype=torch.int32)
    return Starts(torch.where(tokens == begin, places, 0).cummax(1).values)


def document_mask(tokens: Tensor, begin: int) -> Tensor:
    """(batch, 1, sequence, sequence): 0 where the row's token sees the column's, else -inf."""
    document = (tokens == begin).cumsum(1)
    return as_numbers((document[:, :, None] == document[:, None, :]).tril_())


def block_mask(tokens: Tensor, begin: int) -> BlockMask:
    """The same for flex attention: which blocks of 128 have something to see."""
    document = (tokens == begin).cumsum(1)

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (document[batch, query] == document[batch, key])

    batch, length = tokens.shape
    where = str(tokens.device)
    return create_block_mask(sees, batch, None, length, length, device=where)


def as_numbers(seen: Tensor) -> Tensor:
    """Of a mask of truths attention makes numbers in every layer."""
    mask = torch.zeros(seen.shape, device=seen.device)
    return mask.masked_fill_(seen.logical_not(), -torch.inf)[:, None]


def mixed(query: Tensor, key: Tensor, value: Tensor, seen: Sight) -> Tensor:
    """(batch, sequence, heads, head) each; every query's mean of the values that it sees."""
    if isinstance(seen, Starts):
        if not plain(query):
            apply: Any = Attended.apply
            return cast(Tensor, apply(query, key, value, seen.places))
        seen = seen.mask
    q, k, v = (part.transpose(1, 2) for part in (query, key, value))
    if isinstance(seen, BlockMask):  # which autocast does not know
        return flex_attention(q.to(v.dtype), k.to(v.dtype), v, block_mask=seen).transpose(1, 2)
    mask = None if seen is None else seen.to(v.dtype)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
    return out.transpose(1, 2)


class Attended(torch.autograd.Function):
    """Keeps the logarithms of sums of powers, from which the shares are made again."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        q, k, v = (part.detach() for part in given[:3])
        places = given[3]
        batch, length, heads, _ = q.shape
        out, logs = torch.empty_like(q), q.new_empty(batch, heads, length)
        layers.attend(q, k, v, places, out, logs, torch.get_num_threads())
        ctx.save_for_backward(q, k, v, out, logs, places)
        return out

    @staticmethod
    @derivative
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, logs, places = ctx.saved_tensors
        dq, dk, dv = (torch.empty_like(part) for part in (q, k, v))
        threads = torch.get_num_threads()
        slope = gradients[0] if gradients[0].stride(3) == 1 else gradients[0].contiguous()
        layers.attend_back(slope, q, k, v, out.detach(), logs, places, dq, dk, dv, threads)
        return dq, dk, dv, None
