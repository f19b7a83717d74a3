"""From finished trainings to an answer: differences, ranks, effective data, cost."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from assay.scaling.architecture import Experts, Shape, count, six_n
from assay.scaling.commands import Document, Reply
from assay.scaling.costs import HOUR, price_of
from assay.scaling.documents import plain
from assay.scaling.proxy import paired, words
from assay.scaling.proxy.arms import SUBSET
from assay.scaling.proxy.evaluate import LN2
from assay.scaling.proxy.ladder import TOKENS_PER_PARAMETER
from assay.scaling.proxy.log import Record
from assay.scaling.proxy.tokens import Counts
from assay.scaling.slopes import Floats
from assay.selectors import storage

if TYPE_CHECKING:
    from assay.scaling.proxy.validate import Found, Study

FAR = 1e4  # times the largest proxy's compute; a judgement, no measurement
SMALL = 3  # seeds below which an interval is hardly one
MANY_EPOCHS = 4.0  # Muennighoff et al. 2023, arXiv 2305.16264: repeats are nearly as good till here


def compared(study: "Study", found: "Found") -> Document:
    """Everything that the trainings say, as plain values."""
    sizes = study.spec.sizes
    means = {size: {arm: mean(found[arm, size]) for arm in study.arms} for size in sizes}
    document: Document = {
        "format": "assay.validation/1",
        "subset": {"digest": study.manifest.digest, "method": study.manifest.request["method"],
                   "bytes": study.texts.unique},
        "spec": plain(asdict(study.spec)),
        "target": {
            "documents": len(np.unique(study.target.owners)),
            "passages": study.target.pieces,
            "bytes": int(study.target.final.bytes.sum()),
            "leaking": study.target.leaking,
        },
        "arms": [arm_row(arm, size, found[arm, size]) for size in sizes for arm in study.arms],
        "comparisons": [one for size in sizes for one in comparisons(study, found, size)],
        "agreement": [
            plain(paired.agreement(size, sizes[-1], means)) for size in sizes[:-1]
        ],
        "learning_rates": learning_rates(study),
        "extrapolation": extrapolation(study, found),
        "cost": cost(study, found),
        "device": {
            "kind": study.device.kind,
            "name": study.device.name,
            "threads": study.device.threads,
        },
    }  # fmt: skip
    document["warnings"] = [*study.warnings, *warnings(study, found, document)]
    return document


def mean(records: Sequence[Record]) -> float:
    return float(np.mean([one.bits_per_byte for one in records]))


def arm_row(arm: str, size: str, records: Sequence[Record]) -> Document:
    values = [one.bits_per_byte for one in records]
    first = records[0].content
    return {
        "arm": arm,
        "size": size,
        "bits_per_byte": mean(records),
        "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "seeds": values,
        "correct_prob": averaged(records, "correct_prob"),
        "accuracy": averaged(records, "accuracy"),
        "activation": active(records),
        "tokens": first["tokens"],
        "unique_tokens": first["unique_tokens"],
        "epochs": first["tokens"] / max(1, first["unique_tokens"]),
        "parameters": first["parameters"],
        "learning_rate": first["spec"]["learning_rate"],
        "tokens_per_second": float(np.median([o.content["tokens_per_second"] for o in records])),
        "flops_utilisation": first["flops_utilisation"],
    }


def active(records: Sequence[Record]) -> float | None:
    """The share of neurons that perplexity needs, CETT-PPL-1%; None where it was not measured."""
    if "activation" not in records[0].content:
        return None
    return float(np.mean([one.content["activation"]["activation"] for one in records]))


def averaged(records: Sequence[Record], name: str) -> float | None:
    if name not in records[0].content:
        return None
    return float(np.mean([one.content[name] for one in records]))


def comparisons(study: "Study", found: "Found", size: str) -> list[Document]:
    """The subset against every other arm of one size, adjusted for asking several times."""
    controls = [arm for arm in study.arms if arm != SUBSET]
    _, owners = np.unique(study.target.owners, return_inverse=True)
    weights = study.target.final.bytes.astype(float)
    sizes = np.bincount(owners, weights=weights).astype(float)
    ours = bits(found[SUBSET, size], owners)
    gaps = {arm: paired.difference(ours, bits(found[arm, size], owners), sizes) for arm in controls}
    adjusted = paired.holm({arm: gap.p for arm, gap in gaps.items()})
    return [
        {
            "size": size,
            "control": arm,
            "gain": plain(gap),
            "per_cent": 100 * gap.mean / mean(found[arm, size]),
            "p_holm": adjusted[arm],
            "choices": choices(found[SUBSET, size], found[arm, size]),
            "verdict": paired.verdict(gap, adjusted[arm]),
            "effective_data": plain(
                paired.multiplier(curves(found[SUBSET, size]), curves(found[arm, size]))
            ),
        }
        for arm, gap in gaps.items()
    ]


def choices(ours: Sequence[Record], theirs: Sequence[Record]) -> Document | None:
    """Subset less control in CORRECT_PROB, seed by seed; None where no questions were asked."""
    if "correct_prob" not in ours[0].content:
        return None
    gaps = np.array(
        [
            float(a.content["correct_prob"]) - float(b.content["correct_prob"])
            for a, b in zip(ours, theirs, strict=True)
        ]
    )
    return {
        "gain": float(gaps.mean()),
        "t": plain(paired.t_interval(gaps)) if len(gaps) > 1 else None,
        "p": paired.p_value(gaps),
    }


def extrapolation(study: "Study", found: "Found") -> list[Document]:
    """Of the gain over each control, where a size was asked about; plain laws, no promise."""
    asked, sizes = study.spec, study.spec.sizes
    if not asked.at_params:
        return []
    tokens = asked.at_tokens or TOKENS_PER_PARAMETER * asked.at_params
    compute = {
        arm: np.array([float(found[arm, size][0].content["flops"]) for size in sizes])
        for arm in study.arms
    }
    losses = {
        arm: np.array([[one.bits_per_byte for one in found[arm, size]] for size in sizes]).T
        for arm in study.arms
    }
    # At equal tokens: `cost` has a compute of its own, and is left to the sizes trained.
    controls = [arm for arm in study.arms if arm not in (SUBSET, "cost")]
    at = six_n(asked.at_params) * tokens
    expected = {
        arm: plain(paired.extrapolated(compute[SUBSET], losses[SUBSET], losses[arm], at))
        for arm in controls
    }
    # Its own "control" is the loss expected there.
    return [
        {**one, "control": arm, "control_bits_per_byte": one["control"]}
        for arm, one in expected.items()
    ]


def learning_rates(study: "Study") -> list[Document]:
    """What each rate came to on the tuning documents; empty where one was given."""
    return [
        {
            "size": size,
            "arm": arm,
            "best": min(lost, key=lambda factor: lost[factor]),
            "tried": [{"factor": f, "tuning_bits_per_byte": bits} for f, bits in lost.items()],
        }
        for (size, arm), lost in study.tried.items()
    ]


def turned(study: "Study") -> list[str]:
    """One rate for all arms would have ranked them otherwise."""
    told = []
    for size in study.spec.sizes:
        tried = {arm: lost for (of, arm), lost in study.tried.items() if of == size}
        flips = paired.flips(tried) if len(tried) > 1 else []
        told += [
            f"{size}: were {factor:g} times the learning rate used for all arms, {first} would come"
            f" before {second}; at the best rate of each it comes behind: do not compare arms at"
            " one rate"
            for factor, first, second in flips
        ]
    return told


def bits(records: Sequence[Record], owners: Counts) -> Floats:
    """(seeds, documents), from passages."""
    return np.stack([np.bincount(owners, weights=one.surprise.nats / LN2) for one in records])


def curves(records: Sequence[Record]) -> list[tuple[Floats, Floats]]:
    return [
        (
            np.array([row["tokens"] for row in one.curve], float),
            np.array([row["bits_per_byte"] for row in one.curve]),
        )
        for one in records
    ]


def cost(study: "Study", found: "Found") -> Document:
    """Of the trainings and of the selection. The trainings' hours are those that were measured
    here; beside them, what the same FLOPs take on the machine that was named."""
    records = [one for some in found.values() for one in some] + study.trials
    flops = sum(float(one.content["flops"]) for one in records)
    seconds = sum(float(one.content["seconds"]) for one in records)
    rate = flops / max(seconds, 1e-9)
    dollars = study.means.rates.dollars_per_hour
    selection = study.selection_seconds
    return {
        "trainings": len(records),
        "flops": flops,
        "hours": seconds / HOUR,
        "dollars": None if dollars is None else dollars * seconds / HOUR,
        "selection_hours": selection / HOUR,
        "selection_flops": max(selection * rate, study.selection_flops),
        "selection_dollars": None if dollars is None else dollars * selection / HOUR,
        "on_named_machine": plain(price_of(flops, study.means.rates)),
        "named_machine": study.means.rates.hardware.name,
    }


def warnings(study: "Study", found: "Found", document: Mapping[str, Any]) -> list[str]:
    told = []
    if study.spec.seeds < SMALL:
        told.append(
            f"{study.spec.seeds} seeds: an interval needs at least two, and three to be of use"
        )
    for row in document["arms"]:
        if row["arm"] == SUBSET and row["epochs"] > MANY_EPOCHS:
            told.append(
                f"{row['size']}: the subset was read {row['epochs']:.1f} times; beyond"
                f" {MANY_EPOCHS:g}, repeats are worth less than new text: train on fewer --tokens"
            )
    if "matched" in study.arms and study.spec.group_by is None:
        told.append("matched: by length alone; --group-by COLUMN matches domains as well")
    if any(one["factor"] > FAR for one in document["extrapolation"]):
        told.append(
            f"the run that was asked about is more than {FAR:g} times the largest proxy: too far"
            " for any law that was fitted to these; train larger ones, or ask about a smaller run"
        )
    if document["extrapolation"] and len(study.spec.sizes) < 3:
        told.append(
            "two sizes lie on any power law: the extrapolation cannot be tested; train a third"
        )
    told += turned(study)
    flips = [one for one in document["agreement"] if one["kendall_tau"] < 0]
    told += [f"{o['small']} ranks the arms against {o['large']}: do not trust it" for o in flips]
    verdicts = {c["control"]: c["verdict"] for c in document["comparisons"]
                if c["size"] == study.spec.sizes[-1]}  # fmt: skip
    if verdicts.get("uniform") == "better" and verdicts.get("cost", "better") != "better":
        told.append(
            "the gain over a uniform sample does not survive the cost of selecting: at the proxies'"
            " size the selection's time is better spent on training"
        )
    return told


# Rows that `assay fit` reads ---------------------------------------------------------------


def rows(found: "Found") -> pl.DataFrame:
    """A row for each training, in the words of a table of runs."""
    return pl.DataFrame(
        [
            {
                "name": one.content["name"],
                "arm": one.content["arm"],
                "size": one.content["size"],
                "seed": one.content["seed"],
                "params": one.content["parameters"],
                "counted": "non-embedding",
                "tokens": one.content["tokens"],
                "unique_tokens": one.content["unique_tokens"],
                "loss": one.bits_per_byte,
                "unit": "bits/byte",
                "tokenizer": "bytes of the target",
                "learning_rate": one.content["spec"]["learning_rate"],
                "batch_tokens": one.content["batch"] * one.content["spec"]["sequence"],
                "steps": one.content["steps"],
                "seconds": one.content["seconds"],
                **of_experts(one.content["shape"]),
                **of_neurons(one.content.get("activation")),
            }
            for some in found.values()
            for one in some
        ]
    )


def of_experts(kept: Document) -> Document:
    """The columns that laws of mixtures read; none for a dense model."""
    if not kept["experts"]:
        return {}
    shape = Shape(**{**kept, "experts": Experts(**kept["experts"])})
    assert shape.experts is not None
    return {
        "active_params": count(shape).active,
        "experts": shape.experts.count,
        "granularity": shape.granularity,
        "activation": shape.experts.activation,
        "sparsity": 1 - shape.experts.activation,
    }


def of_neurons(found: Document | None) -> Document:
    """The column that laws of activation sparsity predict; none where it was not measured."""
    return {"activation": found["activation"]} if found else {}


def reply(study: "Study", found: "Found", document: Document) -> Reply:
    """The answer; its rows are written beside the trainings, of all arms and of each."""
    table = rows(found)
    for name, frame in [("runs", table), *per_arm(table)]:
        content = frame.write_csv().encode()
        storage.write_bytes(str(study.means.out / f"{name}.csv"), content)
    from assay.scaling.proxy import pictures

    return Reply(document, words.told(document), lambda: pictures.drawn_of(document, found))


def per_arm(table: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [
        (f"runs-{arm}", table.filter(pl.col("arm") == arm))
        for arm in table["arm"].unique(maintain_order=True)
    ]
