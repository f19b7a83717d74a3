"""How a training process holds its model: all of it, or (sharding.py) a part."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn


class Whole:
    """All of it; other processes have copies. What a part has to do otherwise is said here."""

    def local(self, tensor: Tensor) -> Tensor:
        """What this process has of it, sharing its memory."""
        return tensor

    def cut(self, value: Tensor, like: Tensor) -> Tensor:
        """A whole tensor, held as `like` is."""
        return value

    def changed(
        self, alike: Sequence[Tensor], rows: int, change: Callable[[Tensor], Tensor]
    ) -> list[Tensor]:
        """`change` of matrices, which takes (count, rows, columns); local rows in and out."""
        return list(change(torch.stack(list(alike))).unbind())

    def gathered(self, state: Any) -> Any:
        """A state as a checkpoint has it: every tensor whole."""
        return state

    def weights(self, model: nn.Module) -> Mapping[str, Tensor]:
        """The model's, as a checkpoint has them."""
        return model.state_dict()

    def together(self, model: nn.Module) -> AbstractContextManager[None]:
        """Inside, every weight is whole on every process, and nothing is trained."""
        return nullcontext()

    def load_weights(self, model: nn.Module, state: Mapping[str, Tensor]) -> None:
        for name, parameter in model.named_parameters():
            held = parameter.detach()
            self.local(held).copy_(self.local(self.cut(state[name].to(held.device), held)))

    def load_moments(self, optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        moments = {
            number: {name: self._moment(value, parameters[number]) for name, value in kept.items()}
            for number, kept in state["state"].items()
        }
        optimiser.load_state_dict({**state, "state": moments})

    def _moment(self, value: Any, like: Tensor) -> Any:
        """Of a parameter's own shape, or a count of steps."""
        cut = isinstance(value, Tensor) and value.shape == like.shape
        return self.cut(value, like) if cut else value


WHOLE = Whole()
