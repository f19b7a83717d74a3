"""Several processes train as one does, whether each has a copy of the model or a part of it."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="trainings need the extra 'proxy'")

from test_train import pack, place, texts

from assay.scaling.proxy import needs, train
from assay.scaling.proxy.errors import BadTraining
from assay.scaling.proxy.evaluate import surprise
from assay.scaling.proxy.group import Group, joined
from assay.scaling.proxy.train import Place, Trainer, TrainSpec

HELD_OUT = texts(9, seed=5)
SPEC = {"size": "100K", "tokens": 1500, "sequence": 32, "batch": 4}
KILLED = 10  # the step after which a training is given up
STEPS = 12


class Away(Exception):
    """A training that somebody stopped."""


@dataclass(frozen=True)
class Case:
    """How one training is carried out."""

    shard: bool
    more: tuple[tuple[str, object], ...] = ()  # of the spec
    resumed: bool = False  # given up in the middle, and gone on with


CASES = {
    "copies": Case(False),
    "parts": Case(True),
    "few at once": Case(True, (("micro_batch", 1),)),
    "experts": Case(True, (("experts", "4x2"), ("tied", True))),
    "resumed": Case(True, resumed=True),
}


def outcome(case, where):
    """What a training comes to; called by every process."""
    spec = TrainSpec(**SPEC, **dict(case.more))
    if case.resumed:
        with pytest.raises(Away):
            run(Trainer(spec, pack(texts(100)), where), give_up=True)
    trainer = Trainer(spec, pack(texts(100)), where)
    held = sum(trainer.held.local(p.detach()).numel() for p in trainer.model.parameters())
    run(trainer)
    with trainer.held.together(trainer.model):
        up = trainer.model.blocks[1].up if trainer.model.blocks[1].mixture is None else None
        found = {
            "losses": [row["loss"] for row in trainer.log.steps],
            "curve": trainer.log.evaluations,
            "seen": seen(trainer),
            "whole": [] if up is None else list((up.weight * 1).shape),
            "held": held,
        }
    trainer.save()
    return found


def run(trainer, give_up=False):
    def watch(model, step):
        if give_up and step > KILLED:
            raise Away
        return {"seen": seen(trainer)} if step == 7 else None

    trainer.run(watch)


def seen(trainer):
    return surprise(trainer.model, pack(HELD_OUT), trainer.where).bits_per_byte


def main(folder):
    """One process of several: every case, one after the other."""
    torch.set_num_threads(1)
    train.EVERY = 5
    found = {}
    with joined(False) as group:
        for name, case in CASES.items():
            path = folder / f"{group.size}-{name}"
            where = Place(needs.device("cpu"), path, 0.0, group, case.shard)
            found[name] = outcome(case, where)
            group.wait()
        if group.first:
            (folder / f"{group.size}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    sys.exit()


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def told(request, tmp_path_factory):
    """By case, what so many processes found; three cut matrices into unequal parts."""
    folder = tmp_path_factory.mktemp("processes")
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    words += [str(request.param), __file__, str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((folder / f"{request.param}.json").read_text())
    return {"size": request.param, "folder": folder, **found}


@pytest.fixture(scope="module")
def alone():
    """The same in one process."""
    return {name: outcome(case, place()) for name, case in CASES.items() if not case.resumed}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.resumed])
def test_several_processes_train_as_one_does(told, alone, name):
    ours, one = told[name], alone[name]
    assert len(ours["losses"]) == STEPS
    # With experts a rounding may send a token elsewhere.
    near = 2e-2 if name == "experts" else 5e-4
    assert np.allclose(ours["losses"], one["losses"], atol=near)
    assert ours["seen"] == pytest.approx(one["seen"], abs=4 * near)
    assert [row["step"] for row in ours["curve"]] == [7]
    assert ours["whole"] == one["whole"]
    share = told["size"] if CASES[name].shard else 1
    assert ours["held"] <= 1.1 * one["held"] / share  # rows that three cannot share evenly


def test_parts_go_on_where_they_were_to_the_last_bit(told):
    ours, whole = told["resumed"], told["parts"]
    assert ours["losses"] == whole["losses"] and ours["seen"] == whole["seen"]


@pytest.mark.parametrize("shard", [False, True])
def test_one_process_goes_on_with_what_several_wrote(told, tmp_path, shard):
    """A checkpoint is the same, whoever wrote it."""
    name = "parts" if shard else "copies"
    state = torch.load(told["folder"] / f"{told['size']}-{name}", weights_only=True)
    trainer = Trainer(TrainSpec(**SPEC), pack(texts(100)), place())
    trainer.run()
    mine = {"model": trainer.model.state_dict(), "optimisers": trainer.optimisers.state()}
    for (ours, theirs), kind in zip(pairs(mine, state), kinds(mine), strict=True):
        assert ours.shape == theirs.shape and type(theirs) is type(ours)
        assert torch.allclose(ours, theirs, atol=2e-3), kind
    again = Trainer(
        TrainSpec(**SPEC), pack(texts(100)), place(told["folder"] / f"{told['size']}-{name}")
    )
    again.run()
    assert seen(again) == pytest.approx(told[name]["seen"], abs=1e-5)


def leaves(state, name=""):
    if isinstance(state, torch.Tensor):
        yield name, state
    for key, value in state.items() if isinstance(state, dict) else ():
        yield from leaves(value, f"{name}.{key}")
    for number, value in enumerate(state) if isinstance(state, list) else ():
        yield from leaves(value, f"{name}.{number}")


def kinds(state):
    return [name for name, _ in leaves(state)]


def pairs(mine, theirs):
    other = dict(leaves({name: theirs[name] for name in mine}))
    return [(value, other[name]) for name, value in leaves(mine)]


def test_more_processes_than_sequences_are_refused():
    with pytest.raises(BadTraining, match="cannot share a batch"):
        Trainer(TrainSpec(**SPEC), pack(texts(100)), place(group=Group(0, 5)))


def test_parts_need_less_memory():
    shape = TrainSpec("300M", 10**6).shape(257)
    small = needs.Device("cuda", "a small GPU", 4e9, 1)
    with pytest.raises(BadTraining.__mro__[1], match="--micro-batch"):
        needs.check_memory(shape, 1, small, "300M")
    needs.check_memory(shape, 1, small, "300M", parts=4)
