"""What a selection did to its corpus, in numbers: everything that the report says.

Two passes over the score store, one over the chosen text and one over the target. Counts are
integers, samples are drawn by hash, and what may be tracked is capped, so the findings do not
depend on who counted in which order, and memory does not grow with the corpus.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from assay.native import kernels
from assay.selectors.choice import mix
from assay.selectors.examples import SHOWN
from assay.selectors.outcome import Outcome
from assay.selectors.records import Batch, Counts, Floats, Ids, Mask, Scored, best
from assay.selectors.selector import Explains, Fold, Rule, Scorer
from assay.selectors.stats import Features, NgramCounts

FORMAT = "assay.report/1"

SAMPLE = 200_000  # documents behind quantiles and the rank correlation: its error is 0.002
SCORE_BINS = 100  # at most; their width is a round number
OUTLIERS = 0.001  # share of documents at each end that may lie outside the histogram
GROUP_SLOTS = 1 << 16  # slots of the count that finds the heavy groups
GROUPS = 1 << 14  # groups tracked by name: the heaviest slots first
GROUPS_SHOWN = 30
NAME = 200  # characters of a group's name that are kept
DISTINCT = 1 << 20  # hashes tracked to find repeats; beyond, a share of 1/2, 1/4, ... of them
LISTED = 20  # files listed of each kind
NAMED = 10  # documents named by a finding
WINDOW = 8  # tokens at the beginning of a target document by which it is found
PASSAGES = 20_000  # target documents looked for
BUCKETS = 1 << 13  # per order, where distributions are compared: Xie et al. 2023 use 10,000
LOOKED_AT = 16_000_000  # bytes of chosen text that are always looked at,
NGRAM_SHARE = 0.10  # or this share of the corpus's bytes, for n-grams
LEAK_SHARE = 0.15  # and this one for target documents: some 15 % of a selection's time
TEXTS = 200  # chosen documents whose scores are explained
EXCERPT = 2_000  # characters of each
TELLING = 20  # n-grams listed for, and as many against

# Seeds of the hashes that draw samples; far from any that a user would give.
DRAW, REPEAT, READ, TEXT = (2**63 + n for n in range(4))
GROUP_SEED, PASSAGE_SEED = 5, 6
EVERY = 2**64 - 1

SIDES = ("dropped", "kept")
SIZES = ("documents", "bytes", "tokens")


def find(outcome: Outcome, fold: Fold) -> dict[str, Any]:
    """Everything that the report says, as plain JSON values."""
    survey = fold("scores", Survey(outcome.rule))
    detail = fold("scores", Detail.after(survey))
    passages = {name: fold(f"target/{name}", Passages()) for name in fold.targets}
    features = coarse(getattr(outcome.scorer, "features", None))
    reading = Texts.of(features, list(passages.values()), outcome.content)
    asked = passages or features or isinstance(outcome.scorer, Explains)
    texts = fold("kept", reading) if asked and survey.totals[1, 0] else reading
    return {
        "format": FORMAT,
        "selection": _selection(outcome),
        "totals": _totals(survey.totals),
        "scores": _scores(outcome.scorer, survey, detail),
        "lengths": _lengths(survey, passages),
        "groups": _groups(outcome, survey, detail.groups),
        "divergence": _divergence(outcome.scorer, texts, fold),
        "ngrams": _ngrams(outcome, texts.sample),
        "duplicates": _duplicates(survey, detail),
        "target_documents": _leaks(passages, texts.leaks),
        "examples": _examples(outcome),
    }


def _examples(outcome: Outcome) -> list[dict[str, Any]]:
    near = sorted(outcome.examples, key=_near_first)
    sides = ([example for example in near if example["kept"] is side] for side in (True, False))
    return [example for side in sides for example in side[:SHOWN]]


def _near_first(example: Mapping[str, Any]) -> tuple[bool, float, str]:
    kept, score = bool(example["kept"]), float(example["score"])
    return not kept, score if kept else -score, str(example["id"])


# What was asked ------------------------------------------------------------------------------


def _selection(outcome: Outcome) -> dict[str, Any]:
    content = outcome.content
    request = content.get("request", {})
    return {
        "method": outcome.spec.method,
        "settings": dict(outcome.spec.settings),
        "budget": request.get("budget", outcome.spec.budget),
        "seed": outcome.spec.seed,
        "text_column": outcome.spec.text_column,
        "group_by": outcome.spec.group_by,
        "targets": sorted(outcome.spec.target),
        "corpus": content["corpus"],
        "spent": content["spent"],
        "cut": content["cut"],
        "versions": content.get("versions", {}),
        "inputs": _inputs(request.get("inputs", {})),
        "parts": _listed(content.get("parts", [])),
        "verify": "assay verify manifest.json",
    }


def _inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    targets = inputs.get("target", {})
    return {
        "raw": _listed(inputs.get("raw", [])),
        "target": {name: _listed(shards) for name, shards in targets.items()},
    }


def _listed(entries: Sequence[Any]) -> dict[str, Any]:
    """The first few: the manifest has them all."""
    return {"count": len(entries), "first": list(entries[:LISTED])}


def _totals(totals: Counts) -> dict[str, dict[str, int]]:
    rows = {"corpus": totals.sum(axis=0), "kept": totals[1], "dropped": totals[0]}
    return {side: _sized(row) for side, row in rows.items()}


def _sized(row: Counts) -> dict[str, int]:
    return dict(zip(SIZES, (int(value) for value in row), strict=True))


# First pass over the scores --------------------------------------------------------------------


def length_edges() -> Counts:
    """Half a doubling wide, at whole numbers: 0, 1, 2, 3, 4, 6, 8, 12, 16, 23, 32 ..."""
    return np.unique(np.concatenate([[0], np.ceil(2.0 ** (np.arange(81) / 2))])).astype(np.int64)


LENGTH_EDGES = length_edges()


@dataclass
class Sample:
    """The documents whose hashes come first: a sample that nobody's order can change."""

    limit: int = SAMPLE
    bar: int = EVERY  # priorities above it cannot be among the first
    priority: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))
    shard: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    row: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    score: Floats = field(default_factory=lambda: np.zeros(0))
    tokens: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    kept: Mask = field(default_factory=lambda: np.zeros(0, bool))

    COLUMNS = ("priority", "shard", "row", "score", "tokens", "kept")

    def add(self, scored: Scored, score: Floats, keep: Mask) -> None:
        priority = mix(scored.key, DRAW)
        columns = (priority, scored.shard, scored.row, score, scored.tokens, keep)
        inside = priority <= np.uint64(self.bar)
        self._extend([column[inside] for column in columns])

    def merge(self, other: "Sample") -> None:
        self._extend([getattr(other, name) for name in self.COLUMNS])

    def drawn(self) -> "Sample":
        """The sample itself, in the order of its hashes."""
        self._trim()
        return self

    def _extend(self, columns: Sequence[npt.NDArray[Any]]) -> None:
        for name, column in zip(self.COLUMNS, columns, strict=True):
            setattr(self, name, np.concatenate([getattr(self, name), column]))
        if len(self.priority) > 2 * self.limit:
            self._trim()

    def _trim(self) -> None:
        order = np.lexsort((self.row, self.shard, self.priority))[: self.limit]
        for name in self.COLUMNS:
            setattr(self, name, getattr(self, name)[order])
        if len(order) == self.limit:
            self.bar = int(self.priority[-1])


