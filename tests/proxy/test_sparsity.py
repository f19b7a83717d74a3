"""CETT-PPL-1%: what is dropped is what is small, and as much as perplexity allows."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="trainings need the extra 'proxy'")

from test_train import QUICK, Trainer, pack, place, texts

from assay.scaling.proxy.sparsity import Layer, activations, dropped, measured, nats

HERE = torch.device("cpu")


@pytest.fixture(scope="module")
def trained():
    trainer = Trainer(QUICK, pack(texts(200)), place())
    trainer.run()
    return trainer.model


def layer():
    chance = torch.Generator().manual_seed(0)
    down = torch.nn.Linear(12, 5, bias=False)
    with torch.no_grad():
        down.weight.normal_(0, 1, generator=chance)
    return Layer(down, torch.randn(7, 12, generator=chance))


@torch.no_grad()
def test_an_error_is_the_length_of_what_is_dropped_over_the_whole():
    one, threshold = layer(), 1.5
    wanted = []
    for token in one.seen:
        parts = token[:, None] * one.down.weight.T  # (neurons, out): each neuron's output
        small = parts.norm(dim=-1) < threshold
        wanted.append(float(parts[small].sum(0).norm() / parts.sum(0).norm()))
    assert one.error(threshold) == pytest.approx(np.mean(wanted), rel=1e-5)
    assert one.error(0.0) == 0 and one.share(0.0) == 1
    found = one.threshold(0.3)
    assert one.error(found) <= 0.3 < one.error(found * 1.3 + 0.1)


def test_perplexity_rises_by_what_is_allowed_and_no_more(trained):
    held = pack(texts(60, seed=9))
    found = measured(trained, held, HERE)
    assert 0.3 * 0.01 < found.rise <= 0.01
    assert found.activation == pytest.approx(np.mean(found.layers)) and found.activation < 1
    more = measured(trained, held, HERE, rise=0.1)
    assert more.activation < found.activation and more.error > found.error
    # By hand: the same thresholds, and the perplexity that they come to.
    layers = [Layer(*pair) for pair in activations(trained, held, HERE)]
    before = nats(trained, held, HERE)
    with torch.no_grad():
        thresholds = [one.threshold(found.error) for one in layers]
        with dropped(layers, thresholds):
            after = nats(trained, held, HERE)
    assert math.exp(after - before) - 1 == pytest.approx(found.rise, abs=1e-5)
    assert nats(trained, held, HERE) == before  # nothing stays dropped


def test_neurons_that_nothing_reads_are_not_needed(trained):
    held = pack(texts(60, seed=9))
    with torch.no_grad():
        for block in trained.blocks:
            block.down.weight[:, ::2] = 0
    found = measured(trained, held, HERE)
    assert found.activation <= 0.5
