"""Losses of documents and their gradients, one by one.

A document's loss is its mean nats per token, over all of its windows. Gradients of single documents
come from torch.func: forming them costs a matrix product per document and layer, which is less than
ghost norms want while 2 T^2 > d p (T tokens, d x p the layer's shape), and small proxies always
are there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from assay.scaling.influence.vectors import Params, flat, shaped
from assay.scaling.influence.windows import Stack
from assay.scaling.proxy.kernels import transformable
from assay.scaling.proxy.model import Decoder
from assay.scaling.proxy.tokens import IGNORED

Batch = tuple[Tensor, Tensor]  # inputs and targets, (documents, windows, length)
Floats32 = npt.NDArray[np.float32]


@contextmanager
def one_thread() -> Iterator[None]:
    """The same bits in every run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def alone() -> Iterator[None]:
    """One thread, and operations that can be taken forwards and per sample."""
    with one_thread(), transformable(), sdpa_kernel(SDPBackend.MATH):
        yield


def on(device: torch.device, stack: Stack) -> Batch:
    inputs, targets = (torch.from_numpy(x).long().to(device) for x in (stack.inputs, stack.targets))
    return inputs, targets


def losses_of(model: Decoder) -> Callable[[Params, Batch], Tensor]:
    """(documents,): mean nats per token of each document under given parameters."""

    def losses(params: Params, batch: Batch) -> Tensor:
        inputs, targets = batch
        documents, length = inputs.shape[0], inputs.shape[-1]
        logits = functional_call(model, params, (inputs.reshape(-1, length),))
        lost = F.cross_entropy(
            logits.float().flatten(0, 1),
            targets.flatten(),
            ignore_index=IGNORED,
            reduction="none",
        ).reshape(documents, -1)
        counted = (targets != IGNORED).reshape(documents, -1).sum(1).clamp(min=1)
        return lost.sum(1) / counted

    return losses


def each(model: Decoder, params: Params, batch: Batch) -> tuple[Params, Tensor]:
    """The gradient of every document's loss, (documents, ...) by parameter; and the losses."""
    losses = losses_of(model)

    def one(params: Params, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        lost = losses(params, (inputs[None], targets[None]))[0]
        return lost, lost

    return vmap(grad(one, has_aux=True), (None, 0, 0))(params, *batch)  # type: ignore[no-any-return]


def products(gradients: Params, direction: Params) -> Tensor:
    """(documents,): of each document's gradient and a direction."""
    found = [(gradients[k].flatten(1) @ direction[k].flatten()) for k in gradients]
    return torch.stack(found).sum(0)


def squares(gradients: Params, scale: Params | None = None) -> Tensor:
    """(documents,): squared length of each document's gradient; `scale` weighs every entry."""
    if scale is None:
        return torch.stack([g.flatten(1).square().sum(1) for g in gradients.values()]).sum(0)
    found = [gradients[k].flatten(1).square() @ scale[k].flatten() for k in gradients]
    return torch.stack(found).sum(0)


def sketched(gradients: Params, scale: Params | None, seed: int, width: int) -> Tensor:
    """(documents, width): gradients whose inner products are those of the whole ones, about
    (count sketch; Charikar et al. 2002). `scale` weighs every entry."""
    chance = torch.Generator().manual_seed(seed)
    total = torch.zeros(0)
    for name, value in gradients.items():
        rows = value.flatten(1)
        place = torch.randint(width, (rows.shape[1],), generator=chance).to(rows.device)
        sign = torch.randint(2, (rows.shape[1],), generator=chance).to(rows) * 2 - 1
        weight = sign if scale is None else sign * scale[name].flatten().sqrt()
        part = torch.zeros(len(rows), width, device=rows.device).index_add_(1, place, rows * weight)
        total = part if not len(total) else total + part
    return total


# Parameters as one vector ----------------------------------------------------------------


def parameters(model: Decoder) -> Params:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def stored(params: Params) -> Floats32:
    """As they are recorded: one vector."""
    return np.asarray(flat(params).detach().cpu().numpy(), np.float32)


def restored(vector: Floats32, like: Params) -> Params:
    """The reverse, on the device of `like`."""
    device = next(iter(like.values())).device
    return shaped(torch.from_numpy(vector.copy()).to(device), like)
