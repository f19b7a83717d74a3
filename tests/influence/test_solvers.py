"""The solvers against one another, and influence against training without the sample."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="influence needs the extra 'proxy'")

from scipy.stats import spearmanr
from torch.nn import functional as F

from assay.scaling.influence import solvers, vectors
from assay.scaling.influence.directional import hessian_product, jvp_losses, mean_gradient
from assay.scaling.influence.errors import BadInfluence, NotFinite, NotPositive, SolverDiverged

N, DIMENSIONS, RIDGE = 400, 8, 0.02


def squares(params, batch):
    return 0.5 * (batch[0] @ params["w"] - batch[1]) ** 2


def logistic(params, batch):
    return F.softplus(-batch[1] * (batch[0] @ params["w"]))


def data(kind, n=N, seed=0):
    """Samples whose inputs have the length 1, a tenth of them with a wrong answer."""
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(n, DIMENSIONS, generator=chance, dtype=torch.float64)
    x = x * torch.linspace(0.3, 1.5, DIMENSIONS, dtype=torch.float64)
    x = x / x.norm(dim=1, keepdim=True)
    truth = torch.randn(DIMENSIONS, generator=chance, dtype=torch.float64) * 3
    y = x @ truth + 0.5 * torch.randn(n, generator=chance, dtype=torch.float64)
    y = torch.where(torch.rand(n, generator=chance) < 0.1, -y, y)
    return (x, y) if kind is squares else (x, y.sign())


def slopes_and_bends(losses, w, batch):
    """First and second derivatives of each loss by its prediction, written out."""
    x, y = batch
    if losses is squares:
        return x @ w - y, torch.ones_like(y)
    wrong = torch.sigmoid(-y * (x @ w))
    return -y * wrong, wrong * (1 - wrong)


def trained(losses, batch, left_out=None, start=None):
    """The minimum of mean loss + ridge / 2 |w|^2, by Newton's steps. The mean is over N samples
    whether one is left out or not: removing is a weight of -1/N (DEALRec, Eq. 6)."""
    x = batch[0]
    w = torch.zeros(DIMENSIONS, dtype=torch.float64) if start is None else start["w"]
    for _ in range(30):
        slope, bend = slopes_and_bends(losses, w, batch)
        if left_out is not None:
            slope[left_out] = bend[left_out] = 0
        gradient = x.T @ slope / len(x) + RIDGE * w
        if gradient.norm() < 1e-12:
            return {"w": w}
        hessian = (x.T * bend) @ x / len(x)
        w = w - torch.linalg.solve(hessian + RIDGE * torch.eye(DIMENSIONS), gradient)
    raise AssertionError("not at the minimum")


def products(losses, params, batch):
    """With the Hessian of the mean loss, by backpropagation; with one sample's, written out."""
    x, (_, bend) = batch[0], slopes_and_bends(losses, params["w"], batch)

    def every(direction):
        return hessian_product(losses, params, direction, batch)

    def one(sample, direction):
        return {"w": bend[sample] * (x[sample] @ direction["w"]) * x[sample]}

    return every, one


@pytest.mark.parametrize("losses", [squares, logistic])
def test_influence_orders_samples_as_leaving_each_out_does(losses):
    batch, unseen = data(losses), data(losses, n=200, seed=1)
    params = trained(losses, batch)
    every, _ = products(losses, params, batch)
    target = mean_gradient(losses, params, [unseen])
    h = solvers.conjugate_gradients(every, target, RIDGE, 1e-10)
    assert h.residual <= 1e-10
    found = jvp_losses(losses, params, h.direction, batch) / N

    before = losses(params, unseen).mean()
    truth = []
    for left_out in range(N):
        again = trained(losses, batch, left_out, start=params)
        truth.append(float(losses(again, unseen).mean() - before))
    assert spearmanr(found.numpy(), truth).statistic >= 0.95
    assert np.corrcoef(found.numpy(), truth)[0, 1] >= 0.95  # sizes too: positive raises the risk


@pytest.mark.parametrize("losses", [squares, logistic])
def test_the_series_settles_at_the_dense_solve(losses):
    batch = data(losses)
    params = trained(losses, batch)
    every, one = products(losses, params, batch)
    target = mean_gradient(losses, params, [data(losses, n=200, seed=1)])
    found = solvers.lissa(target, one, N, repeats=4)
    assert found.ridge == 0.25  # damping * scale
    exact = solvers.dense(solvers.whole(every, target), vectors.flat(target), found.ridge)
    away = (vectors.flat(found.direction) / 25 - exact).norm() / exact.norm()
    assert away < 0.05
    assert 0 < found.spread < 0.2 and away < 4 * found.spread / 4**0.5
    long, short = (solvers.lissa(target, one, N, 100, normalised=how) for how in (False, True))
    assert torch.allclose(25 * short.direction["w"], long.direction["w"])


