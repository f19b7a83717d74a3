"""Norm, rotation, gate, with derivatives by hand: what torch does in some ten passes over memory
takes four here, and small models on a CPU wait for memory. A GPU's compiler fuses the plain ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-6
Turn = tuple[Tensor, Tensor]  # cosines and sines, (length, 1, head / 2)

_by_hand: ContextVar[bool] = ContextVar("by_hand", default=True)


@contextmanager
def transformable() -> Iterator[None]:
    """Inside it the plain operations, which torch.func can take forwards and per sample."""
    before = _by_hand.set(False)
    try:
        yield
    finally:
        _by_hand.reset(before)


def normed(x: Tensor) -> Tensor:
    """Each vector over its root mean square (Zhang and Sennrich 2019, arXiv 1910.07467); without
    gains, which the next matrix can hold."""
    if plain(x):
        return F.rms_norm(x, (x.shape[-1],), eps=EPSILON)
    return normed_by_hand(x, None, None)


def normed_and_turned(x: Tensor, turn: Turn) -> Tensor:
    """The same, then each pair of neighbours turned by its position's angle (Su et al. 2021, arXiv
    2104.09864, equation 15)."""
    if plain(x):
        return turned(F.rms_norm(x, (x.shape[-1],), eps=EPSILON), turn)
    return normed_by_hand(x, *turn)


def plain(x: Tensor) -> bool:
    there = x.is_cuda or x.dtype != torch.float32 or bool(torch.compiler.is_compiling())
    return there or not _by_hand.get()


def normed_by_hand(x: Tensor, cosine: Tensor | None, sine: Tensor | None) -> Tensor:
    apply: Any = Normed.apply
    return cast(Tensor, apply(x, cosine, sine))


def turned(x: Tensor, turn: Turn) -> Tensor:
    cosine, sine = (part.to(x.dtype) for part in turn)
    first, second = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    halves = (first * cosine - second * sine, second * cosine + first * sine)
    return torch.stack(halves, dim=-1).flatten(-2)


class Normed(torch.autograd.Function):
    """y = R x / rms(x), with R a rotation or nothing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor | None, sine: Tensor | None) -> Tensor:
        width = x.shape[-1]
        norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale: Tensor = norm.square_().div_(width).add_(EPSILON).rsqrt_()
        y: Tensor = x * scale
        if cosine is not None and sine is not None:
            y = rotation(y, cosine, sine, 1.0)
        ctx.save_for_backward(y, scale, cosine, sine)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """With y as unit vectors u times sqrt(width): dx = scale (g - y mean(g y)), and both may
        be taken before the rotation is undone, since it keeps products."""
        y, scale, cosine, sine = ctx.saved_tensors
        (g,) = gradients
        along = torch.linalg.vecdot(g, y).unsqueeze(-1).div_(y.shape[-1])
        found = torch.addcmul(g, y, along, value=-1).mul_(scale)
        if cosine is not None:
            found = rotation(found, cosine, sine, -1.0)
        return found, None, None


def rotation(x: Tensor, cosine: Tensor, sine: Tensor, sign: float) -> Tensor:
    """As complex numbers: one pass, seven times as fast here as products of strided halves."""
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * torch.complex(cosine, sign * sine)).flatten(-2)


# The gate ------------------------------------------------------------------------------


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) up (Shazeer 2020, arXiv 2002.05202, equation 6)."""
    if plain(gate):
        return F.silu(gate) * up
    apply: Any = Gated.apply
    return cast(Tensor, apply(gate, up))


class Gated(torch.autograd.Function):
    """Keeps what went in. Rows go some at a time, so that a second pass over them finds them in
    the processor's own memory."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        out = torch.empty_like(gate)
        for a, b, found in together(gate, up, out):
            SILU(a, out=found).mul_(b)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        of_gate, of_up = torch.empty_like(gate), torch.empty_like(up)
        for a, b, g, da, db in together(gate, up, gradients[0], of_gate, of_up):
            torch.mul(g, b, out=da)
            SILU_BACKWARD(da, a, grad_input=da)
            SILU(a, out=db).mul_(g)
        return of_gate, of_up


SILU: Any = torch.ops.aten.silu.out
SILU_BACKWARD: Any = torch.ops.aten.silu_backward.grad_input
NEAR = 65_536  # numbers of each thread's share, a quarter of a megabyte


def together(*matrices: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same rows of each, as many as are near at once."""
    width = matrices[0].shape[-1]
    rows = max(1, NEAR * torch.get_num_threads() // width)
    return zip(*(torch.split(matrix.reshape(-1, width), rows) for matrix in matrices), strict=True)
