"""The story of `assay prune-sequences`: which users' sequences a recommender is to be tuned on.

1. A surrogate is trained on all sequences; what users did later says which epoch is best.
2. The influence of each sequence on the mean loss (Eq. 11), by the surrogate.
3. The effort that each prompt's answer takes a language model (Eq. 12), by a small one.
4. overall = influence + effort_weight * effort, both brought to [0, 1] (Eq. 13).
5. A choice that covers the range of the overall score (Algorithm 2), the highest left out.

NAME.parquet holds who is chosen, NAME.scores.parquet everybody's scores, and NAME.json, written
last, what was asked of what and what was found. The same request gives the same bytes on one
machine with as many threads.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from assay.scaling.errors import ScalingError
from assay.scaling.influence import coverage, solvers
from assay.scaling.influence.coverage import Scale, Width, normalise, stratified
from assay.scaling.influence.errors import BadInfluence, BudgetAboveCorpus
from assay.scaling.influence.sequences import effort, scores, surrogate
from assay.scaling.influence.sequences.effort import EffortSpec
from assay.scaling.influence.sequences.reading import (
    Prompts,
    Sequences,
    gathered,
    joined,
    read_prompts,
    read_sequences,
)
from assay.scaling.influence.sequences.scores import InfluenceSpec, correlation
from assay.scaling.influence.sequences.surrogate import TrainSpec
from assay.scaling.proxy import ladder
from assay.scaling.proxy.tokens import BYTES
from assay.selectors import storage
from assay.selectors.choice import mix
from assay.selectors.errors import OtherSelection
from assay.selectors.manifest import canonical

Floats = npt.NDArray[np.float64]
Document = dict[str, Any]

FORMAT = "assay.sequences/1"
HELD_BACK = 10  # without --valid, one user in so many gives the last item
AGREEING = 0.99  # correlation with the plain dot product from which the Hessian has no say
LOW, MOSTLY_LOW = 0.1, 0.3  # a uniform sample has a tenth of it there
UNSETTLED = 0.2  # spread over repeats


@dataclass(frozen=True)
class PruneSpec:
    """What decides who is chosen. Defaults are DEALRec's published ones; the weight of effort was
    searched there, .3 on Games and 1 on the others."""

    budget: int
    effort_weight: float = 0.3
    normalisation: Scale = "minmax"
    groups: int = 50
    width: Width = "equal"
    hard_prune: float = 0.1
    seed: int = 42
    surrogate: TrainSpec = field(default_factory=TrainSpec)
    influence: InfluenceSpec = field(default_factory=InfluenceSpec)
    effort: EffortSpec = field(default_factory=EffortSpec)


@dataclass(frozen=True)
class Tables:
    """Where the data lies. The surrogate is validated on `valid`, or on last items held back."""

    sequences: str
    prompts: str = ""
    valid: str = ""
    id_column: str = ""
    items_column: str = "items"
    prompt_column: str = "prompt"
    answer_column: str = "answer"

    def inputs(self) -> dict[str, str]:
        """The content of each, by its hash."""
        named = {"sequences": self.sequences, "prompts": self.prompts, "valid": self.valid}
        return {
            name: "sha256:" + hashlib.sha256(storage.read_bytes(uri)).hexdigest()
            for name, uri in named.items()
            if uri
        }


@dataclass(frozen=True)
class Scored:
    """Everybody's scores, (n,), and what is worth saying about how they came about."""

    sequences: Sequences
    influence: Floats
    effort: Floats | None
    overall: Floats
    notes: Document


Tell = Callable[[str], None]


def prune(spec: PruneSpec, tables: Tables, out: str, tell: Tell, fresh: bool = False) -> Document:
    """Choose, and write it down; the manifest's content."""
    check(spec, tables, out)
    spec = seeded(spec)
    request = {"spec": asdict(spec), "columns": columns(tables), "inputs": tables.inputs()}
    check_out(out, request, fresh)
    sequences, prompts, training, later = read(spec, tables, tell)
    found = scored(spec, sequences, prompts, training, later, tell)
    chosen = choose(spec, found)
    found.notes["warnings"] += low_tail(found.overall, chosen)
    return write(out, request, found, chosen)


def seeded(spec: PruneSpec) -> PruneSpec:
    """One seed for all: the surrogate, the series and the language model."""
    return replace(
        spec,
        surrogate=replace(spec.surrogate, seed=spec.seed),
        influence=replace(spec.influence, seed=spec.seed),
        effort=replace(spec.effort, seed=spec.seed),
    )


# The data ------------------------------------------------------------------------------


