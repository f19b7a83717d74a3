"""The machinery of a fit, against scipy and against things that are obviously right."""

import numpy as np
import pytest
from contract import runs_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from assay.scaling import slopes
from assay.scaling.bootstrap import bootstrap, resampled
from assay.scaling.choosing import aicc, log_mass, ranked
from assay.scaling.errors import BadFitSetting, Undetermined, UnknownLaw, UnknownParameter
from assay.scaling.fit import FitSpec, fit, problem, refit
from assay.scaling.holdout import holdout
from assay.scaling.law import (
    coefficients,
    fitted,
    log_values_and_slopes,
    natural,
    position,
)
from assay.scaling.laws.chinchilla import Chinchilla
from assay.scaling.laws.infinite_compute import Ensemble
from assay.scaling.laws.kaplan import Kaplan
from assay.scaling.observations import Observations
from assay.scaling.polish import huber, polish
from assay.scaling.profiles import profile

LAW = Chinchilla()
TRUTH = coefficients(LAW)


@pytest.fixture(scope="module")
def noisy():
    return runs_of(LAW, TRUTH, 120, 0.004, seed=5)


# Slopes ---------------------------------------------------------------------------------------

FORMULAS = [
    lambda a, b, x: a * x + b,
    lambda a, b, x: (a - b / x) ** 2 / x,
    lambda a, b, x: x**a + a**b,
    lambda a, b, x: np.exp(-a * x) - np.expm1(b),
    lambda a, b, x: np.log(a + x) * np.log1p(b) - np.log2(b) + np.log10(a * x),
    lambda a, b, x: np.sqrt(a * x) + np.square(b) - np.minimum(a * x, b),
    lambda a, b, x: np.maximum(a, b * x) / (1 + np.exp(b)),
    lambda a, b, x: slopes.log_sum_exp(a * x, -b, np.log(b) - x),
]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, len(FORMULAS) - 1), st.floats(0.2, 3), st.floats(0.2, 3))
def test_a_traced_formula_has_the_slopes_of_finite_differences(which, a, b):
    formula, x = FORMULAS[which], np.array([0.31, 1.17, 2.71])
    traced = formula(slopes.leaf(0, np.array([a])), slopes.leaf(1, np.array([b])), x)
    values, found = slopes.dense(traced, 2, x.shape)
    assert values == pytest.approx(np.broadcast_to(formula(a, b, x), 3))
    h = 1e-6
    by_a = (formula(a + h, b, x) - formula(a - h, b, x)) / (2 * h)
    by_b = (formula(a, b + h, x) - formula(a, b - h, x)) / (2 * h)
    kink = which in (5, 6) and np.any(np.abs(np.array([a * x - b, b * x - a])) < 1e-3)
    if not kink:
        assert found == pytest.approx(np.broadcast_to([by_a, by_b], (2, 3)), rel=1e-5, abs=1e-6)


def test_log_sum_exp_neither_overflows_nor_vanishes():
    big, small = np.array([2000.0]), np.array([-2000.0])
    assert slopes.log_sum_exp(big, big) == pytest.approx(2000 + np.log(2))
    assert slopes.log_sum_exp(small, small) == pytest.approx(-2000 + np.log(2))


def test_a_function_without_a_slope_is_refused_rather_than_guessed():
    with pytest.raises(TypeError):
        np.sin(slopes.leaf(0, np.array([1.0])))


# Descent --------------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", [1e-3, 1e-2, np.inf])
def test_the_batched_descent_ends_where_scipys_ends(noisy, delta):
    task = problem(LAW, noisy, delta)
    begin = fitted(LAW, TRUTH) + 0.05

    def objective(z):
        r, s = task.look(z)
        return huber(r, delta).sum() * 1e3, s @ np.clip(r, -delta, delta) * 1e3

    theirs = minimize(objective, begin, jac=True, method="BFGS", options={"gtol": 1e-9}).fun / 1e3
    ours = polish(task, begin[None]).objective[0]
    assert ours <= theirs * (1 + 1e-9)
    assert ours == pytest.approx(theirs, rel=1e-3)