@dataclass
class Repeats:
    """How often values occur. Beyond `limit` distinct ones, only those whose hash begins with
    `level` zero bits are counted: which they are does not depend on the order of arrival."""

    limit: int = DISTINCT
    level: int = 0
    value: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))  # mixed, ascending
    times: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    low: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))  # of what comes with it
    high: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))
    waiting: list[tuple[Ids, Counts, Ids, Ids]] = field(default_factory=list)

    def add(self, value: Ids, beside: Ids) -> None:
        mixed = mix(value, REPEAT)
        inside = self._inside(mixed)
        beside = beside[inside]
        self._wait((mixed[inside], np.ones(len(beside), np.int64), beside, beside))

    def merge(self, other: "Repeats") -> None:
        self.level = max(self.level, other.level)
        for columns in [(other.value, other.times, other.low, other.high), *other.waiting]:
            self._wait(columns)

    def settled(self) -> "Repeats":
        """With nothing waiting to be counted."""
        columns = [(self.value, self.times, self.low, self.high), *self.waiting]
        value, times, low, high = (np.concatenate(column) for column in zip(*columns, strict=True))
        self.waiting = []
        order = np.argsort(value, kind="stable")
        value, times, low, high = (column[order] for column in (value, times, low, high))
        first = np.flatnonzero(np.diff(value, prepend=~value[:1]) != 0)
        self.value, self.times = value[first], _added(times, first)
        self.low = np.minimum.reduceat(low, first) if len(first) else low
        self.high = np.maximum.reduceat(high, first) if len(first) else high
        self._raise_level()
        return self

    def _raise_level(self) -> None:
        inside = self._inside(self.value)
        while int(inside.sum()) > self.limit:
            self.level += 1
            inside = self._inside(self.value)
        for name in ("value", "times", "low", "high"):
            setattr(self, name, getattr(self, name)[inside])

    def _inside(self, mixed: Ids) -> Mask:
        return mixed <= np.uint64(EVERY >> self.level)

    def _wait(self, columns: tuple[Ids, Counts, Ids, Ids]) -> None:
        self.waiting.append(columns)
        if sum(len(some[0]) for some in self.waiting) > max(1 << 16, len(self.value)):
            self.settled()


