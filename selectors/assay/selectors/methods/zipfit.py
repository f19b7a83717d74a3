"""ZIP-FIT: documents that share most information with the target, by normalised compression
distance (Obbad et al. 2024, arXiv:2410.18194).

A document's score is the mean over target texts y of 1 - NCD(x, y), where

    NCD(x, y) = (C(xy) - min(C(x), C(y))) / max(C(x), C(y))

and C counts the bytes that a compressor needs (algorithm 1 there). With `targets=all` this is the
reference package's formula; by default only a few targets are compared, spread evenly over the
targets' compressed sizes, and a standard error stands beside the score: docs/compression.md.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from assay.selectors import passages
from assay.selectors.budget import Budget
from assay.selectors.choice import top
from assay.selectors.compression import Compressor, named
from assay.selectors.errors import BadRequest, NothingToRead
from assay.selectors.records import Batch, Floats
from assay.selectors.selector import Fold, Rule
from assay.selectors.texts import TextSample, beginning, shown, views

TARGET_BYTES = 64 << 20  # of target texts held in memory; more targets are sampled from
LONGEST = 1 << 20  # bytes of a target text, unless all are asked for: it is compressed behind
# every document, and lies beyond the compressors' windows after 32 kB to some megabytes
COMPARED = 12  # targets compared by default; measured: docs/compression.md
NEAREST = 3  # compared targets that an explanation shows


@dataclass(frozen=True)
class Zipfit:
    """Normalised compression distance to the target's texts, text by text."""

    compressor: Annotated[
        Literal["gzip", "lz4", "zstd"], Field(description="with the container's header")
    ] = "gzip"
    level: Annotated[
        int | None, Field(description="of the compressor; by default gzip 6, lz4 0, zstd 3")
    ] = None
    targets: Annotated[
        Literal["all"] | Annotated[int, Field(ge=2)],
        Field(description="how many target texts are compared, spread over their sizes; or all"),
    ] = COMPARED

    def __post_init__(self) -> None:
        self._measure()

    def fit(self, fold: Fold) -> "Similarity":
        if not fold.targets:
            raise BadRequest("zipfit needs a target: name texts of the kind you want with --target")
        found = fold("target", TextSample(fold.seed, TARGET_BYTES))
        if not found.documents:
            raise NothingToRead("the target holds no text: 0 documents read")
        if self.targets == "all" and not found.whole:
            raise BadRequest(
                f"zipfit: targets=all holds the target in memory, up to {TARGET_BYTES >> 20} MiB; "
                f"there are {found.size:,} bytes in {found.documents:,} texts: give a number, "
                f"such as targets=100"
            )
        texts, measure = found.texts(), self._measure()
        if self.targets != "all":
            texts = tuple(text[:LONGEST] for text in texts)
        size = np.array([measure.sizes(text, ())[0] for text in texts], np.float64)
        few, stands_for = spread(size, len(texts) if self.targets == "all" else self.targets)
        return Similarity(
            measure=measure,
            targets=tuple(texts[place] for place in few),
            size=size[few],
            weight=stands_for / len(texts),
            left_out=1 - len(texts) / found.documents / stands_for,
            near=beginning(texts, passages.TARGET_BYTES),
        )

    def choose(self, budget: Budget, fold: Fold) -> Rule:
        return top(budget, fold)

    def _measure(self) -> Compressor:
        return named(self.compressor, self.level)


def spread(size: Floats, number: int) -> tuple[list[int], Floats]:
    """The middle target of each of so many classes of compressed size, smallest first, and how
    many targets it stands for.

    The classes hold equal shares of the sum of 1/sqrt(size): small targets have the larger and
    more different similarities, so their classes are the narrower ones (Neyman's allocation;
    the power was measured: docs/compression.md).
    """
    order = np.argsort(size, kind="stable")  # texts of one size: in the order of their hashes
    if number >= len(size):
        return order.tolist(), np.ones(len(size))
    share = np.cumsum(size[order] ** -0.5)
    middle = share - size[order] ** -0.5 / 2
    classes = np.floor(middle / share[-1] * number)
    _, first, times = np.unique(classes, return_index=True, return_counts=True)
    return order[first + times // 2].tolist(), times.astype(np.float64)


@dataclass(frozen=True)
class Similarity:
    """The target texts that documents are compared with, smallest first."""

    measure: Compressor
    targets: tuple[bytes, ...]
    size: Floats  # of each, compressed
    weight: Floats  # of each in the mean
    left_out: Floats  # share of each one's class that is not compared
    near: tuple[bytes, ...]  # target texts in which an explanation looks for passages
    names: tuple[str, ...] = ("score", "standard_error")

    @property
    def versions(self) -> dict[str, str]:
        return self.measure.versions

    def score(self, batch: Batch) -> Floats:
        scores = np.empty((len(batch), 2))
        for place, text in enumerate(views(batch.text)):
            each = self._similarity(text)
            scores[place] = (each * self.weight).sum(), self._standard_error(each)
        return scores

    def explain(self, batch: Batch) -> dict[str, Any]:
        """The longest passages shared with the target, and how like each compared text it is."""
        text = bytes(next(views(batch.text)))
        each = self._similarity(text)
        most = np.argsort(-each, kind="stable")[:NEAREST].tolist()
        nearest = [{"similarity": float(each[n]), "target": shown(self.targets[n])} for n in most]
        return passages.told(text, self.near) | {"nearest": nearest, "compared": len(each)}

    def _similarity(self, text: bytes | memoryview) -> Floats:
        """1 - NCD with each target."""
        alone, both = self.measure.sizes(text, self.targets)
        smaller, larger = np.minimum(alone, self.size), np.maximum(alone, self.size)
        similarity: Floats = 1.0 - (np.array(both) - smaller) / larger
        return similarity

    def _standard_error(self, each: Floats) -> float:
        """Of the mean, as an estimate of the mean over all targets.

        One target stands for each class of sizes, so neighbours stand in for repeats: half the
        mean squared step to them is the variance within a class (Wolter 1984, estimator v2).
        """
        if len(each) < 2 or not self.left_out.any():
            return 0.0
        step = np.square(np.diff(each)) / 2
        within = (np.append(step, step[-1]) + np.insert(step, 0, step[0])) / 2
        return float(np.sqrt((np.square(self.weight) * self.left_out * within).sum()))
