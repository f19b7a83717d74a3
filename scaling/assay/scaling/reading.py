"""Runs out of files: CSV, Parquet, JSON lines, and what MLflow and Weights & Biases export.

    runs = read("runs.csv.gz", mapping={"params": "Model Size", "compute": "Training FLOP"})

A column is found under its own name, under the name that the mapping gives, or behind a tracker's
prefix (`metrics.loss`, `config.params`, `summary.loss`). Numbers may carry a suffix (1.3B, 350M):
then all of the column must. Columns named `counted`, `unit` (or `loss_unit`) and `tokenizer` say
how the runs were counted; two answers in one file are an error that names the rows.
"""

import ast
import csv
import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assay.scaling.errors import BadRuns, BadValue, MissingRunColumn, MixedConventions
from assay.scaling.observations import (
    KNOWN,
    UNKNOWN,
    VOCABULARY,
    Conventions,
    Observations,
    with_derived,
)
from assay.scaling.slopes import Floats

# Where trackers put what the user logged. MLflow: search_runs() and the table's download; W&B: the
# export script of its manual (dicts in cells) and the public API's rows.
PREFIXES = ("metrics.", "params.", "config.", "summary.", "data.metrics.", "data.params.", "tags.")
DICT_COLUMNS = ("config", "summary", "data.metrics", "data.params", "data.tags")
STATE_COLUMNS = ("State", "state", "status", "Status", "info.status")
FINISHED = ("finished", "FINISHED", "Finished")
NAME_COLUMNS = ("Name", "name", "exp_name", "tags.mlflow.runName", "run_id", "Run ID", "id")
STATED = {
    "counted": "params",
    "unit": "loss",
    "loss_unit": "loss",
    "tokenizer": "tokenizer",
}  # column -> convention
SUFFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
GZIP = b"\x1f\x8b"  # how a gzip file begins
NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([kmbgt]?)\s*", re.IGNORECASE)


def read(
    path: str | Path,
    mapping: Mapping[str, str] | None = None,
    conventions: Conventions = UNKNOWN,
    scale: Mapping[str, float] | None = None,
) -> Observations:
    """The runs in a file. What the caller says of their conventions must not contradict it."""
    path = Path(path)
    return from_table(table(path), mapping, conventions, path.name, scale)


def bundled(name: str) -> Path:
    """A table of runs that comes with the package: "muennighoff2023" or "clark2022"."""
    folder = Path(__file__).parent / "data"
    if not (folder / f"{name}.csv").exists():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.csv")))
        raise BadRuns(f"no table {name!r} comes with the package; known: {known}")
    return folder / f"{name}.csv"


def from_table(
    frame: pl.DataFrame,
    mapping: Mapping[str, str] | None = None,
    conventions: Conventions = UNKNOWN,
    source: str = "runs",
    scale: Mapping[str, float] | None = None,
) -> Observations:
    """The runs in a data frame, one a row; `scale` multiplies columns before others follow."""
    frame = flat(frame)
    labels = tuple(row_labels(frame))
    finished, notes = keep_finished(frame)
    frame, labels = frame.filter(finished), tuple(np.array(labels, object)[finished])
    columns = {
        name: numbers(frame[found], name, source, labels)
        for name, found in find_columns(frame, mapping or {}, source).items()
    }
    stated = stated_conventions(frame, source, labels)
    for known_of in (stated, conventions):
        check_known(known_of, source)
    if clash := stated.conflicts(conventions):
        raise MixedConventions(f"{source} says otherwise than the request: {'; '.join(clash)}")
    known = {
        f.name: getattr(conventions, f.name) or getattr(stated, f.name) for f in fields(stated)
    }
    runs = Observations(columns, Conventions(**known), source, labels, notes)
    for name, factor in (scale or {}).items():
        runs = runs.having(**{name: runs[name] * factor})
    return with_derived(runs)


# Files ---------------------------------------------------------------------------------


