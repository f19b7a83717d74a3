"""Feed-forwards of which each token passes a few: SwiGLU experts behind a router.

A token's router scores go through a softmax; the best few experts are taken and their shares made
to sum to one (Shazeer et al. 2017, arXiv 1701.06538). A load-balance term keeps all of them in use
(Fedus et al. 2021, arXiv 2101.03961, equation 4). No token is dropped.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assay.scaling.architecture import Shape
from assay.scaling.proxy.kernels import gated
from assay.scaling.proxy.ladder import BASE_WIDTH

BALANCE = 0.01  # weight of the load-balance term; Fedus et al. 2021, section 2.2


class Expert(nn.Module):
    """A small SwiGLU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.down(gated(x, self.gate, self.up)))


@dataclass(frozen=True)
class Sent:
    """Which tokens go where: rows sorted by expert."""

    order: Tensor  # (tokens x active,) places in the flattened choice
    counts: Tensor  # (experts,)


class Mixture(nn.Module):
    """(..., width) in and out; `balance` is the load-balance term of the last call."""

    balance: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        assert shape.experts is not None
        self.active = shape.experts.active
        # As of a read-out: the router's scores are few, whatever the width.
        self.scale = BASE_WIDTH / shape.width
        self.router = nn.Linear(shape.width, shape.experts.count, bias=False)
        self.experts = nn.ModuleList(
            Expert(shape.width, shape.experts.width) for _ in range(shape.experts.count)
        )

    def matrices(self) -> list[tuple[str, nn.Parameter]]:
        """The hidden matrices, by their names; the router is none of them."""
        each = cast("list[Expert]", list(self.experts))
        return [(n, getattr(one, n).weight) for one in each for n in ("gate", "up", "down")]

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        chances = torch.softmax(self.router(flat).float() * self.scale, dim=-1)
        shares, chosen = chances.topk(self.active, dim=-1)
        shares = shares / shares.sum(-1, keepdim=True)
        sent = sorted_by_expert(chosen, len(self.experts))
        self.balance = balance(chances, sent.counts)
        given = flat[sent.order // self.active]
        found = self.grouped(given, sent) if x.is_cuda else self.one_by_one(given, sent)
        back = torch.empty_like(sent.order)
        back[sent.order] = torch.arange(len(back), device=back.device)
        parts = found[back].view(len(flat), self.active, -1)
        return (parts * shares[..., None].to(parts.dtype)).sum(1).view(x.shape)

    def one_by_one(self, given: Tensor, sent: Sent) -> Tensor:
        """Also experts without a token: their derivatives are zeros, not missing."""
        parts = torch.split(given, sent.counts.tolist())
        return torch.cat([one(part) for one, part in zip(self.experts, parts, strict=True)])

    def grouped(self, given: Tensor, sent: Sent) -> Tensor:
        """All experts in three products, where torch has a grouped one for the device."""
        ends = sent.counts.cumsum(0).to(torch.int32)
        gate, up, down = (
            torch.stack([getattr(one, name).weight.T for one in self.experts]).to(given.dtype)
            for name in ("gate", "up", "down")
        )
        inner = F.silu(F.grouped_mm(given, gate, offs=ends)) * F.grouped_mm(given, up, offs=ends)
        return F.grouped_mm(inner, down, offs=ends)


def sorted_by_expert(chosen: Tensor, experts: int) -> Sent:
    flat = chosen.flatten()
    return Sent(flat.argsort(stable=True), torch.bincount(flat, minlength=experts))


def balance(chances: Tensor, counts: Tensor) -> Tensor:
    """experts x sum over them of (share of the tokens) (mean chance): 1 if even, more if not."""
    sent = counts / counts.sum()
    return len(counts) * (sent.to(chances.dtype) * chances.mean(0)).sum()
