"""The story of a selection: look at the corpus, fit, score, choose, write, report, finish.

Every step leaves its result under a name that hangs on what was asked, so the same command run
again goes on from what is there. The manifest comes last.
"""

import hashlib
import json
import platform
import posixpath
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa

from assay.native import kernels
from assay.selectors import budget, catalog, earlier, manifest, shards, spec, storage, writing
from assay.selectors.budget import Budget
from assay.selectors.earlier import Opened
from assay.selectors.errors import (
    BadBudget,
    BadRequest,
    NothingToRead,
    OtherSelection,
    TooManyBadRows,
)
from assay.selectors.examples import nearest
from assay.selectors.folding import BUNDLE, Folding, Map
from assay.selectors.manifest import Manifest
from assay.selectors.memory import give_back
from assay.selectors.progress import Progress, Silence
from assay.selectors.records import Batch
from assay.selectors.report.files import write_report
from assay.selectors.report.outcome import Outcome
from assay.selectors.scores import ScoreFile, Scores
from assay.selectors.scoring import Scoring
from assay.selectors.selector import Appraises, Charge, Charges, Rule, Scorer, Selector
from assay.selectors.shards import Corpus, Reading, Unit
from assay.selectors.spec import Spec
from assay.selectors.writing import ADDED, Kept, Part, Tally, Writing, Written

STATE = "state/request.json"
MAKERS = "made_by"  # in it
OURS = ("scores", "quarantine", "fit", "state")  # folders that a selection writes
TOKENIZER = "wordpunct-1"  # \w+|[^\w\s]+ on lower-cased text


@dataclass(frozen=True)
class Means:
    """With what a selection is carried out. No part of its result."""

    map: Map = map
    progress: Progress = field(default_factory=Silence)
    workers: int = 1
    engine: str = "threads"


@dataclass(frozen=True)
class Documents:
    """The stream "raw", or a target: shards read as batches of documents."""

    corpus: Corpus
    reading: Reading
    target: str = ""

    @property
    def units(self) -> tuple[Unit, ...]:
        return self.corpus.units

    def batches(self, unit: Unit) -> Iterator[Batch]:
        shard = self.corpus.shards[unit.shard]
        for read in shards.batches(shard, unit, self.reading, target=self.target):
            if len(read.batch):
                yield read.batch

    def size(self, unit: Unit) -> int:
        return unit.bytes


@dataclass(frozen=True)
class Several:
    """The stream "target": all targets one after the other."""

    streams: tuple[Documents, ...]

    @property
    def units(self) -> tuple[tuple[int, Unit], ...]:
        return tuple((n, unit) for n, stream in enumerate(self.streams) for unit in stream.units)

    def batches(self, unit: tuple[int, Unit]) -> Iterator[Batch]:
        return self.streams[unit[0]].batches(unit[1])

    def size(self, unit: tuple[int, Unit]) -> int:
        return unit[1].bytes


@dataclass(frozen=True)
class Ground:
    """A request that was looked at: the corpora behind it, and what it is, in plain values."""

    spec: Spec
    selector: Selector
    raw: Corpus
    targets: Mapping[str, Corpus]
    names: tuple[str, ...]  # of the raw shards, from their common folder
    request: Mapping[str, Any]
    known: Opened  # earlier selections whose scores are used


def select(asked: Spec, means: Means | None = None, fresh: bool = False) -> Manifest:
    """Carry out a selection, or go on with it, or find it done; `fresh` starts over."""
    means, begun = means or Means(), time.time()
    ground = survey(asked, means)
    out = ground.spec.out
    storage.prepare(out)
    with storage.lock(out):
        return begin(ground, fresh) or carry_out(ground, means, begun)


def begin(ground: Ground, fresh: bool = False) -> Manifest | None:
    """Make the folder this selection's, or find it done; only who holds the lock may."""
    out = ground.spec.out
    storage.sweep(out)
    if fresh:  # the request is sound and nobody else writes here
        clear(out)
    if done := manifest.find(out):
        _same(done.request, ground.request, out)
        return done
    _claim(out, ground)
    return None


