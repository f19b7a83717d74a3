"""Why a document was kept or dropped."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from assay.native import kernels
from assay.selectors import past as pasts
from assay.selectors import scores, shards
from assay.selectors.errors import BadRequest
from assay.selectors.past import Past
from assay.selectors.records import Batch, Scored, best
from assay.selectors.selection import Ground, Means
from assay.selectors.selector import (
    Examines,
    Explains,
    ExplainsChoice,
    Fold,
    Read,
    Rule,
    Scorer,
    Selector,
)
from assay.selectors.stages import Passed

EXCERPT = 400  # characters of the document that are shown


@dataclass
class Above:
    """How many documents score higher than one of them, of how many."""

    score: float
    higher: int = 0
    documents: int = 0
    lowest_kept: float = float("inf")
    rule: Rule | None = field(default=None)

    def add(self, scored: Scored) -> None:
        score = best(scored)
        self.higher += int((score > self.score).sum())
        self.documents += len(scored)
        kept = score[self.rule.keep(scored)] if self.rule else score
        self.lowest_kept = min(self.lowest_kept, float(kept.min(initial=np.inf)))

    def merge(self, other: "Above") -> None:
        self.higher += other.higher
        self.documents += other.documents
        self.lowest_kept = min(self.lowest_kept, other.lowest_kept)


def explain(past: Past, document: str, means: Means, raw: tuple[str, ...] = ()) -> dict[str, Any]:
    """The document's score, its place, the cut, and what the score is made of."""
    found, others = _find(past, document)
    rule = past.rule(means)
    place = past.fold(means)("scores", Above(float(best(found)[0]), rule=rule))
    ground = pasts.ground_of(past.manifest, means, raw)
    fold = pasts.fold_of(past, ground, means)
    scorer = past.selector.fit(fold)
    read = partial(_document, ground)
    batch = read(int(found.shard[0]), int(found.row[0]))
    out = rule.ended(found)[0] if isinstance(rule, Passed) else None
    return {
        "id": document,
        "kept": bool(rule.keep(found)[0]),
        "ruled_out_by": out,
        "stage": rule.describe()["stages"][out] if out else None,
        "score": _number(best(found)[0]),
        "scores": {n: _number(found.scores[0, i]) for i, n in enumerate(found.names)},
        "lowest_kept": _number(place.lowest_kept),
        "rank": place.higher + 1,
        "documents": place.documents,
        "shard": ground.raw.shards[int(found.shard[0])].uri,
        "row": int(found.row[0]),
        "source": found.source[0].as_py(),
        "bytes": int(found.size[0]),
        "tokens": int(found.tokens[0]),
        "same_id": others,
        "text": batch.text[0].as_py()[:EXCERPT],
        "because": _joined(_because(scorer, batch), _chosen(past.selector, found, fold, read)),
    }


def _joined(scored: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """What the scorer and the choice say; of a stage, side by side under its name."""
    joined = scored | chosen
    for name in scored.keys() & chosen.keys():
        if isinstance(scored[name], dict) and isinstance(chosen[name], dict):
            joined[name] = scored[name] | chosen[name]
    return joined


def _because(scorer: Scorer, batch: Batch) -> dict[str, Any]:
    told = scorer.explain(batch) if isinstance(scorer, Explains) else {}
    return _joined(told, scorer.examine(batch)) if isinstance(scorer, Examines) else told


def _chosen(selector: Selector, found: Scored, fold: Fold, read: Read) -> dict[str, Any]:
    if isinstance(selector, ExplainsChoice):
        return selector.explain_choice(found, fold, read)
    return {}


def _find(past: Past, document: str) -> tuple[Scored, int]:
    """The document's row of the score store, and how many more rows carry the same id."""
    matches = list(_matches(past, document))
    if not matches:
        raise BadRequest(
            f"no document {document!r} was scored by {past.manifest.folder}: give the id as it "
            f"stands in the id column or in assay_id; a row in quarantine has no score"
        )
    return matches[0].take(slice(0, 1)), sum(len(found) for found in matches) - 1


def _matches(past: Past, document: str) -> Iterator[Scored]:
    key = kernels.fingerprint(pa.array([document]), seed=0)[0]
    for file in past.files:
        for scored in scores.read(file.uri):
            places = [p for p in np.flatnonzero(scored.key == key) if _is(scored, int(p), document)]
            if places:
                yield scored.take(np.asarray(places))


def _is(scored: Scored, place: int, document: str) -> bool:
    return bool(scored.id[place].as_py() == document)


def _document(ground: Ground, shard_index: int, row: int) -> Batch:
    """The document itself, read again."""
    shard = ground.raw.shards[shard_index]
    unit = next(u for u in shard.units if u.first_row <= row < u.first_row + u.rows)
    for read in shards.batches(shard, unit, ground.spec.reading):
        here = np.flatnonzero(read.batch.row == row)
        if len(here):
            place = int(here[0])
            one = read.batch
            alone = Batch(
                one.text.slice(place, 1), one.id.slice(place, 1), one.key[here], one.row[here],
                one.shard,
            )  # fmt: skip
            return ground.known.earlier.attached(alone, unit.number)
    raise BadRequest(f"{shard.uri}: row {row} can no longer be read")


def _number(value: Any) -> float | None:
    """JSON has no infinity: None stands for ruled out."""
    return float(value) if np.isfinite(value) else None
