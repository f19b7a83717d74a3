"""What another budget would keep: answered from the score store alone, no text is read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from assay.selectors.budget import Budget
from assay.selectors.past import Past
from assay.selectors.records import Mask, Scored, best
from assay.selectors.selection import Means
from assay.selectors.selector import Rule

Sums = dict[str, tuple[int, int, int]]  # source -> documents, bytes, tokens


@dataclass
class Tallied:
    """What a rule keeps, source by source."""

    rule: Rule | None  # None: everything
    sources: Sums = field(default_factory=dict)
    lowest: float = float("inf")

    def add(self, scored: Scored) -> None:
        keep = self.rule.keep(scored) if self.rule else np.ones(len(scored), bool)
        self._extend(by_source(scored, keep))
        if keep.any():
            self.lowest = min(self.lowest, float(best(scored)[keep].min()))

    def merge(self, other: "Tallied") -> None:
        self._extend(other.sources)
        self.lowest = min(self.lowest, other.lowest)

    @property
    def total(self) -> tuple[int, int, int]:
        sums = [sum(counts[place] for counts in self.sources.values()) for place in range(3)]
        return sums[0], sums[1], sums[2]

    def _extend(self, more: Sums) -> None:
        for name, counts in more.items():
            old = self.sources.get(name, (0, 0, 0))
            self.sources[name] = (old[0] + counts[0], old[1] + counts[1], old[2] + counts[2])


def by_source(scored: Scored, keep: Mask) -> Sums:
    """Documents, bytes and tokens of the rows that are kept, by source."""
    coded = scored.source.filter(pa.array(keep)).dictionary_encode()
    place, names = coded.indices.to_numpy(), coded.dictionary.to_pylist()
    weights = (None, scored.size[keep], scored.tokens[keep])
    sums = [
        np.bincount(place, weights, len(names)).astype(np.int64).tolist() for weights in weights
    ]
    return {name: (sums[0][n], sums[1][n], sums[2][n]) for n, name in enumerate(names)}


def what_if(past: Past, budgets: Sequence[Budget], means: Means) -> dict[str, Any]:
    """For each budget: what is kept, of which sources, and where the cut falls."""
    whole = past.fold(means)("scores", Tallied(None))
    answers = [_answer(past, asked, whole, means) for asked in budgets]
    return {"corpus": _counts(whole.total), "budgets": answers}


def _answer(past: Past, asked: Budget, whole: Tallied, means: Means) -> dict[str, Any]:
    kept = past.fold(means)("scores", Tallied(past.rule(means, asked)))
    return {
        "budget": str(asked),
        "kept": _counts(kept.total),
        "lowest_score": kept.lowest if kept.sources else None,
        "sources": {
            name: _counts(kept.sources.get(name, (0, 0, 0))) | _share(kept, whole, name)
            for name in sorted(whole.sources)
        },
    }


def _share(kept: Tallied, whole: Tallied, name: str) -> dict[str, float]:
    """Shares of the documents."""
    mine, all_of_it = kept.sources.get(name, (0, 0, 0))[0], whole.sources[name][0]
    return {
        "share": mine / max(kept.total[0], 1),
        "corpus_share": all_of_it / max(whole.total[0], 1),
    }


def _counts(counts: tuple[int, int, int]) -> dict[str, int]:
    return dict(zip(("documents", "bytes", "tokens"), counts, strict=True))
