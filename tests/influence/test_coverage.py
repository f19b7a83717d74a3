"""A choice by coverage: how many, of what, and that it hangs on nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.scaling.influence.coverage import normalise, stratified
from assay.scaling.influence.errors import BadInfluence, BudgetAboveCorpus, NotFinite

numbers = st.floats(-1e308, 1e308, allow_nan=False, allow_infinity=False)
few = st.integers(-3, 3).map(float)  # many ties
scores = st.lists(numbers | few, min_size=1, max_size=60).map(np.array)
shares = st.floats(0, 0.95)
widths = st.sampled_from(["equal", "quantile"])


@given(scores, st.floats(0, 1), st.integers(1, 80), widths, shares, st.integers(0, 9))
def test_there_are_as_many_as_the_budget_says(values, part, groups, width, prune, seed):
    budget = int(part * len(values))
    chosen = stratified(values, budget, groups, width, prune, seed)
    assert len(chosen) == budget == len(set(chosen))
    assert (np.diff(chosen) > 0).all() and (chosen < len(values)).all()
    left = len(values) - int(prune * len(values))
    published = stratified(values, budget, groups, width, prune, seed, exact=False)
    assert len(published) == min(budget, left)


@given(scores, st.integers(1, 20), widths, shares, st.randoms(use_true_random=False))
def test_a_new_order_of_documents_changes_nothing(values, groups, width, prune, chance):
    keys = np.array([chance.getrandbits(64) for _ in values], np.uint64)
    turned = np.array(chance.sample(range(len(values)), len(values)))
    budget = len(values) // 2
    first = stratified(values, budget, groups, width, prune, 1, keys)
    second = stratified(values[turned], budget, groups, width, prune, 1, keys[turned])
    assert set(keys[first]) == set(keys[turned][second])


@given(scores, st.integers(1, 20))
def test_smaller_groups_never_give_a_smaller_share(values, groups):
    """The shares are those of filling all groups to one height: a group gives all it has, or as
    many as any other, give or take the one that does not divide."""
    chosen = stratified(values, (len(values) + 1) // 2, groups)
    within = (normalise(values, "minmax") * groups).astype(int).clip(max=groups - 1)
    for group in np.unique(within):
        gave, size = (within[chosen] == group).sum(), (within == group).sum()
        if gave < size:
            assert gave >= np.bincount(within[chosen]).max() - 1


def test_the_seed_decides():
    values = np.random.default_rng(0).normal(size=500)
    one, again, other = (stratified(values, 50, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_rare_scores_are_taken_and_the_crowd_is_sampled():
    values = np.concatenate([np.zeros(900), np.linspace(5, 10, 100)])
    chosen = stratified(values, 110, groups=10)
    assert (chosen >= 900).sum() > 90  # 10 % of the documents are most of the choice
    even = stratified(values, 110, groups=10, width="quantile")
    assert (even >= 900).sum() == 11


def test_the_highest_are_pruned_and_ties_by_their_keys():
    values = np.arange(100.0)
    assert stratified(values, 90, hard_prune=0.1).max() == 89
    assert len(stratified(values, 95, hard_prune=0.1)) == 95
    assert len(stratified(values, 95, hard_prune=0.1, exact=False)) == 90
    tied = np.zeros(100)
    left_out = set(range(100)) - set(stratified(tied, 90, hard_prune=0.1).tolist())
    assert left_out != set(range(90, 100)) and len(left_out) == 10


def test_normalised_scores_keep_their_order():
    values = np.array([3.0, -1.0, 3.0, 1e300])
    assert normalise(values, "rank").tolist() == [0.5, 0.125, 0.5, 0.875]
    assert normalise(np.array([2.0, 4.0, 3.0]), "minmax").tolist() == [0, 1, 0.5]
    assert normalise(np.array([-1.7e308, 1.7e308]), "minmax").tolist() == [0, 1]
    assert normalise(np.ones(3), "minmax").tolist() == [0, 0, 0]


def test_what_cannot_be_chosen_is_said():
    values = np.arange(10.0)
    with pytest.raises(BudgetAboveCorpus, match="11 are asked for, and there are 10"):
        stratified(values, 11)
    with pytest.raises(NotFinite, match=r"1 of 10 scores are not finite, first that in place 3"):
        stratified(np.where(values == 3, np.nan, values), 5)
    with pytest.raises(BadInfluence, match="'round' width"):
        stratified(values, 5, width="round")
    with pytest.raises(BadInfluence, match="0 groups"):
        stratified(values, 5, groups=0)
    with pytest.raises(BadInfluence, match=r"and 1\.5"):
        stratified(values, 5, hard_prune=1.5)
    with pytest.raises(BadInfluence, match="minmax or rank"):
        normalise(values, "sum")
