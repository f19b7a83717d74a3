"""A model of which each process holds a part: weights, gradients and moments (torch's FSDP2).

Matrices are cut by rows (Zhao et al. 2023, arXiv 2304.11277). A block's weights are put together
when the block computes, and let go of afterwards; a matrix that Muon moves is put together by one
process, which sends the parts of its step back. Whatever is called here is called by all
processes, in the same order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from assay.scaling.proxy.holding import Whole
from assay.scaling.proxy.model import Decoder


class Parts(Whole):
    """Some rows of every matrix."""

    def __init__(self, model: Decoder, device: str, processes: int, compiled: bool) -> None:
        """Cuts the model up, in place."""
        mesh = init_device_mesh(device, (processes,))
        for block in model.blocks:
            if compiled:  # before it is cut: what moves weights about is no work for a compiler
                block.compile()
            fully_shard(block, mesh=mesh)
        # The ends stay whole from forward to backward, since the loss takes them by itself.
        fully_shard(model, mesh=mesh, reshard_after_forward=False)
        register_fsdp_forward_method(model, "hidden")
        self.model = model

    def local(self, tensor: Tensor) -> Tensor:
        return tensor.to_local() if isinstance(tensor, DTensor) else tensor

    def cut(self, value: Tensor, like: Tensor) -> Tensor:
        """Every process has the whole value: nothing is sent."""
        assert isinstance(like, DTensor)
        return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)

    def changed(
        self, alike: Sequence[Tensor], rows: int, change: Callable[[Tensor], Tensor]
    ) -> list[Tensor]:
        """Matrices are dealt out, so that no two processes do the same work."""
        size, rank = distributed.get_world_size(), distributed.get_rank()
        here, columns = alike[0].shape
        owned, heights = shares(len(alike), size), shares(rows, size)
        mine = owned[rank]
        to_owners = [count * here * columns for count in owned]
        to_me = [mine * height * columns for height in heights]
        sent = torch.stack(list(alike)).flatten()
        came = sent.new_empty(sum(to_me))
        distributed.all_to_all_single(came, sent, to_me, to_owners)
        if mine:
            parts = zip(torch.split(came, to_me), heights, strict=True)
            whole = torch.cat([part.view(mine, height, columns) for part, height in parts], dim=1)
            cut = torch.split(change(whole).to(sent.dtype), heights, dim=1)
            came = torch.cat([part.flatten() for part in cut])
        back = torch.empty_like(sent)
        distributed.all_to_all_single(back, came, to_owners, to_me)
        return list(back.view(len(alike), here, columns).unbind())

    def gathered(self, state: Any) -> Any:
        """By the first process; the others send it their parts and keep nothing."""
        if isinstance(state, DTensor):
            whole = state.full_tensor()
            return whole.cpu() if distributed.get_rank() == 0 else None
        if isinstance(state, Mapping):
            return {name: self.gathered(value) for name, value in state.items()}
        if isinstance(state, list):
            return [self.gathered(value) for value in state]
        return state

    def weights(self, model: nn.Module) -> Mapping[str, Tensor]:
        self.apart()
        found: Mapping[str, Tensor] = self.gathered(model.state_dict())
        return found

    @contextmanager
    def together(self, model: nn.Module) -> Iterator[None]:
        blocks = [m for m in model.modules() if isinstance(m, FSDPModule) and m is not model]
        for block in blocks:
            block.set_reshard_after_forward(False)
            block.unshard()
        try:
            yield
        finally:
            for block in blocks:
                block.set_reshard_after_forward(True)
            self.apart()

    def apart(self) -> None:
        """What an evaluation put together is let go of."""
        for module in self.model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()


def shares(count: int, size: int) -> list[int]:
    """How torch.chunk deals `count` things out to `size`; the last may have none."""
    each = -(-count // size)
    return [max(0, min(each, count - each * rank)) for rank in range(size)]
