"""Muon for hidden matrices, AdamW for the rest, and warm-up, plateau and decay for both.

Muon: Jordan et al. 2024; its step is the gradient's momentum with all singular values near one.
torch.optim.Muon does the same, one matrix at a time and in bf16, which processors without bf16
units emulate: 5 ms for a matrix of 128 x 128, half of a small model's step (measured here, torch
2.13). Here matrices of one shape go together, in single precision on a CPU; a test compares
the two.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from assay.scaling.proxy.holding import WHOLE, Whole
from assay.scaling.proxy.model import Decoder

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan et al. 2024; torch's defaults
ROUNDS = 5
MOMENTUM = 0.95
BETAS = (0.9, 0.95)
ADAM_SHARE = 0.15  # AdamW's learning rate over Muon's; tried on the 1M model, see docs/validate.md
WARMUP, DECAY = 0.05, 0.3  # shares of the steps; Haegele et al. 2024, arXiv 2405.18392, use 0.2


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: p -= lr sqrt(max(1, rows / columns)) NS(momentum)."""

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        held: Whole = WHOLE,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        self.held = held

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for alike in by_shape(group["params"]):
                rows, columns = alike[0].shape
                updates = self.held.changed(self.momenta(alike), rows, orthogonal)
                weights = [self.held.local(parameter) for parameter in alike]
                step = group["lr"] * max(1.0, rows / columns) ** 0.5
                if group["weight_decay"]:
                    torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                moves = [update.to(weights[0].dtype) for update in updates]
                torch._foreach_add_(weights, moves, alpha=-step)

    def momenta(self, alike: list[nn.Parameter]) -> list[Tensor]:
        """Nesterov's: the gradients, each moved towards its running mean. Local rows."""
        found = [cast(Tensor, parameter.grad) for parameter in alike]
        for parameter, gradient in zip(alike, found, strict=True):
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(gradient)
        gradients = [self.held.local(gradient) for gradient in found]
        running = [self.held.local(self.state[p]["momentum_buffer"]) for p in alike]
        torch._foreach_lerp_(running, gradients, 1 - MOMENTUM)
        return list(torch._foreach_lerp(gradients, running, MOMENTUM))


def by_shape(params: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    found: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
    for parameter in params:
        if parameter.grad is not None:
            found[parameter.shape].append(parameter)
    return list(found.values())


def orthogonal(matrices: Tensor) -> Tensor:
    """(count, rows, columns), each with its singular values moved near one."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        mixed = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, mixed, x, beta=a)
    return x.mT if tall else x


class Optimisers:
    """Both optimisers as one. `learning_rate` is Muon's peak."""

    def __init__(
        self, model: Decoder, learning_rate: float, weight_decay: float, held: Whole = WHOLE
    ) -> None:
        hidden = [p for block in model.blocks for _, p in block.matrices()]  # type: ignore
        known = {id(p) for p in hidden}
        rest = [p for p in model.parameters() if id(p) not in known]
        adam = ADAM_SHARE * learning_rate
        self.peaks = (learning_rate, adam)
        self.each: tuple[torch.optim.Optimizer, ...] = (
            Muon(hidden, learning_rate, weight_decay, held),
            torch.optim.AdamW(rest, adam, BETAS, 1e-10, 0.0, fused=True),
        )
        self.held = held

    def step(self, share: float) -> None:
        """One step at this share of the peak learning rates."""
        for optimiser, peak in zip(self.each, self.peaks, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = peak * share
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        """As one process would have it."""
        return [self.held.gathered(optimiser.state_dict()) for optimiser in self.each]

    def load(self, states: Iterable[Mapping[str, Any]]) -> None:
        for optimiser, state in zip(self.each, states, strict=True):
            self.held.load_moments(optimiser, state)


def schedule(step: int, steps: int) -> float:
    """The share of the peak in step 0 .. steps - 1: linear warm-up, plateau, linear to zero."""
    warmup, decay = max(1, round(WARMUP * steps)), max(1, round(DECAY * steps))
    rising = (step + 1) / warmup
    falling = (steps - step) / (decay + 1)
    return min(1.0, rising, falling)
