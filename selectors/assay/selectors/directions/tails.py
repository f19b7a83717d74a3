"""The best along several directions: each end of a direction takes its share of the budget.

A document belongs to the end in which it stands highest, so none is taken twice, no matter in what
order the ends are served, and a larger budget keeps a superset.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assay.selectors.choice import AnyOf, gumbel, sortable
from assay.selectors.records import Counts, Ids, Mask, Scored

UP, DOWN = "+", "-"
MEAN = "place.mean"
TAIL, ALONG = "tail.", "along."


@dataclass(frozen=True)
class Tail:
    """One end of a direction, and its share of the budget."""

    name: str
    sign: int
    share: float

    @property
    def place(self) -> str:
        return f"{TAIL}{self.name}"

    @property
    def along(self) -> str:
        return f"{ALONG}{self.name[:-1]}"


@dataclass
class Seen:
    """What the columns of a score store are called."""

    names: tuple[str, ...] = ()

    def add(self, scored: Scored) -> None:
        self.names = scored.names

    def merge(self, other: "Seen") -> None:
        self.names = self.names or other.names


def tails_in(names: Sequence[str]) -> list[Tail]:
    """The tails that a scorer left columns of; both ends of one direction share its quota."""
    found = [name.removeprefix(TAIL) for name in names if name.startswith(TAIL)]
    directions = {name[:-1] for name in found}
    ends = {d: sum(name[:-1] == d for name in found) for d in directions}
    return [
        Tail(name, 1 if name.endswith(UP) else -1, 1 / (len(directions) * ends[name[:-1]]))
        for name in found
    ]


@dataclass(frozen=True)
class Mine:
    """Along one tail, best first, the documents that stand higher in it than in any other."""

    number: int
    places: tuple[int, ...]
    score: int  # the column that rules documents out
    along: int
    sign: int
    temperature: float
    seed: int

    def rank(self, scored: Scored) -> Ids:
        value = self.sign * scored.scores[:, self.along]
        if self.temperature:
            value = value / self.temperature + gumbel(scored.key, self.seed)
        return np.where(self._mine(scored), sortable(value), np.uint64(0))

    def _mine(self, scored: Scored) -> Mask:
        highest = scored.scores[:, list(self.places)].argmax(axis=1)
        mine: Mask = (highest == self.number) & (scored.scores[:, self.score] > -np.inf)
        return mine

    def describe(self) -> dict[str, Any]:
        return {"order": "sample" if self.temperature else "score", "column": self.along}


@dataclass(frozen=True)
class Diverse:
    """What any tail keeps; with how much the tails' own tops have in common."""

    rule: AnyOf
    overlap: dict[str, Any]

    def keep(self, scored: Scored) -> Mask:
        return self.rule.keep(scored)

    def describe(self) -> dict[str, Any]:
        return self.rule.describe() | {"overlap": self.overlap}


def overlap_at(shares: Sequence[float]) -> list[float]:
    """The share of documents that is looked at in each tail: 2 % of a whole direction."""
    most = max(shares)
    return [0.02 * share / most for share in shares]


@dataclass
class Overlaps:
    """How many documents stand in the tops of two tails at once."""

    columns: tuple[int, ...]
    share: tuple[float, ...]  # of all documents, that a top is
    documents: int = 0
    both: Counts = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    def add(self, scored: Scored) -> None:
        self.documents += len(scored)
        top = scored.scores[:, list(self.columns)] >= 1 - np.asarray(self.share)
        both = top.astype(np.int64).T @ top.astype(np.int64)
        self.both = both if not self.both.size else self.both + both

    def merge(self, other: "Overlaps") -> None:
        self.documents += other.documents
        if other.both.size:
            self.both = other.both if not self.both.size else self.both + other.both

    def told(self) -> dict[str, Any]:
        """Of each tail's top the part that is in another's, and that over what chance gives."""
        own = np.maximum(np.diag(self.both), 1)
        part = self.both / own[:, None]
        chance = own / max(self.documents, 1)
        off = ~np.eye(len(own), dtype=bool)
        apart = part[off]
        return {
            "at": 0.02,
            "part": part.round(5).tolist(),
            "lift": (part / chance[None, :]).round(3).tolist(),
            "mean": round(float(apart.mean()), 5) if apart.size else 0.0,
            "mean_lift": round(float((part / chance[None, :])[off].mean()), 3) if apart.size else 0,
        }
