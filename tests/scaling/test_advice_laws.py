"""Laws of hyperparameters, leverage and sparsity: every number in print that can be checked."""

import numpy as np
import pytest

from assay.scaling.law import coefficients, find_published, predict
from assay.scaling.laws.activation_sparsity import ReluSparsity, SiluSparsity, WidthDepthSparsity
from assay.scaling.laws.critical_batch import (
    CriticalBatchOfLoss,
    CriticalBatchOfTokens,
    extra_tokens,
)
from assay.scaling.laws.deepseek import (
    DeepSeekBatch,
    DeepSeekLearningRate,
    DeepSeekSize,
    DeepSeekTokens,
)
from assay.scaling.laws.leverage import EfficiencyLeverage, best_granularity
from assay.scaling.laws.ling import LingBatch, LingLearningRate, LingSize, LingTokens
from assay.scaling.laws.ludziejewski import JointMoeLearningRate
from assay.scaling.laws.minicpm import MiniCpmBatch
from assay.scaling.laws.mup import MuTransfer, transfer
from assay.scaling.laws.porian import PorianBatch, PorianLearningRate
from assay.scaling.laws.power_lines import PowerLinesBatch, Timescale, weight_decay
from assay.scaling.laws.weight_sparsity import WeightSparsity


def at(law, published=None, **x):
    columns = {name: np.atleast_1d(np.asarray(value, float)) for name, value in x.items()}
    return predict(law, coefficients(law, published), columns)[0]


# Efficiency leverage -------------------------------------------------------------------

ACTIVATIONS = (0.25, 0.10, 0.05, 0.031, 0.0078)


@pytest.mark.parametrize(
    ("compute", "values"),
    [(1e20, (1.93, 2.91, 3.85, 4.55, 6.37)), (1e22, (2.36, 4.04, 5.82, 7.24, 11.22))],
)
def test_leverage_is_as_computed_from_the_papers_table(compute, values):
    for activation, value in zip(ACTIVATIONS, values, strict=True):
        got = at(EfficiencyLeverage(), activation=activation, granularity=12, compute=compute)
        assert got == pytest.approx(value, abs=0.006)


def test_leverage_of_the_paper_s_own_example_is_above_seven():
    assert at(
        EfficiencyLeverage(), activation=0.031, granularity=12, compute=1e22
    ) == pytest.approx(7.24, abs=0.006)


def test_leverage_of_ling_mini_beta():
    granularity = best_granularity(1.67e-2, -1.17e-1)
    got = at(EfficiencyLeverage(), activation=0.034, granularity=granularity, compute=1e22)
    assert got == pytest.approx(6.96, abs=0.006)


def test_the_best_granularity_lies_in_the_paper_s_range():
    best = best_granularity(1.67e-2, -1.17e-1)
    assert best == pytest.approx(11.3, abs=0.05) and 8 <= best <= 12
    around = [
        at(EfficiencyLeverage(), activation=0.03, granularity=g, compute=1e21)
        for g in (best / 1.2, best, best * 1.2)
    ]
    assert around[1] == max(around)


def test_a_dense_model_has_hardly_any_leverage():
    one = at(EfficiencyLeverage(), activation=1.0, granularity=2, compute=1e20)
    assert one == pytest.approx(0.994, abs=0.005)


# Sparsity ------------------------------------------------------------------------------


def test_relu_models_fire_less_with_more_tokens_and_silu_models_more():
    tokens = np.geomspace(1e9, 1e12, 20)
    for size in ("0.1B", "0.2B", "0.4B", "0.8B", "1.2B", "2.4B"):
        law = ReluSparsity()
        share = predict(law, coefficients(law, size), {"tokens": tokens})
        # a fall that has reached its limit in double precision is still no rise
        assert (np.diff(share) <= 0).all() and share[-1] < share[0]
        assert share[-1] >= find_published(law, size).coefficients["A0"]
    for size in ("0.1B", "0.2B", "0.4B", "0.8B", "1.2B"):
        law = SiluSparsity()
        share = predict(law, coefficients(law, size), {"tokens": tokens[5:]})
        assert (np.diff(share) > 0).all() and share[-1] < find_published(law, size).coefficients[
            "A0"
        ]


def test_the_limits_of_sparsity_hardly_depend_on_the_size():
    relu = {p.name: p.coefficients["A0"] for p in ReluSparsity().published}
    silu = {p.name: p.coefficients["A0"] for p in SiluSparsity().published}
    assert relu["1.2B"] - relu["0.1B"] == pytest.approx(0.017, abs=5e-4)
    assert silu["1.2B"] - silu["0.1B"] == pytest.approx(-0.027, abs=5e-4)