def _added(values: Counts, first: Counts) -> Counts:
    return np.add.reduceat(values, first) if len(first) else values


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


def group_hashes(source: pa.Array) -> tuple[pa.Array, Ids, Counts]:
    """The distinct groups of a batch, their hashes, and the place of each document's group."""
    encoded = pc.fill_null(source, "").dictionary_encode()
    place = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return encoded.dictionary, kernels.fingerprint(encoded.dictionary, seed=GROUP_SEED), place


# Second pass over the scores ---------------------------------------------------------------------


@dataclass
class Groups:
    """Documents, bytes and tokens of each group. Beyond `limit` groups, those in the heaviest
    slots of the first pass are tracked: a large group always lies in a heavy slot."""

    order: Counts  # place of each slot, heaviest first
    limit: int = GROUPS
    hash: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))
    name: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    sizes: Counts = field(default_factory=lambda: np.zeros((0, 6), np.int64))
    full: bool = False  # whether some group was left out

    def add(self, scored: Scored, side: Counts) -> None:
        names, hashes, place = group_hashes(scored.source)
        columns = (np.ones(len(scored), np.int64), scored.size, scored.tokens)
        weighed = [
            np.bincount(place[side == n], weights=column[side == n], minlength=len(hashes))
            for n in (0, 1)
            for column in columns
        ]
        sizes = np.stack(weighed, axis=1).astype(np.int64)
        self._extend(hashes, pc.utf8_slice_codeunits(names, 0, NAME), sizes)

    def merge(self, other: "Groups") -> None:
        self.full |= other.full
        self._extend(other.hash, other.name, other.sizes)

    def _extend(self, hashes: Ids, names: pa.Array, sizes: Counts) -> None:
        every = np.concatenate([self.hash, hashes])
        stacked = np.concatenate([self.sizes, sizes])
        name = pa.concat_arrays([self.name, names.cast(pa.string())])
        self.hash, first, place = np.unique(every, return_index=True, return_inverse=True)
        self.name = name.take(pa.array(first))
        self.sizes = np.zeros((len(self.hash), 6), np.int64)
        np.add.at(self.sizes, place, stacked)
        self._trim()

    def _trim(self) -> None:
        if len(self.hash) <= self.limit:
            return
        rank = self.order[(self.hash >> np.uint64(48)).astype(np.int64)]
        chosen = np.sort(np.lexsort((self.hash, rank))[: self.limit])
        self.full = True
        self.hash, self.sizes = self.hash[chosen], self.sizes[chosen]
        self.name = self.name.take(pa.array(chosen))


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
            _most_repeated(survey.contents.settled()),
            _most_repeated(survey.ids.settled(), ambiguous=True),
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
    if not (np.isfinite(width) and width > abs(low) * 1e-12 and last - first <= SCORE_BINS):
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


