"""The loss of a large vocabulary, in parts: torch's own numbers, in less memory."""

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="trainings need the extra 'proxy'")

from assay.scaling.proxy import ladder, losses, needs
from assay.scaling.proxy.model import Decoder
from assay.scaling.proxy.tokens import IGNORED


def parts(vocabulary=9000, rows=24, tied=False):
    shape = ladder.shape("100K", 32, vocabulary, tied=tied)
    chance = torch.Generator().manual_seed(0)
    net = Decoder(shape, chance)
    with torch.no_grad():
        net.ends.normal_(0, 1, generator=chance)
    hidden = torch.randn(rows, 32, shape.width, generator=chance)
    wanted = torch.randint(0, vocabulary, (rows, 32), generator=chance)
    wanted[:, ::5] = IGNORED
    return net, hidden, wanted


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_the_loss_in_parts_is_torchs_to_rounding(reduction, tied, monkeypatch):
    monkeypatch.setattr(losses, "LOGITS", 9024 * 100)  # 768 tokens in 8 parts
    net, hidden, wanted = parts(tied=tied)
    assert net.shape.vocabulary >= ladder.LARGE_VOCABULARY
    pull = torch.rand(wanted.shape, generator=torch.Generator().manual_seed(1))
    found = []
    for whole in (False, True):
        given = hidden.clone().requires_grad_(True)
        net.zero_grad()
        if whole:
            logits = net.logits(given).flatten(0, 1)
            lost = torch.nn.functional.cross_entropy(
                logits, wanted.flatten(), ignore_index=IGNORED, reduction=reduction
            )
            lost = lost.view(wanted.shape) if reduction == "none" else lost
        else:
            lost = losses.nats(net, given, wanted, reduction)
        (lost * pull).sum().backward() if reduction == "none" else lost.backward()
        found.append((lost.detach(), given.grad, net.ends.grad))
    for ours, theirs in zip(*found, strict=True):
        assert (ours - theirs).abs().max() < 2e-6 * theirs.abs().max()


def test_half_precision_keeps_the_loss_to_its_digits(monkeypatch):
    monkeypatch.setattr(losses, "LOGITS", 9024 * 100)
    net, hidden, wanted = parts()
    found = []
    for half in (True, False):
        given = hidden.clone().requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            lost = losses.nats(net, given, wanted, "sum")
        lost.backward()
        found.append((lost.detach(), given.grad))
        assert lost.dtype == torch.float32
    (half, ours), (single, theirs) = found
    assert float(half) == pytest.approx(float(single), rel=3e-3)
    assert (ours - theirs).norm() < 2e-2 * theirs.norm()


PEAK = """
import sys
import torch
def peak():  # of this process alone: getrusage's begins with that of the process that started it
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
torch.set_num_threads(1)
from assay.scaling.proxy import ladder, losses
from assay.scaling.proxy.model import Decoder
losses.LARGE_VOCABULARY = int(sys.argv[1])
net = Decoder(ladder.shape("100K", 64, 50_000))
hidden = torch.randn(16, 64, 64, requires_grad=True)  # logits of 205 MB
wanted = torch.randint(0, 50_000, (16, 64))
before = peak()
losses.nats(net, hidden, wanted, "sum").backward()
print((peak() - before) / 1024)
"""


def test_logits_of_a_large_vocabulary_are_never_whole_in_memory():
    def peak(large):
        words = [sys.executable, "-c", PEAK, str(large)]
        return float(subprocess.run(words, capture_output=True, check=True, timeout=200).stdout)

    logits = 16 * 64 * 50_048 * 4 / 2**20
    whole, less = peak(10**9), peak(8192)
    assert whole > 1.5 * logits  # with their derivatives
    assert less < 0.75 * logits, (less, logits)


def test_memory_that_is_asked_for_knows_it():
    small, large = (ladder.shape("1M", 512, size) for size in (8000, 50_000))
    weights = 2 * 16 * 128 * (large.vocabulary - small.vocabulary)
    assert needs.memory_of(large, 64) < needs.memory_of(small, 64) + weights
