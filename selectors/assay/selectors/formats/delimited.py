"""CSV and TSV with a header. Values stay the strings that they are: 007 is no number here."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from assay.selectors.errors import BadShard
from assay.selectors.formats import packed
from assay.selectors.formats.layout import (
    BATCH_BYTES,
    BATCH_ROWS,
    Columns,
    Group,
    Layout,
    Rows,
    Where,
)
from assay.selectors.formats.names import promised
from assay.selectors.quarantine import BadRow, excerpt
from assay.selectors.records import Counts

LONGEST = 64 << 20  # characters of one field; more is a quote that was never closed
NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
UNCLOSED = "a quote is opened and never closed"


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the file, or why it is none."""

    row: int
    line: int  # of the file, from 1: where the row begins
    fields: list[str]
    fault: str = ""


def survey(uri: str, size: int, text: str) -> Layout:
    """The header, and a walk through all rows to count them."""
    with _opened(uri, size) as (header, records):
        schema = pa.schema([(name, pa.string()) for name in header])
        rows = unpacked = 0
        for record in records:
            rows += 1
            unpacked += sum(map(len, record.fields))
    return Layout(schema, (Group(rows, unpacked),) if rows else ())


def read(where: Where, columns: Columns) -> Iterator[Rows]:
    """Text, id and group of the rows that have as many fields as the header."""
    with _opened(where.uri, where.size) as (header, records):
        for batch in _batches(records):
            yield _read(batch, where.shard, header, columns)


def take(where: Where, wanted: Counts) -> Iterator[pa.RecordBatch]:
    """The wanted rows, all columns."""
    chosen = set(wanted.tolist())
    with _opened(where.uri, where.size) as (_, records):
        for batch in _batches(record for record in records if record.row in chosen):
            columns = [
                pa.array([record.fields[place] for record in batch], pa.string())
                for place in range(len(where.schema))
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=where.schema)


# Rows ------------------------------------------------------------------------------------


@contextmanager
def _opened(uri: str, size: int) -> Iterator[tuple[list[str], Iterator[Record]]]:
    csv.field_size_limit(LONGEST)
    with packed.opened(uri, size) as file:
        # Bytes that are not UTF-8 come through as surrogates, and are found row by row.
        lines = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
        rows = csv.reader(lines, delimiter=_delimiter(uri), strict=True)
        try:
            header = _header(uri, rows)
            yield header, _records(rows, len(header))
        finally:
            lines.detach()


def _delimiter(uri: str) -> str:
    name = promised(uri)
    return "\t" if name and name.format == "tsv" else ","


def _header(uri: str, rows: Any) -> list[str]:
    try:
        names: list[str] = next(rows, [])
    except csv.Error as cause:
        raise BadShard(_no_header(uri)) from cause
    named = [name or f"column_{place}" for place, name in enumerate(names)]
    if len(named) == 1 and any(sign in named[0] for sign in NAMES):
        raise BadShard(_no_header(uri))
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise BadShard(f"{uri}: two columns are called {excerpt(twice[0])!r}. Rename one.")
    return [_shown(name) for name in named]


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _no_header(uri: str) -> str:
    with packed.opened(uri, 1) as file:
        line = file.readline(4096)
    counts = {sign: line.count(sign.encode()) for sign in NAMES}
    likely = max(counts, key=lambda sign: counts[sign])
    wanted = _delimiter(uri)
    guess = ""
    if counts[likely] and likely != wanted:
        guess = f" Its fields seem to be separated by {NAMES[likely]}."
    return (
        f"{uri}: line 1 is no header with names separated by {NAMES[wanted]}: "
        f"{excerpt(line)[:80]!r}.{guess} Convert it to CSV with a header, in UTF-8."
    )


def _records(rows: Any, width: int) -> Iterator[Record]:
    row = 0
    while True:
        line = rows.line_num + 1
        try:
            fields = next(rows, None)
        except csv.Error as cause:
            yield Record(row, line, [], _fault(cause))
            row += 1
            continue
        if fields is None:
            return
        if fields:  # a blank line is no row
            yield Record(row, line, fields, _trouble(fields, width))
            row += 1


def _fault(cause: csv.Error) -> str:
    told = str(cause)
    lost = "unexpected end of data" in told or "field larger" in told
    return UNCLOSED if lost else "the row is not CSV: text after a closing quote"


def _trouble(fields: list[str], width: int) -> str:
    if len(fields) != width:
        return "the row has more fields than the header" if len(fields) > width else _FEWER
    return "" if all(map(_is_unicode, fields)) else "the row is not valid UTF-8"


_FEWER = "the row has fewer fields than the header"


def _is_unicode(field: str) -> bool:
    if field.isascii():
        return True
    try:
        field.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += sum(map(len, record.fields))
        if size >= BATCH_BYTES or len(batch) == BATCH_ROWS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read(records: list[Record], shard: int, header: list[str], columns: Columns) -> Rows:
    good = [record for record in records if not record.fault]
    bad = [
        BadRow(shard, record.row, record.fault, _quoted(record.fields), record.line)
        for record in records
        if record.fault
    ]

    def column(name: str | None) -> pa.Array | None:
        if name is None:
            return None
        place = header.index(name)
        return pa.array([record.fields[place] for record in good], pa.large_string())

    rows = np.array([record.row for record in good], np.int64)
    return Rows(rows, column(columns.text), column(columns.id), column(columns.group), bad)


def _quoted(fields: list[str]) -> str:
    shown = " | ".join(field[:200] for field in fields[:20])
    return excerpt(shown.encode("utf-8", "surrogateescape"))
