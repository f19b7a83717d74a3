"""Attention inside documents, on a CPU only over what can be seen.

torch's attention on a CPU computes every score of a sequence of up to 512 tokens, whatever the mask
hides. Here queries go in blocks, and a block is shown the keys from its first document's beginning
to its own end: three quarters of the scores at 512, fewer in longer sequences and where documents
are short. Each block is torch's own kernel.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 256  # queries; 128 has fewer scores and more calls, and was no faster here (1M model)


@dataclass(frozen=True)
class Block:
    """Queries of some rows, and the keys that any of them sees."""

    rows: slice
    queries: slice
    keys: slice
    mask: Tensor  # (rows or 1, 1, queries, keys): 0 where seen, else -inf


Sight = Tensor | tuple[Block, ...] | None  # what tokens see; None: all that came before


def sight(tokens: Tensor, begin: int) -> Sight:
    """What each token of (batch, sequence) sees: its document's earlier tokens. Blocks for the CPU,
    a mask for others; both say the same."""
    if tokens.is_cuda or torch.compiler.is_compiling():
        return document_mask(tokens, begin)
    return blocks(tokens, begin)


def document_mask(tokens: Tensor, begin: int) -> Tensor:
    """(batch, 1, sequence, sequence): 0 where the row's token sees the column's, else -inf.
    Documents begin with the token `begin`. As numbers, because of a mask of truths attention
    makes numbers in every layer."""
    document = (tokens == begin).cumsum(1)
    same = (document[:, :, None] == document[:, None, :]).tril_()
    mask = torch.zeros(same.shape, device=tokens.device)
    return mask.masked_fill_(same.logical_not_(), -torch.inf)[:, None]


def blocks(tokens: Tensor, begin: int) -> tuple[Block, ...]:
    """Neighbouring rows that see keys from the same place on go together."""
    length = tokens.shape[1]
    document = (tokens == begin).cumsum(1)
    places = torch.arange(length)
    starts = torch.where(tokens == begin, places, 0).cummax(1).values
    earlier = torch.full((length, length), -torch.inf).triu_(1)
    found = []
    for first in range(0, length, BLOCK):
        queries = slice(first, min(first + BLOCK, length))
        froms = starts[:, first].tolist()
        for rows in alike(froms):
            keys = slice(froms[rows.start], queries.stop)
            mask = earlier[None, None, queries, keys]
            inside = document[rows, keys]
            if bool((inside[:, :1] != inside[:, -1:]).any()):
                other = document[rows, queries, None] != inside[:, None, :]
                mask = mask.masked_fill(other[:, None], -torch.inf)
            found.append(Block(rows, queries, keys, mask))
    return tuple(found)


def alike(values: list[int]) -> list[slice]:
    """Runs of equal neighbours."""
    ends = [i + 1 for i in range(len(values)) if values[i + 1 : i + 2] != values[i : i + 1]]
    return [slice(first, end) for first, end in zip([0, *ends], ends, strict=False)]


def mixed(query: Tensor, key: Tensor, value: Tensor, seen: Sight) -> Tensor:
    """(batch, sequence, heads, head) each; every query's mean of the values that it sees."""
    q, k, v = (part.transpose(1, 2) for part in (query, key, value))
    if isinstance(seen, tuple):
        apply: Any = Blockwise.apply
        if q.dtype == torch.float32:
            return cast(Tensor, apply(q, k, v, seen).transpose(1, 2))
        seen = whole(seen, query)
    mask = None if seen is None else seen.to(v.dtype)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
    return out.transpose(1, 2)


def whole(seen: tuple[Block, ...], query: Tensor) -> Tensor:
    """The mask that the blocks are cut from."""
    batch, length = query.shape[:2]
    mask = torch.full((batch, 1, length, length), -torch.inf)
    for block in seen:
        mask[block.rows, :, block.queries, block.keys] = block.mask
    return mask


class Blockwise(torch.autograd.Function):
    """torch's kernel for each block; derivatives of keys and values are summed over blocks."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, seen: tuple[Block, ...]) -> Tensor:
        out, sums = torch.empty_like(q), []
        for block in seen:
            some = parts(block, q, k, v)
            rows, queries = block.rows, block.queries
            found, logsum = FORWARD(*some, 0.0, False, attn_mask=block.mask)
            out[rows, :, queries] = found
            sums.append(logsum)
        ctx.save_for_backward(q, k, v, out)
        ctx.seen, ctx.sums = seen, sums
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, out = ctx.saved_tensors
        (g,) = gradients
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for block, logsum in zip(ctx.seen, ctx.sums, strict=True):
            rows, queries, keys = block.rows, block.queries, block.keys
            some = parts(block, q, k, v)
            here = (g[rows, :, queries], *some, out[rows, :, queries], logsum)
            ours, theirs, values = BACKWARD(*here, 0.0, False, attn_mask=block.mask)
            dq[rows, :, queries] = ours
            dk[rows, :, keys] += theirs
            dv[rows, :, keys] += values
        return dq, dk, dv, None


def parts(block: Block, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    rows, keys = block.rows, block.keys
    return q[rows, :, block.queries], k[rows, :, keys], v[rows, :, keys]


FORWARD: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
BACKWARD: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
