"""A proxy trained on raw text, where its loss on the target falls, and what documents do to that.

The influence of a document s on the target's loss is  g_s' (F + lambda I)^-1 g_target  (Koh and
Liang 2017, arXiv 1703.04730, eq. 2, as DEALRec uses it: Lin et al. 2024, arXiv 2401.17197, eq. 11),
here over all parameters of a small decoder, and the mean of several checkpoints (Pruthi et al.
2020, arXiv 2002.08484; Xia et al. 2024, arXiv 2402.04333). A step on s changes the target's loss by
minus that times the learning rate: a high score is worth training on.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, jvp, vjp

from assay.scaling.influence.directional import jvp_losses
from assay.scaling.influence.errors import NotFinite
from assay.scaling.influence.gradients import (
    Batch,
    alone,
    each,
    losses_of,
    on,
    one_thread,
    parameters,
    products,
    restored,
    sketched,
    squares,
    stored,
)
from assay.scaling.influence.learned import (
    Directions,
    Floats32,
    Proxy,
    Weighed,
    no_rows,
)
from assay.scaling.influence.recipe import (
    CG_STEPS,
    FISHER,
    GRADIENTS,
    TOGETHER,
    Recipe,
    too_little,
)
from assay.scaling.influence.solvers import conjugate_gradients
from assay.scaling.influence.texts import AsWindows, Texts
from assay.scaling.influence.vectors import Params, dot, scaled
from assay.scaling.influence.windows import Windows, stacks, windows
from assay.scaling.proxy.errors import Diverged, TooLittleMemory
from assay.scaling.proxy.model import Decoder
from assay.scaling.proxy.needs import Device
from assay.scaling.proxy.tokens import BYTES, Packed, joined
from assay.scaling.proxy.train import Place, Trainer, explained
from assay.selectors.ranks import spearman
from assay.selectors.records import Counts, Floats

if TYPE_CHECKING:
    from assay.scaling.influence.scorers import Aside

CG_TOLERANCE = 1e-3

SKETCH = 512  # numbers; inner products of unit vectors are then known within about .04
EXAMPLES = 64  # documents of the target that an explanation looks at
NAMED, SHOWN = 3, 160  # of them shown at either end, and characters of each

Advance = Callable[[int], None]


# The proxy -------------------------------------------------------------------------------


def trained(recipe: Recipe, texts: Packed, device: Device, advance: Advance) -> Proxy:
    """A training on raw text; its states at the wanted steps."""
    spec = recipe.training(len(texts.values))
    shape = spec.shape(BYTES.vocabulary)
    need = spec.batch_of(shape) * spec.sequence
    try:
        with one_thread(), within_memory(recipe, device):
            trainer = Trainer(spec, enough(texts, need), Place(device))
            wanted = recipe.looks(trainer.steps)
            states: list[Params] = []

            def watch(model: Decoder, step: int) -> None:
                advance(need)
                if step in wanted:
                    states.append(parameters(model))

            log = trainer.run(watch)
    except Diverged as cause:
        raise NotFinite(f"influence: {cause}: set learning_rate lower") from cause
    return Proxy(
        params=np.stack([stored(state) for state in states]),
        steps=np.array(wanted, np.float64),
        loss=float(np.mean([row["loss"] for row in log.steps[-10:]])),
        tokens=trainer.steps * need,
        unique=len(texts.values),
    )


@contextmanager
def within_memory(recipe: Recipe, device: Device) -> Iterator[None]:
    """Torch's own words for too little memory, as ours."""
    try:
        yield
    except RuntimeError as cause:
        if isinstance(explained(cause, recipe.training(1), device), TooLittleMemory):
            raise TooLittleMemory(too_little(recipe, device)) from cause
        raise