def _most_repeated(repeats: Repeats, ambiguous: bool = False) -> Ids:
    """Which values to name: the commonest, of those that repeat or that stand for several."""
    again = np.flatnonzero(repeats.low != repeats.high if ambiguous else repeats.times > 1)
    order = np.lexsort((repeats.value[again], -repeats.times[again]))[:NAMED]
    return repeats.value[again[order]]


# The target, and the chosen text -----------------------------------------------------------------


@dataclass
class Passages:
    """By what a target document is found in another: its first and last windows, how many tokens
    it has, and a hash of all of them."""

    limit: int = PASSAGES
    width: int = WINDOW
    documents: int = 0
    tokens: int = 0
    short: int = 0  # documents of fewer tokens than a window has: never looked for
    found: Ids = field(default_factory=lambda: np.zeros((0, 5), np.uint64))

    PRIORITY, FIRST, LAST, LENGTH, WHOLE = range(5)

    def add(self, batch: Batch) -> None:
        tokens = kernels.count_tokens(batch.text)
        self.documents += len(batch)
        self.tokens += int(tokens.sum())
        self.short += int((tokens < self.width).sum())
        priority = mix(batch.key, DRAW)
        bar = int(self.found[-1, 0]) if len(self.found) == self.limit else EVERY
        wanted = first(np.where(tokens < self.width, np.uint64(EVERY), priority), self.limit, bar)
        rows = [passage(batch.text[place], self.width) for place in wanted.tolist()]
        if rows:
            self._extend(np.column_stack([priority[wanted], np.array(rows, np.uint64)]))

    def merge(self, other: "Passages") -> None:
        self.documents += other.documents
        self.tokens += other.tokens
        self.short += other.short
        self._extend(other.found)

    def _extend(self, rows: Ids) -> None:
        # Equal documents are one passage: sorted by all columns, which also breaks ties.
        self.found = np.unique(np.concatenate([self.found, rows]), axis=0)[: self.limit]


def first(priority: Ids, limit: int, bar: int) -> Counts:
    """Places of the `limit` lowest priorities, and of those level with the last of them."""
    if len(priority) > limit:
        bar = min(bar, int(np.partition(priority, limit - 1)[limit - 1]))
    return np.flatnonzero((priority <= np.uint64(bar)) & (priority < np.uint64(EVERY)))


def passage(text: Any, width: int) -> tuple[int, int, int, int]:
    """The first window of a text, the last, the number of its tokens, and the hash of them all."""
    plain = text.as_buffer().to_pybytes()
    windows, tokens = kernels.windows(plain, width), kernels.tokens(plain)
    return int(windows[0]), int(windows[-1]), len(tokens), whole(tokens)


def whole(tokens: Sequence[bytes]) -> int:
    """The hash of a run of tokens. No token holds a space, so a space tells them apart."""
    joined = pa.array([b" ".join(tokens)], pa.binary())
    return int(kernels.fingerprint(joined, seed=PASSAGE_SEED)[0])


