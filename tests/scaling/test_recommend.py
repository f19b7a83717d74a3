"""Advice: the published numbers, the intervals, what it costs to be wrong, and the warnings."""

import time
from statistics import median

import numpy as np
import pytest

from assay.scaling.errors import OutOfReach
from assay.scaling.opinions import Request
from assay.scaling.recommend import recommend
from assay.scaling.tolerance import harmless, tolerance

USUAL = Request(params=1e9, tokens=1e11)
MIXTURE = Request(params=2.15e9, tokens=2e10, active_params=2.3e8, experts=88)


def of(advice, quantity):
    return {o.law: o for o in advice.laws if o.quantity == quantity}


@pytest.mark.parametrize(
    ("params", "tokens"), [(1e9, 1e11), (2.15e8, 4e9), (5e8, 2e10), (7e10, 1e12)]
)
def test_step_law_s_published_coefficients_are_reproduced(params, tokens):
    advice = recommend(Request(params=params, tokens=tokens))
    assert advice.learning_rate.law == "steplaw-lr" and advice.batch_tokens.law == "steplaw-batch"
    assert advice.learning_rate.value == pytest.approx(1.79 * params**-0.713 * tokens**0.307)
    assert advice.batch_tokens.value == pytest.approx(0.58 * tokens**0.571)


def test_every_answer_lies_in_its_interval_and_has_a_reason():
    for request in (USUAL, MIXTURE):
        advice = recommend(request)
        for name in ("learning_rate", "batch_tokens", "batch_sequences", "weight_decay", "steps"):
            answer = getattr(advice, name)
            assert 0 < answer.low <= answer.value <= answer.high and answer.reason


def test_parts_agree_with_each_other():
    advice = recommend(USUAL)
    batch = advice.batch_tokens.value
    assert advice.batch_sequences.value == round(batch / 4096)
    assert advice.steps.value == np.ceil(1e11 / batch)
    assert advice.warmup_steps.value <= 0.05 * advice.steps.value
    timescale = 1.084 * 100**-0.527
    decay = batch / (advice.learning_rate.value * timescale * 1e11)
    assert advice.weight_decay.value == pytest.approx(decay)


def test_intervals_widen_with_the_distance():
    near, far = recommend(Request(5e8, 2e10)), recommend(Request(7e10, 2e12))
    assert far.learning_rate.high / far.learning_rate.low > 2 * (
        near.learning_rate.high / near.learning_rate.low - 1
    )


def test_being_off_by_two_costs_what_the_released_sweeps_say():
    """lr x2 +.42, x.5 +.44; batch x.5 +.33, x2 +.41 with the published law, gap of .044 included;
    a surface of one shape for all sweeps differs from those by its residuals."""
    costs = {t.factor: t for t in tolerance()}
    assert costs[1.0].learning_rate == costs[1.0].batch == 0.0
    for factor in (0.5, 2.0):
        assert 0.2 < costs[factor].learning_rate < 0.55
        assert 0.2 < costs[factor].batch < 0.55
    low, high = harmless("learning_rate")
    assert 0.6 < low < 1 < high < 1.6


def test_all_laws_are_shown_with_their_ranges_and_what_they_would_cost():
    rates = of(recommend(USUAL), "learning_rate")
    assert {"steplaw-lr", "steplaw", "deepseek-lr", "porian-lr"} <= rates.keys()
    assert rates["steplaw-lr"].cost == 0.0 < rates["deepseek-lr"].cost < 1.0
    assert rates["deepseek-lr"].outside["compute"] > 1
    assert rates["deepseek-lr"].mark == "second-hand"


def test_disagreement_is_said():
    assert any("deepseek-lr says" in w for w in recommend(USUAL).warnings)


def test_a_request_outside_the_runs_names_the_range():
    warnings = recommend(Request(7e10, 1.4e12)).warnings
    assert any("params from 6e+07 to 1.07e+09" in w and "1.82 decades" in w for w in warnings)
    assert any("tokens from 2e+09 to 1e+11" in w for w in warnings)
    assert not any("outside" in w for w in recommend(Request(5e8, 2e10)).warnings)


def test_mixtures_are_asked_by_total_parameters_and_hear_the_mixture_laws():
    advice = recommend(MIXTURE)
    rates = of(advice, "learning_rate")
    assert rates["steplaw-lr"].value == pytest.approx(1.79 * 2.15e9**-0.713 * 2e10**0.307)
    assert {"ling-lr", "joint-moe-lr"} <= rates.keys()
    assert "ling-lr" not in of(recommend(USUAL), "learning_rate")


def test_far_mixtures_follow_ling_in_rate_batch_and_schedule():
    advice = recommend(Request(6e11, 2.4e12, active_params=3.7e10, experts=379))
    assert advice.learning_rate.law == "ling-lr" and advice.batch_tokens.law == "ling-batch"
    assert advice.schedule.kind.startswith("warm-up, stable")


def test_beyond_its_runs_an_interval_reaches_to_the_other_verified_laws():
    advice = recommend(Request(6e11, 2.4e12, active_params=3.7e10, experts=379))
    other = of(advice, "learning_rate")["steplaw-lr"].value
    assert advice.learning_rate.low <= other < advice.learning_rate.value
    assert "widened" in advice.learning_rate.interval
    assert "widened" not in recommend(USUAL).learning_rate.interval


def test_a_tuned_proxy_comes_first():
    advice = recommend(Request(1e9, 1e11, proxy_learning_rate=0.01, width_ratio=8))
    assert advice.learning_rate.law == "mup"
    assert advice.learning_rate.value == pytest.approx(0.01 / 8)


def test_epochs_and_critical_batches_are_warned_of():
    advice = recommend(Request(1e9, 1e11, unique_tokens=1e10, loss=3.5))
    assert any("10.0 epochs" in w for w in advice.warnings)
    assert "minicpm-batch" in of(advice, "batch_tokens")


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"params": -1}, "params"),
        ({"tokens": float("nan")}, "tokens"),
        ({"params": 1e3}, "at least 1e"),
        ({"active_params": 2e9}, "active"),
        ({"proxy_learning_rate": 0.01}, "ratio"),
    ],
)
def test_what_cannot_be_is_refused_by_name(bad, word):
    with pytest.raises(OutOfReach, match=word):
        Request(**{"params": 1e9, "tokens": 1e11, **bad})


def test_an_answer_takes_less_than_five_milliseconds():
    recommend(USUAL)
    took = []
    for n in range(40):
        begin = time.process_time()  # of this process: neighbours on the machine do not count
        recommend(Request(1e9 + n, 1e11))
        took.append(time.process_time() - begin)
    print(f"{1e3 * median(took):.2f} ms")
    assert median(took) < 5e-3