def enough(texts: Packed, tokens: int) -> Packed:
    """The documents, over and over until there is one batch of them."""
    times = -(-tokens // max(1, len(texts.values)))
    if times < 2:
        return texts
    parts = [texts.values[a:b] for a, b in zip(texts.starts[:-1], texts.starts[1:], strict=True)]
    return joined(parts * times, np.tile(texts.bytes, times), texts.encoding)


# A proxy at one checkpoint -----------------------------------------------------------------


@dataclass(frozen=True)
class Lens:
    """The proxy at one checkpoint, to look at documents through."""

    model: Decoder
    params: Params
    device: torch.device

    @classmethod
    def of(cls, recipe: Recipe, proxy: Proxy, checkpoint: int, device: str) -> "Lens":
        where = torch.device(device)
        model = Decoder(recipe.shape()).to(where)
        params = restored(proxy.params[checkpoint], parameters(model))
        return cls(model, params, where)

    @property
    def together(self) -> int:
        """Documents whose gradients are held at once."""
        return max(1, GRADIENTS // sum(value.numel() for value in self.params.values()))

    def batches(
        self, documents: Sequence[Windows], tokens: int = TOGETHER
    ) -> Iterator[tuple[Counts, Batch]]:
        """Batches of documents, and where each stands among them."""
        for stack in stacks(documents, tokens, self.together):
            yield stack.places, on(self.device, stack)

    def gradients(self, documents: Sequence[Windows]) -> Iterator[tuple[Counts, Params, Tensor]]:
        """The gradient and the loss of every document."""
        for places, batch in self.batches(documents):
            yield places, *each(self.model, self.params, batch)


# The direction ---------------------------------------------------------------------------


def directed(
    recipe: Recipe,
    proxy: Proxy,
    target: Sequence[Windows],
    raw: Sequence[Windows],
    device: Device,
    advance: Advance,
) -> Directions:
    """At every checkpoint (F + lambda I)^-1 g, with g the mean gradient of the target's documents;
    its length is one in the norm that documents' gradients are measured in."""
    found = Directions()
    along, scales, residuals = [], [], []
    with alone(), within_memory(recipe, device):
        for checkpoint in range(len(proxy)):
            lens = Lens.of(recipe, proxy, checkpoint, device.kind)
            goal, _, found.target_loss = averages(lens, target, advance)
            mean, fisher, found.raw_loss = averages(lens, raw[:FISHER], advance)
            if recipe.against == "raw":
                goal = {name: value - mean[name] for name, value in goal.items()}
            check_finite(goal, found.target_loss)
            direction, scale, residual = preconditioned(recipe, lens, goal, fisher, raw)
            length = max(float(dot(direction, divided(direction, scale))) ** 0.5, 1e-30)
            along.append(stored(scaled(direction, 1 / length)))
            scales.append(stored(scale))
            residuals.append(residual)
    each = sum(document.targets.size for document in [*target, *raw[:FISHER]])
    return replace(
        found,
        along=np.stack(along),
        scale=np.stack(scales),
        residual=float(max(residuals)),
        tokens=len(proxy) * each,
    )


def averages(
    lens: Lens, documents: Sequence[Windows], advance: Advance
) -> tuple[Params, Params, float]:
    """Mean gradient, mean squared gradient and mean loss of some documents."""
    first = {name: torch.zeros_like(value) for name, value in lens.params.items()}
    second = {name: torch.zeros_like(value) for name, value in lens.params.items()}
    total = 0.0
    for places, gradients, losses in lens.gradients(documents):
        for name, value in gradients.items():
            first[name] += value.sum(0)
            second[name] += value.square().sum(0)
        total += float(losses.double().sum())
        advance(sum(documents[place].targets.size for place in places.tolist()))
    n = max(1, len(documents))
    return scaled(first, 1 / n), scaled(second, 1 / n), total / n


def preconditioned(
    recipe: Recipe, lens: Lens, goal: Params, fisher: Params, raw: Sequence[Windows]
) -> tuple[Params, Params, float]:
    """The direction, the diagonal that documents' gradients are measured by, and the solver's
    residual. The ridge is a share of the mean eigenvalue, as Grosse et al. 2023 (arXiv 2308.03296)
    choose it."""
    ones = {name: torch.ones_like(value) for name, value in goal.items()}
    if recipe.precondition == "none":
        return goal, ones, 0.0
    mean = float(sum(v.double().sum() for v in fisher.values())) / sum(
        v.numel() for v in fisher.values()
    )
    ridge = max(recipe.damping * mean, 1e-30)
    if recipe.precondition == "diagonal":
        scale = {name: 1 / (value + ridge) for name, value in fisher.items()}
        return {name: value * scale[name] for name, value in goal.items()}, scale, 0.0
    batches = [batch for _, batch in lens.batches(raw[:FISHER])]
    solved = conjugate_gradients(
        lambda h: gauss_newton(lens, batches, h), goal, ridge, CG_TOLERANCE, CG_STEPS
    )
    return solved.direction, ones, solved.residual


def gauss_newton(lens: Lens, batches: Sequence[Batch], direction: Params) -> Params:
    """The Gauss-Newton matrix of the mean loss, times a direction: J' (diag p - p p') J, for each
    predicted token (Schraudolph 2002). Unlike the Hessian it has no negative curvature."""
    total = {name: torch.zeros_like(value) for name, value in direction.items()}
    documents = sum(len(inputs) for inputs, _ in batches)
    for inputs, targets in batches:
        length = inputs.shape[-1]
        counted = (targets >= 0).float()
        weight = counted / counted.flatten(1).sum(1).clamp(min=1)[:, None, None] / documents

        def logits(params: Params, inputs: Tensor = inputs, length: int = length) -> Tensor:
            rows = (inputs.reshape(-1, length),)
            return cast(Tensor, functional_call(lens.model, params, rows))

        out, tangent = cast("tuple[Tensor, Tensor]", jvp(logits, (lens.params,), (direction,)))
        chance = out.softmax(-1)
        moved = chance * (tangent - (chance * tangent).sum(-1, keepdim=True))
        back = vjp(logits, lens.params)[1]
        (found,) = back(moved * weight.reshape(-1, length)[..., None])
        total = {name: value + found[name] for name, value in total.items()}
    return total


def divided(direction: Params, scale: Params) -> Params:
    return {name: value / scale[name] for name, value in direction.items()}


def check_finite(goal: Params, loss: float) -> None:
    if not np.isfinite(loss) or not all(bool(v.isfinite().all()) for v in goal.values()):
        raise NotFinite(
            f"influence: the gradient of the target's loss ({loss:.3g} nats per token) is no finite"
            " number: the proxy has diverged; set learning_rate lower, or another size"
        )


# Weighing documents ------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """A checkpoint's lens with its direction: weighs documents."""

    recipe: Recipe
    lens: Lens
    direction: Params
    diagonal: Params | None  # None: plain lengths

    @classmethod
    def of(
        cls, recipe: Recipe, proxy: Proxy, found: Directions, checkpoint: int, device: str
    ) -> "Scale":
        lens = Lens.of(recipe, proxy, checkpoint, device)
        direction = restored(found.along[checkpoint], lens.params)
        diagonal = None
        if recipe.precondition == "diagonal":
            diagonal = restored(found.scale[checkpoint], lens.params)
        return cls(recipe, lens, direction, diagonal)

    def weigh(self, batch: Batch, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Influence, effort and loss of documents, each (documents,). `sizes` are how many tokens
        each is predicted, for sums instead of means."""
        if not self.recipe.lengths:
            losses = losses_of(self.lens.model)
            found = jvp_losses(losses, self.lens.params, self.direction, batch)
            with torch.no_grad():
                lost = losses(self.lens.params, batch)
            none = torch.full_like(found, torch.nan)
            return self._controlled(found, none, sizes), none, lost
        gradients, lost = each(self.lens.model, self.lens.params, batch)
        found = products(gradients, self.direction)
        length = squares(gradients, self.diagonal).clamp(min=1e-30).sqrt()
        # Of the mean over T tokens; noise alone makes it fall as 1 / sqrt T.
        effort = squares(gradients).sqrt() * sizes.sqrt()
        return self._controlled(found, length, sizes), effort, lost

    def _controlled(self, found: Tensor, length: Tensor, sizes: Tensor) -> Tensor:
        if self.recipe.control == "gradient":
            return found / length
        return found if self.recipe.control == "tokens" else found * sizes


def looked_at(
    recipe: Recipe,
    proxy: Proxy,
    directions: Directions,
    cut: AsWindows,
    texts: Texts,
    device: Device,
    advance: Advance,
) -> Weighed:
    """Documents of the corpus, and those of the target that were held out: the mean over all
    checkpoints of influence and effort."""
    every = [*cut.oracle, *cut.target, *cut.held]
    with alone(), within_memory(recipe, device):
        scales = [
            Scale.of(recipe, proxy, directions, checkpoint, device.kind)
            for checkpoint in range(len(proxy))
        ]
        influence, effort, loss = weighed(scales, every, advance)
        sketch = sketches(scales[-1], cut.oracle) if recipe.redundancy else no_rows()
    check_weights(influence)
    ours = len(cut.oracle)
    return Weighed(
        influence=influence.mean(0)[:ours],
        effort=effort.mean(0)[:ours],
        loss=loss[-1, :ours],
        bytes=texts.sizes,
        by_chance=texts.by_chance,
        looked_at=float(sum(one.predicted for one in cut.oracle) / max(1.0, texts.sizes.sum())),
        spread=agreement(influence[:, :ours][:, texts.by_chance]),
        tokens=len(proxy) * sum(document.targets.size for document in every),
        target_influence=influence.mean(0)[ours:],
        target_effort=effort.mean(0)[ours:],
        held=len(cut.held),
        sketch=sketch,
    )


def weighed(
    scales: Sequence[Scale], documents: Sequence[Windows], advance: Advance
) -> tuple[Floats, Floats, Floats]:
    """Influence, effort and loss, each (checkpoints, documents)."""
    found = np.zeros((3, len(scales), len(documents)))
    predicted = np.array([document.predicted for document in documents], np.float32)
    for checkpoint, scale in enumerate(scales):
        for places, batch in scale.lens.batches(documents):
            many = torch.from_numpy(predicted[places]).to(scale.lens.device)
            for into, values in zip(found, scale.weigh(batch, many), strict=True):
                into[checkpoint, places] = values.double().cpu().numpy()
            advance(batch[0].numel())
    return found[0], found[1], found[2]


def sketches(scale: Scale, documents: Sequence[Windows]) -> Floats32:
    """Of every document's gradient, as the preconditioner measures it."""
    found = np.zeros((len(documents), SKETCH), np.float32)
    for places, gradients, _ in scale.lens.gradients(documents):
        made = sketched(gradients, scale.diagonal, scale.recipe.seed, SKETCH)
        found[places] = made.float().cpu().numpy()
    return found


def check_weights(influence: Floats) -> None:
    bad = int((~np.isfinite(influence)).any(0).sum())
    if bad:
        raise NotFinite(
            f"influence: the gradients of {bad} of {influence.shape[1]} documents are no finite"
            " numbers: the proxy has diverged; set learning_rate lower, or another size"
        )


def agreement(influence: Floats) -> float:
    """Mean rank correlation between checkpoints; 1 where there is one."""
    pairs = [
        spearman(influence[a], influence[b]) or 0.0
        for a, b in combinations(range(len(influence)), 2)
    ]
    return float(np.mean(pairs)) if pairs else 1.0


# After the fit: one document at a time -------------------------------------------------------

# torch's number of threads and its choice of kernels are the process's, not a thread's.
LOCK = threading.Lock()
_opened: dict[int, tuple[Any, list[Scale]]] = {}


def opened(aside: "Aside") -> list[Scale]:
    """Its checkpoints, ready to weigh; those of the last scorer stay open."""
    key = id(aside.directions)
    if key not in _opened:
        _opened.clear()
        scales = [
            Scale.of(aside.recipe, aside.proxy, aside.directions, checkpoint, aside.device)
            for checkpoint in range(len(aside.proxy))
        ]
        _opened[key] = (aside.directions, scales)  # held, so that its id stays its own
    return _opened[key][1]


def one_by_one(aside: "Aside", texts: Sequence[bytes]) -> Floats:
    """(3, documents): influence, effort (nan where it is not asked for) and loss."""
    recipe = aside.recipe
    found = np.zeros((3, len(texts)))
    with LOCK, alone():
        scales = opened(aside)
        for place, text in enumerate(texts):
            alike = [windows(text, recipe.context, recipe.windows)]
            influence, effort, loss = weighed(scales, alike, lambda done: None)
            found[:, place] = influence.mean(), effort.mean(), loss[-1, 0]
    check_weights(found[:1])
    return found


def helped_and_hurt(aside: "Aside", text: bytes) -> dict[str, Any]:
    """The target's documents that a step on this text helps and hurts most: the cosine of the
    two gradients at the last checkpoint, both as the preconditioner measures them."""
    recipe = aside.recipe
    some = aside.target[:EXAMPLES]
    cut = [windows(one, recipe.context, recipe.windows) for one in some]
    with LOCK, alone():
        scale = opened(aside)[-1]
        ((_, own, _),) = scale.lens.gradients([windows(text, recipe.context, recipe.windows)])
        diagonal = scale.diagonal or {name: torch.ones_like(v[0]) for name, v in own.items()}
        direction = {name: value[0] * diagonal[name] for name, value in own.items()}
        length = float(squares(own, diagonal)[0]) ** 0.5
        found = np.zeros(len(some))
        for places, gradients, _ in scale.lens.gradients(cut):
            lengths = squares(gradients, diagonal).clamp(min=1e-30).sqrt()
            values = products(gradients, direction) / lengths / max(length, 1e-30)
            found[places] = values.double().cpu().numpy()
    order = np.argsort(-found, kind="stable")
    told = [(round(float(found[n]), 4), some[n].decode(errors="replace")) for n in order.tolist()]
    return {
        "helped_most": [{"cosine": c, "text": t[:SHOWN]} for c, t in told[:NAMED]],
        "hurt_most": [{"cosine": c, "text": t[:SHOWN]} for c, t in told[::-1][:NAMED] if c < 0],
        "of": len(some),
    }
