"""Folds: any grouping gives one answer, and a record comes back exactly."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.selectors.budget import Budget
from assay.selectors.errors import BadRequest, Stopped
from assay.selectors.folding import Folding, bundles, freeze, identity, pack, thaw, unpack
from assay.selectors.progress import Silence
from assay.selectors.stats import Features, NgramCounts


@dataclass
class Summary:
    word: str = "a"
    share: float = 0.1
    sizes: tuple[int, ...] = (1, 2)
    features: Features = field(default_factory=lambda: Features(buckets=16))
    total: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(4, np.int64))

    def add(self, batch):
        self.total += sum(batch)
        np.add.at(self.counts, np.asarray(batch, int) % 4, 1)

    def merge(self, other):
        self.total += other.total
        self.counts += other.counts


class Numbers:
    """A stream of lists of numbers; reading one more than allowed stops the run."""

    def __init__(self, units, stop_after=None):
        self.units, self.stop_after, self.reads = tuple(units), stop_after, 0

    def batches(self, unit):
        if self.stop_after is not None and self.reads >= self.stop_after:
            raise Stopped("asked")
        self.reads += 1
        yield list(unit)

    def size(self, unit):
        return len(unit)


def fold(stream, records="", bundle=0):
    return Folding({"raw": stream}, 0, (), map, Silence(), str(records), bundle)


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=8), st.integers(0, 20))
def test_the_grouping_does_not_matter(units, bundle):
    whole = fold(Numbers([[n for unit in units for n in unit]]))("raw", Summary())
    parts = fold(Numbers(units), bundle=bundle)("raw", Summary())
    assert (parts.total, parts.counts.tolist()) == (whole.total, whole.counts.tolist())


def test_an_empty_summary_is_not_touched():
    empty = Summary()
    fold(Numbers([[1, 2]]))("raw", empty)
    assert empty.total == 0 and not empty.counts.any()


@given(st.text(max_size=9), st.floats(allow_nan=False), st.integers(-(2**62), 2**62))
def test_a_record_comes_back_exactly(word, share, total):
    one = Summary(word, share, total=total, counts=np.array([1, -(2**62), 3, 4]))
    question, done, state = unpack(pack("q", 3, freeze(one)))
    again = thaw(Summary(), state)
    assert (question, done) == ("q", 3)
    assert (again.word, again.share, again.total, again.sizes) == (word, share, total, (1, 2))
    assert again.counts.tolist() == one.counts.tolist() and again.counts.dtype == np.int64
    again.counts += 1  # what comes back can be added to


def test_an_answer_is_read_once(tmp_path):
    first, again = Numbers([[1], [2]]), Numbers([[1], [2]])
    one = fold(first, tmp_path)("raw", Summary())
    two = fold(again, tmp_path)("raw", Summary())
    assert one.total == two.total == 3
    assert (first.reads, again.reads) == (2, 0)


def test_a_fold_that_was_stopped_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr("assay.selectors.folding.SAVE_EVERY", 0.0)
    units = [[n] for n in range(10)]
    with pytest.raises(Stopped):
        fold(Numbers(units, stop_after=4), tmp_path)("raw", Summary())
    rest = Numbers(units)
    assert fold(rest, tmp_path)("raw", Summary()).total == 45
    assert rest.reads == 6


@given(st.lists(st.lists(st.none(), max_size=9), max_size=9), st.integers(0, 20))
def test_small_neighbours_go_together_and_none_is_lost(units, most):
    runs = list(bundles(units, len, most))
    assert [unit for run in runs for unit in run] == units
    assert all(len(run) == 1 or sum(map(len, run)) <= most for run in runs)
    sizes = [sum(map(len, run)) for run in runs]
    assert all(held + len(run[0]) > most for held, run in zip(sizes, runs[1:], strict=False))


def test_bundles_are_counted_in_units(tmp_path, monkeypatch):
    monkeypatch.setattr("assay.selectors.folding.SAVE_EVERY", 0.0)
    units = [[n] for n in range(10)]
    with pytest.raises(Stopped):
        fold(Numbers(units, stop_after=8), tmp_path, bundle=3)("raw", Summary())
    rest = Numbers(units)
    assert fold(rest, tmp_path)("raw", Summary()).total == 45
    assert rest.reads == 4


def test_another_question_gets_another_answer(tmp_path):
    fold(Numbers([[1]]), tmp_path)("raw", Summary())
    other = Numbers([[1]])
    fold(other, tmp_path)("raw", Summary(features=Features(buckets=32)))
    assert other.reads == 1
    assert identity(Summary(word="a")) != identity(Summary(word="b"))
    counts = [NgramCounts.empty(Features(orders=n, buckets=8)) for n in (1, 2)]
    assert identity(counts[0]) != identity(counts[1])


def test_a_stream_that_is_not_there_is_named():
    with pytest.raises(BadRequest, match="'target': name one with --target"):
        fold(Numbers([]))("target", Summary())


def test_a_field_that_cannot_be_recorded_is_named():
    @dataclass
    class Odd:
        found: dict = field(default_factory=lambda: {"a": 1})

    with pytest.raises(TypeError, match=r"Odd\.found"):
        freeze(Odd())


def test_budgets_are_written_as_they_are_read():
    from assay.selectors.budget import parse

    for text in ("20000docs", "10%", "10%tokens", "2.5%bytes"):
        assert str(parse(text)) == text
    assert parse("1.5e9 tokens") == Budget(1.5e9, "tokens")
    assert parse("10GB") == Budget(10e9, "bytes")
    assert parse("1 GiB") == Budget(2**30, "bytes")
    assert parse("1_000 documents") == Budget(1000, "docs")
