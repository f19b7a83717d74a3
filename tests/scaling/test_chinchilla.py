"""The 240 runs that Besiroglu et al. 2024 read off Hoffmann et al. 2022: exact figures to hit."""

import numpy as np
import pytest

from assay.scaling.bootstrap import bootstrap, estimate
from assay.scaling.choosing import choose, sensitivity
from assay.scaling.errors import TooFewRuns
from assay.scaling.fit import FitSpec, fit, problem
from assay.scaling.holdout import holdout
from assay.scaling.law import coefficients, fitted, natural, predict
from assay.scaling.laws.chinchilla import Chinchilla, optimum
from assay.scaling.laws.envelope import Envelope
from assay.scaling.laws.inference_aware import cheapest
from assay.scaling.laws.isoflop import IsoFlop, IsoFlopTokens
from assay.scaling.observations import Observations
from assay.scaling.polish import huber
from assay.scaling.profiles import profile
from assay.scaling.reading import read

EPOCH = coefficients(Chinchilla(), "epoch240")


@pytest.fixture(scope="module")
def all_runs(shared):
    table = shared("epoch_chinchilla", "svg_extracted_data.csv")
    return read(table, {"params": "Model Size", "compute": "Training FLOP"})


@pytest.fixture(scope="module")
def runs(all_runs):
    """Without the five largest losses, as in the paper."""
    return all_runs.take(np.argsort(all_runs["loss"])[:-5])


@pytest.fixture(scope="module")
def found(runs):
    return fit(Chinchilla(), runs)


@pytest.fixture(scope="module")
def replicates(found):
    return bootstrap(found, 4000)


def objective(law, runs, theta, delta=1e-3):
    residual = problem(law, runs, delta).look(fitted(law, theta))[0]
    return float(huber(residual, delta).sum())


def test_the_optimum_is_at_least_as_low_as_any_published(found):
    print(f"\nobjective {found.objective:.13f}, {found.share:.0%} of starts, {found.parameters}")
    assert len(found.runs) == 240
    assert found.objective <= 0.00101827403
    assert found.share >= 0.9
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("name", "value", "tolerance"),
    [
        ("A", 477.83, 0.005),
        ("B", 2143.4, 0.005),
        ("E", 1.81722, 0.001),
        ("alpha", 0.34731, 0.001),
        ("beta", 0.36717, 0.001),
    ],
)
def test_parameters_are_those_of_the_replication(found, name, value, tolerance):
    assert found.parameters[name] == pytest.approx(value, rel=tolerance)
    assert Chinchilla().published[0].coefficients[name] == pytest.approx(
        found.parameters[name], rel=1e-6
    )


def test_standard_errors_are_those_of_the_replication(replicates):
    printed = {"A": 124.5, "B": 1293, "E": 0.0257, "alpha": 0.0154, "beta": 0.0206}
    found = {name: replicates.estimate(name).se for name in printed}
    print(f"\nstandard errors {found}")
    assert found == pytest.approx(printed, rel=0.15)


def test_intervals_are_those_of_the_replication(replicates):
    printed = {"A": (285, 744), "B": (1042, 5810), "alpha": (0.317, 0.373), "beta": (0.331, 0.415)}
    for name, (low, high) in printed.items():
        found = replicates.estimate(name)
        assert (found.low, found.high) == pytest.approx((low, high), rel=0.05)


def test_the_same_seed_gives_the_same_replicates(found):
    first, second = (bootstrap(found, 50, seed=3).thetas for _ in range(2))
    assert np.array_equal(first, second)


def test_a_large_budget_is_split_as_published(replicates):
    params, tokens = optimum(replicates.fit.theta, 5.76e23)
    assert params == pytest.approx(73.2e9, rel=0.02)
    assert tokens / params == pytest.approx(17.9, abs=0.1)
    many, far = optimum(replicates.thetas, 5.76e23)
    assert estimate(1, far / many, 0.8).low == pytest.approx(10.1, rel=0.07)
    assert estimate(1, far / many, 0.8).high == pytest.approx(28.8, rel=0.07)
    assert estimate(1, many).low == pytest.approx(52e9, rel=0.07)
    assert estimate(1, many).high == pytest.approx(114e9, rel=0.07)


