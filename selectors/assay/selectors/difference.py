"""Two selections compared: which documents they share, which not, and why."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from assay.selectors import scores, storage
from assay.selectors.past import Past, differences
from assay.selectors.records import best, score_names
from assay.selectors.selection import Means
from assay.selectors.selector import Rule
from assay.selectors.stages import Passed
from assay.selectors.writing import ADDED

SHOWN = 10  # documents named on each side


def difference(a: Past, b: Past) -> dict[str, Any]:
    """What differs between what was asked, and between what came out."""
    kept_a, kept_b = _kept(a), _kept(b)
    then, now = a.manifest, b.manifest
    only_a = kept_a.join(kept_b, on="id", how="anti")
    only_b = kept_b.join(kept_a, on="id", how="anti")
    both, either = len(kept_a) - len(only_a), len(kept_a) + len(only_b)
    return {
        "same": then.digest == now.digest,
        "asked": list(_asked(a, b)),
        "inputs": differences(then.request["inputs"], now.request["inputs"]),
        "versions": list(
            _changes("", a.manifest.content["versions"], b.manifest.content["versions"])
        ),
        "both": both,
        "jaccard": both / either if either else 1.0,
        "only_a": _side(only_a, b),
        "only_b": _side(only_b, a),
    }


def _kept(past: Past) -> pl.DataFrame:
    """The ids that a selection keeps, with their scores."""
    tables = [_part(past, part["name"]) for part in past.manifest.content["parts"]]
    found = pl.DataFrame(pl.from_arrow(pa.concat_tables(tables)))
    return found.unique("id", keep="first", maintain_order=True)


def _part(past: Past, name: str) -> pa.Table:
    file = storage.open_input(past.manifest.uri(name))
    return pq.read_table(file, columns=list(ADDED[:2])).rename_columns(["id", "score"])


def _side(only: pl.DataFrame, other: Past) -> dict[str, Any]:
    """Documents that the other selection lacks, and what it thought of them."""
    judged = only.join(_scored(other, only), on="id", how="left", suffix="_there")
    top = judged.sort(["score", "id"], descending=[True, False]).head(SHOWN)
    return {
        "documents": len(only),
        "because": dict(_reasons(judged)),
        "examples": top.rename(
            {"score_there": "score_in_the_other", "ended": "ruled_out_by"}
        ).to_dicts(),
    }


def _reasons(judged: pl.DataFrame) -> Iterator[tuple[str, int]]:
    """Why the other selection lacks these documents, and how many for each reason."""
    unknown = judged["score_there"].is_null()
    yield "not in the other's corpus, or unreadable there", int(unknown.sum())
    stages = judged["ended"].drop_nulls().value_counts().sort("ended")
    for name, documents in stages.iter_rows():
        yield f"ruled out by the other's stage {name}", documents
    yield "below the other's cut", int((~unknown & judged["ended"].is_null()).sum())


def _scored(past: Past, wanted: pl.DataFrame) -> pl.DataFrame:
    """The best score that a selection gave to each of some ids, and the stage that ended it."""
    empty = pl.DataFrame(schema={"id": pl.String, "score": pl.Float64, "ended": pl.String})
    rule = past.rule(Means()) if past.manifest.request.get("stages") else None
    among = (frame for file in past.files for frame in _among(file.uri, wanted, rule))
    return pl.concat([empty, *among]).sort("score", "ended", nulls_last=True).group_by("id").last()


def _among(uri: str, wanted: pl.DataFrame, rule: Rule | None) -> Iterator[pl.DataFrame]:
    names = scores.names_of(uri)
    for scored in scores.read(uri, names if rule else score_names(names)):
        there = pl.DataFrame({"id": cast(pl.Series, pl.from_arrow(scored.id))}).with_row_index()
        there = there.join(wanted.select("id"), on="id", how="semi")
        some = scored.take(there["index"].to_numpy().astype(np.int64))
        ended = rule.ended(some) if isinstance(rule, Passed) else [None] * len(some)
        told = pl.Series(ended, dtype=pl.String)
        yield pl.DataFrame({"id": there["id"], "score": best(some), "ended": told})


def _asked(a: Past, b: Past) -> Iterator[str]:
    for key, there in a.manifest.request.items():
        if key not in ("inputs", "stages"):
            yield from _changes(key, there, b.manifest.request.get(key))
    yield from _stages(*(past.manifest.request.get("stages", []) for past in (a, b)))


def _stages(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> Iterator[str]:
    """Other methods; or the same, and what else differs in each."""
    names = [[stage["method"] for stage in stages] for stages in (a, b)]
    if names[0] != names[1]:
        told = (", ".join(some) or "none" for some in names)
        yield "stages: {} in A, {} in B".format(*told)
        return
    for place, (one, other) in enumerate(zip(a, b, strict=True), 1):
        yield from _changes(f"stages.{place}", one, other)


def _changes(name: str, a: Any, b: Any) -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            yield from _changes(f"{name}.{key}" if name else key, a.get(key), b.get(key))
    elif a != b:
        yield f"{name}: {a!r} in A, {b!r} in B"
