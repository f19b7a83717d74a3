"""A training is what it should be: as a plain one, and the same after any kill."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="trainings need the extra 'proxy'")

import reference

from assay.scaling.proxy import needs
from assay.scaling.proxy.errors import (
    BadTraining,
    Diverged,
    NoAccelerator,
    OtherStudy,
    TooFewTokens,
    TooLittleMemory,
)
from assay.scaling.proxy.evaluate import surprise
from assay.scaling.proxy.optimise import ADAM_SHARE, schedule
from assay.scaling.proxy.tokens import Stream, pack
from assay.scaling.proxy.train import Place, Trainer, TrainSpec

WORDS = b"the of and a to in is was it for wave ship harbour sail wind salt captain tide".split()


def texts(count, seed=0, length=30):
    chance = np.random.default_rng(seed)
    return [
        b" ".join(chance.choice(WORDS, size=int(chance.integers(3, length)))) for _ in range(count)
    ]


def place(checkpoint=None, **more):
    return Place(needs.device("cpu"), checkpoint, **more)


QUICK = TrainSpec("100K", 3000, sequence=32, batch=4, learning_rate=0.02)


def documents(values):
    parts = np.split(values, np.flatnonzero(values == 256))
    return [tuple(part.tolist()) for part in parts if len(part)]


# Tokens and batches --------------------------------------------------------------------


def test_every_epoch_holds_every_document_once_in_an_order_of_its_own():
    packed = pack(texts(40))
    stream, size = Stream(packed, 3), len(packed.values)
    epochs = [stream.window(epoch * size, size) for epoch in range(2)]
    assert not np.array_equal(*epochs)
    for epoch in epochs:
        assert sorted(documents(epoch)) == sorted(documents(packed.values))
    long = stream.window(0, 2 * size)
    assert np.array_equal(long, np.concatenate(epochs))
    assert np.array_equal(Stream(packed, 3).window(size - 7, 20), long[size - 7 : size + 13])
    assert not np.array_equal(Stream(packed, 4).window(0, size), epochs[0])


def test_targets_are_the_next_tokens_and_beginnings_are_not_predicted():
    stream = Stream(pack([b"abc", b"de", b"fgh"]), 0)
    run = stream.window(0, 9)
    inputs, targets = stream.batch(0, 2, 4)
    assert np.array_equal(inputs.ravel(), run[:8])
    assert np.array_equal(targets.ravel(), np.where(run[1:] == 256, -1, run[1:]))


def test_bits_per_byte_count_every_byte_once_whatever_is_packed():
    spec = TrainSpec("100K", 3000, sequence=32, batch=4)
    trainer = Trainer(spec, pack(texts(100)), place())
    trainer.run()
    some = [text[:32] for text in texts(9, seed=5)]
    together = surprise(trainer.model, pack(some), trainer.where)
    assert together.bytes.tolist() == [len(text) for text in some]
    untrained = Trainer(spec, pack(texts(100)), place()).model
    flat = surprise(untrained, pack(texts(9)), trainer.where).bits_per_byte
    assert abs(flat - np.log2(320)) < 1e-4  # the read-out starts at zero: all tokens alike
    assert 1 < together.bits_per_byte < 5


# Trainings -----------------------------------------------------------------------------


def losses(spec, packed=None):
    return [row["loss"] for row in Trainer(spec, packed or pack(texts(100)), place()).run().steps]


def test_the_curve_is_that_of_a_plain_implementation():
    spec = TrainSpec("4M", 48 * 2 * 10, seed=1, sequence=48, batch=2, learning_rate=0.02)
    packed = pack(texts(200))
    trainer = Trainer(spec, packed, place())
    weights = {n: w.detach().clone() for n, w in trainer.model.named_parameters()}
    ours = np.array([row["loss"] for row in trainer.run().steps])
    theirs = reference.train(
        weights, trainer.shape, lambda step: trainer.stream.batch(step, 2, 48), trainer.steps,
        256, 0.02, ADAM_SHARE, lambda step: schedule(step, trainer.steps),
    )  # fmt: skip
    noise = np.abs(ours - losses(replace(spec, seed=2), packed))[1:].mean()  # another seed
    gap = np.abs(ours - theirs)
    assert ours[0] == pytest.approx(np.log(320), abs=1e-4) and ours[-1] < 4
    assert gap.max() < noise and gap.mean() < 0.2 * noise, (gap, noise)


def test_batches_in_parts_are_the_same_batches():
    def curve(micro):
        spec = TrainSpec("100K", 2000, sequence=32, batch=6, micro_batch=micro)
        return losses(spec)

    assert np.allclose(curve(0), curve(2), atol=2e-4) and np.allclose(curve(0), curve(4), atol=2e-4)


def test_half_precision_follows_single_precision():
    half, single = (losses(replace(QUICK, bf16=bf16)) for bf16 in (True, False))
    assert np.allclose(half, single, atol=0.05) and half != single


def test_a_seed_repeats_itself_and_another_does_not():
    one, same, other = (losses(replace(QUICK, seed=seed)) for seed in (0, 0, 1))
    assert one == same and one != other


CHILD = """
import sys
sys.path[:0] = [{here!r}]
import torch
torch.set_num_threads(1)
from pathlib import Path
from test_train import Trainer, TrainSpec, pack, place, texts, finished
spec = TrainSpec("100K", 8000, sequence=32, batch=4)
trainer = Trainer(spec, pack(texts(300)), place(Path({path!r}), save_seconds=0.05))
trainer.run(lambda model, step: print(step, flush=True))
print(finished(trainer))
"""


def finished(trainer):
    """All losses and a sum of all weights, exactly."""
    weights = [float(w.double().sum()).hex() for w in trainer.model.parameters()]
    return json.dumps([[row["loss"].hex() for row in trainer.log.steps], weights])


def child(path):
    source = CHILD.format(here=str(Path(__file__).parent), path=str(path))
    return subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)


def test_a_killed_training_goes_on_to_the_last_bit(tmp_path):
    whole = child(tmp_path / "whole").communicate(timeout=120)[0].splitlines()[-1]
    path = tmp_path / "killed"
    running = child(path)
    for line in running.stdout:
        if int(line) >= 30 and path.exists():
            break
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait(timeout=60) == -signal.SIGKILL
    last = child(path)
    told = last.communicate(timeout=120)[0].splitlines()
    assert int(told[0]) > 5  # it did go on, not over
    assert told[-1] == whole


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "checkpoint"
    trainer = Trainer(QUICK, pack(texts(100)), place(path))
    trainer.run()
    trainer.save()
    with pytest.raises(OtherStudy, match="another training"):
        Trainer(replace(QUICK, seed=9), pack(texts(100)), place(path)).run()


# What goes wrong -----------------------------------------------------------------------


def test_what_cannot_be_trained_is_said(monkeypatch):
    with pytest.raises(TooFewTokens, match="one batch"):
        Trainer(QUICK, pack([b"short"]), place())
    with pytest.raises(NoAccelerator, match="torch sees no GPU"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        needs.device("cuda")
    with pytest.raises(NoAccelerator, match="one of"):
        needs.device("tpu")
    with pytest.raises(BadTraining, match="has to be compiled"):
        needs.check_flex(needs.Device("cuda", "a GPU", 8e10, 1), False)
    with pytest.raises(NoAccelerator, match="is for a GPU"):
        Trainer(replace(QUICK, flex=True, compile=True), pack(texts(100)), place())
    small = needs.Device("cpu", "a small machine", 0.2e9, 1)
    with pytest.raises(TooLittleMemory, match="--micro-batch"):
        Trainer(TrainSpec("300M", 10**6), pack(texts(3000)), Place(small))
    with pytest.raises(Diverged, match="smaller --learning-rate"):
        Trainer(
            TrainSpec(**{**vars(QUICK), "learning_rate": 1e30}), pack(texts(100)), place()
        ).run()


def test_without_torch_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setattr(needs, "find_spec", lambda name: None)
    with pytest.raises(BadTraining.__mro__[1], match=r"assay\[proxy\]"):
        needs.torch()
