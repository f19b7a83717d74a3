"""The exact choice against a plain sort, with small numbers and with every kind of tie."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selectors import choice
from assay.selectors.budget import Budget
from assay.selectors.choice import ByScore, Sampled, gumbel, quotas, sortable, top
from assay.selectors.errors import BadBudget
from assay.selectors.records import Scored


def made(scores, size=None, key=None, content=None, shard=0, names=("score",)):
    scores = np.asarray(scores, np.float64).reshape(len(scores), -1)
    n = len(scores)
    number = np.arange(n)
    return Scored(
        scores=scores,
        names=names,
        key=np.asarray(number if key is None else key, np.uint64),
        content=np.asarray(number if content is None else content, np.uint64),
        row=number.astype(np.int64),
        shard=np.full(n, shard, np.int32),
        size=np.asarray(np.ones(n) if size is None else size, np.int64),
        tokens=np.full(n, 2, np.int64),
        id=pa.array([str(i) for i in number]),
        source=pa.array(["s"] * n),
    )


class Fold:
    """Folds over batches in memory."""

    seed = 7

    def __init__(self, batches, targets=()):
        self.batches, self.targets = batches, targets

    def __call__(self, stream, empty):
        import copy

        total = copy.deepcopy(empty)
        for batch in self.batches:
            part = copy.deepcopy(empty)
            part.add(batch)
            total.merge(part)
        return total


def sorted_choice(scored, limit, unit):
    """The same by sorting everything."""
    places = [
        (s, int(k), int(c), -int(r))
        for s, k, c, r in zip(
            scored.scores[:, 0], scored.key, scored.content, scored.row, strict=True
        )
    ]
    order = sorted(range(len(places)), key=lambda i: places[i], reverse=True)
    kept, spent = set(), 0
    for i in order:
        weight = int(choice.weigh(scored, unit)[i])
        if scored.scores[i, 0] == -np.inf or spent + weight > limit:
            break
        kept.add(i)
        spent += weight
    return kept


values = st.floats(-1e300, 1e300) | st.sampled_from([0.0, -0.0, 1.0, -np.inf, 5e-324, -5e-324])
rows = st.lists(
    st.tuples(values, st.integers(1, 9), st.integers(0, 3), st.integers(0, 2)),
    min_size=1,
    max_size=60,
)


@given(rows, st.integers(1, 200), st.sampled_from(["docs", "bytes"]), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_the_choice_is_the_longest_run_of_the_sorted_corpus_that_fits(documents, limit, unit, few):
    score, size, key, content = (list(column) for column in zip(*documents, strict=True))
    whole = made(score, size, key, content)
    old, choice.FEW = choice.FEW, few  # few: many rounds of the descent before sorting
    try:
        cut = top(Budget(limit, unit), Fold([whole.take(slice(0, 20)), whole.take(slice(20, 99))]))
    finally:
        choice.FEW = old
    assert set(np.flatnonzero(cut.keep(whole)).tolist()) == sorted_choice(whole, limit, unit)
    assert cut.spent == sum(choice.weigh(whole, unit)[cut.keep(whole)])


@given(rows, st.integers(1, 60), st.integers(0, 60), st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_larger_budget_keeps_a_superset(documents, small, more, sample):
    score, size, key, content = (list(column) for column in zip(*documents, strict=True))
    whole = made(score, size, key, content)
    order = Sampled(3, 0.5) if sample else ByScore()
    less = top(Budget(small, "bytes"), Fold([whole]), order).keep(whole)
    larger = top(Budget(small + more, "bytes"), Fold([whole]), order).keep(whole)
    assert not (less & ~larger).any()


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=40),
    st.integers(2, 30),
    st.integers(0, 20),
)
@settings(max_examples=50, deadline=None)
def test_quotas_of_a_larger_budget_keep_a_superset_and_fill_each_share(pairs, small, more):
    whole = made(pairs, names=("score.a", "score.b"))
    orders = [ByScore(0), ByScore(1)]
    fold = Fold([whole], ("a", "b"))
    less = quotas(Budget(small, "docs"), fold, [0.5, 0.5], orders).keep(whole)
    larger = quotas(Budget(small + more, "docs"), fold, [0.5, 0.5], orders).keep(whole)
    assert not (less & ~larger).any()
    assert less.sum() == min(small, len(pairs))


def test_a_place_compares_as_its_float_does():
    numbers = np.array([-np.inf, -1e300, -1.0, -5e-324, 0.0, 5e-324, 1.0, 1e300])
    ranks = sortable(numbers)
    assert (np.diff(ranks.astype(object)) > 0).all()
    assert ranks[0] == 0
    assert sortable(np.array([-0.0]))[0] == sortable(np.array([0.0]))[0]


def test_a_document_that_is_ruled_out_is_never_kept():
    whole = made([1.0, -np.inf, 0.5])
    kept = top(Budget(100, "docs"), Fold([whole])).keep(whole)
    assert kept.tolist() == [True, False, True]


def test_a_share_too_small_for_one_document_is_refused():
    with pytest.raises(BadBudget, match="less than one"):
        top(Budget(0.001, "docs", share=True), Fold([made([1.0, 2.0])]))


def test_gumbel_noise_has_the_mean_and_spread_of_its_law():
    noise = gumbel(np.arange(200_000, dtype=np.uint64), seed=1)
    assert abs(noise.mean() - 0.5772) < 0.018  # 6 sigma: 1.2825 / sqrt(200,000) is 0.0029
    assert abs(noise.std() - 1.2825) < 0.03
    assert not np.array_equal(noise, gumbel(np.arange(200_000, dtype=np.uint64), seed=2))


def test_a_sample_follows_the_weights():
    """Of two documents, the one that weighs e times as much comes first e/(1+e) of the time."""
    first = 0
    for seed in range(20_000):
        heavy, light = Sampled(seed).rank(made([1.0, 0.0], key=[11, 12]))
        first += int(heavy > light)
    assert abs(first / 20_000 - np.e / (1 + np.e)) < 0.019  # 6 sigma: 0.0031
