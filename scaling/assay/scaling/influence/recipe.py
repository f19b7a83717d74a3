"""What decides influence, apart from the texts: plain values."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assay.scaling.architecture import Shape, count, palm
from assay.scaling.influence.windows import STEP
from assay.scaling.proxy import ladder, needs
from assay.scaling.proxy.tokens import BYTES

if TYPE_CHECKING:
    from assay.scaling.proxy.needs import Device
    from assay.scaling.proxy.train import TrainSpec

EPOCHS = 4  # Muennighoff et al. 2023, arXiv 2305.16264: repeats are nearly as good till here
TOGETHER = 8192  # tokens whose activations are held at once
GRADIENTS = 64_000_000  # numbers in the gradients of single documents that are held at once
FISHER = 256  # documents that the preconditioner and the mean gradient of the corpus come from
CG_STEPS = 50  # a direction to score along needs no more: docs/influence.md
FORWARD = 2 / 3  # of forward and backward: a forward-mode derivative takes two forward passes


@dataclass(frozen=True)
class Recipe:
    """Settings of `influence` that its gradients hang on, with the seed."""

    size: str
    tokens: int
    context: int
    windows: int
    checkpoints: int
    precondition: str
    damping: float
    against: str
    control: str
    effort: float
    redundancy: float
    learning_rate: float
    seed: int

    def shape(self) -> Shape:
        return ladder.shape(self.size, self.context, BYTES.vocabulary)

    def training(self, unique: int) -> "TrainSpec":
        """Of so many different tokens, none is seen more than four times."""
        from assay.scaling.proxy.train import LEARNING_RATE, TrainSpec

        tokens = max(self.context, min(self.tokens, EPOCHS * unique))
        rate = self.learning_rate or LEARNING_RATE
        return TrainSpec(
            self.size, tokens, seed=self.seed, sequence=self.context, learning_rate=rate
        )

    def looks(self, steps: int) -> list[int]:
        """Steps after which the proxy is looked at: evenly over the second half, to the end."""
        spread = np.linspace(steps / 2, steps, self.checkpoints + 1)[1:]
        return sorted({max(1, round(float(step))) for step in spread})

    @property
    def memory(self) -> float:
        """Bytes: activations and gradients of what is weighed at once, and the checkpoints with
        their directions and diagonals."""
        shape = self.shape()
        numbers = count(shape).total
        activations = needs.memory_of(shape, max(self.windows, TOGETHER // self.context))
        gradients = min(max(GRADIENTS, numbers), numbers * TOGETHER // STEP)
        states = 3 * self.checkpoints * numbers
        return activations + needs.FLOAT * (2 * gradients + states) + needs.SPARE

    @property
    def lengths(self) -> bool:
        """Whether the length of each document's gradient is asked for."""
        return self.control == "gradient" or self.effort > 0 or self.redundancy > 0

    def flops_of_training(self, tokens: float) -> float:
        return palm(self.shape()) * tokens

    def flops_of_direction(self, tokens: float) -> float:
        """Of gradients of so many tokens, and of products with the Gauss-Newton matrix, at most."""
        solver = CG_STEPS * (1 + FORWARD) if self.precondition == "cg" else 0.0
        return palm(self.shape()) * tokens * (1.0 + solver)

    def flops_of_weighing(self, tokens: float) -> float:
        """Of documents with so many tokens, all checkpoints counted already."""
        return palm(self.shape()) * tokens * (1.0 if self.lengths else FORWARD)


def too_little(recipe: Recipe, device: "Device") -> str:
    """What a person is told who has not enough memory."""
    return (
        f"influence with the {recipe.size} proxy, {recipe.checkpoints} checkpoints and"
        f" {recipe.windows} windows of {recipe.context} bytes needs about"
        f" {recipe.memory / 1e9:.1f} GB; {device.name} has {device.memory / 1e9:.1f} GB free: set a"
        " smaller size, context or windows"
    )