@dataclass
class Leaks:
    """Target documents that stand, whole, in a chosen document."""

    passages: Ids  # those of all targets, without repeats, by their first window
    share: float  # of the chosen documents that is looked at
    looked: int = 0
    documents: int = 0
    found: Mask = field(default_factory=lambda: np.zeros(0, bool))  # per passage
    named: list[tuple[int, str]] = field(default_factory=list)  # (hash, id)

    @classmethod
    def of(cls, passages: Sequence[Passages], share: float) -> "Leaks":
        columns = [some.found[:, 1:] for some in passages] or [np.zeros((0, 4), np.uint64)]
        rows = np.unique(np.concatenate(columns), axis=0)
        return cls(rows, share, found=np.zeros(len(rows), bool))

    def add(self, batch: Batch) -> None:
        if not len(self.passages):
            return
        text, key, ids = looked_at(batch, self.share)
        self.looked += len(text)
        wanted = np.unique(self.passages[:, 0])
        rows, places = kernels.find_windows(text, WINDOW, wanted)
        for row in np.unique(rows).tolist():
            windows = wanted[places[rows == row]]
            if found := list(self._contained(text[row], windows)):
                self.documents += 1
                self.found[found] = True
                self.named.append((int(mix(key[row : row + 1], READ)[0]), ids[row].as_py()))
        self.named = sorted(self.named)[:NAMED]

    def merge(self, other: "Leaks") -> None:
        self.looked += other.looked
        self.documents += other.documents
        self.found |= other.found
        self.named = sorted(self.named + other.named)[:NAMED]

    def _contained(self, text: Any, firsts: Ids) -> Iterator[int]:
        plain = text.as_buffer().to_pybytes()
        windows, tokens = kernels.windows(plain, WINDOW), kernels.tokens(plain)
        for first in firsts:
            begins = np.flatnonzero(windows == first)
            among = np.arange(*np.searchsorted(self.passages[:, 0], [first, first + np.uint64(1)]))
            for begin, number in likely(self.passages[among], begins, windows):
                _, _, length, hashed = (int(value) for value in self.passages[among[number]])
                if whole(tokens[begin : begin + length]) == hashed:
                    yield int(among[number])


def likely(passages: Ids, begins: Counts, windows: Ids) -> list[list[int]]:
    """Where a passage may stand, (place, number of the passage): its last window is there too."""
    last_window = begins[:, None] + passages[None, :, 2].astype(np.int64) - WINDOW
    inside = last_window < len(windows)
    same = windows[np.where(inside, last_window, 0)] == passages[None, :, 1]
    found = np.argwhere(inside & same)
    return [[int(begins[begin]), int(number)] for begin, number in found]


def looked_at(batch: Batch, share: float) -> tuple[pa.Array, Ids, pa.Array]:
    """The share of a batch's documents whose hashes come first: texts, keys, ids."""
    if share >= 1:
        return batch.text, batch.key, batch.id
    inside = mix(batch.key, READ) <= np.uint64(int(share * EVERY))
    mask = pa.array(inside)
    return batch.text.filter(mask), batch.key[inside], batch.id.filter(mask)


@dataclass
class Excerpts:
    """The beginnings of some documents, drawn by hash."""

    limit: int = TEXTS
    found: list[tuple[int, int, int, str]] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        priority = mix(batch.key, TEXT)
        bar = self.found[-1][0] if len(self.found) == self.limit else EVERY
        for place in first(priority, self.limit, bar).tolist():
            text = batch.text[place].as_py()
            plain = text.decode(errors="replace") if isinstance(text, bytes) else text
            where = (int(priority[place]), batch.shard, int(batch.row[place]))
            self.found.append((*where, plain[:EXCERPT]))
        self._trim()

    def merge(self, other: "Excerpts") -> None:
        self.found += other.found
        self._trim()

    def _trim(self) -> None:
        self.found = sorted(self.found)[: self.limit]