def table(path: Path) -> pl.DataFrame:
    kind = next((s.lower() for s in reversed(path.suffixes) if s.lower() != ".gz"), "")
    if kind not in READERS:
        raise BadRuns(f"{path}: runs are read from {', '.join(READERS)}, also with .gz behind")
    try:
        return READERS[kind](path)
    except FileNotFoundError as cause:
        raise BadRuns(f"{path}: there is no such file") from cause
    except (pl.exceptions.PolarsError, ValueError, OSError) as cause:
        raise BadRuns(f"{path}: it cannot be read as {kind}: {cause}") from cause


def parquet(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path)


def csv_table(path: Path) -> pl.DataFrame:
    return delimited(path, ",")


def tsv_table(path: Path) -> pl.DataFrame:
    return delimited(path, "\t")


def delimited(path: Path, separator: str) -> pl.DataFrame:
    text = content(path)
    header = next(csv.reader(io.StringIO(text.decode(errors="replace")), delimiter=separator), [])
    twice = [name for name, times in Counter(header).items() if name and times > 1]
    if twice:
        raise ValueError(f"several columns are called {twice[0]!r}: rename all but one")
    return pl.read_csv(io.BytesIO(text), separator=separator, infer_schema_length=None)


def json_lines(path: Path) -> pl.DataFrame:
    return frame_of([json.loads(line) for line in content(path).splitlines() if line.strip()])


def json_document(path: Path) -> pl.DataFrame:
    return mlflow_search(json.loads(content(path)))


def content(path: Path) -> bytes:
    raw = path.read_bytes()
    return gzip.decompress(raw) if raw[:2] == GZIP else raw


READERS = {
    ".csv": csv_table,
    ".tsv": tsv_table,
    ".parquet": parquet,
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_document,
}


def mlflow_search(document: Any) -> pl.DataFrame:
    """A list of rows, or what MLflow's runs/search answers: lists of key and value."""
    runs = document.get("runs", document) if isinstance(document, dict) else document
    if not isinstance(runs, list):
        raise ValueError("expected a list of runs")
    return frame_of([{k: pairs(v) for k, v in flat_row(run).items()} for run in runs])


def pairs(value: Any) -> Any:
    keyed = isinstance(value, list) and all(isinstance(v, dict) and "key" in v for v in value)
    return {v["key"]: v.get("value") for v in value} if keyed else value


# Cells ---------------------------------------------------------------------------------


def frame_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    flat_rows = [flat_row(row) for row in rows]
    if not flat_rows:
        raise ValueError("it holds no runs")
    names = list(dict.fromkeys(name for row in flat_rows for name in row))
    return pl.DataFrame(
        {n: pl.Series(n, [r.get(n) for r in flat_rows], strict=False) for n in names}
    )


def flat_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """{"config": {"params": 1}} as {"config.params": 1}."""
    out: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            out.update({f"{name}.{inner}": v for inner, v in flat_row(value).items()})
        else:
            out[name] = value
    return out


