"""What stands between a decoder's matrix products, with derivatives by hand for a CPU.

Norms, rotations and gates wait for memory there; assay.native.layers passes over it once for each,
where torch's operations do so some ten times. The products next to them are taken together: queries
with keys, gates with what they let through. A GPU's compiler fuses the plain operations.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from assay.native import layers

EPSILON = 1e-6  # as in native/src/layers.hpp
Turn = tuple[Tensor, Tensor]  # cosines and sines, (length, 1, head / 2)

_by_hand: ContextVar[bool] = ContextVar("by_hand", default=True)


@contextmanager
def transformable() -> Iterator[None]:
    """Inside it the plain operations, and a module for each matrix: torch.func can take them
    forwards and per sample, and hooks see them."""
    before = _by_hand.set(False)
    try:
        yield
    finally:
        _by_hand.reset(before)


def plain(x: Tensor) -> bool:
    elsewhere = x.device.type != "cpu" or x.dtype != torch.float32
    return (
        elsewhere
        or bool(torch.compiler.is_compiling())
        or not _by_hand.get()
        or torch.is_autocast_enabled("cpu")
    )


def derivative(backward: Any) -> Any:
    """Of a function by hand: taken once, and in single precision also inside of autocast."""

    @wraps(backward)
    def alone(ctx: Any, *gradients: Tensor) -> Any:
        with torch.autocast("cpu", enabled=False):
            return backward(ctx, *gradients)

    return once_differentiable(alone)


# Norms -------------------------------------------------------------------------------------------


def normed(x: Tensor) -> Tensor:
    """Each vector over its root mean square (Zhang and Sennrich 2019, arXiv 1910.07467); without
    gains, which the next matrix can hold."""
    if plain(x):
        return F.rms_norm(x, (x.shape[-1],), eps=EPSILON)
    apply: Any = Normed.apply
    return cast(Tensor, apply(x))


def added_and_normed(x: Tensor, more: Tensor | None) -> tuple[Tensor, Tensor]:
    """x + more, and that normed."""
    if more is None:
        return x, normed(x)
    if plain(x):
        total = x + more
        return total, normed(total)
    apply: Any = AddedAndNormed.apply
    return cast(tuple[Tensor, Tensor], apply(x, more))


class Normed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        flat, y = rows(x), new(x)
        scale = flat.new_empty(len(flat), 1)
        layers.norm(flat, flat.shape[1], None, None, rows(y), scale, torch.get_num_threads())
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    @derivative
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return slope(ctx, gradients[0], None)


class AddedAndNormed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
        one, total, y = rows(x), new(x), new(x)
        scale, threads = one.new_empty(len(one), 1), torch.get_num_threads()
        layers.add_norm(one, rows(more), rows(total), rows(y), scale, threads)
        ctx.save_for_backward(y, scale)
        ctx.set_materialize_grads(False)  # nobody needs the last sum
        return total, y

    @staticmethod
    @derivative
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        of_total, of_y = gradients
        found = of_total if of_y is None else slope(ctx, of_y, of_total)
        return found, found


def slope(ctx: Any, of_y: Tensor, more: Tensor | None) -> Tensor:
    """By what was normed; with `more` added."""
    y, scale = ctx.saved_tensors
    g = rows(of_y)
    found = torch.empty_like(g)
    also = None if more is None else rows(more)
    layers.norm_back(
        g, rows(y), scale, g.shape[1], None, None, also, found, torch.get_num_threads()
    )
    return found.view(of_y.shape)


def rows(x: Tensor) -> Tensor:
    """(everything, width), for a kernel: the numbers of a row lie side by side."""
    flat = x.detach().reshape(-1, x.shape[-1])
    return flat if flat.stride(1) == 1 else flat.contiguous()


def new(x: Tensor) -> Tensor:
    """As large, one row behind the other."""
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def halves(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Left and right."""
    width = matrix.shape[1] // 2
    return matrix[:, :width], matrix[:, width:]


