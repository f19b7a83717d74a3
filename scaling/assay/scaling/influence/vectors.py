"""A direction in the space of parameters: a dict of tensors, one for each parameter that moves.

Parameters that a direction does not name stand still: influence over one matrix is influence with
directions of one entry.
"""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from assay.scaling.influence.errors import NotFinite

Params = dict[str, Tensor]


def dot(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> Tensor:
    """Summed over all entries, a tensor without dimensions."""
    return torch.stack([(left[name] * right[name]).sum() for name in left]).sum()


def norm(direction: Mapping[str, Tensor]) -> float:
    return math.sqrt(float(dot(direction, direction)))


def scaled(direction: Mapping[str, Tensor], by: float) -> Params:
    return {name: value * by for name, value in direction.items()}


def plus(left: Mapping[str, Tensor], right: Mapping[str, Tensor], by: float = 1.0) -> Params:
    """left + by right"""
    return {name: torch.add(value, right[name], alpha=by) for name, value in left.items()}


def mean(directions: Iterable[Params]) -> Params:
    every = list(directions)
    return {name: torch.stack([one[name] for one in every]).mean(0) for name in every[0]}


def size(direction: Mapping[str, Tensor]) -> int:
    """How many numbers it has."""
    return sum(value.numel() for value in direction.values())


def flat(direction: Mapping[str, Tensor]) -> Tensor:
    """(m,), in the order of the names as given."""
    return torch.cat([value.reshape(-1) for value in direction.values()])


def shaped(values: Tensor, like: Mapping[str, Tensor]) -> Params:
    """The opposite of `flat`."""
    parts = torch.split(values, [value.numel() for value in like.values()])
    return {
        name: part.view_as(value)
        for (name, value), part in zip(like.items(), parts, strict=True)
    }  # fmt: skip


def check_finite(direction: Mapping[str, Tensor], what: str) -> None:
    """Raises NotFinite with the name of the first parameter that is not a number."""
    for name, value in direction.items():
        if not bool(torch.isfinite(value).all()):
            raise NotFinite(
                f"{what} is not finite in the parameter {name}: the model has diverged, or a"
                " sample of its data is not a number; train it again with a smaller learning rate"
            )