def read(
    spec: PruneSpec, tables: Tables, tell: Tell
) -> tuple[Sequences, Prompts | None, Sequences, Sequences]:
    """Who may be chosen, their prompts, what the surrogate sees of all, and what comes later."""
    every = read_sequences(tables.sequences, tables.id_column, tables.items_column)
    sequences = every.usable(tables.sequences)
    if len(sequences) < len(every):
        tell(f"{len(every) - len(sequences):,} of {len(every):,} sequences have one item or none:"
             " they are left out")  # fmt: skip
    prompts = None
    if tables.prompts:
        given = read_prompts(
            tables.prompts, tables.id_column, tables.prompt_column, tables.answer_column
        )
        sequences, prompts = joined(sequences, given)
    if spec.budget > len(sequences):
        raise BudgetAboveCorpus(
            f"--budget {spec.budget:,}: there are {len(sequences):,} sequences of two items or more"
            f"{' with a prompt' if prompts else ''}: ask for fewer"
        )
    if tables.valid:
        later = read_sequences(tables.valid, tables.id_column, tables.items_column, every.known)
        return sequences, prompts, sequences, later
    return sequences, prompts, *held_back(sequences, spec.seed)


def held_back(sequences: Sequences, seed: int) -> tuple[Sequences, Sequences]:
    """All sequences, those of some users without their last item; and these items."""
    some = (mix(sequences.keys, seed) % np.uint64(HELD_BACK) == 0) & (sequences.lengths > 2)
    before = [sequences.of(i)[:-1] if some[i] else sequences.of(i) for i in range(len(sequences))]
    after = [
        sequences.of(i)[-1:] if some[i] else sequences.of(i)[:0] for i in range(len(sequences))
    ]
    return (
        gathered(sequences.ids, before, sequences.known),
        gathered(sequences.ids, after, sequences.known),
    )


# Scores --------------------------------------------------------------------------------


def scored(
    spec: PruneSpec,
    sequences: Sequences,
    prompts: Prompts | None,
    training: Sequences,
    later: Sequences,
    tell: Tell,
) -> Scored:
    tell(f"surrogate: {len(training):,} sequences of {len(training.known):,} items")
    found = surrogate.trained(spec.surrogate, training, training, later, tell)
    tell(f"influence: {spec.influence.steps:,} steps of the series, then {len(sequences):,} scores")
    moved = scores.influence(spec.influence, found.model, sequences)
    overall = normalise(moved.scores, spec.normalisation)
    notes = notes_on(found, moved)
    if prompts is None or spec.effort_weight == 0:
        return Scored(sequences, moved.scores, None, overall, notes)
    tell(f"effort: a language model of {spec.effort.tokens:,} bytes, then the answers' gradients")
    hard = effort.effort(spec.effort, effort.trained(spec.effort, prompts), prompts)
    overall = overall + spec.effort_weight * normalise(hard.scores, spec.normalisation)
    return Scored(
        sequences, moved.scores, hard.scores, overall, notes | effort_notes(hard, prompts)
    )


def notes_on(found: surrogate.Trained, moved: scores.Influence) -> Document:
    kept = next((one for one in found.epochs if one.number == found.best), None)
    warnings = []
    if abs(moved.agreement) >= AGREEING:
        warnings.append(
            f"influence correlates by {moved.agreement:.4f} with the plain dot product of"
            f" gradients: at a ridge of {moved.series.ridge:g} the Hessian has no say; a smaller"
            " --damping or --over all gives it one"
        )
    if moved.series.spread > UNSETTLED:
        warnings.append(
            f"the series differs by {moved.series.spread:.0%} between repeats: more --repeats"
        )
    return {
        "surrogate": {
            "epochs": found.epochs[-1].number if found.epochs else 0,
            "kept": found.best,
            f"valid_ndcg_{surrogate.TOP}": rounded(kept.ndcg if kept else float("nan")),
        },
        "influence": {
            "ridge": moved.series.ridge,
            "repeats": moved.series.repeats,
            "spread": rounded(moved.series.spread) if moved.series.repeats > 1 else None,
            "agreement_with_plain_dot_product": rounded(moved.agreement),
        },
        "warnings": warnings,
    }


def effort_notes(hard: effort.Effort, prompts: Prompts) -> Document:
    """What effort goes along with: a score that is the answer's length says little else."""
    length = np.array([len(one.encode()) for one in prompts.answers], float)
    return {
        "effort": {
            "nats_per_byte": rounded(float(hard.nats.mean())),
            "correlation_with_nats": rounded(correlation(hard.scores, hard.nats)),
            "correlation_with_answer_bytes": rounded(correlation(hard.scores, length)),
        }
    }


def choose(spec: PruneSpec, found: Scored) -> npt.NDArray[np.int64]:
    return stratified(
        found.overall,
        spec.budget,
        spec.groups,
        spec.width,
        spec.hard_prune,
        spec.seed,
        found.sequences.keys,
    )


