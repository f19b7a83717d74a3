"""One direction's derivative of many losses, against backpropagation for each."""

import pytest

torch = pytest.importorskip("torch", reason="influence needs the extra 'proxy'")

from torch import nn
from torch.nn import functional as F

from assay.scaling.influence import vectors
from assay.scaling.influence.directional import (
    difference_losses,
    gradient_norms,
    hessian_product,
    jvp_losses,
    mean_gradient,
    of_module,
    slopes,
    summed_gradient,
)
from assay.scaling.influence.errors import NoForwardMode, NotFinite

N = 13


class Attentive(nn.Module):
    """Embedding, attention by the fused kernel, norm and read-out: what surrogates are made of."""

    def __init__(self):
        super().__init__()
        self.items = nn.Embedding(20, 8)
        self.query, self.value = nn.Linear(8, 8), nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.out = nn.Linear(8, 20)

    def forward(self, tokens):
        x = self.items(tokens)
        query, value = self.query(x), self.value(x)
        mixed = F.scaled_dot_product_attention(query, query, value, is_causal=True)
        return self.out(self.norm(F.gelu(mixed) + x))[:, -1]


@pytest.fixture
def problem():
    torch.manual_seed(0)
    model = Attentive()
    batch = (torch.randint(20, (N, 6)), torch.randint(20, (N,)))
    losses = of_module(
        model, lambda out, b: F.cross_entropy(out, b[1], reduction="none"), lambda b: (b[0],)
    )
    params = dict(model.named_parameters())
    direction = {name: torch.randn_like(value) for name, value in params.items()}
    return losses, params, direction, batch


def one(batch, i):
    return tuple(part[i : i + 1] for part in batch)


def by_backpropagation(losses, params, direction, batch):
    names = list(direction)
    each = [summed_gradient(losses, params, one(batch, i), names) for i in range(N)]
    return torch.stack([vectors.dot(gradient, direction) for gradient in each])


@pytest.mark.parametrize("names", [None, ["query.weight"]])
def test_forward_mode_agrees_with_backpropagation(problem, names):
    losses, params, direction, batch = problem
    direction = {n: direction[n] for n in names or direction}
    found = jvp_losses(losses, params, direction, batch)
    wanted = by_backpropagation(losses, params, direction, batch)
    assert found.shape == (N,)
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert wanted.abs().max() > 0.01  # there is something to agree on


def test_differences_agree_with_backpropagation(problem):
    losses, params, direction, batch = problem
    found = difference_losses(losses, params, direction, batch)
    wanted = by_backpropagation(losses, params, direction, batch)
    assert (found - wanted).norm() < 2e-3 * wanted.norm()
    still = {name: value * 0 for name, value in direction.items()}
    assert not difference_losses(losses, params, still, batch).any()


def test_a_kernel_without_forward_mode_is_met_with_differences(problem):
    class Squared(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]

    def losses(params, batch):
        return Squared.apply(batch @ params["w"])

    params = {"w": torch.tensor([1.0, 2.0])}
    direction, batch = {"w": torch.tensor([0.5, -1.0])}, torch.randn(N, 2)
    with pytest.raises(NoForwardMode, match="difference_losses"):
        jvp_losses(losses, params, direction, batch)
    wanted = 2 * (batch @ params["w"]) * (batch @ direction["w"])
    assert torch.allclose(slopes(losses, params, direction, batch), wanted, atol=1e-2)
    norms = gradient_norms(losses, params, batch, one_by_one=True)
    assert torch.allclose(norms, (2 * batch @ params["w"]).abs() * batch.norm(dim=1), atol=1e-4)


def test_the_mean_gradient_counts_samples_and_not_batches(problem):
    losses, params, _, batch = problem
    whole = summed_gradient(losses, params, batch, list(params))
    found = mean_gradient(
        losses, params, [tuple(p[:9] for p in batch), tuple(p[9:] for p in batch)]
    )
    for name, value in found.items():
        assert torch.allclose(value, whole[name] / N, atol=1e-6)
    assert list(mean_gradient(losses, params, [batch], ["out.bias"])) == ["out.bias"]


def test_a_gradient_that_is_no_number_is_refused_by_its_parameter(problem):
    losses, params, _, batch = problem
    broken = {**params, "out.bias": torch.full_like(params["out.bias"], torch.nan)}
    with pytest.raises(NotFinite, match=r"mean gradient is not finite in the parameter items"):
        mean_gradient(losses, broken, [batch])


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_norms_of_gradients_agree_with_one_by_one(problem, chunk):
    losses, params, _, batch = problem
    found = gradient_norms(losses, params, batch, chunk=chunk)
    assert torch.allclose(found, gradient_norms(losses, params, batch, one_by_one=True), rtol=1e-4)
    some = gradient_norms(losses, params, batch, among=["query.weight"], chunk=chunk)
    assert (some < found).all() and (some > 0).all()


def test_a_product_with_the_hessian_is_the_difference_of_gradients(problem):
    losses, params, direction, batch = problem
    params = {name: value.detach().double() for name, value in params.items()}
    direction = {name: value.double() for name, value in direction.items()}
    found = hessian_product(losses, params, direction, batch)
    ahead, behind = (
        mean_gradient(losses, vectors.plus(params, direction, by), [batch]) for by in (1e-5, -1e-5)
    )
    wanted = vectors.scaled(vectors.plus(ahead, behind, -1.0), 1 / 2e-5)
    assert torch.allclose(vectors.flat(found), vectors.flat(wanted), rtol=1e-4, atol=1e-6)