def flat(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with cells that hold dicts (or their text) spread over columns."""
    spread = [
        name
        for name in frame.columns
        if isinstance(frame[name].dtype, pl.Struct)
        or (name in DICT_COLUMNS and frame[name].dtype == pl.String)
    ]
    if not spread:
        return frame
    rows = [
        {k: dict_of(v) if k in spread else v for k, v in row.items()} for row in frame.to_dicts()
    ]
    return frame_of(rows)


def dict_of(cell: Any) -> Any:
    """A dict out of JSON or Python text; anything else as it is."""
    if not isinstance(cell, str):
        return cell
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(cell)
        except (ValueError, SyntaxError):
            continue
    return cell


def row_labels(frame: pl.DataFrame) -> Iterator[str]:
    """Row numbers as an editor shows them less the header, with the run's name if there is one."""
    name = next((column for column in NAME_COLUMNS if column in frame.columns), None)
    for row in range(frame.height):
        yield f"row {row + 1}" + (f" ({frame[name][row]})" if name else "")


def keep_finished(frame: pl.DataFrame) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    """Runs that a tracker calls crashed or running have no final loss."""
    for name in STATE_COLUMNS:
        if name in frame.columns and frame[name].dtype == pl.String:
            keep = frame[name].is_in(FINISHED).to_numpy()
            if keep.any() and not keep.all():
                return keep, (f"{int((~keep).sum())} runs that did not finish were left out",)
    return np.ones(frame.height, bool), ()


# Columns -------------------------------------------------------------------------------


def find_columns(frame: pl.DataFrame, mapping: Mapping[str, str], source: str) -> dict[str, str]:
    """For each word of ours, the column of the file: mapped ones first, then by name."""
    found = {name: mapped(frame, name, column, source) for name, column in mapping.items()}
    for name in VOCABULARY:
        if name not in found and (column := by_name(frame, name, source)) is not None:
            found[name] = column
    for column in frame.columns:  # laws may read words that are not in the vocabulary
        if column not in found and column not in found.values() and numeric(frame[column]):
            found[column] = column
    return found


def mapped(frame: pl.DataFrame, name: str, column: str, source: str) -> str:
    if column in frame.columns:
        return column
    close = get_close_matches(column, frame.columns, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise MissingRunColumn(
        f"{source} has no column {column!r} to read {name} from{hint}; it has"
        f" {', '.join(map(repr, frame.columns))}"
    )


def by_name(frame: pl.DataFrame, name: str, source: str) -> str | None:
    if name in frame.columns:
        return name
    behind = [prefix + name for prefix in PREFIXES if prefix + name in frame.columns]
    if len(behind) > 1:
        raise BadRuns(f"{source}: {name} could be {' or '.join(behind)}; say --map {name}=...")
    return behind[0] if behind else None


def numeric(column: pl.Series) -> bool:
    return column.dtype.is_numeric() and not column.null_count()


def numbers(column: pl.Series, name: str, source: str, labels: tuple[str, ...]) -> Floats:
    """The column as floats. Integers become floats too: N * D overflows 64 bits."""
    if column.dtype.is_numeric():
        if column.null_count():
            row = int(column.is_null().arg_max() or 0)
            raise BadValue(f"{source}, {labels[row]}, column {name!r}: the cell is empty")
        return column.cast(pl.Float64).to_numpy()
    parsed = [
        parse_number(v, f"{source}, {labels[i]}, column {name!r}")
        for i, v in enumerate(column.to_list())
    ]
    suffixed = [bool(suffix) for _, suffix in parsed]
    if any(suffixed) and not all(suffixed):
        bare, other = suffixed.index(False), suffixed.index(True)
        raise MixedConventions(
            f"{source}, column {name!r}: {labels[other]} says {column[other]!r} with a unit and"
            f" {labels[bare]} says {column[bare]!r} without one. Write all of them alike"
        )
    return np.array([value * SUFFIXES[suffix.lower()] for value, suffix in parsed])


def parse_number(cell: Any, where: str) -> tuple[float, str]:
    match = NUMBER.fullmatch(str(cell))
    if match is None:
        what = "the cell is empty" if cell in (None, "") else f"{cell!r} is not a finite number"
        raise BadValue(f"{where}: {what}")
    return float(match[1]), match[2]


def stated_conventions(frame: pl.DataFrame, source: str, labels: tuple[str, ...]) -> Conventions:
    """What the file itself says of how its runs were counted."""
    known = UNKNOWN
    for column, convention in STATED.items():
        found = by_name(frame, column, source)
        if found is not None and frame.height:
            values = frame[found].cast(pl.String).fill_null("").to_list()
            check_alike(values, column, source, labels)
            known = replace(known, **{convention: values[0]})
    return known


def check_known(conventions: Conventions, source: str) -> None:
    """A label that nobody else writes would never be found to clash with another."""
    for what, known in KNOWN.items():
        said = getattr(conventions, what)
        if said and said not in known:
            close = get_close_matches(said, known, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise BadRuns(
                f"{source}: {said!r} is no known way to count the {what}: {hint}known are"
                f" {', '.join(known)}"
            )


def check_alike(values: list[str], column: str, source: str, labels: tuple[str, ...]) -> None:
    for row, value in enumerate(values):
        if value != values[0]:
            raise MixedConventions(
                f"{source}, column {column!r}: {labels[0]} says {values[0]!r}, {labels[row]} says"
                f" {value!r}. Fit them apart, or convert one kind"
            )
