"""Derivatives of many samples' losses along one direction, without a gradient for each.

Influence on a target is a dot product <grad L_i, h> for every sample i and one h (Koh and Liang
2017, arXiv 1703.04730). That is the derivative of L_i(theta + e h) by e: one forward pass in
forward mode gives it for a whole batch, in the memory of a forward pass.

A function of losses takes (parameters, batch) and returns a loss for each sample, (n,). A batch
is a tensor, or a tuple of tensors, with samples in the first dimension.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import Module
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves, tree_map

from assay.scaling.influence.errors import NoForwardMode
from assay.scaling.influence.vectors import Params, check_finite, dot, norm

Batch = Any  # a tensor, or a tuple of tensors, (n, ...)
Losses = Callable[[Params, Batch], Tensor]

# The error of a central difference is least at the cube root of the precision, some 5e-3 in single
# precision; lengths are those of the step in the space of parameters.
STEP = 5e-3
CHUNK = 32  # gradients that are held at once


def jvp_losses(losses: Losses, params: Params, direction: Params, batch: Batch) -> Tensor:
    """<grad L_i, direction> for each sample, (n,). Attention takes its plain kernel, because the
    fused ones have no forward derivative. Raises NoForwardMode where another kernel has none:
    `difference_losses` serves there."""
    moving = {name: params[name].detach() for name in direction}

    def along(values: Params) -> Tensor:
        return losses({**params, **values}, batch)

    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            found: Tensor = jvp(along, (moving,), (direction,))[1]
    except (NotImplementedError, RuntimeError) as cause:
        if not lacks_a_derivative(cause):
            raise
        raise NoForwardMode(
            f"{str(cause).splitlines()[0]}: take difference_losses for this model"
        ) from cause
    return found.detach()


def difference_losses(
    losses: Losses, params: Params, direction: Params, batch: Batch, step: float = STEP
) -> Tensor:
    """The same by two forward passes, (L_i(theta + e h) - L_i(theta - e h)) / 2e, with e such that
    the parameters move by the length `step`."""
    length = norm(direction)
    if length == 0:
        return torch.zeros(samples(batch), dtype=next(iter(params.values())).dtype)
    share = step / length
    with torch.no_grad():
        ahead, behind = (
            losses({**params, **moved(params, direction, by)}, batch) for by in (share, -share)
        )
    return (ahead - behind) / (2 * share)


def slopes(losses: Losses, params: Params, direction: Params, batch: Batch) -> Tensor:
    """By `jvp_losses` where the model's kernels allow it, else by `difference_losses`."""
    try:
        return jvp_losses(losses, params, direction, batch)
    except NoForwardMode:
        return difference_losses(losses, params, direction, batch)


def moved(params: Params, direction: Params, by: float) -> Params:
    return {name: params[name].detach() + by * value for name, value in direction.items()}


def mean_gradient(
    losses: Losses, params: Params, batches: Iterable[Batch], among: Collection[str] | None = None
) -> Params:
    """The gradient of the mean loss over all samples of all batches, by the parameters `among`
    (None: all). Batches count by their samples, so a short last one is not weighted like a full
    one. Raises NotFinite."""
    names = list(params if among is None else among)
    total = {name: torch.zeros_like(params[name]) for name in names}
    count = 0
    for batch in batches:
        found = summed_gradient(losses, params, batch, names)
        total = {name: value + found[name] for name, value in total.items()}
        count += samples(batch)
    mean = {name: value / max(1, count) for name, value in total.items()}
    check_finite(mean, "the mean gradient")
    return mean


def summed_gradient(losses: Losses, params: Params, batch: Batch, names: list[str]) -> Params:
    """Backpropagation as it always is, which every kernel knows."""
    leaves = {name: params[name].detach().requires_grad_() for name in names}
    with torch.enable_grad():
        total = losses({**params, **leaves}, batch).sum()
        found = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
    return dict(zip(names, found, strict=True))


def gradient_norms(
    losses: Losses,
    params: Params,
    batch: Batch,
    among: Collection[str] | None = None,
    chunk: int = CHUNK,
    one_by_one: bool = False,
) -> Tensor:
    """The length of each sample's gradient by the parameters `among` (None: all), (n,).
    `one_by_one` is for kernels that torch.func does not know: a backpropagation for each sample
    instead of one for each chunk of them."""
    names = list(params if among is None else among)
    if one_by_one:
        every = (
            summed_gradient(losses, params, tree_map(lambda one, i=i: one[i : i + 1], batch), names)
            for i in range(samples(batch))
        )
        return torch.stack([length(found) for found in every])
    still = {name: value.detach() for name, value in params.items() if name not in names}
    moving = {name: params[name].detach() for name in names}

    def alone(values: Params, sample: Batch) -> Tensor:
        return losses({**still, **values}, tree_map(lambda one: one[None], sample))[0]

    def of(sample: Batch) -> Tensor:
        return length(grad(alone)(moving, sample))

    with sdpa_kernel(SDPBackend.MATH):
        return vmap(of, chunk_size=chunk)(batch).detach()


def hessian_product(losses: Losses, params: Params, direction: Params, batch: Batch) -> Params:
    """H direction, with H the Hessian of the batch's mean loss by the parameters that `direction`
    names: backpropagation through backpropagation (Pearlmutter 1994)."""
    leaves = {name: params[name].detach().requires_grad_() for name in direction}
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        loss = losses({**params, **leaves}, batch).mean()
        first = torch.autograd.grad(
            loss, list(leaves.values()), create_graph=True, materialize_grads=True
        )
        slope = dot(dict(zip(leaves, first, strict=True)), direction)
        found = torch.autograd.grad(slope, list(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, found, strict=True))


def of_module(model: Module, loss: Callable[[Tensor, Batch], Tensor], inputs: Any) -> Losses:
    """The losses of a module: `inputs(batch)` are its arguments, `loss(output, batch)` is (n,)."""

    def losses(params: Params, batch: Batch) -> Tensor:
        return loss(functional_call(model, params, inputs(batch)), batch)

    return losses


def samples(batch: Batch) -> int:
    return len(tree_leaves(batch)[0])


def length(gradient: Params) -> Tensor:
    return torch.stack([value.square().sum() for value in gradient.values()]).sum().sqrt()


def lacks_a_derivative(problem: Exception) -> bool:
    said = str(problem)
    return "forward AD" in said or "forward mode" in said or "setup_context" in said
