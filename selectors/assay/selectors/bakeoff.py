"""Several methods at one budget: what each keeps, how far they agree, what each costs."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from assay.selectors import catalog, estimate, manifest, spec, storage
from assay.selectors.errors import AssayError, BadInput, BadRequest
from assay.selectors.past import Past, reopen
from assay.selectors.records import Ids, Mask, Scored
from assay.selectors.selection import Means, select
from assay.selectors.selector import Rule
from assay.selectors.spec import Spec
from assay.selectors.whatif import Tallied


@dataclass(frozen=True)
class Entrant:
    """A method with its settings, under the name that the table and its folder carry."""

    name: str
    method: str
    settings: dict[str, Any]


@dataclass
class Keys:
    """The hashes of the ids that a rule keeps."""

    rule: Rule
    keys: Ids

    def add(self, scored: Scored) -> None:
        keep: Mask = self.rule.keep(scored)
        self.keys = np.concatenate([self.keys, scored.key[keep]])

    def merge(self, other: "Keys") -> None:
        self.keys = np.concatenate([self.keys, other.keys])


@dataclass(frozen=True)
class Failed:
    """An entrant that came to nothing, and why."""

    name: str
    problem: AssayError


@dataclass(frozen=True)
class Compared:
    """A row for each entrant and how far they agree, as plain values; and who failed."""

    found: dict[str, Any]
    failed: Sequence[Failed]


def bakeoff(asked: Spec, entrants: Sequence[Entrant], label: str, means: Means) -> Compared:
    """Run every entrant into a folder of its own below `asked.out`, and compare."""
    names = [entrant.name for entrant in entrants]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadRequest(f"{twice[0]} is named twice: name each once, or with other settings")
    for entrant in entrants:  # a mistyped one is found before the others have run
        spec.checked(own(asked, entrant))
    rows, keys, failed = [], {}, list[Failed]()
    for entrant in entrants:
        try:
            row, keys[entrant.name] = _run(asked, entrant, label, means)
        except (BadRequest, BadInput) as problem:  # the others are worth having
            failed.append(Failed(entrant.name, problem))
        else:
            rows.append(row)
    if not rows:
        raise failed[0].problem
    found = {"budget": asked.budget, "label": label, "methods": rows, "overlap": _overlaps(keys)}
    return Compared(found | {"failed": {one.name: str(one.problem) for one in failed}}, failed)


def tried(asked: Spec, entrants: Sequence[Entrant], means: Means) -> list[dict[str, Any]]:
    """What every entrant would take, from a trial of each."""
    told = ((one, estimate.estimate(own(asked, one), means)) for one in entrants)
    return [{"name": one.name} | found for one, found in told]


def own(asked: Spec, entrant: Entrant) -> Spec:
    """The selection that an entrant makes."""
    out = storage.join(asked.out, entrant.name) if asked.out else ""
    return replace(asked, method=entrant.method, settings=entrant.settings, out=out)


def _run(asked: Spec, entrant: Entrant, label: str, means: Means) -> tuple[dict[str, Any], Ids]:
    wanted = own(asked, entrant)
    there, begun = manifest.find(wanted.out) is not None, time.process_time()
    made = select(wanted, means)
    used = time.process_time() - begun
    # What was there already has cost nothing now, and of other processes' time we do not know.
    unknown = there or means.engine != "threads"
    spent = {"seconds": made.run["seconds"], "cpu_seconds": None if unknown else used}
    past = reopen(made.folder)
    rule = past.rule(means)
    fold = past.fold(means)
    if label:
        _check_label(label, fold("scores", Tallied(None)).sources, asked)
    kept = fold("scores", Tallied(rule))
    keys = fold("scores", Keys(rule, np.zeros(0, np.uint64))).keys
    row = {"name": entrant.name, "method": entrant.method, "kept": made.content["spent"]}
    row |= {"precision": _precision(kept, label), "mean_tokens": _mean(kept.total)} | spent
    return row | {"length_correlation": _length_correlation(past)}, np.unique(keys)


def _check_label(label: str, sources: Mapping[str, Any], asked: Spec) -> None:
    if label not in sources:
        few = ", ".join(sorted(sources)[:10])
        raise BadRequest(
            f"--label {label}: no document has it in column {asked.group_by!r}"
            f"{catalog.hint(label, sorted(sources)) if len(sources) <= 10 else f', but {few}, ...'}"
        )


def _precision(kept: Tallied, label: str) -> float | None:
    """Share of the kept documents that carry the label; None where none is asked about."""
    if not label:
        return None
    return kept.sources.get(label, (0, 0, 0))[0] / max(kept.total[0], 1)


def _mean(total: tuple[int, int, int]) -> float:
    return total[2] / max(total[0], 1)


def _length_correlation(past: Past) -> float | None:
    """Spearman's between score and length, as the report found it."""
    report = json.loads(storage.read_bytes(past.manifest.uri("report.json")))
    found = report["lengths"].get("rank_correlation")
    return None if found is None else float(found)


def _overlaps(keys: dict[str, Ids]) -> dict[str, dict[str, float]]:
    """Jaccard's index of each pair."""
    return {a: {b: _jaccard(keys[a], keys[b]) for b in keys} for a in keys}


def _jaccard(a: Iterable[Any], b: Iterable[Any]) -> float:
    one, other = np.asarray(a), np.asarray(b)
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / max(len(one) + len(other) - both, 1)