def test_rows_of_a_batch_do_not_meet(noisy):
    task = problem(LAW, noisy, 1e-3)
    begin = fitted(LAW, TRUTH) + 0.1 * np.random.default_rng(0).standard_normal((9, 5))
    weights = resampled(len(noisy), 9, 0)
    together = polish(task, begin, weights=weights)
    for row in range(9):
        alone = polish(task, begin[row : row + 1], weights=weights[row : row + 1])
        assert alone.objective[0] == pytest.approx(together.objective[row], rel=1e-9)


def test_a_start_that_overflows_stands_still_and_harms_nobody(noisy):
    task = problem(LAW, noisy, 1e-3)
    good = fitted(LAW, TRUTH)
    lost = good + np.array([0, 0, 0, 1e4, 0])
    ended = polish(task, np.stack([good, lost, good * np.nan]))
    assert np.isfinite(ended.objective[0])
    assert ended.objective[0] == ended.objective.min()


def test_weights_count_runs_as_repeating_them_would(noisy):
    task, counts = problem(LAW, noisy, 1e-3), resampled(len(noisy), 1, 4)[0]
    repeated = noisy.take(np.repeat(np.arange(len(noisy)), counts.astype(int)))
    weighted = polish(task, fitted(LAW, TRUTH)[None], weights=counts[None])
    plain = polish(problem(LAW, repeated, 1e-3), fitted(LAW, TRUTH)[None])
    assert weighted.objective == pytest.approx(plain.objective, rel=1e-10)
    assert weighted.z == pytest.approx(plain.z, rel=1e-5)


def test_bootstrap_weights_are_whole_numbers_that_sum_to_the_runs():
    weights = resampled(50, 200, 0)
    assert (weights.sum(axis=1) == 50).all()
    assert (weights == np.round(weights)).all()
    assert not np.array_equal(weights, resampled(50, 200, 1))


def test_a_fit_is_the_same_twice_and_in_other_units(noisy):
    first, again = fit(LAW, noisy), fit(LAW, noisy)
    assert np.array_equal(first.theta, again.theta)
    thousands = noisy.having(tokens=noisy["tokens"] / 1e3)
    other = fit(LAW, thousands)
    assert other.objective == pytest.approx(first.objective, rel=1e-9)
    assert other.parameters["beta"] == pytest.approx(first.parameters["beta"], rel=1e-6)


# What cannot be known ---------------------------------------------------------------------------


def one_ratio(ratio=20.0, noise=0.002):
    rng = np.random.default_rng(0)
    params = np.geomspace(5e7, 2e10, 60)
    x = {"params": params, "tokens": ratio * params}
    loss = np.exp(log_values_and_slopes(LAW, fitted(LAW, TRUTH), x)[0])
    return Observations({**x, "loss": loss * np.exp(noise * rng.standard_normal(60))})


def test_runs_at_one_ratio_of_tokens_to_parameters_are_called_collinear():
    said = " ".join(fit(LAW, one_ratio()).warnings)
    assert "params and tokens rise together" in said
    assert "not identified" in said


def test_a_law_that_the_runs_cannot_determine_is_refused():
    runs = one_ratio(noise=0.0)
    with pytest.raises(Undetermined, match=r"do not determine A=|do not determine .* and "):
        # With one exponent for both, only the sum of both terms is seen: A and B are lost.
        fit(LAW, runs, FitSpec(tied={"beta": "alpha"}))


def test_a_profile_of_something_unknown_never_ends():
    found = fit(LAW, one_ratio())
    assert not profile(found, "B").identified
    assert "not identified" in str(profile(found, "B"))


