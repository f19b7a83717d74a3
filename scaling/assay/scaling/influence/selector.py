"""Influence: the documents whose gradients would lower a small model's loss on the target.

A proxy is trained on a sample of the corpus; where its loss on the target falls fastest, and how
far each of some thousand documents pushes it there, is found from gradients (oracle.py). By default
that is distilled into weights of n-grams (distil.py), which score the corpus as fast as
`classifier` does; `scoring=exact` takes the gradient of every document instead. What it costs and
what it brings: docs/influence.md.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from assay.scaling.influence.distil import Ridge, distilled, normal, standard
from assay.scaling.influence.errors import TooLittleTarget
from assay.scaling.influence.learned import Directions, Proxy, Weighed
from assay.scaling.influence.recipe import FISHER, Recipe, too_little
from assay.scaling.influence.redundancy import in_turn
from assay.scaling.influence.scorers import Aside, Distilled, Exact
from assay.scaling.influence.texts import (
    LEAST_BYTES,
    LEAST_DOCUMENTS,
    MOST_TARGET,
    Texts,
    texts_of,
)
from assay.scaling.proxy import needs
from assay.scaling.proxy.errors import TooLittleMemory
from assay.scaling.proxy.ladder import LADDER
from assay.selectors.budget import Budget
from assay.selectors.choice import top
from assay.selectors.errors import BadSetting, NothingToRead
from assay.selectors.records import Floats
from assay.selectors.sampling import both_sides
from assay.selectors.selector import Charge, Fold, Rule, remembered
from assay.selectors.stats import Features

if TYPE_CHECKING:  # torch is imported when something is learned, not before
    from assay.scaling.proxy.needs import Device

UTILISATION = 0.25  # of a machine's product of two matrices; measured here on a CPU, 1M model


@dataclass(frozen=True)
class Influence:
    """Documents whose gradients would lower a small model's loss on the target."""

    size: Annotated[
        str, Field(description=f"of the proxy: {', '.join(LADDER)}; a smaller one is quicker")
    ] = "1M"
    tokens: Annotated[
        int, Field(ge=1, description="bytes of text that the proxy is trained on, repeats included")
    ] = 2_000_000
    context: Annotated[
        int, Field(ge=32, le=4096, description="bytes of the windows that the proxy reads")
    ] = 256
    windows: Annotated[
        int, Field(ge=1, le=128, description="windows of a document that are looked at, at most")
    ] = 2
    oracle: Annotated[
        int, Field(ge=10, description="documents of the corpus whose gradients are taken")
    ] = 3000
    near: Annotated[
        float,
        Field(ge=0, le=0.9, description="distil: share of them that are most like the target"),
    ] = 0.5
    checkpoints: Annotated[
        int, Field(ge=1, le=10, description="states of the proxy that influence is the mean of")
    ] = 2
    precondition: Annotated[
        Literal["diagonal", "cg", "none"],
        Field(
            description="diagonal: divide by the mean squared gradient; cg: Gauss-Newton by "
            "conjugate gradients; none: the plain dot product"
        ),
    ] = "diagonal"
    damping: Annotated[
        float, Field(gt=0, description="ridge, as a share of the mean squared gradient")
    ] = 0.1
    against: Annotated[
        Literal["raw", "nothing"],
        Field(description="raw: the target's gradient less the corpus's; nothing: as it is"),
    ] = "raw"
    control: Annotated[
        Literal["gradient", "tokens", "none"],
        Field(
            description="what takes out length: gradient (a cosine), tokens (the mean over a "
            "document's tokens), none (their sum)"
        ),
    ] = "gradient"
    effort: Annotated[
        float, Field(ge=0, description="weight of the gradient's norm, beside influence (DEALRec)")
    ] = 0.0
    redundancy: Annotated[
        float,
        Field(ge=0, description="distil: what a document loses to others like it that rank higher"),
    ] = 0.0
    scoring: Annotated[
        Literal["distil", "exact"],
        Field(description="distil: n-grams that predict influence; exact: every gradient"),
    ] = "distil"
    orders: Annotated[
        int, Field(ge=1, le=8, description="distil: n-grams of 1 to this many tokens")
    ] = 2
    buckets: Annotated[
        int, Field(ge=1, le=1 << 28, description="distil: hash buckets for each order")
    ] = 1 << 20
    sample: Annotated[
        int, Field(ge=1, le=1024, description="MiB of text of either side that are looked at")
    ] = 32
    learning_rate: Annotated[
        float, Field(ge=0, description="of the proxy; 0: as `assay validate` has it")
    ] = 0.0
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Field(description="auto: a GPU where there is one; scores differ in their last digits"),
    ] = "auto"

    def __post_init__(self) -> None:
        if self.size.upper() not in LADDER:
            raise BadSetting(f"size: {self.size!r}: the ladder is {', '.join(LADDER)}")
        if self.redundancy and self.scoring == "exact":
            raise BadSetting(
                "redundancy: it is found among the documents that are weighed and learned from"
                " them: take scoring=distil"
            )

    def fit(self, fold: Fold) -> "Distilled | Exact":
        device = needs.device(self.device)
        recipe = self.recipe(fold.seed)
        check_memory(recipe, device)
        texts = self.texts(fold)
        aside = learned(fold, recipe, texts, device)
        wanted = self.wanted(aside.weighed)
        if self.scoring == "exact":
            return Exact(aside, self.effort, wanted)
        return Distilled.of(aside, self.ridge(fold, recipe, texts, wanted), self.features, wanted)

    def choose(self, budget: Budget, fold: Fold) -> Rule:
        return top(budget, fold)

    def charge(self, documents: int, size: int) -> Charge:
        """An upper bound in FLOPs: every document with as many windows as are looked at."""
        recipe, device = self.recipe(0), needs.device(self.device)
        from assay.scaling.proxy.log import peak_flops

        oracle = min(self.oracle, documents)
        once = self.windows * self.context * self.checkpoints  # tokens of a document
        direction = recipe.flops_of_direction((min(oracle, FISHER) + MOST_TARGET) * once)
        weighing = recipe.flops_of_weighing((oracle + 2 * MOST_TARGET) * once)
        fit = recipe.flops_of_training(self.tokens) + direction + weighing
        score = recipe.flops_of_weighing(documents * once) if self.scoring == "exact" else 0.0
        return Charge(fit, score, UTILISATION * (peak_flops(device) or 1e12))

    # Steps -------------------------------------------------------------------------------

    def recipe(self, seed: int) -> Recipe:
        return Recipe(
            size=self.size.upper(),
            tokens=self.tokens,
            context=self.context,
            windows=self.windows,
            checkpoints=self.checkpoints,
            precondition=self.precondition,
            damping=self.damping,
            against=self.against,
            control=self.control,
            effort=self.effort,
            redundancy=self.redundancy,
            learning_rate=self.learning_rate,
            seed=seed,
        )

    def texts(self, fold: Fold) -> Texts:
        target, raw = both_sides("influence", fold, self.sample << 20)
        near = self.near if self.scoring == "distil" else 0.0  # exact scores learn from nobody
        found = texts_of(target, raw, self.oracle, near, self.tokens, self.context)
        if not found.oracle:
            raise NothingToRead("influence: the corpus holds no text to take gradients of")
        check_target(found)
        return found

    @property
    def features(self) -> Features:
        return Features("fast", self.orders, self.buckets)

    def wanted(self, weighed: Weighed) -> Floats:
        """What documents are ranked by: influence, and effort at its weight, in their standard
        deviations; less what others have said before. The target's documents come last."""
        found = np.concatenate([weighed.influence, weighed.target_influence])
        found = standard(found, weighed.influence)
        if self.effort:
            effort = np.concatenate([weighed.effort, weighed.target_effort])
            found = found + self.effort * standard(effort, weighed.effort)
        if self.redundancy:
            ours = found[: len(weighed)]
            turns = in_turn(ours, weighed.sketch, self.redundancy)
            found[: len(weighed)] = normal(-turns.astype(np.float64))
        return found

    def ridge(self, fold: Fold, recipe: Recipe, texts: Texts, wanted: Floats) -> Ridge:
        question = f"ridge 1 {self.features} {wanted_mark(wanted)} {texts.mark} {recipe}"
        column = texts.column()
        by_chance = np.zeros(len(column), bool)
        by_chance[: len(texts.oracle)] = texts.by_chance
        return remembered(
            fold,
            "distilling",
            question,
            Ridge(),
            lambda advance: distilled(column, wanted, by_chance, self.features),
            1,
        )


