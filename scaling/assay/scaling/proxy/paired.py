"""Arms compared seed by seed: differences with intervals, many tests at once, ranks across sizes.

Arms of one seed share first weights and order, so their difference has less noise than either.
All of these are for few seeds: the t interval with two degrees of freedom is 4.3 deviations wide,
and it is meant to be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from scipy import stats

from assay.scaling.slopes import Floats

REPLICATES = 10_000
TOGETHER = 500  # replicates at once
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Control less subset, in bits per byte: above zero, the subset is better."""

    mean: float
    seeds: tuple[float, ...]  # one difference each
    t: Interval | None  # None with a single seed
    bootstrap: Interval  # documents of the target and seeds drawn again
    p: float  # two-sided, of the t test; 1 with a single seed

    @property
    def sure(self) -> bool:
        """Do both intervals leave zero out?"""
        both = [self.bootstrap] + ([self.t] if self.t else [])
        return self.t is not None and all(one.low > 0 or one.high < 0 for one in both)


def difference(subset: Floats, control: Floats, sizes: Floats, seed: int = 0) -> Difference:
    """`subset` and `control`: bits of each target document, (seeds, documents), paired by row;
    `sizes`: its bytes, (documents,)."""
    gaps = control - subset
    seeds = gaps.sum(axis=1) / sizes.sum()
    return Difference(
        mean=float(seeds.mean()),
        seeds=tuple(float(one) for one in seeds),
        t=t_interval(seeds) if len(seeds) > 1 else None,
        bootstrap=bootstrap(gaps, sizes, seed),
        p=p_value(seeds),
    )


def t_interval(values: Floats) -> Interval:
    """Of the mean, two-sided; at least two values."""
    wide = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1))
    error = float(values.std(ddof=1)) / len(values) ** 0.5
    middle = float(values.mean())
    return Interval(middle - wide * error, middle + wide * error)


def p_value(values: Floats) -> float:
    if len(values) < 2:
        return 1.0
    spread = float(values.std(ddof=1))
    if spread == 0:
        return 1.0 if not values.any() else 0.0
    score = abs(float(values.mean())) / (spread / len(values) ** 0.5)
    return float(2 * stats.t.sf(score, len(values) - 1))


def bootstrap(gaps: Floats, sizes: Floats, seed: int) -> Interval:
    """Documents are drawn as wholes, since the bytes of one belong together, and seeds too."""
    chance = np.random.default_rng(seed)
    runs, documents = gaps.shape
    found = np.empty(REPLICATES)
    for first in range(0, REPLICATES, TOGETHER):
        part = slice(first, min(first + TOGETHER, REPLICATES))
        count = part.stop - part.start
        # How often each is drawn: shapes (replicates, documents) and (replicates, seeds).
        drawn = chance.multinomial(documents, np.full(documents, 1 / documents), count)
        which = chance.multinomial(runs, np.full(runs, 1 / runs), count)
        found[part] = ((drawn @ gaps.T) * which).sum(axis=1) / runs / (drawn @ sizes)
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted for asking several times (Holm 1979): compare with 0.05 as if asked once."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted, highest = {}, 0.0
    for place, name in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - place) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def verdict(found: Difference, adjusted: float) -> str:
    """Of the subset: "better", "worse" or "no difference"; "not known" from a single seed."""
    if found.t is None:
        return "not known"
    if adjusted >= 1 - LEVEL or not found.sure:
        return "no difference"
    return "better" if found.mean > 0 else "worse"


# Across sizes --------------------------------------------------------------------------


@dataclass(frozen=True)
class Agreement:
    """How far a small size ranks the arms as the largest does."""

    small: str
    large: str
    decision_accuracy: float  # share of pairs of arms in the same order (DataDecide, eq. 3)
    kendall_tau: float
    pairs: int


Flip = tuple[float, str, str]


def flips(tried: Mapping[str, Mapping[float, float]]) -> list[Flip]:
    """Where one learning rate for all turns the order of two arms: (rate, before, behind), of arms
    whose order at their own best rates is the other. `tried`: arm -> rate -> what is lost."""
    own = {arm: min(by_rate.values()) for arm, by_rate in tried.items()}
    shared = set.intersection(*(set(by_rate) for by_rate in tried.values()))
    return [
        (rate, first, second)
        for rate in sorted(shared)
        for first, second in permutations(tried, 2)
        if tried[first][rate] < tried[second][rate] and own[first] > own[second]
    ]