@pytest.mark.parametrize(
    ("compute", "ratio", "low", "high"), [(1e21, 21.4, 15.3, 28.5), (1e25, 16.6, 5.3, 39.1)]
)
def test_tokens_per_parameter_of_other_budgets_are_as_measured(
    replicates, compute, ratio, low, high
):
    params, tokens = optimum(replicates.fit.theta, compute)
    many, far = optimum(replicates.thetas, compute)
    seen = estimate(float(tokens / params), far / many)
    assert seen.value == pytest.approx(ratio, abs=0.1)
    assert (seen.low, seen.high) == pytest.approx((low, high), rel=0.07)


def test_the_exponent_of_the_optimal_size_is_as_measured(replicates):
    theta = np.vstack([replicates.fit.theta, replicates.thetas])
    share = theta[:, 4] / (theta[:, 3] + theta[:, 4])
    seen = estimate(float(share[0]), share[1:])
    assert seen.value == pytest.approx(0.5139, abs=1e-3)
    assert seen.se == pytest.approx(0.0195, rel=0.1)
    assert (seen.low, seen.high) == pytest.approx((0.482, 0.558), abs=0.004)


def test_all_245_runs_give_another_data_term(all_runs):
    found = fit(Chinchilla(), all_runs)
    expected = {"A": 495.7, "B": 12846, "E": 1.8913, "alpha": 0.3493, "beta": 0.4530}
    assert found.parameters == pytest.approx(expected, rel=2e-3)
    assert found.objective == pytest.approx(0.00182601, rel=1e-5)


def test_a_small_or_large_delta_gives_the_known_answers(found):
    table = sensitivity(found)
    assert table[1e-4].parameters["B"] == pytest.approx(2065, rel=0.01)
    assert table[1e-4].parameters["E"] == pytest.approx(1.8158, rel=1e-3)
    wide = {"A": 539, "B": 2906, "E": 1.8381, "alpha": 0.3544, "beta": 0.3815}
    assert table[1e-2].parameters == pytest.approx(wide, rel=3e-3)
    squares = {"A": 593.3, "B": 4875.6, "E": 1.8646, "alpha": 0.3603, "beta": 0.4059}
    assert table[np.inf].parameters == pytest.approx(squares, rel=1e-3)


@pytest.mark.parametrize(
    ("above", "test_runs", "mean", "worst"),
    [(1e20, 104, 0.890, 4.09), (3e20, None, 1.00, 4.14), (1e21, 23, 1.05, 2.78)],
)
def test_the_largest_runs_are_predicted_as_measured(runs, above, test_runs, mean, worst):
    held = holdout(Chinchilla(), runs, above=above, by="compute")
    assert test_runs in (None, len(held.test))
    assert 100 * held.mean == pytest.approx(mean, abs=0.01)
    assert 100 * held.worst == pytest.approx(worst, abs=0.01)


def test_profiles_agree_with_the_bootstrap(found, replicates):
    for name in ("A", "alpha"):
        seen, drawn = profile(found, name), replicates.estimate(name)
        assert seen.identified
        assert seen.low == pytest.approx(drawn.low, rel=0.25)
        assert seen.high == pytest.approx(drawn.high, rel=0.25)


def test_one_exponent_for_both_is_enough_for_these_runs(runs):
    forms = {"free": FitSpec(), "tied": FitSpec(tied={"beta": "alpha"})}
    best, other = choose(Chinchilla(), runs, forms)
    assert best.name == "tied"  # alpha and beta differ by less than one standard error
    assert best.fit.parameters["alpha"] == best.fit.parameters["beta"]
    assert best.weight + other.weight == pytest.approx(1)
    assert best.fit.objective >= other.fit.objective


def test_fixed_parameters_stay_where_they_are(runs):
    found = fit(Chinchilla(), runs, FitSpec(fixed={"E": 1.7}))
    assert found.parameters["E"] == pytest.approx(1.7, rel=1e-12)
    assert bootstrap(found, 20).thetas[:, 0] == pytest.approx(1.7, rel=1e-12)