def test_the_papers_form_is_no_damping_and_no_scale():
    batch = data(squares)  # eigenvalues of each sample's Hessian: 0 and 1
    params = trained(squares, batch)
    every, one = products(squares, params, batch)
    target = mean_gradient(squares, params, [data(squares, n=200, seed=1)])
    found = solvers.lissa(target, one, N, steps=500, damping=0, scale=1, repeats=40)
    exact = solvers.dense(solvers.whole(every, target), vectors.flat(target), 0.0)
    # One repeat is off by about its own length: what is settled is the mean.
    assert found.spread > 0.3
    away = (vectors.flat(found.direction) - exact).norm() / exact.norm()
    assert away < 4 * found.spread / 40**0.5


def test_conjugate_gradients_agree_with_the_dense_solve():
    batch = data(logistic)
    params = trained(logistic, batch)
    every, _ = products(logistic, params, batch)
    target = mean_gradient(logistic, params, [batch])
    exact = solvers.dense(solvers.whole(every, target), vectors.flat(target), 0.1)
    found = solvers.conjugate_gradients(every, target, 0.1, 1e-12)
    assert torch.allclose(found.direction["w"], exact, rtol=1e-9)
    assert 0 < found.steps <= DIMENSIONS + 2
    stopped = solvers.conjugate_gradients(every, target, 0.1, 1e-12, limit=2)
    assert stopped.steps == 2 and stopped.residual > 1e-12
    nothing = solvers.conjugate_gradients(every, {"w": target["w"] * 0}, 0.1)
    assert nothing.steps == 0 and not nothing.direction["w"].any()


def test_the_mean_eigenvalue_is_the_trace_over_the_size():
    batch = data(squares)
    every, _ = products(squares, {"w": torch.zeros(DIMENSIONS, dtype=torch.float64)}, batch)
    like = {"w": torch.zeros(DIMENSIONS, dtype=torch.float64)}
    exact = float(torch.trace(solvers.whole(every, like))) / DIMENSIONS
    found = solvers.mean_eigenvalue(every, like, probes=200)
    # Sd of a probe: sqrt(2 sum of squares off the diagonal) / m < .05 here; 5 sigma at 200.
    assert abs(found - exact) < 5 * 0.05 / 200**0.5
    assert abs(exact - 1 / DIMENSIONS) < 1e-9  # inputs of length 1


def test_the_seed_decides_the_series():
    batch = data(logistic, n=50)
    params = trained(logistic, batch)
    _, one = products(logistic, params, batch)
    target = mean_gradient(logistic, params, [batch])
    runs = [solvers.lissa(target, one, 50, steps=60, seed=s).direction["w"] for s in (3, 3, 4)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_scores_follow_the_samples_when_their_order_changes():
    batch = data(logistic, n=60)
    params = trained(logistic, batch)
    every, _ = products(logistic, params, batch)
    target = mean_gradient(logistic, params, [batch])
    h = solvers.conjugate_gradients(every, target, RIDGE).direction
    turned = torch.randperm(60, generator=torch.Generator().manual_seed(5))
    again = tuple(part[turned] for part in batch)
    other, _ = products(logistic, params, again)
    aim = mean_gradient(logistic, params, [again])
    g = solvers.conjugate_gradients(other, aim, RIDGE).direction
    scores, moved = jvp_losses(logistic, params, h, batch), jvp_losses(logistic, params, g, again)
    assert torch.allclose(scores[turned], moved, rtol=1e-6)


def test_a_series_that_grows_is_refused():
    like = {"w": torch.ones(3)}
    with pytest.raises(SolverDiverged, match=r"after 50 steps .* larger scale"):
        solvers.lissa(like, lambda _, h: vectors.scaled(h, 10.0), 5, scale=2)
    with pytest.raises(SolverDiverged):  # downwards, as in a model that is at no minimum
        solvers.lissa(like, lambda _, h: vectors.scaled(h, -1.0), 5, damping=0.01, scale=25)
    with pytest.raises(SolverDiverged):
        solvers.lissa(like, lambda _, h: vectors.scaled(h, torch.nan), 5)


def test_what_cannot_be_solved_is_said():
    like = {"w": torch.ones(3)}
    with pytest.raises(NotPositive, match=r"curvature -2.* ridge above 2"):
        solvers.conjugate_gradients(lambda h: vectors.scaled(h, -2.0), like, 0.0)
    with pytest.raises(NotPositive, match=r"least eigenvalue is -1.*above 1"):
        solvers.dense(-torch.eye(3), torch.ones(3), 0.5)
    with pytest.raises(NotFinite, match="gradient is not finite in the parameter w"):
        solvers.conjugate_gradients(lambda h: h, {"w": torch.tensor([torch.nan])}, 0.1)
    with pytest.raises(BadInfluence, match="damping 1"):
        solvers.lissa(like, lambda _, h: h, 5, damping=1)
