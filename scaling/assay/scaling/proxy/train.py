"""One training: a spec and tokens in, a model and its log out; killed, it goes on where it was.

    found = Trainer(spec, packed, place).run(watch)

A checkpoint holds weights, both optimisers, the step and the log so far. Nothing else decides what
comes next: batches are found by seed and step. On one CPU, with as many threads as before, a
resumed training repeats the uninterrupted one to the last bit.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from assay.scaling.architecture import Shape, count, palm
from assay.scaling.proxy import ladder, needs
from assay.scaling.proxy.attention import sight
from assay.scaling.proxy.errors import (
    BadTraining,
    Diverged,
    OtherStudy,
    ProcessEnded,
    TooLittleMemory,
)
from assay.scaling.proxy.group import ALONE, Group
from assay.scaling.proxy.holding import WHOLE, Whole
from assay.scaling.proxy.losses import Objective
from assay.scaling.proxy.model import Decoder
from assay.scaling.proxy.needs import Device
from assay.scaling.proxy.optimise import Optimisers, schedule
from assay.scaling.proxy.tokens import IGNORED, Packed, Stream, Tokens

# Of Muon, for the 1M model. Not tuned: .04 was better in two short trials of it.
LEARNING_RATE = 0.02
WEIGHT_DECAY = 0.0
EVERY = 20  # steps between looks at the loss: on a GPU each look waits for the device
SAVE_SECONDS = 60.0


@dataclass(frozen=True)
class TrainSpec:
    """What decides the outcome of a training, beside its text."""

    size: str
    tokens: int  # to be trained on, repeats included
    seed: int = 0  # of the first weights and of the order of documents
    sequence: int = 512
    batch: int = 0  # sequences; 0: ladder.batch_of
    learning_rate: float = LEARNING_RATE
    weight_decay: float = WEIGHT_DECAY
    feedforward: str = "swiglu"  # or "relu2"
    tied: bool = False
    experts: str = ""  # 8x2: two of eight for each token
    bf16: bool = False
    micro_batch: int = 0  # sequences at once; 0: all of a batch
    compile: bool = False
    flex: bool = False  # flex attention; compiled, on a GPU

    def shape(self, vocabulary: int) -> Shape:
        return ladder.shape(
            self.size, self.sequence, vocabulary, self.feedforward, self.tied, self.experts
        )

    def batch_of(self, shape: Shape) -> int:
        return self.batch or ladder.batch_of(shape, self.tokens)

    def steps(self, shape: Shape) -> int:
        return max(1, round(self.tokens / (self.batch_of(shape) * self.sequence)))


@dataclass(frozen=True)
class Place:
    """Where a training runs, and where it keeps its checkpoint."""

    device: Device
    checkpoint: Path | None = None
    save_seconds: float = SAVE_SECONDS
    group: Group = ALONE
    shard: bool = False  # each process of the group holds a part of the model, not a copy

    @property
    def parts(self) -> int:
        """In how many parts the model is."""
        return self.group.size if self.shard else 1


@dataclass
class Log:
    """What happened, step by step; and at some steps, what an evaluation found."""

    steps: list[dict[str, float]] = field(default_factory=list)
    evaluations: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0  # of training, evaluations left out, resumed or not


Watch = Callable[[Decoder, int], Mapping[str, float] | None]  # the model after so many steps


def unwatched(model: Decoder, step: int) -> None:
    return None


class Trainer:
    """A model in training."""

    def __init__(self, spec: TrainSpec, packed: Packed, place: Place) -> None:
        self.spec, self.place = spec, place
        self.shape = spec.shape(packed.encoding.vocabulary)
        self.batch = spec.batch_of(self.shape)
        self.steps = spec.steps(self.shape)
        self.begin = packed.encoding.begin
        self.stream = Stream(packed, spec.seed)
        self.stream.check(self.batch, spec.sequence, "the text")
        self.micro = self._micro_batch()
        if spec.flex:
            needs.check_flex(place.device, spec.compile)
        needs.check_memory(self.shape, self.micro, place.device, spec.size, place.parts)
        self.where = torch.device(place.device.kind)
        generator = torch.Generator().manual_seed(spec.seed)
        self.model = Decoder(self.shape, generator)
        self.held, self._net = self._placed()
        self.optimisers = Optimisers(self.model, spec.learning_rate, spec.weight_decay, self.held)
        self.step = 0
        self.log = Log()
        self._pending: list[Tensor] = []

    def run(self, watch: Watch = unwatched) -> Log:
        """Train from where it stands to the end; `watch` may evaluate after any step."""
        self.resume()
        saved = time.monotonic()
        while self.step < self.steps:
            begun = time.perf_counter()
            self._pending.append(self.advance())
            self.step += 1
            if self.step % EVERY == 0 or self.step == self.steps:
                self._look()
            self.log.seconds += time.perf_counter() - begun
            if (found := watch(self.model, self.step)) is not None:
                self.log.evaluations.append({"step": self.step, **found})
            if self._due(time.monotonic() - saved):
                self.save()
                saved = time.monotonic()
        return self.log

    def advance(self) -> Tensor:
        """One step; its mean loss in nats per token, over all processes."""
        group = self.place.group
        inputs, targets = self.stream.batch(self.step, self.batch, self.spec.sequence)
        counted = max(1, int((targets != IGNORED).sum()))
        inputs, targets = self._mine(inputs, targets)
        total = torch.zeros((), device=self.where)
        parts = range(0, len(inputs), self.micro)
        for first in parts:
            some = slice(first, first + self.micro)
            with self._held_back(first == parts[-1]):
                lost = self.loss(inputs[some], targets[some]) / counted
                # Gradients are averaged over processes, and are wanted summed.
                torch.autograd.backward(lost * group.size)
            total += lost.detach()
        self.optimisers.step(schedule(self.step, self.steps))
        return group.total(total)

    def _mine(self, inputs: Tokens, targets: Tokens) -> tuple[Tokens, Tokens]:
        """This process's sequences. Parts of one model are called equally often on every process,
        so there one that has fewer gets sequences of which nothing is predicted."""
        group = self.place.group
        some = slice(group.rank, None, group.size)
        inputs, targets = inputs[some], targets[some]
        most = -(-self.batch // group.size) if self.place.parts > 1 else len(inputs)
        lacking = ((0, most - len(inputs)), (0, 0))
        return (
            np.pad(inputs, lacking, constant_values=self.begin),
            np.pad(targets, lacking, constant_values=IGNORED),
        )

    def loss(self, inputs: Any, targets: Any) -> Tensor:
        """Nats, summed over the targets."""
        tokens = torch.from_numpy(inputs).long().to(self.where)
        wanted = torch.from_numpy(targets).long().to(self.where)
        seen = sight(tokens, self.begin, self.spec.flex)
        with torch.autocast(self.where.type, torch.bfloat16, enabled=self.spec.bf16):
            lost: Tensor = self._net(tokens, wanted, seen)
        return lost

    # Going on where it was --------------------------------------------------------------

    def save(self) -> None:
        """The checkpoint, in place of an older one; nobody ever sees half of it."""
        path, first = self.place.checkpoint, self.place.group.first
        self._look()
        if path is None or not (first or self.place.parts > 1):
            return
        state = {
            "spec": repr(self.spec),
            "model": self.held.weights(self.model),
            "optimisers": self.optimisers.state(),
            "step": self.step,
            "log": vars(self.log),
        }
        if not first:
            return
        beside = path.with_suffix(".writing")
        torch.save(state, beside)
        with open(beside, "rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)

    def resume(self) -> None:
        path = self.place.checkpoint
        if path is None or not path.exists():
            return
        # Whole in the file: of a model in parts, none of it goes to a GPU before it is cut.
        to, mapped = ("cpu", True) if self.place.parts > 1 else (self.where, False)
        state = torch.load(path, map_location=to, weights_only=True, mmap=mapped)
        if state["spec"] != repr(self.spec):
            raise OtherStudy(
                f"{path}: the checkpoint of another training ({state['spec']}, asked is"
                f" {self.spec!r}): give another --out, or delete it"
            )
        self.held.load_weights(self.model, state["model"])
        self.optimisers.load(state["optimisers"])
        self.step = state["step"]
        self.log = Log(**state["log"])

    # Details ----------------------------------------------------------------------------

    def _look(self) -> None:
        """Losses of the steps since the last look, as numbers."""
        if not self._pending:
            return
        losses = torch.stack(self._pending).tolist()
        first = self.step - len(losses)
        self._pending.clear()
        for step, loss in enumerate(losses, first + 1):
            share = schedule(step - 1, self.steps)
            self.log.steps.append({"step": step, "loss": loss, "share": share})
            if not np.isfinite(loss):
                raise Diverged(
                    f"the loss of the {self.spec.size} model is {loss} in step {step} of"
                    f" {self.steps} (learning rate {self.spec.learning_rate:g}, seed"
                    f" {self.spec.seed}): take a smaller --learning-rate"
                )

    @property
    def latest(self) -> float | None:
        """The loss of the last step that was looked at, in nats per token."""
        self._look()
        return self.log.steps[-1]["loss"] if self.log.steps else None

    def _micro_batch(self) -> int:
        group = self.place.group
        if self.batch < group.size:
            raise BadTraining(
                f"{group.size} processes cannot share a batch of {self.batch} sequences: start"
                " fewer, or ask for a larger --batch"
            )
        return self.spec.micro_batch or -(-self.batch // group.size)

    def _placed(self) -> tuple[Whole, Any]:
        """The model, or this process's part, goes to its device: how it is held, and what its
        loss is called by."""
        net: Any = Objective(self.model)
        if self.place.parts > 1:
            from assay.scaling.proxy.sharding import Parts  # a second to import

            parts = Parts(self.model, self.where.type, self.place.parts, self.spec.compile)
            return parts, net
        net.to(self.where)
        if self.place.group.size > 1:
            net = DistributedDataParallel(net)
        return WHOLE, torch.compile(net) if self.spec.compile else net

    def _held_back(self, last: bool) -> Any:
        """Gradients travel once for each batch."""
        if self.place.parts > 1:
            self.model.set_requires_gradient_sync(last)  # type: ignore[operator]
        held = isinstance(self._net, DistributedDataParallel) and not last
        return self._net.no_sync() if held else nullcontext()

    def _due(self, since: float) -> bool:
        """Whether to save. What all have to do together is decided by one."""
        due = self.place.checkpoint is not None and since >= self.place.save_seconds
        if self.place.parts == 1:
            return due
        return self.step % EVERY == 0 and self.place.group.agreed(due)


def flops(spec: TrainSpec, vocabulary: int) -> float:
    """Of the whole training, by PaLM's convention."""
    shape = spec.shape(vocabulary)
    return palm(shape) * spec.steps(shape) * spec.batch_of(shape) * spec.sequence


def parameters(spec: TrainSpec, vocabulary: int) -> int:
    """Without embeddings."""
    return count(spec.shape(vocabulary)).non_embedding


def explained(problem: Exception, spec: TrainSpec, where: Device) -> Exception:
    """Torch's own words for too little memory, as ours; other problems as they are."""
    told = str(problem)
    if "gloo" in told or isinstance(problem, torch.distributed.DistError):
        return ProcessEnded(
            "another process of this training ended, or cannot be reached: see what it said, and"
            f" run the same command again, which goes on ({told.splitlines()[0][:200]})"
        )
    if not (isinstance(problem, torch.OutOfMemoryError) or "can't allocate memory" in told):
        return problem
    return TooLittleMemory(
        f"{where.name} ran out of memory with the {spec.size} model: take fewer sequences at once"
        " with --micro-batch, or a smaller size"
    )
