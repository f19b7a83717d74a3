"""The processes of one training: alone, or started together by torchrun."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True)
class Group:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(value)
        return value

    def agreed(self, word: bool) -> bool:
        """The first process's word."""
        if self.size == 1:
            return word
        said = [word]
        distributed.broadcast_object_list(said, src=0)
        return said[0]

    def wait(self) -> None:
        if self.size > 1:
            distributed.barrier()


ALONE = Group()


@contextmanager
def joined(gpu: bool) -> Iterator[Group]:
    """The group that torchrun started, for as long as the block lasts; alone without it."""
    if not distributed.is_available() or not distributed.is_torchelastic_launched():
        yield ALONE
        return
    distributed.init_process_group("nccl" if gpu else "gloo")
    group = Group(distributed.get_rank(), distributed.get_world_size())
    if gpu:
        torch.cuda.set_device(group.rank % torch.cuda.device_count())
    try:
        yield group
    finally:
        distributed.destroy_process_group()
