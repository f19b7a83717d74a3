"""The sample of a stream's texts: the same however the stream is cut; passages shared."""

import copy

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.native import kernels
from assay.selectors import passages
from assay.selectors.folding import freeze, identity, thaw
from assay.selectors.records import Batch
from assay.selectors.texts import TextSample, views


def batch(numbers, texts):
    ids = pa.array([str(n) for n in numbers], pa.string())
    return Batch(
        pa.array(texts, pa.string()), ids, kernels.fingerprint(ids), np.arange(len(texts)), 0
    )


def sampled(empty, parts):
    total = copy.deepcopy(empty)
    for numbers, texts in parts:
        part = copy.deepcopy(empty)
        part.add(batch(numbers, texts))
        total.merge(part)
    return total


TEXTS = st.lists(st.text(max_size=12), max_size=40)


@settings(deadline=None)
@given(TEXTS, st.integers(1, 200), st.integers(0, 8), st.integers(1, 7), st.randoms())
def test_the_sample_depends_neither_on_the_order_nor_on_the_cut(
    texts, limit, longest, each, chance
):
    empty = TextSample(3, limit, longest)
    whole = sampled(empty, [(range(len(texts)), texts)])
    order = list(range(len(texts)))
    chance.shuffle(order)
    cuts = [order[begin : begin + each] for begin in range(0, len(order), each)]
    parts = sampled(empty, [(cut, [texts[n] for n in cut]) for cut in cuts])
    assert whole.texts() == parts.texts()
    assert (whole.documents, whole.size) == (parts.documents, parts.size)
    assert sum(map(len, whole.texts()[:-1])) < limit


def test_a_sample_is_recorded_and_comes_back():
    full = sampled(TextSample(1, 50), [(range(9), [f"text number {n}" for n in range(9)])])
    back = thaw(TextSample(1, 50), freeze(full))
    assert back.texts() == full.texts() and not back.whole
    assert identity(TextSample(1, 50)) != identity(TextSample(2, 50))


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()]
)
def test_texts_are_seen_in_columns_of_every_kind(kind):
    texts = ["", "naïve", "中文 text that is too long for a short view", "x"]
    column = pa.array(texts, pa.string()).cast(kind)
    assert [bytes(text).decode() for text in views(column)] == texts
    assert [bytes(text).decode() for text in views(column.slice(1, 2))] == texts[1:3]


def longest_by_hand(text, target):
    found = 0
    for begin in range(len(text)):
        while text[begin : begin + found + 1] in target and begin + found < len(text):
            found += 1
    return found


@settings(deadline=None)
@given(st.text("abc", max_size=60), st.text("abc", max_size=60))
def test_the_first_longest_passage_is_found(text, target):
    found = list(passages.shared(text.encode(), target.encode()))
    for passage in found:
        shared = text[passage.begin : passage.begin + passage.length]
        assert target[passage.place : passage.place + passage.length] == shared
    longest = longest_by_hand(text, target)
    assert bool(found) == (longest >= passages.GRAM)
