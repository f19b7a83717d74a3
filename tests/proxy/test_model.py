"""The model and its optimiser: what a token sees, what a step is, what a width changes."""

from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="trainings need the extra 'proxy'")

from assay.scaling.architecture import count
from assay.scaling.proxy import attention, kernels, ladder, optimise
from assay.scaling.proxy.model import Decoder, document_mask, rotations, sight
from assay.scaling.proxy.optimise import Muon, Optimisers, schedule

WIDTHS = (64, 128, 256)


def model(size="100K", sequence=32, **more):
    shape = ladder.shape(size, sequence, 257, **more)
    made = Decoder(shape, torch.Generator().manual_seed(0))
    with torch.no_grad():  # away from the start, where blocks are the identity
        for parameter in made.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.02, generator=torch.Generator().manual_seed(1))
    return made


def tokens(*documents):
    return torch.tensor([[t for d in documents for t in (256, *d)]])


@pytest.mark.parametrize("size", ladder.LADDER)
def test_sizes_have_the_parameters_that_their_names_say(size):
    shape = ladder.shape(size, 512, 257)
    named = float(size[:-1]) * (1e6 if size.endswith("M") else 1e3)
    assert abs(count(shape).non_embedding / named - 1) < 0.08
    if size in ("100K", "1M", "4M"):
        made = sum(p.numel() for p in Decoder(shape).parameters())
        assert made == count(shape).total - count(shape).norms  # norms have no gains


@pytest.mark.parametrize("more", [{}, {"feedforward": "relu2"}, {"tied": True}])
def test_a_token_sees_its_own_documents_past_and_nothing_else(more):
    net = model(**more)
    plain = tokens([1, 2, 3], [4, 5, 6, 7])
    found = net(plain, document_mask(plain, 256))
    other = tokens([9, 8, 7], [4, 5, 6, 99])
    changed = net(other, document_mask(other, 256))
    assert torch.equal(found[:, 4:8], changed[:, 4:8])  # another document before, a later token
    assert not torch.allclose(found[:, 8], changed[:, 8])
    alone = tokens([4, 5, 6, 7])
    assert torch.allclose(found[:, 4:], net(alone, document_mask(alone, 256)), atol=1e-5)
    assert torch.allclose(net(alone), net(alone, document_mask(alone, 256)), atol=1e-5)
    assert torch.allclose(found, net(plain, attention.sight(plain, 256)), atol=1e-5)


def test_tied_models_have_one_matrix_for_both_ends():
    net = model(tied=True)
    counted = count(net.shape)
    assert sum(p.numel() for p in net.parameters()) == counted.total - counted.norms


def test_muon_takes_the_steps_of_torchs_own():
    chance = torch.Generator().manual_seed(0)
    for shape in ((64, 64), (64, 160), (160, 64)):
        ours = torch.nn.Parameter(torch.randn(shape, generator=chance))
        theirs = torch.nn.Parameter(ours.detach().clone())
        steps = (Muon([ours], 0.02, 0.1), torch.optim.Muon([theirs], 0.02, 0.1))
        for _ in range(3):
            ours.grad = torch.randn(shape, generator=chance)
            theirs.grad = ours.grad.clone()
            for one in steps:
                one.step()
        moved = (ours - theirs).norm() / (0.02 * 3 * min(shape) ** 0.5)
        assert moved < 0.02  # theirs works in bf16, of 8 bits


def test_the_schedule_rises_stays_and_falls():
    shares = [schedule(step, 100) for step in range(100)]
    assert shares[0] == 1 / 5 and shares[4] == 1.0 == shares[69] and shares[-1] < 0.05
    assert all(b <= a for a, b in pairwise(shares[69:]))
    assert min(shares) > 0 and schedule(0, 1) > 0


