"""A subset that covers the whole range of a score: DEALRec's Algorithm 2 (Lin et al. 2024, arXiv
2401.17197), which is the coverage-centric selection of Zheng et al. (2023, arXiv 2210.15809).

The scores are cut into groups; the smallest group gives first, and what it cannot give of its
share the others give. So rare scores are all taken, and of the crowd in the middle a sample.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from assay.scaling.influence.errors import BadInfluence, BudgetAboveCorpus, NotFinite
from assay.selectors.choice import mix

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Width = Literal["equal", "quantile"]
Scale = Literal["minmax", "rank"]

GROUPS = 50  # of DEALRec's published commands


def stratified(
    scores: Floats,
    budget: int,
    groups: int = GROUPS,
    width: Width = "equal",
    hard_prune: float = 0.0,
    seed: int = 0,
    keys: Keys | None = None,
    exact: bool = True,
) -> Places:
    """The places of `budget` documents, in ascending order; `scores` are (n,).

    `width`: groups of an equal range of scores, as published, or of an equal number of documents
    (an outlier leaves equal ranges mostly empty). `hard_prune`: this share with the highest scores
    is left out first; DEALRec's code drops a tenth so, its paper does not say it. Draws hang on
    the seed and each document's key alone (None: its place), not on its neighbours.

    `exact`: no more is pruned than leaves the budget, so the answer has `budget` documents. Else,
    as published, it has what is left where that is less. Raises NotFinite, BudgetAboveCorpus.
    """
    check(scores, budget, groups, width, hard_prune)
    order = mix(np.arange(len(scores), dtype=np.uint64) if keys is None else keys, seed)
    pool = unpruned(scores, order, hard_prune, budget if exact else 0)
    group = grouped(scores[pool], order[pool], groups, width)
    return np.sort(pool[shared(group, order[pool], budget, groups)])


def unpruned(scores: Floats, order: Keys, share: float, least: int) -> Places:
    """All but the highest share of the scores; at least so many."""
    drop = min(int(share * len(scores)), len(scores) - least)
    ascending = np.lexsort((order, scores))
    kept: Places = ascending[: len(scores) - drop]
    return kept


def grouped(scores: Floats, order: Keys, groups: int, width: Width) -> Places:
    """The group of each, from 0. Equal scores share a group of equal range; groups of equal number
    part them by their keys."""
    if width == "equal":
        within = normalise(scores, "minmax") * groups
        return np.minimum(within.astype(np.int64), groups - 1)
    rank = np.empty(len(scores), np.int64)
    rank[np.lexsort((order, scores))] = np.arange(len(scores))
    return rank * groups // max(1, len(scores))


def shared(group: Places, order: Keys, budget: int, groups: int) -> Places:
    """Places within the pool: of each group, the smallest first, its share of what is left of the
    budget, or all it has. A group that falls short leaves more to those after it, so the shares
    add up to the budget wherever there are enough documents."""
    sizes = np.bincount(group, minlength=groups)
    taken = []
    for turn, number in enumerate(np.argsort(sizes, kind="stable")):
        share = budget // (groups - turn)
        members = np.flatnonzero(group == number)
        some = members[np.argsort(order[members], kind="stable")[:share]]
        taken.append(some)
        budget -= len(some)
    return np.concatenate(taken)


def normalise(scores: Floats, scale: Scale) -> Floats:
    """Into [0, 1], in the same order: by least and greatest, as published, or by rank (equal scores
    have their mean rank), which no outlier can crush. All equal: 0 or .5. Raises NotFinite."""
    check_finite(scores)
    if scale == "rank":
        ranks: Floats = rankdata(scores)
        return (ranks - 0.5) / max(1, len(scores))
    if scale != "minmax":
        raise BadInfluence(f"no normalisation {scale!r}; it is minmax or rank")
    least, greatest = (scores.min(), scores.max()) if len(scores) else (0.0, 0.0)
    # Halved, because the range of two finite numbers need not be finite.
    span = greatest / 2 - least / 2
    return (scores / 2 - least / 2) / span if span > 0 else np.zeros(len(scores))


def check(scores: Floats, budget: int, groups: int, width: str, hard_prune: float) -> None:
    check_finite(scores)
    if budget < 0 or groups < 1 or not 0 <= hard_prune < 1 or width not in ("equal", "quantile"):
        raise BadInfluence(
            "a choice by coverage needs a budget of 0 or more documents, at least 1 group of equal"
            f" or quantile width, and a share to prune in [0, 1); found a budget of {budget},"
            f" {groups} groups of {width!r} width, and {hard_prune}"
        )
    if budget > len(scores):
        raise BudgetAboveCorpus(
            f"{budget:,} are asked for, and there are {len(scores):,}: ask for fewer"
        )


def check_finite(scores: Floats) -> None:
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise NotFinite(
            f"{len(bad):,} of {len(scores):,} scores are not finite, first that in place"
            f" {bad[0]:,} ({scores[bad[0]]}): train the model again, with a smaller learning rate"
        )
