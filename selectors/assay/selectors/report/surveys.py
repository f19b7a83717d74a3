"""Two passes over the score store: first what weighs and repeats, then the detail of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.selectors.choice import mix
from assay.selectors.records import Counts, Floats, Ids, Mask, Scored, best
from assay.selectors.report.groups import GROUP_SLOTS, Groups, group_hashes
from assay.selectors.report.repeats import Repeats, most_repeated
from assay.selectors.report.samples import REPEAT, Sample
from assay.selectors.selector import Rule

SCORE_BINS = 100  # at most; their width is a round number
OUTLIERS = 0.001  # share of documents at each end that may lie outside the histogram


def length_edges() -> Counts:
    """Half a doubling wide, at whole numbers: 0, 1, 2, 3, 4, 6, 8, 12, 16, 23, 32 ..."""
    return np.unique(np.concatenate([[0], np.ceil(2.0 ** (np.arange(81) / 2))])).astype(np.int64)


LENGTH_EDGES = length_edges()


@dataclass
class Survey:
    """First pass over the scores: sizes, lengths, a sample, repeats, and where groups weigh."""

    rule: Rule
    totals: Counts = field(default_factory=lambda: np.zeros((2, 3), np.int64))
    ruled_out: Counts = field(default_factory=lambda: np.zeros(2, np.int64))  # score -inf, by side
    low: Floats = field(default_factory=lambda: np.full(2, np.inf))
    high: Floats = field(default_factory=lambda: np.full(2, -np.inf))
    lengths: Counts = field(default_factory=lambda: np.zeros((2, len(LENGTH_EDGES) - 1), np.int64))
    heavy: Counts = field(default_factory=lambda: np.zeros((2, GROUP_SLOTS), np.int64))
    sample: Sample = field(default_factory=Sample)
    contents: Repeats = field(default_factory=Repeats)
    ids: Repeats = field(default_factory=Repeats)

    def add(self, scored: Scored) -> None:
        score, keep = best(scored), self.rule.keep(scored)
        side = keep.astype(np.int64)
        finite = np.isfinite(score)
        self.totals += _by_side(side, scored)
        self.ruled_out += np.bincount(side[~finite], minlength=2)
        for number in (0, 1):
            some = score[finite & (side == number)]
            self.low[number] = min(self.low[number], some.min(initial=np.inf))
            self.high[number] = max(self.high[number], some.max(initial=-np.inf))
        self._count_lengths(side, scored.tokens)
        self._weigh_groups(side, scored)
        self.sample.add(scored, score, keep)
        self.contents.add(scored.content[keep], scored.key[keep])
        self.ids.add(scored.key[keep], scored.content[keep])

    def merge(self, other: "Survey") -> None:
        self.totals += other.totals
        self.ruled_out += other.ruled_out
        self.low = np.minimum(self.low, other.low)
        self.high = np.maximum(self.high, other.high)
        self.lengths += other.lengths
        self.heavy += other.heavy
        self.sample.merge(other.sample)
        self.contents.merge(other.contents)
        self.ids.merge(other.ids)

    @property
    def cut(self) -> float | None:
        """The lowest kept score, where no dropped document has a higher one."""
        low, high = float(self.low[1]), float(self.high[0])
        return low if np.isfinite([low, high]).all() and high <= low else None

    def _count_lengths(self, side: Counts, tokens: Counts) -> None:
        bins = len(LENGTH_EDGES) - 1
        place = np.clip(np.searchsorted(LENGTH_EDGES, tokens, side="right") - 1, 0, bins - 1)
        self.lengths += np.bincount(side * bins + place, minlength=2 * bins).reshape(2, bins)

    def _weigh_groups(self, side: Counts, scored: Scored) -> None:
        _names, hashes, place = group_hashes(scored.source)
        slot = (hashes >> np.uint64(48)).astype(np.int64)[place]
        where = side * GROUP_SLOTS + slot
        weight = np.bincount(where, weights=scored.tokens, minlength=2 * GROUP_SLOTS)
        self.heavy += weight.astype(np.int64).reshape(2, GROUP_SLOTS)


def _by_side(side: Counts, scored: Scored) -> Counts:
    columns = (np.ones(len(scored), np.int64), scored.size, scored.tokens)
    totals = [[column[side == number].sum() for column in columns] for number in (0, 1)]
    return np.array(totals, np.int64)


@dataclass
class Detail:
    """Second pass over the scores: the histogram, the groups, the commonest score, names."""

    rule: Rule
    edges: Floats
    common: float  # the score that most documents share
    groups: Groups
    contents: Ids  # repeated among the kept: documents to be named
    ids: Ids
    histogram: Counts  # shape (2, bins + 2): the first and the last lie outside
    shared: Counts = field(default_factory=lambda: np.zeros(2, np.int64))
    named: dict[tuple[str, int], str] = field(default_factory=dict)

    @classmethod
    def after(cls, survey: Survey) -> "Detail":
        sample = survey.sample.drawn()
        finite = np.isfinite(sample.score)
        low, high = float(survey.low.min()), float(survey.high.max())
        edges = score_edges(sample.score[finite], low, high, survey.cut or 0.0)
        weight = survey.heavy / np.maximum(survey.heavy.sum(axis=1, keepdims=True), 1)
        order = np.empty(GROUP_SLOTS, np.int64)
        order[np.argsort(-weight.max(axis=0), kind="stable")] = np.arange(GROUP_SLOTS)
        return cls(
            survey.rule,
            edges,
            _commonest(sample.score[finite]),
            Groups(order),
            most_repeated(survey.contents.settled()),
            most_repeated(survey.ids.settled(), ambiguous=True),
            np.zeros((2, len(edges) + 1), np.int64),
        )

    def add(self, scored: Scored) -> None:
        score, keep = best(scored), self.rule.keep(scored)
        side = keep.astype(np.int64)
        finite = np.isfinite(score)
        place = np.searchsorted(self.edges, score[finite], side="right")
        bins = self.histogram.shape[1]
        where = side[finite] * bins + place
        self.histogram += np.bincount(where, minlength=2 * bins).reshape(2, bins)
        self.shared += np.bincount(side[score == self.common], minlength=2)
        self.groups.add(scored, side)
        self._name("content", self.contents, scored.content, scored, keep)
        self._name("id", self.ids, scored.key, scored, keep)

    def merge(self, other: "Detail") -> None:
        self.histogram += other.histogram
        self.shared += other.shared
        self.groups.merge(other.groups)
        self._note(other.named)

    def _name(self, kind: str, wanted: Ids, value: Ids, scored: Scored, keep: Mask) -> None:
        if not len(wanted):
            return
        mixed = mix(value, REPEAT)
        found = np.flatnonzero(keep & np.isin(mixed, wanted))
        for place in found[np.unique(mixed[found], return_index=True)[1]]:
            some = pc.min(scored.id.filter(pa.array(keep & (mixed == mixed[place])))).as_py()
            self._note({(kind, int(mixed[place])): some})

    def _note(self, named: Mapping[tuple[str, int], str]) -> None:
        for key, name in named.items():
            self.named[key] = min(name, self.named.get(key, name))


def score_edges(sample: Floats, low: float, high: float, at: float) -> Floats:
    """Edges of bins of one round width, one of them at `at`, over all scores but far outliers."""
    if not len(sample):
        return np.array([0.0, 1.0])
    near = np.quantile(sample, [OUTLIERS, 1 - OUTLIERS])
    spread = float(near[1] - near[0])
    # Outliers get a bin of their own only where they would squeeze the rest.
    low = low if near[0] - low <= spread / 4 else float(near[0])
    high = high if high - near[1] <= spread / 4 else float(near[1])
    width = round_width((high - low) / (SCORE_BINS - 2))
    first, last = np.floor((low - at) / width), np.floor((high - at) / width) + 1
    # Bins that the numbers' own precision blurs would be of no use.
    sharp = np.isfinite(width) and width > max(abs(low), abs(high), abs(at)) * 1e-12
    if not (sharp and last - first <= SCORE_BINS):
        return np.array([low, np.nextafter(high, np.inf)])
    return np.asarray(at + np.arange(first, last + 1) * width, np.float64)


def round_width(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is no less."""
    if not least > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(least))
    steps = [step * power for step in (1, 2, 2.5, 5, 10)]
    return float(next((step for step in steps if step >= least * (1 - 1e-9)), steps[-1]))


def _commonest(scores: Floats) -> float:
    if not len(scores):
        return 0.0
    values, times = np.unique(scores, return_counts=True)
    return float(values[np.argmax(times)])
