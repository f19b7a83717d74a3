"""What is learned on the way to a scorer, as plain arrays: nothing here knows torch."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from assay.selectors.records import Floats, Mask

Floats32 = npt.NDArray[np.float32]


def none() -> Floats:
    return np.zeros(0)


def nobody() -> Mask:
    return np.zeros(0, bool)


def no_rows() -> Floats32:
    return np.zeros((0, 0), np.float32)


@dataclass
class Proxy:
    """A small model at several points of its training."""

    params: Floats32 = field(default_factory=no_rows)  # (checkpoints, parameters)
    steps: Floats = field(default_factory=none)  # that each was trained for
    loss: float = 0.0  # of the last steps, nats per token
    tokens: int = 0  # it was trained on, repeats included
    unique: int = 0  # that there were
    apart: bool = True  # trained on other documents than those that are weighed

    def __len__(self) -> int:
        return len(self.params)


@dataclass
class Directions:
    """Where the loss on the target falls fastest, at each checkpoint."""

    along: Floats32 = field(default_factory=no_rows)  # (checkpoints, parameters)
    scale: Floats32 = field(default_factory=no_rows)  # the same: of the preconditioner's diagonal
    residual: float = 0.0  # of the solver, the worst
    tokens: int = 0  # that gradients were taken of, all checkpoints together
    target_loss: float = 0.0  # of the last checkpoint
    raw_loss: float = 0.0


@dataclass
class Weighed:
    """What was found of each document that was weighed, in the order of the sample."""

    influence: Floats = field(default_factory=none)
    effort: Floats = field(default_factory=none)
    loss: Floats = field(default_factory=none)  # nats per token, at the last checkpoint
    bytes: Floats = field(default_factory=none)
    by_chance: Mask = field(default_factory=nobody)  # drawn so; the others are like the target
    looked_at: float = 0.0  # share of their bytes
    spread: float = 0.0  # mean rank correlation of the checkpoints with one another
    tokens: int = 0  # that gradients were taken of, all checkpoints together
    # The same of the target's documents: those that made the direction, then those held out.
    target_influence: Floats = field(default_factory=none)
    target_effort: Floats = field(default_factory=none)
    held: int = 0  # of these, held out
    sketch: Floats32 = field(default_factory=no_rows)  # (documents, width): of their gradients

    def __len__(self) -> int:
        return len(self.influence)

    @property
    def check(self) -> Floats:
        """Influence of the target's documents that were held out."""
        return self.target_influence[len(self.target_influence) - self.held :]
