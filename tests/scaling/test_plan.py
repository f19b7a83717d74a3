"""Plans: the split of a budget, its distribution, repeats, serving, mixtures."""

import numpy as np
import pytest

from assay.scaling.bootstrap import bootstrap
from assay.scaling.errors import OutOfReach
from assay.scaling.fit import fit
from assay.scaling.laws.chinchilla import Chinchilla, optimum
from assay.scaling.laws.joint_moe import JointMoE
from assay.scaling.plan import MixtureSpec, PlanSpec, known, learned, plan
from assay.scaling.reading import read


@pytest.fixture(scope="module")
def epoch(shared):
    path = shared("epoch_chinchilla", "svg_extracted_data.csv")
    runs = read(path, {"params": "Model Size", "compute": "Training FLOP"})
    return bootstrap(fit(Chinchilla(), runs.take(np.argsort(runs["loss"])[:240])), 4000)


def test_chinchilla_s_budget_from_the_refitted_runs(epoch):
    dense = plan(learned(epoch), PlanSpec(5.76e23)).dense
    print(f"{dense.params.value:.4g} parameters, D/N {dense.tokens_per_param.value:.2f}")
    assert dense.params.value == pytest.approx(73.2e9, rel=0.02)
    assert dense.tokens_per_param.value == pytest.approx(17.9, abs=0.1)
    assert dense.tokens.value == pytest.approx(1.31e12, rel=0.02)
    ratio = dense.tokens_per_param
    assert [ratio.low80, ratio.high80] == pytest.approx([10.1, 28.8], rel=0.05)
    assert [ratio.low, ratio.high] == pytest.approx([7.3, 35.4], rel=0.05)
    assert [dense.params.low, dense.params.high] == pytest.approx([52e9, 114e9], rel=0.05)


@pytest.mark.parametrize(
    ("compute", "params", "ratio"),
    [(1e21, 2.79e9, 21.4), (5.76e23, 73.2e9, 17.9), (1e25, 317e9, 16.6)],
)
def test_the_shipped_coefficients_give_the_same_plans(compute, params, ratio):
    dense = plan(known(), PlanSpec(compute)).dense
    assert dense.params.value == pytest.approx(params, rel=0.01)
    assert dense.tokens_per_param.value == pytest.approx(ratio, abs=0.1)


def test_the_search_finds_the_closed_form_for_every_replicate():
    law = known()
    dense = plan(law, PlanSpec(1e22)).dense
    params, tokens = optimum(law.theta, 1e22)
    assert dense.params.value == pytest.approx(params, rel=1e-5)
    assert dense.tokens.value == pytest.approx(tokens, rel=1e-5)
    params, _ = optimum(law.replicates, 1e22)
    low, high = np.quantile(params, [0.025, 0.975])
    assert [dense.params.low, dense.params.high] == pytest.approx([low, high], rel=1e-4)


def test_the_shipped_spread_stands_in_for_the_bootstrap(epoch):
    ours, theirs = (plan(k, PlanSpec(1e21)).dense for k in (known(), learned(epoch)))
    for name in ("params", "tokens", "loss"):
        one, other = getattr(ours, name), getattr(theirs, name)
        assert [one.low, one.high] == pytest.approx([other.low, other.high], rel=0.05)


def test_a_larger_budget_never_buys_a_worse_loss():
    losses = [plan(known(), PlanSpec(c)).dense.loss.value for c in np.geomspace(1e18, 1e26, 9)]
    assert (np.diff(losses) < 0).all()


def test_repeats_make_the_model_smaller_than_more_tokens_would():
    free = plan(known(), PlanSpec(1e22)).dense
    scarce = plan(known(), PlanSpec(1e22, unique_tokens=2e10))
    assert scarce.dense.loss.value > free.loss.value
    assert scarce.dense.epochs == pytest.approx(scarce.dense.tokens.value / 2e10)
    assert any("not identified" in w for w in scarce.warnings)


def test_enough_unique_tokens_change_nothing():
    free, ample = (plan(known(), PlanSpec(1e22, unique_tokens=u)) for u in (None, 1e13))
    assert ample.dense.loss == free.dense.loss and ample.dense.epochs < 1


def test_serving_makes_the_model_smaller_and_keeps_the_budget():
    served = plan(known(), PlanSpec(1e22, inference_tokens=1e12)).dense
    free = plan(known(), PlanSpec(1e22)).dense
    assert served.params.value < free.params.value
    spent = served.training_compute + 2 * served.params.value * 1e12
    assert spent == pytest.approx(1e22, rel=1e-9)


def test_a_given_size_is_kept():
    assert plan(known(), PlanSpec(1e21, params=1e9)).dense.params.value == pytest.approx(1e9)


def test_a_size_that_serving_eats_up_is_refused():
    with pytest.raises(OutOfReach, match="nothing is left"):
        plan(known(), PlanSpec(1e20, params=1e11, inference_tokens=1e12))


def test_serving_that_eats_the_budget_at_every_size_is_refused():
    with pytest.raises(OutOfReach, match="nothing is left"):
        plan(known(), PlanSpec(1e20, inference_tokens=1e20))


def test_a_mixture_has_the_loss_of_a_dense_model_with_its_leverage():
    found = plan(known(), PlanSpec(1e22, mixture=MixtureSpec(0.031, 12)))
    assert found.mixture.leverage == pytest.approx(7.24, abs=0.01)
    dense = plan(known(), PlanSpec(found.mixture.leverage * 1e22)).dense
    assert found.mixture.loss.value == pytest.approx(dense.loss.value, rel=1e-9)
    assert found.mixture.total_params > 5 * found.mixture.active_params
    assert any("1.22 decades" in w for w in found.warnings)


def test_the_best_granularity_is_taken_unless_one_is_given():
    found = plan(known(), PlanSpec(1e22, mixture=MixtureSpec(0.034)))
    assert found.mixture.granularity == pytest.approx(11.3, abs=0.05)
    assert found.mixture.leverage == pytest.approx(6.96, abs=0.01)


def test_leaving_the_runs_is_said_in_decades():
    found = plan(known(), PlanSpec(5.76e23))
    assert found.dense.decades_outside["compute"] == pytest.approx(1.65, abs=0.01)
    assert any("1.4e+18 to 1.3e+22" in w for w in found.warnings)
    assert not plan(known(), PlanSpec(1e21)).warnings


def test_second_hand_coefficients_say_so_and_have_no_interval():
    found = plan(known(Chinchilla(), "hoffmann2022"), PlanSpec(1e21))
    assert found.dense.params.low is None
    assert any("second-hand" in w for w in found.warnings)


def test_the_curve_is_lowest_at_the_plan():
    found = plan(known(), PlanSpec(1e21))
    best = found.curve.params[np.argmin(found.curve.loss)]
    assert best == pytest.approx(found.dense.params.value, rel=0.05)
    assert found.nearly[0] < found.dense.params.value < found.nearly[1]


def test_laws_that_read_other_things_are_refused_by_name():
    with pytest.raises(OutOfReach, match="active_params"):
        plan(known(JointMoE()), PlanSpec(1e21))


@pytest.mark.parametrize(
    "bad",
    [
        {"compute": -1},
        {"compute": 1e3},
        {"compute": float("inf")},
        {"compute": 1e20, "inference_tokens": -1},
    ],
)
def test_budgets_that_cannot_be_are_refused(bad):
    with pytest.raises(OutOfReach):
        PlanSpec(**bad)