def test_tokens_of_the_sparsing_law_are_in_billions():
    # exp(b - c D^alpha) + A0 at D = 100 billion, 0.1B: by hand from the table.
    by_hand = np.exp(-0.0151 - 3.20 * 100**0.101) + 0.0614
    assert at(ReluSparsity(), "0.1B", tokens=1e11) == pytest.approx(by_hand, rel=1e-12)


def test_laws_without_known_coefficients_are_for_fitting_only():
    assert not any(law.published for law in (WeightSparsity(), WidthDepthSparsity(), PorianBatch()))


def test_sparser_weights_of_one_count_lose_less():
    theta = np.array([20.0, 0.7, 2.0, 0.25, 1e8, 0.3, 1.5])
    x = {
        "sparsity": np.array([0.0, 0.5, 0.9]),
        "params": np.full(3, 1e9),
        "tokens": np.full(3, 2e10),
    }
    assert (np.diff(predict(WeightSparsity(), theta, x)) < 0).all()


# Hyperparameters -----------------------------------------------------------------------


def test_deepseek_gives_its_own_7b_and_67b_roughly():
    """4.2e-4 and 2304 sequences of 4096 for 7B on 2T; 3.2e-4 and 4608 for 67B (their table 2)."""
    for params, lr, batch in ((7e9, 4.2e-4, 2304 * 4096), (67e9, 3.2e-4, 4608 * 4096)):
        compute = 6 * params * 2e12
        assert at(DeepSeekLearningRate(), compute=compute) == pytest.approx(lr, rel=0.1)
        assert at(DeepSeekBatch(), compute=compute) == pytest.approx(batch, rel=0.25)


@pytest.mark.parametrize("compute", [1e18, 1e20, 1e22])
def test_size_times_tokens_is_the_compute(compute):
    """C = M D: exponents add to one and scales multiply to it, as far as they are printed."""
    pairs = [
        (DeepSeekSize(), DeepSeekTokens(), None),
        (LingSize(), LingTokens(), "moe"),
        (LingSize(), LingTokens(), "dense"),
    ]
    for size, tokens, name in pairs:
        product = at(size, name, compute=compute) * at(tokens, name, compute=compute)
        assert product == pytest.approx(compute, rel=2e-3)


def test_ling_wants_larger_batches_and_smaller_rates_as_compute_grows():
    small, large = ({"compute": c} for c in (1e18, 1e20))
    assert at(LingBatch(), **large) > at(LingBatch(), **small)
    assert at(LingLearningRate(), **large) < at(LingLearningRate(), **small)
    assert at(LingLearningRate(), compute=1e20) == pytest.approx(1.1576 * 1e20**-0.1529, rel=1e-12)


def test_the_rate_of_a_mixture_by_active_parameters_and_experts():
    got = at(JointMoeLearningRate(), active_params=2e8, experts=8)
    assert got == pytest.approx(np.exp(8.39 - 0.81 * np.log(2e8) - 0.25 * np.log(8)), rel=1e-9)


def test_porian_s_rate():
    assert at(PorianLearningRate(), params=1e8) == pytest.approx(3.7 * 1e8**-0.36, rel=1e-12)


def test_the_time_scale_depends_on_tokens_per_parameter_alone():
    one = at(Timescale(), params=1e8, tokens=2e9)
    assert one == pytest.approx(at(Timescale(), params=1e9, tokens=2e10), rel=1e-12)
    assert one == pytest.approx(1.084 * 20**-0.527, rel=1e-12)


def test_weight_decay_gives_the_time_scale_back():
    decay = float(weight_decay(*map(np.array, (0.1, 1e-3, 1e6, 1e11))))
    assert 1e6 / (1e-3 * decay * 1e11) == pytest.approx(0.1)


def test_critical_batches_grow_as_the_loss_falls_and_the_tokens_rise():
    assert at(CriticalBatchOfLoss(), loss=2.0) == pytest.approx(2e8 / 2.0 ** (1 / 0.21), rel=1e-9)
    assert at(CriticalBatchOfTokens(), tokens=2.4e10) > at(CriticalBatchOfTokens(), tokens=1.7e9)
    assert extra_tokens(1e6, 1e6) == 2.0
    assert at(MiniCpmBatch(), loss=2.5) > at(MiniCpmBatch(), loss=3.5)
    assert 0.5e6 < at(PowerLinesBatch(), tokens=1e11) < 2e6


def test_mup_carries_the_rate_over():
    got = at(MuTransfer(), proxy_learning_rate=0.01, width_ratio=8)
    assert got == pytest.approx(0.01 / 8) == transfer(0.01, 256, 2048).hidden_learning_rate
    assert transfer(0.01, 256, 2048).embedding_learning_rate == 0.01


def test_what_nobody_here_has_read_says_so():
    unread = (MiniCpmBatch(), MuTransfer(), PowerLinesBatch(), CriticalBatchOfTokens())
    assert all(law.published[0].mark == "unverified" for law in unread)
