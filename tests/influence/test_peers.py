"""Influence of a small network's samples, against two packages that compute it another way. Each is
skipped where it is not installed (pip install dattri, pip install kronfluence)."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="influence needs the extra 'proxy'")

from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional as F

from assay.scaling.influence import solvers, vectors
from assay.scaling.influence.directional import (
    hessian_product,
    jvp_losses,
    mean_gradient,
    of_module,
)

N, RIDGE = 150, 0.05


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 3))


@pytest.fixture(scope="module")
def problem():
    """A network trained with weight decay on labels of which some are wrong, and unseen samples."""
    model = network()
    chance = torch.Generator().manual_seed(1)
    x = torch.randn(2 * N, 6, generator=chance)
    y = (x @ torch.randn(6, 3, generator=chance)).argmax(1)
    wrong = torch.rand(2 * N, generator=chance) < 0.1
    y = torch.where(wrong, (y + 1) % 3, y)
    batch, unseen = (x[:N], y[:N]), (x[N:], y[N:])
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def risk():
        optimiser.zero_grad()
        decay = sum((p**2).sum() for p in model.parameters())
        loss = F.cross_entropy(model(batch[0]), batch[1]) + 0.5 * RIDGE / 2 * decay
        loss.backward()
        return loss

    optimiser.step(risk)
    return model.eval(), batch, unseen


def ours(model, batch, unseen):
    losses = of_module(
        model, lambda out, b: F.cross_entropy(out, b[1], reduction="none"), lambda b: (b[0],)
    )
    params = {name: value.detach() for name, value in model.named_parameters()}
    target = mean_gradient(losses, params, [unseen])

    def product(direction):
        return hessian_product(losses, params, direction, batch)

    hessian = solvers.whole(product, target)
    h = solvers.dense(hessian, vectors.flat(target), RIDGE)
    by_steps = solvers.conjugate_gradients(product, target, RIDGE, 1e-5).direction
    assert torch.allclose(vectors.flat(by_steps), h, atol=1e-2 * float(h.norm()))
    return jvp_losses(losses, params, vectors.shaped(h, target), batch).numpy()


def loader(data, size):
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data), batch_size=size)


def test_dattri_orders_samples_alike(problem):
    pytest.importorskip("dattri", reason="a peer that is not installed")
    from dattri.algorithm.influence_function import IFAttributorExplicit
    from dattri.task import AttributionTask

    model, batch, unseen = problem

    def loss(params, data):
        out = torch.func.functional_call(model, params, (data[0],))
        return F.cross_entropy(out, data[1].long())

    task = AttributionTask(loss, model, model.state_dict())
    peer = IFAttributorExplicit(task, regularization=RIDGE)
    peer.cache(loader(batch, N))
    with torch.no_grad():
        theirs = peer.attribute(loader(batch, N), loader(unseen, N)).mean(1).numpy()
    found = ours(model, batch, unseen)
    assert spearmanr(found, theirs).statistic >= 0.99
    assert np.corrcoef(found, theirs)[0, 1] >= 0.99


def test_kronfluence_orders_samples_alike(problem, tmp_path):
    """Its Hessian is the Fisher matrix, layer by layer in an eigenbasis of Kronecker factors."""
    pytest.importorskip("kronfluence", reason="a peer that is not installed")
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task

    class Classes(Task):
        def compute_train_loss(self, batch, model, sample=False):
            out = model(batch[0])
            if not sample:
                return F.cross_entropy(out, batch[1], reduction="sum")
            with torch.no_grad():
                drawn = torch.multinomial(out.softmax(1), 1).flatten()
            return F.cross_entropy(out, drawn, reduction="sum")

        def compute_measurement(self, batch, model):
            return F.cross_entropy(model(batch[0]), batch[1], reduction="sum")

    trained, batch, unseen = problem
    model = network()
    model.load_state_dict(trained.state_dict())
    task = Classes()
    torch.manual_seed(0)
    peer = Analyzer(
        "a", prepare_model(model, task), task, cpu=True, output_dir=str(tmp_path),
        disable_tqdm=True,
    )  # fmt: skip
    train, later = (torch.utils.data.TensorDataset(*data) for data in (batch, unseen))
    peer.fit_all_factors("f", train, per_device_batch_size=N, factor_args=FactorArguments("ekfac"))
    peer.compute_pairwise_scores(
        "s", "f", later, train, per_device_query_batch_size=N, per_device_train_batch_size=N,
        score_args=ScoreArguments(damping_factor=RIDGE),
    )  # fmt: skip
    theirs = peer.load_pairwise_scores("s")["all_modules"].mean(0).numpy()
    assert spearmanr(ours(trained, batch, unseen), theirs).statistic >= 0.9
