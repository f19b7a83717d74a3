"""How much a sample would move a language model: DEALRec's effort, |grad L(answer)| (Eq. 12).

The model is a small decoder over bytes (assay.scaling.proxy), trained for a moment on the prompts
themselves, in place of the paper's LLaMA-7B: it knows what such answers look like and little else.
The gradient is that of the mean loss over the answer's bytes alone, by every hidden matrix, without
dropout. (DEALRec's published code takes the whole prompt, one adapter matrix, and gradients that
an earlier batch has left behind.)

One backpropagation gives the norms of a whole batch. The gradient of a matrix y = W x is, sample
by sample, sum_t dy_t x_t', and hooks see the x and the dy (Goodfellow 2015, arXiv 1510.01799).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assay.scaling.influence.errors import EmptyAnswer, NotFinite
from assay.scaling.influence.sequences.reading import Prompts
from assay.scaling.proxy import needs
from assay.scaling.proxy.kernels import transformable
from assay.scaling.proxy.model import Decoder
from assay.scaling.proxy.tokens import BYTES, IGNORED, Tokens, pack
from assay.scaling.proxy.train import Place, Trainer, TrainSpec

Floats = npt.NDArray[np.float64]

AT_ONCE = 64  # samples in a backpropagation
BETWEEN = b"\n"  # prompt and answer


@dataclass(frozen=True)
class EffortSpec:
    """`tokens` are trained on; of a prompt, the end that fits into `sequence` is shown."""

    size: str = "100K"
    tokens: int = 2_000_000  # 20 per parameter: Hoffmann et al. 2022
    sequence: int = 256  # holds 9 of 10 prompts of Games with their answers
    seed: int = 42


@dataclass(frozen=True)
class Effort:
    """Both (n,), in the order of the prompts. Nats are the mean over the answer's bytes."""

    scores: Floats
    nats: Floats


def trained(spec: EffortSpec, prompts: Prompts) -> Decoder:
    """A decoder that has read the prompts with their answers, or as many as its tokens allow."""
    texts = [
        prompt.encode() + BETWEEN + answer.encode()
        for prompt, answer in zip(prompts.prompts, prompts.answers, strict=True)
    ]
    asked = TrainSpec(spec.size, spec.tokens, spec.seed, spec.sequence)
    trainer = Trainer(
        asked, pack(texts, BYTES, piece=4 * spec.sequence), Place(needs.device("cpu"))
    )
    trainer.run()
    return trainer.model.eval()


def effort(spec: EffortSpec, model: Decoder, prompts: Prompts) -> Effort:
    """Of each prompt's answer. Raises EmptyAnswer, NotFinite."""
    shown = [row(spec, prompts, i) for i in range(len(prompts.ids))]
    order = np.argsort([len(inputs) for inputs, _ in shown], kind="stable")
    scores, nats = np.empty(len(shown)), np.empty(len(shown))
    for first in range(0, len(order), AT_ONCE):
        some = order[first : first + AT_ONCE]
        scores[some], nats[some] = of_batch(model, *padded([shown[i] for i in some]))
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise NotFinite(
            f"the gradient of {len(bad):,} of {len(scores):,} answers is not finite, first of the"
            f" id {prompts.ids[bad[0]]}: the language model has diverged; give it more tokens"
            " (--effort-tokens) or another --seed"
        )
    return Effort(scores, nats)


def row(spec: EffortSpec, prompts: Prompts, place: int) -> tuple[Tokens, Tokens]:
    """Inputs, and targets that are IGNORED but for the answer."""
    answer = BYTES.encode(prompts.answers[place].encode())[: spec.sequence]
    if not len(answer):
        raise EmptyAnswer(f"the prompt of the id {prompts.ids[place]} has an empty answer span")
    prompt = BYTES.encode(prompts.prompts[place].encode() + BETWEEN)
    run = np.concatenate([[BYTES.begin], prompt, answer])[-spec.sequence - 1 :].astype(np.int32)
    targets = np.full(len(run) - 1, IGNORED, np.int32)
    targets[len(targets) - len(answer) :] = answer
    return run[:-1], targets


def padded(rows: list[tuple[Tokens, Tokens]]) -> tuple[Tensor, Tensor]:
    """At the right end, where a causal model does not look."""
    width = max(len(inputs) for inputs, _ in rows)
    inputs = torch.full((len(rows), width), BYTES.begin, dtype=torch.long)
    targets = torch.full((len(rows), width), IGNORED, dtype=torch.long)
    for place, (seen, wanted) in enumerate(rows):
        inputs[place, : len(seen)] = torch.from_numpy(seen)
        targets[place, : len(wanted)] = torch.from_numpy(wanted)
    return inputs, targets


def answer_losses(model: Decoder, inputs: Tensor, targets: Tensor) -> Tensor:
    """Nats per byte of each answer, (n,)."""
    logits = model(inputs)
    each = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    ).view_as(targets)
    return each.sum(1) / (targets != IGNORED).sum(1)


def of_batch(model: Decoder, inputs: Tensor, targets: Tensor) -> tuple[Floats, Floats]:
    """Norms of gradients and nats, (n,) each."""
    squares = torch.zeros(len(inputs))
    with transformable(), watched(model, squares):
        losses = answer_losses(model, inputs, targets)
        # On the way to the embedding's gradient every matrix is passed, and none pays for its own.
        torch.autograd.grad(losses.sum(), [model.embedding.weight])
    return squares.sqrt().double().numpy(), losses.detach().double().numpy()


@contextmanager
def watched(model: nn.Module, squares: Tensor) -> Iterator[None]:
    """Adds to `squares`, at a backpropagation, each sample's squared gradient by each hidden
    matrix; the read-out is none of the modules that a decoder calls."""
    seen: dict[nn.Module, Tensor] = {}

    def forward(part: nn.Module, given: tuple[Tensor, ...], _: Any) -> None:
        seen[part] = given[0].detach()

    def backward(part: nn.Module, _: Any, slopes: tuple[Tensor, ...]) -> None:
        gradients = torch.bmm(slopes[0].mT, seen.pop(part))
        squares.add_(gradients.square().sum((1, 2)))

    hooks: list[Any] = []
    for part in model.modules():
        if isinstance(part, nn.Linear):
            hooks.append(part.register_forward_hook(forward))
            hooks.append(part.register_full_backward_hook(backward))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
