"""Experts: what a token passes, what keeps them in use, and the rows that laws of mixtures read."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="trainings need the extra 'proxy'")

from test_train import QUICK, Trainer, pack, place, texts

from assay.scaling.architecture import count
from assay.scaling.proxy import ladder, mixture
from assay.scaling.proxy.errors import BadTraining
from assay.scaling.proxy.mixture import Mixture, balance
from assay.scaling.proxy.model import Decoder

SHAPE = ladder.shape("100K", 32, 257, experts="6x2")


def made():
    torch.manual_seed(0)
    net = Mixture(SHAPE)
    with torch.no_grad():
        net.router.weight.normal_(0, 0.3)
    return net


def test_a_token_passes_its_best_experts_by_their_shares():
    net = made()
    x = torch.randn(2, 7, SHAPE.width)
    found = net(x)
    for at in np.ndindex(2, 7):
        one = x[at]
        chances = torch.softmax(net.router(one) * net.scale, -1)
        best = chances.argsort(descending=True)[:2]
        parts = [chances[e] * net.experts[e](one[None])[0] for e in best]
        assert torch.allclose(found[at], sum(parts) / chances[best].sum(), atol=1e-5)


def test_grouped_products_are_those_of_one_expert_after_another():
    net = made()
    results = []
    for way in (net.one_by_one, net.grouped):
        x = torch.randn(3, 8, SHAPE.width, generator=torch.Generator().manual_seed(1))
        chosen = torch.tensor([0, 0, 1, 3, 3, 3, 5, 5] * 6).view(-1, 2)  # 2 and 4 have none
        sent = mixture.sorted_by_expert(chosen, 6)
        given = x.view(-1, SHAPE.width)[sent.order // 2].requires_grad_(True)
        net.zero_grad()
        (way(given, sent) * torch.linspace(0, 1, SHAPE.width)).square().sum().backward()
        results.append([given.grad, *(p.grad for n, p in net.named_parameters() if "exp" in n)])
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_the_balance_term_is_one_if_even_and_more_if_not():
    even = balance(torch.full((12, 6), 1 / 6), torch.full((6,), 4))
    assert float(even) == pytest.approx(1)
    skewed = torch.tensor([[0.9, 0.02, 0.02, 0.02, 0.02, 0.02]]).repeat(12, 1)
    assert float(balance(skewed, torch.tensor([24, 0, 0, 0, 0, 0]))) == pytest.approx(5.4)


def test_parameters_are_counted_as_they_are():
    net, counted = Decoder(SHAPE), count(SHAPE)
    assert sum(p.numel() for p in net.parameters()) == counted.total - counted.norms
    dense = count(ladder.shape("100K", 32, 257))
    assert counted.active == pytest.approx(dense.non_embedding, rel=0.05)
    assert counted.non_embedding > 2 * counted.active
    for said in ("8", "2x8", "x", "8x0", "8x2x1"):
        with pytest.raises(BadTraining, match="8x2"):
            ladder.shape("100K", 32, 257, experts=said)
    with pytest.raises(BadTraining, match="SwiGLU"):
        ladder.shape("100K", 32, 257, "relu2", experts="8x2")


def test_experts_learn_stay_in_use_and_train_alike_in_parts():
    spec = replace(QUICK, experts="6x2", tokens=8000)

    def trained(micro):
        trainer = Trainer(replace(spec, micro_batch=micro), pack(texts(200)), place())
        return trainer, [row["loss"] for row in trainer.run().steps]

    trainer, losses = trained(0)
    assert losses[0] == pytest.approx(np.log(320), abs=1e-4)  # nats alone, without the balance
    assert losses[-1] < 3.2 and losses == trained(0)[1]
    assert float(trainer.model.balance().detach()) < 1.5
    with torch.no_grad():
        routers = [b.mixture.router.weight for b in trainer.model.blocks]
        fresh = Decoder(SHAPE, torch.Generator().manual_seed(0)).blocks
        for now, block in zip(routers, fresh, strict=True):
            assert not torch.equal(now, block.mixture.router.weight)
