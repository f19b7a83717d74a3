"""Differences, tests and ranks, against numbers that can be checked by hand."""

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("torch", reason="the package is an extra: 'proxy'")

from assay.scaling.proxy import paired


def test_intervals_and_p_values_are_students():
    values = np.array([0.10, 0.12, 0.17])
    found = paired.t_interval(values)
    known = stats.ttest_1samp(values, 0.0)
    inside = known.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((inside.low, inside.high))
    assert paired.p_value(values) == pytest.approx(known.pvalue)
    assert paired.p_value(np.array([0.4])) == 1.0


def test_holm_multiplies_by_what_is_left_and_never_turns_back():
    found = paired.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.5})
    assert found == pytest.approx({"a": 0.04, "c": 0.09, "b": 0.09, "d": 0.5})


def made(gain, noise, seeds=3, documents=40, seed=0):
    chance = np.random.default_rng(seed)
    sizes = chance.integers(500, 2000, documents).astype(float)
    ours = sizes * 2.0 + chance.normal(0, 5, (seeds, documents))
    shift = gain + noise * chance.standard_normal((seeds, 1))
    return ours, ours + sizes * shift, sizes


def test_a_gain_a_loss_and_neither_are_told_apart():
    for gain, wanted in ((0.1, "better"), (-0.1, "worse"), (0.0, "no difference")):
        found = paired.difference(*made(gain, 0.01, seed=3))
        assert paired.verdict(found, found.p) == wanted
        assert found.t.low <= found.mean <= found.t.high
        assert found.bootstrap.low <= found.mean <= found.bootstrap.high
    alone = paired.difference(*made(0.1, 0.0, seeds=1))
    assert alone.t is None and paired.verdict(alone, alone.p) == "not known"


def test_where_nothing_differs_a_difference_is_claimed_as_seldom_as_promised():
    claimed = 0
    for seed in range(100):
        found = paired.difference(*made(0.0, 0.01, documents=10, seed=seed))
        claimed += paired.verdict(found, found.p) != "no difference"
    assert claimed <= 13  # 5 % of 100 is 5; 3.7 sigma above


def test_the_bootstrap_is_as_wide_as_the_documents_differ():
    chance = np.random.default_rng(1)
    gaps = np.repeat(chance.normal(100, 50, (1, 200)), 3, axis=0)  # seeds alike
    found = paired.bootstrap(gaps, np.full(200, 1000.0), seed=0)
    wide = 2 * 1.96 * gaps[0].std() / 200**0.5 / 1000
    assert found.high - found.low == pytest.approx(wide, rel=0.06)


def test_ranks_across_sizes_count_pairs():
    means = {"1M": {"a": 1.0, "b": 2.0, "c": 3.0}, "4M": {"a": 1.0, "b": 3.0, "c": 2.0}}
    found = paired.agreement("1M", "4M", means)
    assert found.decision_accuracy == pytest.approx(2 / 3) and found.pairs == 3
    tau = stats.kendalltau([1, 2, 3], [1, 3, 2]).statistic
    assert found.kendall_tau == pytest.approx(tau)


def curve(factor):
    tokens = np.geomspace(1e4, 1e6, 9)
    return tokens, 1.5 + 40 * (tokens * factor) ** -0.3


def test_tokens_worth_twice_as_much_are_found_to_be():
    for factor in (2.0, 1.0, 0.5):
        found = paired.multiplier([curve(factor)] * 3, [curve(1.0)] * 3)
        assert found.value == pytest.approx(factor, rel=0.03) and not found.at_least
    far = paired.multiplier([curve(1e4)] * 2, [curve(1.0)] * 2)
    assert far.at_least and far.value == pytest.approx(100)


def test_a_power_law_is_followed_to_a_larger_run():
    compute = np.array([1e12, 1e13, 1e14])
    chance = np.random.default_rng(0)
    noise = chance.normal(0, 1e-3, (3, 1))
    subset = 30 * compute**-0.08 * np.exp(noise)
    control = 20 * compute**-0.06 * np.exp(noise)
    found = paired.extrapolated(compute, subset, control, 1e16)
    wanted = 20 * 1e16**-0.06 - 30 * 1e16**-0.08
    assert found.gain == pytest.approx(wanted, rel=5e-3) and found.factor == pytest.approx(100)
    assert found.interval.low < wanted < found.interval.high
    assert found.exponents == pytest.approx((-0.08, -0.06), rel=1e-6)


def test_a_shared_learning_rate_that_turns_the_order_is_found():
    tried = {
        "subset": {0.5: 2.0, 1.0: 1.8, 2.0: 1.5},  # better at its own best
        "uniform": {0.5: 1.9, 1.0: 1.6, 2.0: 1.7},
        "full": {0.5: 3.0, 1.0: 3.0, 2.0: 3.0},
    }
    found = paired.flips(tried)
    assert found == [(0.5, "uniform", "subset"), (1.0, "uniform", "subset")]
    del tried["subset"]
    assert paired.flips(tried) == []