def test_a_bad_request_names_what_it_should_be(noisy):
    found = fit(LAW, noisy)
    with pytest.raises(UnknownParameter, match="it has E, A, B, alpha, beta"):
        position(LAW, "gamma")
    with pytest.raises(UnknownParameter):
        fit(LAW, noisy, FitSpec(fixed={"gamma": 1.0}))
    with pytest.raises(UnknownLaw, match="epoch240, besiroglu2024"):
        coefficients(LAW, "nobody2030")
    with pytest.raises(BadFitSetting, match="tie it to a free parameter of the same kind"):
        fit(LAW, noisy, FitSpec(tied={"alpha": "A"}))
    with pytest.raises(BadFitSetting, match="A is fixed at 0; it is a positive number"):
        fit(LAW, noisy, FitSpec(fixed={"A": 0.0}))
    with pytest.raises(BadFitSetting, match="nothing is left to fit"):
        fit(LAW, noisy, FitSpec(fixed=found.parameters))
    with pytest.raises(BadFitSetting, match="positive"):
        FitSpec(delta=0)
    with pytest.raises(BadFitSetting, match="at least 1"):
        FitSpec(starts=0)
    with pytest.raises(BadFitSetting, match="the runs reach from"):
        holdout(LAW, noisy, above=1.0)
    with pytest.raises(BadFitSetting, match="same runs with the same delta"):
        ranked({"a": found, "b": refit(found, delta=1e-2)})


# Choice and hold-out ------------------------------------------------------------------------------


def test_the_true_form_is_preferred(noisy):
    apart = TRUTH.copy()
    apart[3:] = 0.25, 0.45
    runs = runs_of(LAW, apart, 150, 0.003, seed=2)
    free, tied = fit(LAW, runs), fit(LAW, runs, FitSpec(tied={"beta": "alpha"}))
    assert ranked({"tied": tied, "free": free})[0].name == "free"
    assert aicc(free) < aicc(tied)


@pytest.mark.parametrize(("tau", "delta"), [(1e-6, 1e-3), (1e-4, 1e-3), (0.5, 1e2)])
def test_the_density_behind_aicc_is_normalised(tau, delta):
    reach = 60 * max(tau / delta, np.sqrt(tau))
    r = np.linspace(-reach, reach, 400_001)
    mass = np.trapezoid(np.exp(-huber(r, delta) / tau), r)
    assert log_mass(tau, delta) == pytest.approx(np.log(mass), abs=1e-4)


def test_a_holdout_leaves_out_the_largest_tenth_and_measures_its_distance(noisy):
    held = holdout(LAW, noisy)
    assert held.by == "compute"
    assert len(held.test) == 12
    assert held.fit.runs["compute"].max() < held.test["compute"].min()
    assert held.mean < 0.02
    assert held.worst >= held.mean >= abs(held.bias)
    assert held.decades > 0


def test_a_holdout_without_compute_goes_by_the_first_input():
    runs = runs_of(Ensemble(), coefficients(Ensemble()), 30, 0.001, seed=0)
    assert holdout(Ensemble(), runs).by == "members"


def test_the_wrong_law_fits_worse_out_of_sample(noisy):
    """Without an irreducible loss Kaplan's law is too hopeful about the largest runs."""
    right, wrong = holdout(LAW, noisy), holdout(Kaplan(), noisy)
    assert right.mean < wrong.mean


def test_estimates_carry_value_error_and_interval(noisy):
    drawn = bootstrap(fit(LAW, noisy), 200)
    for name, seen in drawn.estimates(0.8).items():
        assert seen.low < seen.value < seen.high
        assert seen.se > 0
        assert seen.value == drawn.fit.parameters[name]
    x = {"params": np.array([1e11]), "tokens": np.array([1e12])}
    assert drawn.predict(x).shape == (200, 1)


@given(st.floats(-20, 20), st.floats(-5, 5))
def test_fitted_coordinates_come_back(log_size, exponent):
    z = np.array([log_size, log_size, -log_size, exponent, exponent])
    assert fitted(LAW, natural(LAW, z)) == pytest.approx(z, abs=1e-9)
