"""What `influence` has learned, as scorers: distilled into n-grams, or the proxy itself."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa

from assay.native import kernels
from assay.scaling.influence.appraisal import appraised
from assay.scaling.influence.distil import Ridge, standard
from assay.scaling.influence.learned import Directions, Proxy, Weighed
from assay.scaling.influence.recipe import Recipe
from assay.selectors.records import Batch, Floats
from assay.selectors.sampling import LONGEST, beginnings
from assay.selectors.stats import Features
from assay.selectors.telling import told_by_set

EMPTY = -1e9  # score of a text that holds none: nothing speaks for it, so it comes last


@dataclass(frozen=True)
class Aside:
    """What explanations and exact scores need beside n-grams."""

    recipe: Recipe
    device: str
    proxy: Proxy
    directions: Directions
    weighed: Weighed
    target: tuple[bytes, ...]

    @property
    def versions(self) -> dict[str, str]:
        return {"torch": version("torch"), "device": self.device}


@dataclass(frozen=True)
class Distilled:
    """Weights of n-grams that predict influence; scoring knows no torch."""

    ridge: Ridge
    features: Features
    wanted: Floats
    aside: Aside | None
    versions: dict[str, str]
    names: tuple[str, ...] = ("score",)

    @classmethod
    def of(cls, aside: Aside, ridge: Ridge, features: Features, wanted: Floats) -> "Distilled":
        return cls(ridge, features, wanted, aside, aside.versions)

    def __getstate__(self) -> dict[str, Any]:
        """What goes to a worker, who only scores: without the proxy, which is large."""
        return vars(self) | {"aside": None}

    def score(self, batch: Batch) -> Floats:
        f = self.features
        sums, distinct = kernels.dot_distinct(
            batch.text, self.ridge.table, f.definition, f.orders, f.buckets
        )
        found = sums / np.sqrt(np.maximum(distinct, 1)) + self.ridge.bias
        return np.where(distinct > 0, found, EMPTY)

    def explain(self, batch: Batch) -> dict[str, Any]:
        """The n-grams that weigh most, and what each adds to the score; the rest holds the bias."""
        return told_by_set(batch.text, self.features, self.ridge.table, self.ridge.bias)

    def examine(self, batch: Batch) -> dict[str, Any]:
        """What gradients say of the document."""
        return {} if self.aside is None else {"influence": looked_at(self.aside, batch)}

    def appraisal(self, documents: int, size: int) -> dict[str, Any]:
        if self.aside is None:
            return {}
        return appraised(self.aside, self.ridge.fitted, self.ridge, documents)


@dataclass(frozen=True)
class Exact:
    """The proxy itself: the gradient of every document. One thread of a process at a time, since
    torch's settings are the process's; several processes share the work."""

    aside: Aside
    effort: float
    wanted: Floats
    names: tuple[str, ...] = ("score", "influence.loss")

    @property
    def features(self) -> Features:
        """What the report measures distances in."""
        return Features()

    @property
    def versions(self) -> dict[str, str]:
        return self.aside.versions

    def score(self, batch: Batch) -> Floats:
        influence, effort, loss = weights(self.aside, batch)
        score = influence
        if self.effort:
            seen = self.aside.weighed
            score = standard(influence, seen.influence)
            score = score + self.effort * standard(effort, seen.effort)
        found = np.column_stack([np.where(np.isnan(influence), EMPTY, score), np.nan_to_num(loss)])
        # float32: the last bits of sums of products differ between processors.
        return np.asarray(found.astype(np.float32), np.float64)

    def examine(self, batch: Batch) -> dict[str, Any]:
        return {"influence": looked_at(self.aside, batch)}

    def appraisal(self, documents: int, size: int) -> dict[str, Any]:
        return appraised(self.aside, self.wanted, None, documents)


def sampled(batch: Batch) -> list[bytes]:
    """Each text as a sample has it: its beginning."""
    text, size = beginnings(batch.text.cast(pa.large_binary()), LONGEST)
    ends = np.cumsum(size)
    plain = text.tobytes()
    return [plain[end - n : end] for end, n in zip(ends.tolist(), size.tolist(), strict=True)]


def weights(aside: Aside, batch: Batch) -> tuple[Floats, Floats, Floats]:
    """Influence, effort and loss of each document, nan of one that holds no text. Each by itself,
    so that nothing hangs on who shares a batch."""
    from assay.scaling.influence import oracle

    found = np.full((3, len(batch)), np.nan)
    texts = sampled(batch)
    full = [place for place, text in enumerate(texts) if text.strip()]
    if full:
        found[:, full] = oracle.one_by_one(aside, [texts[place] for place in full])
    return found[0], found[1], found[2]


def looked_at(aside: Aside, batch: Batch) -> dict[str, Any]:
    """A document's influence, effort, length and loss, where they stand among those weighed, and
    the target's documents that training on it helps and hurts most."""
    from assay.scaling.influence import oracle

    (text,) = sampled(batch)
    if not text.strip():
        return {}
    (influence,), (effort,), (loss,) = weights(aside, batch)
    seen = aside.weighed
    plain = {"influence": influence, "loss": loss, "bytes": float(len(text))}
    among = {"influence": seen.influence, "loss": seen.loss, "bytes": seen.bytes}
    if not np.isnan(effort):
        plain["effort"], among["effort"] = effort, seen.effort
    return {
        name: {
            "value": float(value),
            "percentile": percentile(float(value), among[name][seen.by_chance]),
        }
        for name, value in plain.items()
    } | {"target": oracle.helped_and_hurt(aside, text)}


def percentile(value: float, among: Floats) -> float:
    """The share of the documents weighed that lie below, in per cent; half of those level."""
    below, level = (among < value).sum(), (among == value).sum()
    return round(100 * float(below + level / 2) / max(len(among), 1), 1)