@dataclass
class Texts:
    """One pass over the chosen text."""

    leaks: Leaks
    sample: Excerpts
    counts: NgramCounts | None
    share: float  # of the documents whose n-grams are counted

    @classmethod
    def of(
        cls, features: Features | None, passages: Sequence[Passages], content: Mapping[str, Any]
    ) -> "Texts":
        corpus, kept = content["corpus"]["bytes"], max(content["spent"]["bytes"], 1)
        leaks, ngrams = (
            min(1.0, max(LOOKED_AT, share * corpus) / kept) for share in (LEAK_SHARE, NGRAM_SHARE)
        )
        counts = None if features is None else NgramCounts.empty(features)
        return cls(Leaks.of(passages, leaks), Excerpts(), counts, ngrams)

    def add(self, batch: Batch) -> None:
        self.leaks.add(batch)
        self.sample.add(batch)
        if self.counts is not None:
            text, key, ids = looked_at(batch, self.share)
            self.counts.add(replace(batch, text=text, key=key, id=ids))

    def merge(self, other: "Texts") -> None:
        self.leaks.merge(other.leaks)
        self.sample.merge(other.sample)
        if self.counts is not None and other.counts is not None:
            self.counts.merge(other.counts)


# How far the chosen text is from the target --------------------------------------------------


def coarse(features: Any) -> Features | None:
    """The features with at most BUCKETS buckets per order.

    A slot of "fast" is the hash's share of the buckets, so counting with a divisor of the buckets
    is the same as adding up neighbours. "reference" takes remainders, which do not fold.
    """
    if not isinstance(features, Features):
        return None
    if features.definition != "fast":
        return features
    divisors = (n for n in range(min(BUCKETS, features.buckets), 0, -1) if not features.buckets % n)
    return replace(features, buckets=next(divisors))


