"""Parameters, memory, hours and money, against models whose numbers are public."""

import pytest

from assay.scaling import architecture, memory
from assay.scaling.architecture import Experts, Shape, count, dense, mixture
from assay.scaling.costs import Rates, flops_for_hours, flops_for_money, price_of
from assay.scaling.errors import OutOfReach
from assay.scaling.hardware import TABLE, find
from assay.scaling.memory import Parallelism

LLAMA_7B = Shape(32, 4096, 11008, 32, 32, vocabulary=32_000, sequence=4096)
LLAMA_70B = Shape(80, 8192, 28672, 64, 8, vocabulary=128_256, sequence=8192)
MIXTRAL = Shape(32, 4096, 14336, 32, 8, 32_000, experts=Experts(8, 2, 14336, shared=0))
GPT3 = Shape(96, 12288, 4 * 12288, 96, 96, 51_200, 2048, gated=False)


@pytest.mark.parametrize(
    ("shape", "total"),
    [(LLAMA_7B, 6_738_415_616), (LLAMA_70B, 70_553_706_496), (MIXTRAL, 46_702_792_704)],
)
def test_parameters_are_those_of_the_released_models(shape, total):
    assert count(shape).total == total


def test_a_token_uses_two_of_mixtral_s_eight_experts():
    active = count(MIXTRAL).active + count(MIXTRAL).embedding
    assert active == pytest.approx(12.9e9, rel=0.01)


def test_activations_are_korthikanti_s_less_the_dropout_masks():
    assert memory.activation_bytes(GPT3) == 32 * GPT3.width


def test_every_expert_that_a_token_visits_keeps_its_activations():
    one = memory.activation_bytes(Shape(2, 1024, 4096, 8, 8, experts=Experts(8, 1, 4096, 0)))
    two = memory.activation_bytes(Shape(2, 1024, 4096, 8, 8, experts=Experts(8, 2, 4096, 0)))
    assert two - one >= 2 * 3 * 4096


def test_experts_are_not_split_by_tensor_parallelism():
    _, alone = memory.on_one(count(MIXTRAL), Parallelism(data=8, tensor=1, expert=8))
    _, tensor = memory.on_one(count(MIXTRAL), Parallelism(data=2, tensor=4, expert=8))
    assert alone == tensor == count(MIXTRAL).routed / 8


def test_zero_spreads_what_it_says():
    one, three = (memory.memory(LLAMA_7B, Parallelism(data=8, zero=z)) for z in (1, 3))
    params = count(LLAMA_7B).total
    assert one.weights == 2 * params and one.gradients == 4 * params
    assert one.optimiser == pytest.approx(12 * params / 8)
    assert three.gradients == pytest.approx(4 * params / 8)
    assert three.total < one.total


def test_seven_billion_fit_and_seventy_need_more_than_one_node():
    placed = memory.place(LLAMA_7B, find("H100"), 8, batch=512)
    assert placed.memory.total <= placed.limit and placed.how.accelerators == 8
    with pytest.raises(OutOfReach, match="GB on each of 8 H100"):
        memory.place(LLAMA_70B, find("h100"), 8, batch=512)
    assert memory.place(LLAMA_70B, find("H100"), 256, batch=512).how.accelerators == 256


def test_more_accelerators_than_sequences_are_refused():
    with pytest.raises(OutOfReach, match="cannot share a batch"):
        memory.place(dense(1e8), find("H100"), 1024, batch=2)


def test_palm_and_deepseek_count_attention():
    assert architecture.palm(LLAMA_7B) > architecture.six_n(count(LLAMA_7B).active)
    gpt = Shape(24, 2048, 4 * 2048, 16, 16, 50_000, 2048, gated=False)
    by_hand = 72 * 24 * 2048**2 + 12 * 24 * 2048 * 2048
    assert architecture.deepseek(gpt) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("params", [3e7, 1e8, 1e9, 7e9, 7e10, 4e11])
def test_a_usual_shape_has_about_the_size_that_was_asked_for(params):
    assert count(dense(params)).non_embedding == pytest.approx(params, rel=0.08)


@pytest.mark.parametrize(("activation", "granularity"), [(0.034, 11.3), (0.1, 4), (0.3, 8)])
def test_a_usual_mixture_is_what_was_asked_for(activation, granularity):
    shape = mixture(1e9, activation, granularity)
    assert count(shape).active == pytest.approx(1e9, rel=0.15)
    assert shape.experts.activation == pytest.approx(activation, rel=0.05)
    assert shape.granularity == pytest.approx(granularity, rel=0.05)


def test_llama_3_1_405b_takes_about_its_published_hours():
    """30.84 million H100 hours for 3.8e25 FLOPs (its model card; arXiv 2407.21783, section 3)."""
    bill = price_of(3.8e25, Rates(find("H100"), 16_384, mfu=0.38))
    assert bill.accelerator_hours == pytest.approx(30.84e6, rel=0.1)
    assert bill.dollars is None


def test_money_time_and_compute_are_the_same_budget():
    rates = Rates(find("H100"), 64, mfu=0.4, dollars_per_hour=2.0)
    bill = price_of(1e21, rates)
    assert flops_for_hours(bill.accelerator_hours, rates) == pytest.approx(1e21)
    assert flops_for_money(bill.dollars, rates) == pytest.approx(1e21)
    assert bill.hours == pytest.approx(bill.accelerator_hours / 64)
    assert bill.kilowatt_hours == pytest.approx(bill.accelerator_hours * 10.2 / 8 * 1.58)


def test_money_without_a_price_is_refused():
    with pytest.raises(OutOfReach, match="--dollars-per-hour"):
        flops_for_money(1e6, Rates())


@pytest.mark.parametrize("bad", [{"mfu": 1.2}, {"mfu": 0}, {"pue": 0.9}, {"accelerators": 0}])
def test_terms_that_cannot_be_are_refused(bad):
    with pytest.raises(OutOfReach):
        Rates(**bad)


def test_every_accelerator_has_a_source():
    assert all(h.source and h.system_watts >= h.watts for h in TABLE.values())
    with pytest.raises(OutOfReach, match="H100"):
        find("abacus")


@pytest.mark.parametrize("total", [1e9, 7e9, 7.3e10])
def test_a_size_with_embeddings_is_met_with_embeddings(total):
    assert count(architecture.dense_of_total(total)).total == pytest.approx(total, rel=0.08)