def agreement(small: str, large: str, means: Mapping[str, Mapping[str, float]]) -> Agreement:
    """`means`: size -> arm -> bits per byte."""
    arms = sorted(means[small].keys() & means[large].keys())
    signs = [
        np.sign(means[small][a] - means[small][b]) * np.sign(means[large][a] - means[large][b])
        for a, b in combinations(arms, 2)
    ]
    same = sum(sign > 0 for sign in signs)
    tau = float(np.sum(signs)) / max(1, len(signs))
    return Agreement(small, large, same / max(1, len(signs)), tau, len(signs))


# Effective data ------------------------------------------------------------------------


@dataclass(frozen=True)
class Multiplier:
    """How many times the tokens the control needs for the loss that the subset reaches."""

    value: float | None
    interval: Interval | None
    seeds: tuple[float, ...]
    at_least: bool  # some control never got there: the value is a lower bound


def multiplier(
    subset: Sequence[tuple[Floats, Floats]], control: Sequence[tuple[Floats, Floats]]
) -> Multiplier:
    """Each a curve of a seed: tokens and bits per byte, at a constant learning rate.

    Asked both ways: how far the subset's last value lies along the control's curve, or, where the
    control is better, how far the control's last value lies along the subset's."""
    logs, bounded = [], False
    for (tokens, loss), (other_tokens, other_loss) in zip(subset, control, strict=True):
        ahead = loss[-1] <= other_loss[-1]
        slow = (other_tokens, other_loss) if ahead else (tokens, loss)
        fast = (tokens, loss) if ahead else (other_tokens, other_loss)
        # Where the faster one already was as good as the slower one ends.
        when = reached(fast[0], fast[1], float(slow[1][-1]))
        if when is None:
            continue
        bounded |= when <= fast[0][0]
        ratio = float(np.log(slow[0][-1] / when))
        logs.append(ratio if ahead else -ratio)
    if not logs:
        return Multiplier(None, None, (), False)
    values = np.array(logs)
    t = t_interval(values) if len(values) > 1 else None
    interval = Interval(float(np.exp(t.low)), float(np.exp(t.high))) if t else None
    each = tuple(float(np.exp(one)) for one in values)
    return Multiplier(float(np.exp(values.mean())), interval, each, bounded)


def reached(tokens: Floats, loss: Floats, level: float) -> float | None:
    """When a curve came down to a level for good, between its points on a log scale."""
    best = np.minimum.accumulate(loss)
    below = np.flatnonzero(best <= level)
    if not len(below):
        return None
    place = int(below[0])
    if place == 0:
        return float(tokens[0])
    high, low = best[place - 1], best[place]
    share = (high - level) / (high - low) if high > low else 1.0
    ends = np.log(tokens[[place - 1, place]])
    return float(np.exp(ends[0] + share * (ends[1] - ends[0])))


# At another size -----------------------------------------------------------------------


@dataclass(frozen=True)
class Extrapolation:
    """What is to be expected of a larger run, if power laws through the proxies hold that far."""

    compute: float
    factor: float  # over the largest proxy's compute
    subset: float  # bits per byte
    control: float
    gain: float
    interval: Interval | None  # over seeds; that of the law itself is not in it
    exponents: tuple[float, float]  # of the subset's law and of the control's


def extrapolated(compute: Floats, subset: Floats, control: Floats, at: float) -> Extrapolation:
    """`compute`: FLOPs of each size, (sizes,); the others bits per byte, (seeds, sizes).

    Each seed has laws of its own, loss = scale * compute^exponent, so that pairs stay pairs."""
    x, ends, slopes = np.log(compute), [], []
    for losses in (subset, control):
        lines = np.polyfit(x, np.log(losses).T, 1)  # (slope and offset, seeds)
        slopes.append(float(lines[0].mean()))
        ends.append(np.exp(lines[0] * np.log(at) + lines[1]))
    gaps = ends[1] - ends[0]
    return Extrapolation(
        compute=at,
        factor=at / float(compute.max()),
        subset=float(ends[0].mean()),
        control=float(ends[1].mean()),
        gain=float(gaps.mean()),
        interval=t_interval(gaps) if len(gaps) > 1 else None,
        exponents=(slopes[0], slopes[1]),
    )