def clear(out: str) -> None:
    """Delete what a selection wrote, and nothing else."""
    for name in (manifest.NAME, "report.html", "report.json", "chosen.svg", *_parts_in(out)):
        storage.delete(storage.join(out, name))
    for folder in OURS:
        storage.delete_all(storage.join(out, folder))


def purge(out: str, claim: str) -> None:
    """The same, if nobody is writing there and it is the selection of this claim."""
    storage.prepare(out)
    with storage.lock(out):
        if _claim_there(out) != claim:
            raise OtherSelection(
                f"{out}: does not hold this selection any more: nothing is deleted"
            )
        clear(out)


def claim_of(request: Mapping[str, Any]) -> str:
    """What tells one selection from another: the SHA-256 of what is asked, in 64 hex digits."""
    return hashlib.sha256(manifest.canonical(request)).hexdigest()


def _claim_there(out: str) -> str | None:
    if done := manifest.find(out):
        return claim_of(done.request)
    uri = storage.join(out, STATE)
    if not storage.exists(uri):
        return None
    there = json.loads(storage.read_bytes(uri))
    there.pop(MAKERS, None)
    return claim_of(there)


def survey(asked: Spec, means: Means) -> Ground:
    """Look at every shard and say exactly what is asked of what."""
    wanted = spec.checked(asked)
    selector = spec.selector_of(wanted.method, wanted.settings, wanted.stages)
    plain = Reading(wanted.text_column, wanted.id_column)
    raw = shards.survey(wanted.raw, wanted.reading, means.map)
    targets = {n: shards.survey(u, plain, means.map) for n, u in wanted.target.items()}
    if not raw.rows:
        raise NothingToRead(f"the corpus is empty: {len(raw.shards)} shards without a row")
    for name, corpus in targets.items():
        if not corpus.rows:
            raise NothingToRead(f"the target {name!r} is empty: no row in {_listed(corpus)}")
    for corpus in (raw, *targets.values()):
        _check_apart(corpus, wanted.out)
    _check_outside(wanted)
    names = _names(raw)
    request = _request(wanted, raw, names, targets, means)
    partial = getattr(selector, "from_samples", False)
    known = earlier.survey(wanted.scores, request["inputs"]["raw"], partial)
    request["inputs"]["scores"] = dict(known.request)
    return Ground(wanted, selector, raw, targets, names, request, known)


def _check_outside(wanted: Spec) -> None:
    """An output below an input folder would be an input of the next run."""
    out = storage.join(wanted.out)
    for uri in (*wanted.raw, *(uri for uris in wanted.target.values() for uri in uris)):
        if out.startswith(storage.join(uri) + "/"):
            raise BadRequest(
                f"{wanted.out}: lies below {uri}, which is read: what is written there would be "
                f"read the next time. Name an --out outside of it"
            )
    parts = out.split("/")
    for place in range(1, len(parts)):
        above = "/".join(parts[:place])
        if parts[place] in OURS and _is_ours(above):
            raise BadRequest(
                f"{wanted.out}: lies in a folder of the selection in {above}, and would be deleted "
                f"with it: name an --out outside of it"
            )


def _is_ours(folder: str) -> bool:
    names = (manifest.NAME, STATE)
    return bool(folder) and any(storage.exists(storage.join(folder, name)) for name in names)


def carry_out(ground: Ground, means: Means, begun: float) -> Manifest:
    """Everything from the fit to the manifest; what is there already is not done again."""
    out, asked = ground.spec.out, budget.parse(ground.spec.budget)
    if price := charge(ground):
        means.progress.note(
            f"{ground.spec.method} will take about {price.total:.2g} FLOPs: {price.fit:.2g} to fit,"
            f" {price.score:.2g} to score"
        )
    scorer = ground.selector.fit(folding(ground, means))
    files = _score(ground, scorer, means)
    choosing = folding(ground, means, files)
    rule = ground.selector.choose(asked, choosing)
    kept = _tally(ground, rule, files, means)
    parts = _write(ground, rule, kept, nearest(rule, choosing), means)
    content = _content(ground, scorer, rule, files, parts)
    warnings = [*_warnings(files, asked, content, bool(ground.spec.stages))]
    outcome = Outcome(ground.spec, scorer, rule, content, tuple(parts))
    warnings += write_report(outcome, folding(ground, means, files, parts))
    run = _run(ground, means, begun)
    finished = manifest.finish(out, content | {"warnings": warnings, "run": run})
    storage.delete_all(storage.join(out, "state"))
    return finished


