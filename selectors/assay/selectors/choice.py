"""Exact choice by budget, without sorting the corpus in memory.

Every document has a place: four 64-bit numbers, compared from the left. First the order's own
number (the score's bits, or the score's bits with noise), then the hash of the id, then the hash of
the text, then where the document stands. The chosen documents are the longest run from the top that
fits the budget, so a larger budget keeps a superset. The run's end is found by radix descent over
the score store: a histogram of 16 bits of the place at a time, until few enough are left to sort.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from assay.selectors.budget import UNITS, Budget
from assay.selectors.errors import BadBudget
from assay.selectors.records import Counts, Floats, Ids, Mask, Scored
from assay.selectors.selector import Fold, Rule

DIGIT = 16  # bits looked at in one pass over the score store
FEW = 1 << 16  # documents sorted in memory: 2 MB of places; another pass costs little
WORDS = 4  # 64-bit numbers in a place
ROW_BITS = 40  # of the last number: a shard may hold 2^40 rows, a corpus 2^24 shards


class Order(Protocol):
    """Puts documents in order: a 64-bit number each, larger is better, 0 is never chosen."""

    def rank(self, scored: Scored, /) -> Ids: ...

    def describe(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class ByScore:
    """By one score column, best first."""

    column: int = 0

    def rank(self, scored: Scored) -> Ids:
        return sortable(scored.scores[:, self.column])

    def describe(self) -> dict[str, Any]:
        return {"order": "score", "column": self.column}


@dataclass(frozen=True)
class Sampled:
    """A weighted sample without replacement: documents leave in the order of score / T + Gumbel.

    With scores that are log weights and T = 1 this is sampling in proportion to the weights
    (Gumbel top-k; Kool, van Hoof and Welling 2019, arXiv:1903.06059). The noise hangs on the seed
    and the id alone.
    """

    seed: int
    temperature: float = 1.0
    column: int = 0

    def rank(self, scored: Scored) -> Ids:
        score = scored.scores[:, self.column]
        return sortable(score / self.temperature + gumbel(scored.key, self.seed))

    def describe(self) -> dict[str, Any]:
        return {"order": "sample", "column": self.column, "temperature": self.temperature}


@dataclass(frozen=True)
class Unless:
    """An order from which the documents that some rule keeps are left out."""

    order: Order
    taken: Rule

    def rank(self, scored: Scored) -> Ids:
        return np.where(self.taken.keep(scored), np.uint64(0), self.order.rank(scored))

    def describe(self) -> dict[str, Any]:
        return self.order.describe()


@dataclass(frozen=True)
class Only:
    """An order of the documents that some rule keeps; the others are never chosen."""

    order: Order
    allowed: Rule

    def rank(self, scored: Scored) -> Ids:
        return np.where(self.allowed.keep(scored), self.order.rank(scored), np.uint64(0))

    def describe(self) -> dict[str, Any]:
        return self.order.describe() | {"only": self.allowed.describe()}


@dataclass(frozen=True)
class Cut:
    """Keeps what stands above a place; `floor` is the first document left out, or zeros."""

    order: Order
    floor: tuple[int, int, int, int]
    spent: int
    limit: int
    unit: str

    def keep(self, scored: Scored) -> Mask:
        rank = self.order.rank(scored)
        return above(rank, scored, self.floor) & (rank > 0)

    def describe(self) -> dict[str, Any]:
        cut = {"unit": self.unit, "limit": self.limit, "spent": self.spent}
        floor = [f"{word:016x}" for word in self.floor]
        return self.order.describe() | cut | {"floor": floor}


@dataclass(frozen=True)
class AnyOf:
    """Keeps what any of several rules keeps."""

    rules: tuple[Rule, ...]
    names: tuple[str, ...] = ()

    def keep(self, scored: Scored) -> Mask:
        keep = np.zeros(len(scored), bool)
        for rule in self.rules:
            keep |= rule.keep(scored)
        return keep

    def describe(self) -> dict[str, Any]:
        names = self.names or tuple(str(place) for place in range(len(self.rules)))
        return {"any_of": {n: r.describe() for n, r in zip(names, self.rules, strict=True)}}


@dataclass(frozen=True)
class AllOf:
    """Keeps what all of several rules keep: everything, where there is none."""

    rules: tuple[Rule, ...]

    def keep(self, scored: Scored) -> Mask:
        keep = np.ones(len(scored), bool)
        for rule in self.rules:
            keep &= rule.keep(scored)
        return keep

    def describe(self) -> dict[str, Any]:
        return {"all_of": [rule.describe() for rule in self.rules]}


def top(budget: Budget, fold: Fold, order: Order | None = None) -> Cut:
    """The longest run from the top of the order that fits the budget."""
    order = order or ByScore()
    totals = fold("scores", Totals())
    limit = budget.limit(totals.of(budget.unit))
    if limit < 1 and totals.documents:
        raise BadBudget(
            f"the budget {budget} of {totals.of(budget.unit)} {budget.unit} is less than one of "
            f"them: ask for more"
        )
    return _descend(order, budget.unit, limit, fold)


def quotas(
    budget: Budget,
    fold: Fold,
    shares: Sequence[float],
    orders: Sequence[Order],
    apart: bool = False,
) -> AnyOf:
    """Each order's share of the budget, in turn: what an earlier order took is not there for later.

    A larger budget keeps a superset here too: earlier orders take more away, but only documents
    that are then kept. `apart` says that no document is in two orders: nobody has to look then.
    """
    totals = fold("scores", Totals())
    whole = budget.limit(totals.of(budget.unit))
    limits = np.diff([int(whole * share + 1e-9) for share in (0, *np.cumsum(shares))])
    rules: tuple[Rule, ...] = ()
    for limit, order in zip(limits, orders, strict=True):
        free = Unless(order, AnyOf(rules)) if rules and not apart else order
        rules = (*rules, _descend(free, budget.unit, int(limit), fold))
    return AnyOf(rules)


def _descend(order: Order, unit: str, limit: int, fold: Fold) -> Cut:
    prefix: tuple[int, ...] = ()
    spent = 0
    while True:
        histogram = fold("scores", Histogram(order, prefix, unit))
        digit, fits = histogram.first_over(limit - spent)
        spent += fits
        if digit is None:  # only in the first pass: then everything fits
            return Cut(order, (0, 0, 0, 0), spent, limit, unit)
        prefix = (*prefix, digit)
        if histogram.documents[digit] <= FEW or len(prefix) == WORDS * 64 // DIGIT:
            return _sort(order, unit, limit, spent, prefix, fold)


def _sort(
    order: Order, unit: str, limit: int, spent: int, prefix: tuple[int, ...], fold: Fold
) -> Cut:
    found = fold("scores", Gathered(order, prefix, unit))
    best = np.lexsort(found.places.T[::-1])[::-1]
    running = spent + np.cumsum(found.weight[best])
    kept = int(np.searchsorted(running, limit, side="right"))
    first_out = best[kept]  # there is one: the histogram said that not all of them fit
    floor = tuple(int(word) for word in found.places[first_out])
    spent = int(running[kept - 1]) if kept else spent
    return Cut(order, (floor[0], floor[1], floor[2], floor[3]), spent, limit, unit)


# Places ------------------------------------------------------------------------------


def sortable(values: Floats) -> Ids:
    """Numbers that compare as the floats do; 0 for -inf, which is never chosen."""
    plain = np.ascontiguousarray(values + 0.0)  # -0.0 and 0.0 are one score
    bits = plain.view(np.uint64)
    top_bit = np.uint64(1 << 63)
    ordered = np.where(bits & top_bit, ~bits, bits | top_bit)
    return np.where(np.isneginf(plain), np.uint64(0), ordered)


def places(rank: Ids, scored: Scored, chosen: Counts) -> npt.NDArray[np.uint64]:
    """The places of the chosen rows: shape (rows, 4)."""
    shard, row = scored.shard[chosen].astype(np.uint64), scored.row[chosen].astype(np.uint64)
    stands = (shard << np.uint64(ROW_BITS)) | row
    # Complemented: of two copies the one that stands first is the one that is kept.
    columns = [rank[chosen], scored.key[chosen], scored.content[chosen], ~stands]
    return np.stack(columns, axis=1)


def above(rank: Ids, scored: Scored, floor: tuple[int, int, int, int]) -> Mask:
    """Which documents stand strictly above a place."""
    higher = rank > np.uint64(floor[0])
    level = np.flatnonzero(rank == np.uint64(floor[0]))
    if len(level):
        higher[level] = _compare(places(rank, scored, level), floor)
    return higher


def _compare(found: npt.NDArray[np.uint64], floor: tuple[int, int, int, int]) -> Mask:
    higher = np.zeros(len(found), bool)
    equal = np.ones(len(found), bool)
    for place, word in enumerate(floor):
        higher |= equal & (found[:, place] > np.uint64(word))
        equal &= found[:, place] == np.uint64(word)
    return higher


def gumbel(key: Ids, seed: int) -> Floats:
    """Standard Gumbel noise of each key, the same on every machine."""
    uniform = ((mix(key, seed) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    noise = -np.log(-np.log(uniform))
    # The last bits of a logarithm differ between processors; these are the same everywhere.
    return np.round(noise * 2.0**32) * 2.0**-32


def mix(key: Ids, seed: int) -> Ids:
    """A well mixed number of key and seed: two rounds of splitmix64 (Steele et al. 2014)."""
    return _splitmix(_splitmix(key) ^ _splitmix(np.asarray([seed % 2**64], np.uint64)))


def _splitmix(value: Ids) -> Ids:
    with np.errstate(over="ignore"):
        z = value + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


# Statistics over the score store ------------------------------------------------------


@dataclass
class Totals:
    """What the corpus holds."""

    documents: int = 0
    bytes: int = 0
    tokens: int = 0

    def add(self, scored: Scored) -> None:
        self.documents += len(scored)
        self.bytes += int(scored.size.sum())
        self.tokens += int(scored.tokens.sum())

    def merge(self, other: "Totals") -> None:
        self.documents += other.documents
        self.bytes += other.bytes
        self.tokens += other.tokens

    def of(self, unit: str) -> int:
        return dict(zip(UNITS, (self.documents, self.bytes, self.tokens), strict=True))[unit]


@dataclass
class Histogram:
    """Documents and weight by the next 16 bits of their place, among those that begin so."""

    order: Order
    prefix: tuple[int, ...]
    unit: str
    documents: Counts = field(default_factory=lambda: np.zeros(1 << DIGIT, np.int64))
    weight: Counts = field(default_factory=lambda: np.zeros(1 << DIGIT, np.int64))

    def add(self, scored: Scored) -> None:
        found, weight = _beginning(self.order, self.prefix, self.unit, scored)
        digit = _digit(found, len(self.prefix))
        self.documents += np.bincount(digit, minlength=1 << DIGIT)
        np.add.at(self.weight, digit, weight)

    def merge(self, other: "Histogram") -> None:
        self.documents += other.documents
        self.weight += other.weight

    def first_over(self, limit: int) -> tuple[int | None, int]:
        """The best digit whose documents do not all fit, and the weight of those above it."""
        running = np.cumsum(self.weight[::-1])
        over = np.flatnonzero((running > limit) & (self.documents[::-1] > 0))
        if not len(over):
            return None, int(running[-1])
        return (1 << DIGIT) - 1 - int(over[0]), int(running[over[0] - 1]) if over[0] else 0


@dataclass
class Gathered:
    """The places and weights of the few documents whose places begin so."""

    order: Order
    prefix: tuple[int, ...]
    unit: str
    places: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros((0, WORDS), np.uint64))
    weight: Counts = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, scored: Scored) -> None:
        self._extend(*_beginning(self.order, self.prefix, self.unit, scored))

    def merge(self, other: "Gathered") -> None:
        self._extend(other.places, other.weight)

    def _extend(self, found: npt.NDArray[np.uint64], weight: Counts) -> None:
        self.places = np.concatenate([self.places, found])
        self.weight = np.concatenate([self.weight, weight])


def _beginning(
    order: Order, prefix: tuple[int, ...], unit: str, scored: Scored
) -> tuple[npt.NDArray[np.uint64], Counts]:
    """Places and weights of the documents whose places begin with these digits."""
    rank = order.rank(scored)
    wanted = np.flatnonzero((rank > 0) & _starts(rank, prefix))
    found = places(rank, scored, wanted)
    for place in range(64 // DIGIT, len(prefix)):
        match = _digit(found, place) == prefix[place]
        found, wanted = found[match], wanted[match]
    return found, weigh(scored, unit)[wanted]


def _starts(rank: Ids, prefix: tuple[int, ...]) -> Mask:
    """Whether a rank begins with those of the digits that lie in the first word."""
    mine = prefix[: 64 // DIGIT]
    begin = 0
    for digit in mine:
        begin = begin << DIGIT | digit
    if not mine:
        return np.ones(len(rank), bool)
    starts: Mask = (rank >> np.uint64(64 - DIGIT * len(mine))) == np.uint64(begin)
    return starts


def _digit(found: npt.NDArray[np.uint64], place: int) -> npt.NDArray[np.int64]:
    word, inside = divmod(place * DIGIT, 64)
    shifted = found[:, word] >> np.uint64(64 - DIGIT - inside)
    return (shifted & np.uint64((1 << DIGIT) - 1)).astype(np.int64)


def weigh(scored: Scored, unit: str) -> Counts:
    """What each document costs."""
    if unit == "docs":
        return np.ones(len(scored), np.int64)
    return scored.size if unit == "bytes" else scored.tokens