def turned(x: Tensor, turn: Turn) -> Tensor:
    """Each pair of neighbours turned by its position's angle (Su et al. 2021, arXiv 2104.09864,
    equation 15). x is (..., length, heads, head)."""
    cosine, sine = (part.to(x.dtype) for part in turn)
    first, second = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    halves = (first * cosine - second * sine, second * cosine + first * sine)
    return torch.stack(halves, dim=-1).flatten(-2)


# Queries, keys and values ------------------------------------------------------------------------


def looked_up(
    x: Tensor, query: nn.Linear, key: nn.Linear, value: nn.Linear, turn: Turn
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys of x (batch, length, width), normed head by head and turned, and values:
    (batch, length, heads, head) each."""
    cosine, sine = turn
    if plain(x):
        split = (*x.shape[:-1], -1, 2 * cosine.shape[-1])
        q, k = (turned(normed(part(x).view(split)), turn) for part in (query, key))
        return q, k, value(x).view(split)
    apply: Any = LookedUp.apply
    angles = (cosine.flatten(1), sine.flatten(1))
    found = apply(x, query.weight, key.weight, value.weight, *angles)
    return cast(tuple[Tensor, Tensor, Tensor], found)


class LookedUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, cosine, sine = given
        flat, width, head = rows(x), x.shape[-1], 2 * cosine.shape[1]
        both = flat @ torch.cat([query, key]).T
        split = (*x.shape[:-1], width // head, head)
        found = []
        for part in halves(both):
            y, scale = flat.new_empty(split), flat.new_empty(len(flat), width // head)
            to = y.view(-1, width)
            layers.norm(part, head, cosine, sine, to, scale, torch.get_num_threads())
            found += [y, scale]
        q, q_scale, k, k_scale = found
        ctx.save_for_backward(flat, *given, q, q_scale, k, k_scale)
        return q, k, (flat @ value.T).view(split)

    @staticmethod
    @derivative
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        flat, query, key, value, cosine, sine, *normed = ctx.saved_tensors
        width, head = flat.shape[1], 2 * cosine.shape[1]
        both = flat.new_empty(len(flat), 2 * width)
        pairs = zip(gradients, halves(both), normed[::2], normed[1::2], strict=False)
        for gradient, to, y, scale in pairs:
            g, seen = (rows(part.flatten(2)) for part in (gradient, y))
            threads = torch.get_num_threads()
            layers.norm_back(g, seen, scale, head, cosine, sine, None, to, threads)
        last = gradients[2].reshape(-1, width)
        of_x = (both @ torch.cat([query, key])).addmm_(last, value)
        of_both = (flat.T @ both).T  # a third faster here than both.T @ flat
        shape = (*gradients[0].shape[:-2], width)
        return of_x.view(shape), of_both[:width], of_both[width:], (flat.T @ last).T, None, None


# The gate ----------------------------------------------------------------------------------------


def gated(x: Tensor, gate: nn.Linear, up: nn.Linear) -> Tensor:
    """silu(gate x) up x (Shazeer 2020, arXiv 2002.05202, equation 6)."""
    if plain(x):
        return F.silu(cast(Tensor, gate(x))) * cast(Tensor, up(x))
    apply: Any = Gated.apply
    return cast(Tensor, apply(x, gate.weight, up.weight))


class Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, up: Tensor) -> Tensor:
        flat, inner = rows(x), len(gate)
        both = flat @ torch.cat([gate, up]).T
        out = flat.new_empty(len(flat), inner)
        layers.gate(*halves(both), out, torch.get_num_threads())
        ctx.save_for_backward(flat, gate, up, both)
        return out.view(*x.shape[:-1], inner)

    @staticmethod
    @derivative
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        flat, gate, up, both = ctx.saved_tensors
        inner, found = len(gate), torch.empty_like(both)
        g, threads = rows(gradients[0]), torch.get_num_threads()
        layers.gate_back(*halves(both), g, *halves(found), threads)
        of_both = (flat.T @ found).T
        of_x = (found @ torch.cat([gate, up])).view(*gradients[0].shape[:-1], flat.shape[1])
        return of_x, of_both[:inner], of_both[inner:]