def wanted_mark(wanted: Floats) -> str:
    return hashlib.sha256(wanted.tobytes()).hexdigest()[:16]


def learned(fold: Fold, recipe: Recipe, texts: Texts, device: "Device") -> Aside:
    """Everything that takes gradients; each step is recorded, so none is taken twice."""
    from assay.scaling.influence import oracle

    training = recipe.training(len(texts.training.values))
    asked = f"{recipe} {device.kind} {texts.mark}"
    windows = texts.windows(recipe)
    looked = recipe.checkpoints * sum(w.targets.size for w in windows.oracle)
    proxy = remembered(
        fold,
        "training the proxy",
        f"proxy 1 {training} {recipe.checkpoints} {device.kind} {texts.training_mark}",
        Proxy(),
        lambda advance: oracle.trained(recipe, texts.training, device, advance),
        training.tokens,
    )
    directions = remembered(
        fold,
        "gradients of the target",
        f"directions 1 {asked}",
        Directions(),
        lambda advance: oracle.directed(
            recipe, proxy, windows.target, windows.drawn, device, advance
        ),
        0,
    )
    weighed = remembered(
        fold,
        "gradients of documents",
        f"weighed 1 {asked}",
        Weighed(),
        lambda advance: oracle.looked_at(
            recipe, proxy, directions, windows, texts, device, advance
        ),
        looked,
    )
    proxy.apart = texts.apart
    return Aside(recipe, device.kind, proxy, directions, weighed, tuple(texts.target))


# What is refused ---------------------------------------------------------------------------


def check_target(texts: Texts) -> None:
    have, size = len(texts.target), sum(len(text) for text in texts.target)
    if have < LEAST_DOCUMENTS or size < LEAST_BYTES:
        raise TooLittleTarget(
            f"influence: the target holds {have} documents with {size} bytes of text; the gradient"
            f" of its loss needs {LEAST_DOCUMENTS} documents and {LEAST_BYTES} bytes at least:"
            " give more target text"
        )


def check_memory(recipe: Recipe, device: "Device") -> None:
    """Before hours are spent."""
    if recipe.memory > device.memory:
        raise TooLittleMemory(too_little(recipe, device))