def sizes_of_activations(width, steps, scaled):
    """Root mean square of the last hidden layer and of the logits' change, after some steps."""
    shape = ladder.shape("100K", 32, 257)
    heads = max(1, width // 64)
    wide = {"width": width, "heads": heads, "kv_heads": heads, "feedforward": width * 8 // 3}
    shape = replace(shape, **wide)
    net = Decoder(shape, torch.Generator().manual_seed(0))
    rate = 0.02 if scaled else 0.02 * (width / 64)  # as if steps grew with the width
    both = Optimisers(net, rate, 0.0)
    chance = np.random.default_rng(0)
    given = torch.from_numpy(chance.integers(0, 256, (4, 33)))
    before = net.logits(net.hidden(given[:, :-1])).detach()
    for _ in range(steps):
        found = net(given[:, :-1])
        torch.nn.functional.cross_entropy(found.flatten(0, 1), given[:, 1:].flatten()).backward()
        both.step(1.0)
    with torch.no_grad():
        x = kernels.normed(net.embedding(given[:, :-1]))
        branch = net.blocks[0].attention(x, (net.cosine[:32], net.sine[:32]), None)
        change = net.logits(net.hidden(given[:, :-1])) - before
    return float(branch.square().mean().sqrt()), float(change.square().mean().sqrt())


def test_coordinates_do_not_hang_on_the_width():
    """muP's check: after a few steps activations and logits move alike at every width."""
    found = np.array([sizes_of_activations(width, 4, True) for width in WIDTHS])
    slopes = np.polyfit(np.log(WIDTHS), np.log(found), 1)[0]
    assert (np.abs(slopes) < 0.2).all(), slopes
    unscaled = np.array([sizes_of_activations(width, 4, False) for width in WIDTHS])
    assert np.polyfit(np.log(WIDTHS), np.log(unscaled), 1)[0].max() > 0.5


def test_adam_share_is_what_the_optimisers_use():
    both = Optimisers(model(), 0.02, 0.0)
    assert both.peaks == (0.02, 0.02 * optimise.ADAM_SHARE)


def both_ways(function, *given):
    """What a function of kernels.py gives, and its derivatives: by hand, and plain."""
    for way in (nullcontext(), kernels.transformable()):
        asked = [part.detach().clone().requires_grad_(True) for part in given]
        modules = [None if part.ndim > 2 else linear(part) for part in asked]
        with way:
            out = function(*(a if m is None else m for a, m in zip(asked, modules, strict=True)))
        out = out if isinstance(out, tuple) else (out,)
        chance = torch.Generator().manual_seed(1)
        pulls = [torch.randn(part.shape, generator=chance) for part in out]
        sum((part * pull).sum() for part, pull in zip(out, pulls, strict=True)).backward()
        slopes = [a.grad if m is None else m.weight.grad
                  for a, m in zip(asked, modules, strict=True)]  # fmt: skip
        yield [*(part.detach() for part in out), *slopes]


def linear(weight):
    found = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    found.weight.data = weight.detach().clone()
    return found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("width", [64, 128, 20])
def test_derivatives_by_hand_are_those_of_the_plain_functions(width, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    chance = torch.Generator().manual_seed(0)
    head = width if width < 64 else 64
    angles = rotations(700, head)

    def random(*shape):
        return torch.randn(*shape, generator=chance)

    x, more = random(2, 700, width), random(2, 700, width)
    square = [random(width, width) * width**-0.5 for _ in range(3)]
    wide = [random(37, width) * width**-0.5 for _ in range(2)]
    for function, arguments in (
        (kernels.normed, [x]),
        (kernels.added_and_normed, [x, more]),
        (lambda *given: kernels.looked_up(*given, angles), [x, *square]),
        (kernels.gated, [x, *wide]),
    ):
        for ours, plain in zip(*both_ways(function, *arguments), strict=True):
            assert ours.shape == plain.shape
            assert torch.allclose(ours, plain, atol=2e-5 * float(plain.abs().max())), function


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_sees_what_the_mask_shows():
    chance = np.random.default_rng(0)
    given = torch.from_numpy(np.where(chance.random((3, 300)) < 0.02, 256, 7))
    parts = [torch.from_numpy(chance.normal(0, 1, (3, 300, 2, 16))).float() for _ in range(3)]
    flexible, masked = (
        attention.mixed(*parts, seen)  # on a CPU torch has no derivative of it
        for seen in (sight(given, 256, flex=True), document_mask(given, 256))
    )
    assert torch.allclose(flexible, masked, atol=2e-5)
    half = attention.mixed(parts[0], parts[1], parts[2].bfloat16(), sight(given, 256, flex=True))
    assert half.dtype == torch.bfloat16  # as autocast leaves queries and keys: in single precision


def test_derivatives_by_hand_take_what_torch_hands_them():
    """Sums hand out one number for all; results that nobody needs hand out nothing."""
    x, more = (torch.randn(2, 70, 64, requires_grad=True) for _ in range(2))
    gate = torch.nn.Linear(64, 32, bias=False)
    angles = rotations(70, 64)
    square = [torch.nn.Linear(64, 64, bias=False) for _ in range(3)]

    def summed(*found):
        return sum(part.sum() for part in found)

    for function in (
        lambda: kernels.normed(x).sum(),
        lambda: kernels.normed(x.mT.contiguous().mT).sum(),
        lambda: kernels.added_and_normed(x, more)[0].sum(),
        lambda: kernels.added_and_normed(x, more)[1].sum(),
        lambda: kernels.gated(x, gate, gate).sum(),
        lambda: summed(*kernels.looked_up(x, *square, angles)),
        lambda: attention.mixed(
            *kernels.looked_up(x, *square, angles), sight(torch.zeros(2, 70), 256)
        ).sum(),
    ):
        slopes = []
        for way in (nullcontext(), kernels.transformable()):
            x.grad = None
            with way:
                function().backward()
            slopes.append(x.grad)
        assert torch.allclose(*slopes, atol=1e-4 * float(slopes[1].abs().max()) + 1e-5)
    out = kernels.normed(x)
    with torch.autocast("cpu", torch.bfloat16):
        out.square().sum().backward()


def test_kernels_by_hand_are_used_where_they_can_be():
    net, tokens = model(), torch.zeros(1, 8, dtype=torch.long)
    x = net.embedding(tokens)
    assert not kernels.plain(x) and kernels.plain(x.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert kernels.plain(x)
    with kernels.transformable():
        assert kernels.plain(x)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("length", "head"), [(1, 64), (40, 16), (128, 64), (300, 20)])
def test_attention_by_hand_is_attention_under_the_mask(length, head, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    chance = np.random.default_rng(length)
    given = chance.integers(0, 256, (5, length))
    given[chance.random((5, length)) < 0.02] = 256
    given[0], given[1, :], given[2, 1:] = 7, 256, 7  # no beginning, only beginnings, one
    given = torch.from_numpy(given)
    parts = [torch.from_numpy(chance.normal(0, 1, (5, length, 2, head))).float() for _ in range(4)]
    found = []
    for seen in (sight(given, 256), document_mask(given, 256)):
        asked = [part.clone().requires_grad_(True) for part in parts[:3]]
        out = attention.mixed(*asked, seen)
        (out * parts[3]).sum().backward()
        found.append([out, *(part.grad for part in asked)])
    for ours, plain in zip(*found, strict=True):
        assert torch.allclose(ours, plain, atol=2e-5)
    assert torch.equal(sight(given, 256).mask, document_mask(given, 256))