def test_the_optimum_is_where_no_other_split_is_better():
    compute = 1e22
    params, tokens = optimum(EPOCH, compute)
    others = params * np.geomspace(0.5, 2, 41)
    loss = predict(Chinchilla(), EPOCH, {"params": others, "tokens": compute / (6 * others)})
    assert np.argmin(loss) == 20
    assert 6 * params * tokens == pytest.approx(compute)


# Serving (Sardana et al. 2024) ----------------------------------------------------------


def test_without_serving_the_cheapest_model_is_the_compute_optimal_one():
    loss = float(
        predict(
            Chinchilla(),
            EPOCH,
            dict(zip(("params", "tokens"), map(np.atleast_1d, optimum(EPOCH, 1e23)), strict=True)),
        )[0]
    )
    params, tokens = cheapest(EPOCH, loss, served=0)
    assert 6 * params * tokens == pytest.approx(1e23, rel=1e-9)
    assert params == pytest.approx(optimum(EPOCH, 1e23)[0], rel=1e-6)


def test_serving_makes_the_cheapest_model_smaller_and_satisfies_sardanas_condition():
    served, loss = 1e13, 2.0
    params, tokens = cheapest(np.stack([EPOCH, EPOCH]), loss, served)
    E, A, B, alpha, beta = EPOCH
    assert E + A / params**alpha + B / tokens**beta == pytest.approx([loss, loss])
    ratio = alpha * A / params**alpha / (beta * B / tokens**beta)
    assert ratio == pytest.approx(1 + served / (3 * tokens))
    assert (params < cheapest(EPOCH, loss, 0)[0]).all()


# Approaches 1 and 2 ---------------------------------------------------------------------


def sweep(noise=0.0):
    """Nine budgets, eleven sizes each, about the optimum of the published law."""
    rng = np.random.default_rng(0)
    compute = np.repeat(np.geomspace(1e18, 1e22, 9), 11)
    params = optimum(EPOCH, compute)[0] * np.tile(np.geomspace(0.25, 4, 11), 9)
    x = {"params": params, "tokens": compute / (6 * params)}
    loss = predict(Chinchilla(), EPOCH, x) * np.exp(noise * rng.standard_normal(len(compute)))
    return Observations({**x, "compute": compute, "loss": loss})


def test_parabolas_find_the_exponent_of_the_law_that_made_the_runs():
    truth = EPOCH[4] / (EPOCH[3] + EPOCH[4])
    sizes, tokens = fit(IsoFlop(), sweep()), fit(IsoFlopTokens(), sweep())
    assert sizes.parameters["a"] == pytest.approx(truth, abs=0.005)
    assert sizes.parameters["a"] + tokens.parameters["a"] == pytest.approx(1, abs=1e-6)
    assert "minima of 9 of 9 budgets" in sizes.runs.notes[-1]
    noisy = fit(IsoFlop(), sweep(noise=0.002))
    assert noisy.parameters["a"] == pytest.approx(truth, abs=0.03)


def test_the_envelope_finds_the_exponent_of_the_law_that_made_the_curves():
    truth = EPOCH[4] / (EPOCH[3] + EPOCH[4])
    params, compute = np.meshgrid(np.geomspace(2e7, 2e10, 60), np.geomspace(1e18, 1e22, 160))
    params, compute = params.ravel(), compute.ravel()
    x = {"params": params, "tokens": compute / (6 * params)}
    curves = Observations({**x, "compute": compute, "loss": predict(Chinchilla(), EPOCH, x)})
    assert fit(Envelope(), curves).parameters["a"] == pytest.approx(truth, abs=0.02)


def test_a_sweep_without_a_minimum_is_refused_in_words():
    runs = sweep()
    small = runs.take(runs["params"] < optimum(EPOCH, runs["compute"])[0] * 0.9)
    with pytest.raises(TooFewRuns, match="0 of 9 budgets have a minimum"):
        fit(IsoFlop(), small)


def test_published_sets_are_read_in_the_order_of_the_parameters():
    assert natural(Chinchilla(), fitted(Chinchilla(), EPOCH)) == pytest.approx(EPOCH, rel=1e-14)


def test_the_published_replicate_is_not_lower_than_ours(runs, found):
    replicate = np.array([1.81724, 477.84, 2143.86, 0.34731, 0.36718])  # their notebook
    assert objective(Chinchilla(), found.runs, replicate) >= found.objective