def folded(counts: Counts, slots: int) -> Counts:
    """Neighbouring slots added up."""
    summed: Counts = counts.reshape(slots, len(counts) // slots).sum(axis=1)
    return summed


def divergences(target: Counts, raw: Counts, kept: Counts) -> tuple[float, float]:
    """KL(target || raw) and KL(target || kept), in nats.

    The raw counts get one more each. A bucket's share of the kept text is its share of the corpus
    times (found + 1) / (expected + 1): a bucket that says little, as few of it are expected, then
    counts as the corpus does, and few chosen documents do not look far from the target by chance.
    """
    p = target / max(target.sum(), 1)
    q = (raw + 1.0) / (raw.sum() + len(raw))
    r = q * (kept + 1.0) / (kept.sum() * q + 1.0)
    r /= r.sum()
    some = p > 0
    entropy = float((p[some] * np.log(p[some])).sum())
    to_raw, to_kept = (float((p[some] * np.log(model[some])).sum()) for model in (q, r))
    return entropy - to_raw, entropy - to_kept


def _divergence(scorer: Scorer, texts: Texts, fold: Fold) -> dict[str, Any] | None:
    features = getattr(scorer, "features", None)
    if texts.counts is None or not isinstance(features, Features) or not fold.targets:
        return None
    slots, empty = texts.counts.features.slots, NgramCounts.empty(features)
    # The same questions that the fit asked: their answers were recorded.
    raw = folded(fold("raw", empty).counts, slots)
    rows: list[dict[str, Any]] = []
    reductions: list[float] = []
    for name in fold.targets:
        target = folded(fold(f"target/{name}", empty).counts, slots)
        before, after = divergences(target, raw, texts.counts.counts)
        measured = {"to_raw": before, "to_kept": after, "reduction": before - after}
        rounded = {key: _rounded(value) for key, value in measured.items()}
        reductions.append(rounded["reduction"])
        rows.append({"target": name, **rounded})
    return {
        "unit": "nats",
        "targets": rows,
        "reduction": _rounded(sum(reductions) / len(reductions)),
        "features": texts.counts.features.version,
        "orders": features.orders,
        "buckets": slots,
        "smoothing": (
            "one count added to each bucket of the corpus; the kept text's share of a bucket is "
            "the corpus's times (found + 1) / (expected + 1)"
        ),
        "kept_documents": texts.counts.documents,
        "share_of_kept": _rounded(texts.share),
    }


# What was found, as plain values -----------------------------------------------------------------


def _scores(scorer: Scorer, survey: Survey, detail: Detail) -> dict[str, Any]:
    sample = survey.sample.drawn()
    finite = np.isfinite(sample.score)
    sides: dict[str, Any] = {}
    for number, side in enumerate(SIDES):
        some = sample.score[finite & (sample.kept == bool(number))]
        documents = int(survey.totals[number, 0] - survey.ruled_out[number])
        sides[side] = {
            "documents": documents,
            "low": float(survey.low[number]) if documents else None,
            "median": float(np.median(some)) if len(some) else None,
            "high": float(survey.high[number]) if documents else None,
        }
    return {
        "columns": list(scorer.names),
        "ruled_out": int(survey.ruled_out.sum()),
        **sides,
        "cut": survey.cut,
        "histogram": {
            "edges": [float(edge) for edge in detail.edges],
            **{side: row[1:-1].tolist() for side, row in zip(SIDES, detail.histogram, strict=True)},
            "below": detail.histogram[:, 0].tolist(),
            "above": detail.histogram[:, -1].tolist(),
        },
        "commonest": {
            "score": detail.common,
            "documents": int(detail.shared.sum()),
            "kept": int(detail.shared[1]),
        },
        "sample": len(sample.priority),
    }


def _lengths(survey: Survey, passages: Mapping[str, Passages]) -> dict[str, Any]:
    used = np.flatnonzero(survey.lengths.sum(axis=0))
    bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
    sample = survey.sample.drawn()
    finite = np.isfinite(sample.score)
    counts = dict(zip(SIDES, survey.lengths[:, bins].tolist(), strict=True))
    means = _means(survey.totals)
    target = sum(some.documents for some in passages.values())
    if target:
        means["target"] = _rounded(sum(some.tokens for some in passages.values()) / target)
    return {
        "unit": "tokens",
        "edges": LENGTH_EDGES[bins.start : bins.stop + 1].tolist(),
        **counts,
        "mean": means,
        "rank_correlation": spearman(sample.score[finite], sample.tokens[finite]),
        "sample": int(finite.sum()),
    }


def _means(totals: Counts) -> dict[str, float | None]:
    rows = {"corpus": totals.sum(axis=0), "kept": totals[1], "dropped": totals[0]}
    return {
        side: _rounded(int(row[2]) / int(row[0])) if row[0] else None for side, row in rows.items()
    }


def spearman(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float | None:
    """The correlation of the ranks, ties at their mean; none where either is constant."""
    if len(one) < 3:
        return None
    x, y = (ranks - ranks.mean() for ranks in (_ranks(one), _ranks(other)))
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return _rounded(float(x @ y) / scale) if scale else None


def _ranks(values: npt.NDArray[Any]) -> Floats:
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    return np.asarray((last - (times - 1) / 2)[place], np.float64)


def _groups(outcome: Outcome, survey: Survey, groups: Groups) -> dict[str, Any]:
    totals = survey.totals
    shares = _token_shares(groups.sizes, totals)
    order = np.lexsort((groups.hash, -shares.max(axis=1)))[:GROUPS_SHOWN]
    order = order[np.lexsort((groups.hash[order], -shares[order, 1], -shares[order, 0]))]
    rows = [
        {"name": groups.name[int(place)].as_py()} | _group(groups.sizes[place], totals)
        for place in order
    ]
    rest = np.concatenate([totals[0], totals[1]]) - groups.sizes[order].sum(axis=0)
    count = len(groups.hash)
    return {
        "by": outcome.spec.group_by or "shard",
        "count": count,
        "count_is_exact": not groups.full,
        "shown": rows,
        "rest": _group(rest, totals) if groups.full or count > len(order) else None,
    }


def _token_shares(sizes: Counts, totals: Counts) -> Floats:
    """Of each group: its share of the kept tokens, and of the corpus's."""
    kept = sizes[:, 5] / max(int(totals[1, 2]), 1)
    corpus = (sizes[:, 2] + sizes[:, 5]) / max(int(totals[:, 2].sum()), 1)
    return np.stack([kept, corpus], axis=1)


def _group(sizes: Counts, totals: Counts) -> dict[str, Any]:
    sides = {"corpus": sizes[:3] + sizes[3:], "kept": sizes[3:]}
    whole = {"corpus": totals.sum(axis=0), "kept": totals[1]}
    row: dict[str, Any] = {}
    for side, values in sides.items():
        shares = [float(v) / max(int(t), 1) for v, t in zip(values, whole[side], strict=True)]
        row[side] = _sized(values) | {
            f"share_of_{size}": _rounded(share) for size, share in zip(SIZES, shares, strict=True)
        }
    kept, corpus = row["kept"]["share_of_tokens"], row["corpus"]["share_of_tokens"]
    return row | {"lift": _rounded(kept / corpus) if corpus else None}


def _duplicates(survey: Survey, detail: Detail) -> dict[str, Any]:
    contents, ids = survey.contents.settled(), survey.ids.settled()
    times = dict(zip(contents.value.tolist(), contents.times.tolist(), strict=True))
    most = [
        {"id": detail.named["content", value], "times": times[value]}
        for value in detail.contents.tolist()
    ]
    return {
        "text": _repeated(contents) | {"most": most},
        "id": _repeated(ids)
        | {
            "ambiguous": int((ids.low != ids.high).sum()),
            "ambiguous_ids": [detail.named["id", value] for value in detail.ids.tolist()],
        },
    }


def _repeated(repeats: Repeats) -> dict[str, Any]:
    return {
        "looked_at": int(repeats.times.sum()),
        "share_looked_at": 2.0**-repeats.level,
        "extra": int((repeats.times - 1).sum()),  # beyond the first of each
        "repeated": int((repeats.times > 1).sum()),
    }


def _leaks(passages: Mapping[str, Passages], leaks: Leaks) -> dict[str, Any] | None:
    if not passages:
        return None
    return {
        "targets": {
            name: {
                "documents": some.documents,
                "too_short": some.short,
                "looked_for": len(some.found),
            }
            for name, some in passages.items()
        },
        "window": WINDOW,
        "kept_looked_at": leaks.looked,
        "share_of_kept": _rounded(leaks.share),
        "kept_with_one": leaks.documents,
        "found": int(leaks.found.sum()),
        "ids": [name for _, name in leaks.named],
    }


def _ngrams(outcome: Outcome, sample: Excerpts) -> dict[str, Any] | None:
    if not isinstance(outcome.scorer, Explains):
        return None
    dropped = [example["text"] for example in outcome.examples if not example["kept"]]
    kept = telling(outcome.scorer, [text for *_, text in sample.found])
    if kept is None:
        return None
    return {"kept": kept, "dropped_near_the_cut": telling(outcome.scorer, dropped)}


def telling(scorer: Explains, texts: Sequence[str]) -> dict[str, Any] | None:
    """What n-grams add to the score of a document on average, the largest for and against."""
    adds: defaultdict[str, float] = defaultdict(float)
    documents: defaultdict[str, int] = defaultdict(int)
    for number, text in enumerate(texts):
        found = scorer.explain(_alone(text, number)).get("ngrams")
        if not isinstance(found, list):
            return None
        for entry in found:
            adds[entry["ngram"]] += entry["adds"]
            documents[entry["ngram"]] += 1
    ranked = sorted(adds, key=lambda ngram: (-adds[ngram], ngram))
    rows: list[dict[str, Any]] = [
        {"ngram": n, "adds": _rounded(adds[n] / len(texts)), "documents": documents[n]}
        for n in ranked
    ]
    return {
        "documents": len(texts),
        "for": [row for row in rows[:TELLING] if row["adds"] > 0],
        "against": [row for row in rows[: -TELLING - 1 : -1] if row["adds"] < 0],
    }


def _alone(text: str, number: int) -> Batch:
    ids = pa.array([str(number)])
    row, key = np.array([number]), np.array([number], np.uint64)
    return Batch(pa.array([text], pa.string()), ids, key, row, 0)


def _rounded(value: float) -> float:
    """Six significant digits: what differs between processors comes after them."""
    return float(f"{value:.6g}")