def low_tail(overall: Floats, chosen: npt.NDArray[np.int64]) -> list[str]:
    """A word where the choice is mostly of the lowest scores, which is rarely what was meant."""
    lowest = int(overall.size * LOW)
    share = float(np.isin(chosen, np.argsort(overall, kind="stable")[:lowest]).mean())
    if share < MOSTLY_LOW:
        return []
    return [
        f"{share:.0%} of the chosen have scores in the lowest tenth: groups of equal range take the"
        " thin tails whole; --normalise rank --width quantile does not"
    ]


# What is left behind -------------------------------------------------------------------


def write(out: str, request: Document, found: Scored, chosen: npt.NDArray[np.int64]) -> Document:
    every = table(found)
    storage.write_bytes(f"{stem(out)}.scores.parquet", parquet(every))
    data = parquet(every.take(pa.array(chosen)))
    storage.write_bytes(out, data)
    content = {
        "format": FORMAT,
        "request": request,
        "sequences": len(found.sequences),
        "chosen": len(chosen),
        "versions": {"assay": version("assay"), "torch": version("torch")},
        "output": "sha256:" + hashlib.sha256(data).hexdigest(),
        **found.notes,
    }
    digest = "sha256:" + hashlib.sha256(canonical(content)).hexdigest()
    signed = {"digest": digest, **content}
    storage.write_bytes(f"{stem(out)}.json", json.dumps(signed, indent=1).encode())
    return signed


def table(found: Scored) -> pa.Table:
    columns: Mapping[str, Any] = {
        "id": pa.array(found.sequences.ids, pa.string()),
        "score": found.overall,
        "score.influence": found.influence,
    }
    if found.effort is not None:
        columns = {**columns, "score.effort": found.effort}
    return pa.table(dict(columns))


def parquet(rows: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue()


def told(out: str, content: Document) -> str:
    """The answer for people."""
    train, moved = content["surrogate"], content["influence"]
    lines = [
        f"{content['chosen']:,} of {content['sequences']:,} sequences: {out}",
        f"surrogate: epoch {train['kept']} of {train['epochs']} kept,"
        f" NDCG@{surrogate.TOP} {train[f'valid_ndcg_{surrogate.TOP}']} on later items",
        f"influence: ridge {moved['ridge']:g}, correlation with the plain dot product of gradients"
        f" {moved['agreement_with_plain_dot_product']}",
    ]
    if hard := content.get("effort"):
        lines.append(
            f"effort: {hard['nats_per_byte']} nats for each byte of an answer; correlation with"
            f" them {hard['correlation_with_nats']}, with the answer's length"
            f" {hard['correlation_with_answer_bytes']}"
        )
    return "\n".join([*lines, *(f"warning: {one}" for one in content["warnings"])])


# Checks --------------------------------------------------------------------------------


def check(spec: PruneSpec, tables: Tables, out: str) -> None:
    if not out.endswith(".parquet"):
        raise BadInfluence(f"--out {out!r}: a name that ends in .parquet, such as chosen.parquet")
    if spec.budget < 1:
        raise BadInfluence(f"--budget {spec.budget}: at least one sequence")
    if not tables.prompts and spec.effort_weight:
        raise BadInfluence(
            "effort is measured on texts: give --prompts FILE with id, prompt and answer, or"
            " choose by influence alone with --effort-weight 0"
        )
    if not np.isfinite(spec.effort_weight) or spec.effort_weight < 0:
        raise BadInfluence(f"--effort-weight {spec.effort_weight}: 0 or more")
    # Before minutes of training, what would be refused after them.
    coverage.check(np.zeros(spec.budget), spec.budget, spec.groups, spec.width, spec.hard_prune)
    asked = spec.influence
    solvers.check_series(1, asked.steps, asked.repeats, *asked.constants)
    ladder.shape(spec.effort.size, spec.effort.sequence, BYTES.vocabulary)


def check_out(out: str, request: Document, fresh: bool) -> None:
    """A choice of another request is not written over."""
    there = [uri for uri in (out, f"{stem(out)}.json") if storage.exists(uri)]
    if fresh or not there:
        return
    try:
        known = json.loads(storage.read_bytes(f"{stem(out)}.json"))["request"]
    except (ValueError, LookupError, TypeError, ScalingError, OSError):
        known = None
    if known != json.loads(json.dumps(request)):
        raise OtherSelection(
            f"{there[0]}: is there, and not of this request: give another --out, or --fresh to"
            " write over it"
        )


def columns(tables: Tables) -> dict[str, str]:
    return {name: value for name, value in asdict(tables).items() if name.endswith("_column")}


def stem(out: str) -> str:
    return out.removesuffix(".parquet")


def rounded(value: float) -> float | None:
    """Six digits: more would differ between machines. What is no number is null."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