def charge(ground: Ground) -> Charge | None:
    """What the method counts of its own work; None where it does not."""
    if not isinstance(ground.selector, Charges):
        return None
    size = sum(unit.bytes for unit in ground.raw.units)
    found = ground.selector.charge(ground.raw.rows, size)
    return found if found.total else None


def folding(
    ground: Ground, means: Means, files: Sequence[ScoreFile] = (), parts: Sequence[Written] = ()
) -> Folding:
    """The fold of a selection: its documents, and its scores and parts as far as they stand."""
    asked, out = ground.spec, ground.spec.out
    streams: dict[str, Any] = {"raw": Documents(ground.raw, asked.reading)}
    plain = Reading(asked.text_column)
    targets = {name: Documents(c, plain, name) for name, c in ground.targets.items()}
    streams |= {f"target/{name}": stream for name, stream in targets.items()}
    if targets:
        streams["target"] = Several(tuple(targets.values()))
    streams |= ground.known.streams
    if files:
        streams["scores"] = Scores(tuple(files))
    if parts:
        written = Reading(asked.text_column, ADDED[0])
        uris = [storage.join(out, part.name) for part in parts]
        streams["kept"] = Documents(shards.survey(uris, written), written)
    records = storage.join(out, "fit")
    bundle = min(BUNDLE, shards.UNIT_BYTES // 4)
    about = ground.known.about
    return Folding(
        streams, asked.seed, tuple(targets), means.map, means.progress, records, bundle, about
    )


# The steps -----------------------------------------------------------------------------------


def _score(ground: Ground, scorer: Scorer, means: Means) -> list[ScoreFile]:
    asked, units = ground.spec, ground.raw.units
    means.progress.begin("scoring", sum(unit.bytes for unit in units))
    files: list[ScoreFile] = []
    for unit, file in zip(units, means.map(scoring(ground, scorer), units), strict=True):
        files.append(file)
        means.progress.advance(unit.bytes)
        _check_bad_rows(files, asked)
    means.progress.end()
    give_back()
    _check_anything_left(files, asked)
    return files


def scoring(ground: Ground, scorer: Scorer) -> Scoring:
    """What is done to each unit: its scores, written to the score store."""
    asked, known = ground.spec, ground.known.earlier
    return Scoring(ground.raw, ground.names, asked.reading, scorer, asked.out, known)


def _tally(ground: Ground, rule: Rule, files: Sequence[ScoreFile], means: Means) -> list[Kept]:
    pairs = list(zip(ground.raw.units, files, strict=True))
    kept = list(means.map(Tally(rule), pairs))
    if not any(one.documents for one in kept):
        raise BadBudget(
            f"nothing would be kept: the best document alone is more than {ground.spec.budget}, or "
            f"the method's settings rule every document out: ask for more, or relax the settings"
        )
    return kept


def _write(
    ground: Ground,
    rule: Rule,
    kept: Sequence[Kept],
    examples: frozenset[tuple[int, int]],
    means: Means,
) -> list[Written]:
    asked, parts = ground.spec, writing.plan(ground.raw, kept)
    work = Writing(ground.raw, ground.names, asked.text_column, rule, examples, asked.out)
    means.progress.begin("writing", sum(part.bytes for part in parts))
    written: list[Written] = []
    for part, one in zip(parts, _written(work, parts, means), strict=True):
        written.append(one)
        means.progress.advance(part.bytes)
    means.progress.end()
    give_back()
    return written


def _written(work: Writing, parts: Sequence[Part], means: Means) -> Iterator[Written]:
    """Many parts: each is one worker's. Few: their units are, and one hand writes."""
    if len(parts) > means.workers:
        return means.map(work, parts)
    return (work(part, means.map) for part in parts)


def _check_bad_rows(files: Sequence[ScoreFile], asked: Spec) -> None:
    bad = sum(file.bad_rows for file in files)
    if asked.max_bad_rows is not None and bad > asked.max_bad_rows:
        where = storage.join(asked.out, "quarantine")
        raise TooManyBadRows(
            f"{bad} rows could not be read ({_reasons(files)}), --max-bad-rows allows "
            f"{asked.max_bad_rows}: see {where}, mend the data or allow more"
        )


def _check_anything_left(files: Sequence[ScoreFile], asked: Spec) -> None:
    if not sum(file.documents for file in files):
        raise NothingToRead(
            f"no row of the corpus holds a text in column {asked.text_column!r} "
            f"({_reasons(files)}): name another with --text-column"
        )


# What is asked -------------------------------------------------------------------------------


def _request(
    asked: Spec, raw: Corpus, names: tuple[str, ...], targets: Mapping[str, Corpus], means: Means
) -> dict[str, Any]:
    inputs = {
        "raw": _inputs(raw, names, means),
        "target": {n: _inputs(c, _names(c), means) for n, c in targets.items()},
    }
    return {
        "method": asked.method,
        "settings": dict(asked.settings),
        "stages": [dict(stage) for stage in asked.stages],
        "budget": str(budget.parse(asked.budget)),
        "seed": asked.seed,
        "text_column": asked.text_column,
        "id_column": asked.id_column,
        "group_by": asked.group_by,
        "inputs": inputs,
    }


def _inputs(corpus: Corpus, names: Sequence[str], means: Means) -> list[dict[str, Any]]:
    hashes = shards.fingerprints(corpus, means.map)
    return [
        {"name": name, "bytes": shard.size, "rows": shard.rows, "hash": found}
        for shard, name, found in zip(corpus.shards, names, hashes, strict=True)
    ]


def _names(corpus: Corpus) -> tuple[str, ...]:
    """The shards' addresses from their common folder on: the same wherever the corpus lies."""
    uris = [shard.uri for shard in corpus.shards]
    folder = posixpath.commonpath([posixpath.dirname(uri) for uri in uris]) if uris else ""
    return tuple(posixpath.relpath(uri, folder) if folder else uri for uri in uris)


def _claim(out: str, ground: Ground) -> None:
    """Mark the folder as this selection's, or make sure that it is."""
    uri = storage.join(out, STATE)
    begun = any(storage.names(storage.join(out, folder)) for folder in ("fit", "scores"))
    begun = begun or bool(_parts_in(out))
    if begun and not storage.exists(uri):
        raise OtherSelection(
            f"{out}: holds files of a selection that cannot be told: give another --out, or "
            f"--fresh to delete them"
        )
    makers = _makers(ground.spec)
    if begun:
        claim = json.loads(storage.read_bytes(uri))
        _same(claim, ground.request, out)
        _same_makers(claim.get(MAKERS, {}), makers, out)
    else:  # nothing was done under an older claim, so nothing is lost
        storage.write_bytes(uri, manifest.canonical({**ground.request, MAKERS: makers}))


def _makers(asked: Spec) -> dict[str, str]:
    """What a run's bytes may hang on: it has to be finished by what began it."""
    methods = [asked.method, *(stage["method"] for stage in asked.stages)]
    packages = sorted({catalog.package(name) for name in methods})
    known = {"assay": version("assay"), "methods": ", ".join(packages)}
    return known | {"pyarrow": pa.__version__, "numpy": np.__version__}


def _same_makers(found: Mapping[str, str], now: Mapping[str, str], out: str) -> None:
    if found != now:
        raise OtherSelection(
            f"{out}: was begun by another version ({_difference('made by', found, dict(now))}), "
            f"whose files are not mixed with ours: finish it with that one, or --fresh to start "
            f"over"
        )


def _parts_in(out: str) -> list[str]:
    found = storage.names(out)
    return [name for name in found if name.startswith("part-") and name.endswith(".parquet")]


def _check_apart(corpus: Corpus, out: str) -> None:
    """A part may have the name of a shard: what is read must not lie where we write."""
    inside = posixpath.join(storage.join(out), "")
    for shard in corpus.shards:
        if shard.uri.startswith(inside):
            raise BadRequest(
                f"{shard.uri} is to be read and lies in the output folder {out}, where it could be "
                f"overwritten: give another --out, outside the folders that are read"
            )


def _same(found: Mapping[str, Any], request: Mapping[str, Any], out: str) -> None:
    plain = json.loads(manifest.canonical(request))
    other = [key for key in plain if found.get(key) != plain[key]]
    if other:
        said = "; ".join(_difference(key, found.get(key), plain[key]) for key in other)
        raise OtherSelection(
            f"{out}: holds a different selection ({said}): give another --out, or --fresh to "
            f"delete that one"
        )


def _difference(key: str, there: Any, asked: Any) -> str:
    if key == "inputs":
        return "its inputs are not the same files, or have changed since"
    if isinstance(there, dict) and isinstance(asked, dict):
        names = [name for name in {**there, **asked} if there.get(name) != asked.get(name)]
        return ", ".join(f"{n} is {there.get(n)!r} there, {asked.get(n)!r} here" for n in names)
    return f"{key} is {there!r} there, {asked!r} here"


# What came out -------------------------------------------------------------------------------


def _content(
    ground: Ground,
    scorer: Scorer,
    rule: Rule,
    files: Sequence[ScoreFile],
    parts: Sequence[Written],
) -> dict[str, Any]:
    sums = {name: sum(getattr(f, name) for f in files) for name in ("documents", "bytes", "tokens")}
    spent = {
        "documents": sum(part.rows for part in parts),
        "bytes": sum(part.text_bytes for part in parts),
        "tokens": sum(part.tokens for part in parts),
    }
    appraisal = _appraisal(scorer, sums)
    return {
        "request": ground.request,
        "versions": _versions(scorer),
        "corpus": sums | {"rows": ground.raw.rows, "bad_rows": _bad_rows(files)},
        "spent": spent,
        "cut": rule.describe(),
        "scores": {"columns": list(scorer.names), "files": len(files)},
        "parts": [part.entry() for part in parts],
    } | ({"appraisal": appraisal} if appraisal else {})


def _appraisal(scorer: Scorer, corpus: Mapping[str, int]) -> dict[str, Any]:
    if not isinstance(scorer, Appraises):
        return {}
    return scorer.appraisal(corpus["documents"], corpus["bytes"])


def _versions(scorer: Scorer) -> dict[str, str]:
    """Ours, and those of what the scorer is built on: other versions may give other scores."""
    features = getattr(getattr(scorer, "features", None), "version", None)
    unicode = kernels.UNICODE_VERSION
    known = {"assay": version("assay"), "pyarrow": pa.__version__, "unicode": unicode}
    known |= {"tokenizer": TOKENIZER} | ({"features": features} if features else {})
    return known | dict(getattr(scorer, "versions", {}))


def _run(ground: Ground, means: Means, begun: float) -> dict[str, Any]:
    return {
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun)),
        "seconds": round(time.time() - begun, 3),
        "workers": means.workers,
        "engine": means.engine,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "raw": [shard.uri for shard in ground.raw.shards],
        "target": {n: [s.uri for s in c.shards] for n, c in ground.targets.items()},
        "scores": dict(ground.known.places),
        "max_bad_rows": ground.spec.max_bad_rows,
    }


def _warnings(
    files: Sequence[ScoreFile], asked: Budget, content: Mapping[str, Any], staged: bool
) -> Iterator[str]:
    bad = sum(file.bad_rows for file in files)
    if bad:
        share = bad / content["corpus"]["rows"]
        yield f"{bad} rows ({share:.2%}) could not be read and are in quarantine: {_reasons(files)}"
    spent, unit = content["spent"], "documents" if asked.unit == "docs" else asked.unit
    limit = asked.limit(content["corpus"][unit])
    if limit > content["corpus"][unit]:
        yield f"the budget is more than the corpus holds: {content['corpus'][unit]} {unit}"
    elif spent[unit] < 0.9 * limit and not (staged and asked.share):  # a share of what is left
        yield f"{spent[unit]} of {limit} {unit} are spent: what comes next does not fit or may not"


def _bad_rows(files: Sequence[ScoreFile]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for file in files:
        total.update(dict(file.reasons))
    return dict(sorted(total.items()))


def _reasons(files: Sequence[ScoreFile]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in _bad_rows(files).items())


def _listed(corpus: Corpus) -> str:
    return ", ".join(shard.uri for shard in corpus.shards) or "no shard"
