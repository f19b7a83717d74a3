"""Numbers that a sample of documents has, foretold of all from their texts.

A model learns them from the sample's texts: a ridge, boosted trees, or an encoder. Whether that
works is measured on documents that were held out; `Trust` says how far it does.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa

from assay.selectors.directions import encoder, regression
from assay.selectors.ranks import spearman
from assay.selectors.records import Batch, Floats, Ids
from assay.selectors.sampling import Sample
from assay.selectors.selector import Fold, remembered

Scorer = Literal["exact", "ridge", "boosting", "encoder"]

LEAST = 200  # documents; with fewer, a fifth of them says nothing about how well a model does
SPEARMAN = 0.6
PRECISION = 3.0  # times what chance gives
DECILE = 0.1


@dataclass
class SampleOf(Sample):
    """A sample of those documents of a stream whose ids hash to one of some numbers."""

    digest: str = ""  # of these numbers: a record of others answers another question
    wanted: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))  # ascending
    met: int = 0  # documents of the stream that are wanted

    @classmethod
    def of(cls, wanted: Ids, room: int, longest: int, seed: int) -> "SampleOf":
        ordered = np.unique(wanted)
        digest = hashlib.sha256(ordered.tobytes()).hexdigest()[:16]
        return cls(room, longest, seed, digest=digest, wanted=ordered)

    def add(self, batch: Batch) -> None:
        if not len(self.wanted):
            return
        place = np.minimum(np.searchsorted(self.wanted, batch.key), len(self.wanted) - 1)
        rows = np.flatnonzero(self.wanted[place] == batch.key)
        self.met += len(rows)
        if len(rows):
            text, ids = (column.take(pa.array(rows)) for column in (batch.text, batch.id))
            key, row = batch.key[rows], batch.row[rows]
            some = replace(batch, text=text, id=ids, key=key, row=row, source=None, known={})
            super().add(some)

    def merge(self, other: "Sample") -> None:
        super().merge(other)
        self.met += other.met if isinstance(other, SampleOf) else 0


class Model(Protocol):
    """Foretells columns of a document from its text."""

    @property
    def versions(self) -> dict[str, str]: ...

    def __call__(self, texts: pa.Array, /) -> Floats:
        """Shape (documents, columns)."""
        ...

    def explain(self, text: bytes, column: int, /) -> dict[str, Any]:
        """The n-grams that weigh most: as telling.most_telling has them."""
        ...


@dataclass(frozen=True)
class Trust:
    """How well a column was foretold of documents that the model had not seen."""

    name: str
    spearman: float
    precision: float  # of the tenth that is foretold as the best, over what chance gives
    lower: float  # the same of the other end

    def passes(self, both: bool) -> bool:
        ends = min(self.precision, self.lower) if both else self.precision
        return self.spearman >= SPEARMAN and ends >= PRECISION

    def words(self) -> str:
        return (
            f"Spearman {self.spearman:.2f}, the best tenth found {self.precision:.1f} times as "
            f"often as by chance, the worst {self.lower:.1f} times"
        )

    def told(self) -> dict[str, Any]:
        return {"name": self.name, "spearman": round(self.spearman, 4),
                "precision": round(self.precision, 3), "lower": round(self.lower, 3)}  # fmt: skip


@dataclass(frozen=True)
class Learned:
    """A model, and how well it did on documents that it had not seen."""

    scorer: Scorer
    model: Model
    trust: tuple[Trust, ...]
    documents: int
    about: dict[str, Any]  # plain JSON values

    def told(self) -> dict[str, Any]:
        """In numbers, for the report: plain JSON values."""
        held_out = [trust.told() for trust in self.trust]
        return {
            "scorer": self.scorer,
            "documents": self.documents,
            "held_out": held_out,
        } | self.about


def learn(
    fold: Fold, sample: Sample, wanted: Floats, names: Sequence[str], scorer: Scorer, folder: str
) -> Learned:
    """A model of standardised columns (documents, columns) of the sample's documents.

    `folder` is that of an encoder. What was learned is recorded by the fold, if it records.
    """
    texts, key = sample.texts(), sample.key
    question = f"{scorer} {_digest(sample, wanted)}"
    if scorer == "encoder":
        return _encoder(fold, texts, key, wanted, names, folder, question)
    work = partial(_ridge, texts, key, wanted)
    most = len(regression.PENALTIES)
    found = remembered(fold, "learning scores", question, regression.Weights(), work, most)
    trees: tuple[Any, ...] = ()
    held = found.held
    if scorer == "boosting":
        trees, held = regression.boosted(texts, key, wanted, found.held)
    model = regression.Regression(regression.scales_of(texts), found.ridge, trees)
    about = {"penalty": float(found.penalty)}
    return Learned(scorer, model, _trust(names, held, wanted), len(texts), about)


def _ridge(
    texts: pa.Array, key: Ids, wanted: Floats, told: Callable[[int], None]
) -> regression.Weights:
    return regression.fit(texts, key, wanted, lambda step: told(1))


def _encoder(
    fold: Fold, texts: pa.Array, key: Ids, wanted: Floats, names: Sequence[str], folder: str,
    question: str,
) -> Learned:  # fmt: skip
    place = encoder.opened(folder)
    out = regression.fifth(key) == 0
    found = remembered(
        fold, "training the encoder", f"{question} {place.digest}", encoder.Weights(),
        lambda told: encoder.train(place, texts, wanted, out, fold.seed, told),
        encoder.steps(int((~out).sum())),
    )  # fmt: skip
    model = encoder.Encoder(place, found)
    held = model(texts.take(pa.array(np.flatnonzero(out))))
    about = {"encoder": place.digest, "losses": np.round(found.losses, 4).tolist()}
    return Learned("encoder", model, _trust(names, held, wanted[out]), len(texts), about)


def _digest(sample: Sample, wanted: Floats) -> str:
    found = hashlib.sha256(sample.key.tobytes())
    found.update(sample.text.tobytes())
    found.update(np.round(wanted, 6).tobytes())
    return found.hexdigest()[:16]


def _trust(names: Sequence[str], held: Floats, wanted: Floats) -> tuple[Trust, ...]:
    return tuple(judged(n, h, w) for n, h, w in zip(names, held.T, wanted.T, strict=True))


def judged(name: str, foretold: Floats, wanted: Floats) -> Trust:
    """Spearman's rank correlation, and how much of either tenth is found."""
    correlation = spearman(foretold, wanted) or 0.0
    return Trust(name, correlation, _found(foretold, wanted), _found(-foretold, -wanted))


def _found(foretold: Floats, wanted: Floats) -> float:
    """The part of the best tenth among those foretold as the best tenth, over a tenth."""
    most = max(round(len(wanted) * DECILE), 1)
    chosen = np.argsort(-foretold, kind="stable")[:most]
    best = np.argsort(-wanted, kind="stable")[:most]
    return len(np.intersect1d(chosen, best)) / most / (most / max(len(wanted), 1))
