"""The documents that stand nearest the cut: those a person looks at to judge a selection."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from assay.selectors.records import Counts, Floats, Ids, Mask, Scored, best
from assay.selectors.selector import Fold, Rule
from assay.selectors.stages import Passed

SHOWN = 20  # documents shown on each side of the cut
SPARE = 3  # times as many dropped ones are noted: those in units that are not read are not shown


@dataclass
class Nearest:
    """The lowest scores that are kept and the highest that are not, with where they stand."""

    rule: Rule
    score: Floats = field(default_factory=lambda: np.zeros(0))
    kept: Mask = field(default_factory=lambda: np.zeros(0, bool))
    key: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))
    shard: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    row: Counts = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, scored: Scored) -> None:
        score, kept = best(scored), self.rule.keep(scored)
        may = kept | (np.isfinite(score) & reached(self.rule, scored))
        some = scored.take(may)
        self._extend(score[may], kept[may], some.key, some.shard, some.row)

    def merge(self, other: "Nearest") -> None:
        self._extend(other.score, other.kept, other.key, other.shard, other.row)

    def places(self) -> frozenset[tuple[int, int]]:
        """(shard, row) of each of them."""
        return frozenset(zip(self.shard.tolist(), self.row.tolist(), strict=True))

    def _extend(
        self, score: Floats, kept: Mask, key: Ids, shard: npt.NDArray[np.int32], row: Counts
    ) -> None:
        self.score = np.concatenate([self.score, score])
        self.kept = np.concatenate([self.kept, kept])
        self.key = np.concatenate([self.key, key])
        self.shard = np.concatenate([self.shard, shard])
        self.row = np.concatenate([self.row, row])
        self._trim()

    def _trim(self) -> None:
        distance = np.where(self.kept, self.score, -self.score)
        order = np.lexsort((self.row, self.shard, self.key, distance))
        kept = order[self.kept[order]][:SHOWN]
        dropped = order[~self.kept[order]][: SHOWN * SPARE]
        chosen = np.concatenate([kept, dropped])
        for name in ("score", "kept", "key", "shard", "row"):
            setattr(self, name, getattr(self, name)[chosen])


def reached(rule: Rule, scored: Scored) -> Mask:
    """Which documents the budget's cut was asked about: no stage had ruled them out before."""
    return rule.reached(scored) if isinstance(rule, Passed) else np.ones(len(scored), bool)


def nearest(rule: Rule, fold: Fold) -> frozenset[tuple[int, int]]:
    """(shard, row) of the documents nearest the cut."""
    return fold("scores", Nearest(rule)).places()
