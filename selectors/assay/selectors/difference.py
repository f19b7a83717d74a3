"""Two selections compared: which documents they share, which not, and why."""

from collections.abc import Iterator
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from assay.selectors import scores, storage
from assay.selectors.past import Past, differences
from assay.selectors.records import score_names
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
    unknown = judged.filter(pl.col("score_there").is_null())
    top = judged.sort(["score", "id"], descending=[True, False]).head(SHOWN)
    return {
        "documents": len(only),
        "because": {
            "not in its corpus, or unreadable there": len(unknown),
            "below its cut": len(judged) - len(unknown),
        },
        "examples": top.rename({"score_there": "score_in_the_other"}).to_dicts(),
    }


def _scored(past: Past, wanted: pl.DataFrame) -> pl.DataFrame:
    """The best score that a selection gave to each of some ids."""
    empty = pl.DataFrame(schema={"id": pl.String, "score": pl.Float64})
    found = [empty, *(frame for file in past.files for frame in _among(file.uri, wanted))]
    return pl.concat(found).group_by("id").agg(pl.col("score").max())


def _among(uri: str, wanted: pl.DataFrame) -> Iterator[pl.DataFrame]:
    file = pq.ParquetFile(storage.open_input(uri))
    names = score_names(scores.names_of(uri))
    for batch in file.iter_batches(columns=["id", *names], use_threads=False):
        frame = pl.DataFrame(pl.from_arrow(batch)).join(wanted.select("id"), on="id", how="semi")
        yield frame.select("id", pl.max_horizontal(names).alias("score"))


def _asked(a: Past, b: Past) -> Iterator[str]:
    for key, there in a.manifest.request.items():
        if key != "inputs":
            yield from _changes(key, there, b.manifest.request.get(key))


def _changes(name: str, a: Any, b: Any) -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            yield from _changes(f"{name}.{key}" if name else key, a.get(key), b.get(key))
    elif a != b:
        yield f"{name}: {a!r} in A, {b!r} in B"
