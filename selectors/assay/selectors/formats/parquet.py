"""Parquet: surveyed from the footer, read by row groups in batches bounded in bytes.

Each worker reads its own row groups through a buffered stream, without Arrow's own threads: of the
loops measured, the one with the least memory at full speed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay.selectors import storage
from assay.selectors.errors import AssayError, BadShard
from assay.selectors.formats import sniff
from assay.selectors.formats.columns import pick
from assay.selectors.formats.layout import (
    BATCH_BYTES,
    BATCH_ROWS,
    Columns,
    Group,
    Layout,
    Rows,
    Where,
)
from assay.selectors.formats.repeats import cut, decoded, runs
from assay.selectors.formats.taking import taken
from assay.selectors.records import Counts

BUFFER = 1 << 20  # bytes of compressed pages per column that a local reader holds
DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError)


def survey(uri: str, size: int, text: str) -> Layout:
    """Schema and row groups, from the footer alone."""
    with _opened(uri, size) as file:
        footer = file.metadata
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        sizes = tuple(Group(group.num_rows, group.total_byte_size) for group in groups)
        return Layout(file.schema_arrow, sizes)


def read(where: Where, columns: Columns) -> Iterator[Rows]:
    """Text, id and group of the rows, in order."""
    row = where.first_row
    paths = list(dict.fromkeys(columns.paths()))
    with _opened(where.uri, where.size) as file:
        for batch in _pieces(file, where, paths):
            yield Rows(
                np.arange(row, row + len(batch), dtype=np.int64),
                pick(batch, columns.text),
                pick(batch, columns.id) if columns.id else None,
                pick(batch, columns.group) if columns.group else None,
            )
            row += len(batch)


def take(where: Where, wanted: Counts) -> Iterator[pa.RecordBatch]:
    """The wanted rows with all their columns; row groups without any are not read."""
    row = where.first_row
    with _opened(where.uri, where.size) as file:
        for number in where.groups:
            end = row + file.metadata.row_group(number).num_rows
            first, last = np.searchsorted(wanted, (row, end))
            if first < last:
                batches = _batches(file, where, (number,), None)
                for chosen in taken(batches, row, wanted[first:last]):
                    yield from (decoded(piece, where.schema) for piece in cut(chosen))
            row = end


@contextmanager
def _opened(uri: str, size: int) -> Iterator[pq.ParquetFile]:
    source = storage.open_input(uri)
    try:
        file = _reader(uri, source)
    except AssayError:
        raise
    except DAMAGE as cause:
        raise BadShard(f"{uri}: {_what_is_wrong(uri, size, cause)}") from cause
    try:
        yield file
    finally:
        source.close()


def _reader(uri: str, source: Any, **more: Any) -> pq.ParquetFile:
    local = storage.is_local(uri)
    # Over a network one request per column chunk beats one per page.
    return pq.ParquetFile(source, pre_buffer=not local, buffer_size=BUFFER if local else 0, **more)


def _pieces(file: pq.ParquetFile, where: Where, paths: list[str]) -> Iterator[pa.RecordBatch]:
    for batch in _batches(file, where, where.groups, paths):
        yield from cut(batch)


def _batches(
    file: pq.ParquetFile, where: Where, groups: tuple[int, ...], columns: list[str] | None
) -> Iterator[pa.RecordBatch]:
    for coded, run in runs(file.metadata, groups, columns or where.schema.names):
        reader = _as_dictionaries(where.uri, file, coded) if coded else file
        rows = _batch_rows(file.metadata, run, columns)
        try:
            yield from _iterate(reader, run, columns, rows)
        except AssayError:
            raise
        except DAMAGE as cause:
            raise BadShard(_where_it_breaks(where, run, columns, cause)) from cause


def _as_dictionaries(uri: str, file: pq.ParquetFile, coded: list[str]) -> pq.ParquetFile:
    source = storage.open_input(uri)
    return _reader(uri, source, metadata=file.metadata, read_dictionary=coded)


def _iterate(
    file: pq.ParquetFile, groups: tuple[int, ...], columns: list[str] | None, rows: int
) -> Iterator[pa.RecordBatch]:
    yield from file.iter_batches(
        batch_size=rows, row_groups=list(groups), columns=columns, use_threads=False
    )


def _batch_rows(footer: Any, groups: tuple[int, ...], columns: list[str] | None) -> int:
    """So many that a batch of the row group with the longest rows has about BATCH_BYTES."""
    longest = max((_row_bytes(footer.row_group(number), columns) for number in groups), default=1)
    return int(np.clip(BATCH_BYTES / max(longest, 1), 1, BATCH_ROWS))


def _row_bytes(group: Any, columns: list[str] | None) -> float:
    chunks = [group.column(place) for place in range(group.num_columns)]
    read = [chunk for chunk in chunks if columns is None or _is_under(chunk, columns)]
    return float(sum(chunk.total_uncompressed_size for chunk in read) / max(group.num_rows, 1))


def _is_under(chunk: Any, columns: list[str]) -> bool:
    path = chunk.path_in_schema
    return any(path == column or path.startswith(column + ".") for column in columns)


# What to say about damage ----------------------------------------------------------------


def _what_is_wrong(uri: str, size: int, cause: Exception) -> str:
    if size == 0:
        return "a file of zero bytes is not Parquet. Write it again or leave it out."
    with storage.open_stream(uri) as file:
        head = file.read(65536)
        file.seek(max(size - 4, 0))
        tail = file.read(4)
    if head[:4] == b"PAR1" and tail != b"PAR1":
        return (
            f"truncated: the file begins as Parquet but has no PAR1 at the end of its {size:,} "
            "bytes, so its footer is lost. Copy it again or leave it out."
        )
    if tail == b"PAR1":
        return f"the Parquet footer cannot be read: {_gist(cause)}. Copy it again or leave it out."
    return f"not a Parquet file: no PAR1 at its end.{sniff.advice(head)}"


def _where_it_breaks(
    where: Where, groups: tuple[int, ...], columns: list[str] | None, cause: Exception
) -> str:
    """Try each column of each row group alone: the first that fails is the damaged one."""
    for number in groups:
        for name in _names(where, columns):
            trouble = _trouble(where, number, name)
            if trouble:
                return (
                    f"{where.uri}, row group {number}, column {name!r}: damaged: "
                    f"{_gist(trouble)}. Copy the file again or leave it out."
                )
    return f"{where.uri}: cannot be read: {_gist(cause)}. Copy the file again or leave it out."


def _names(where: Where, columns: list[str] | None) -> list[str]:
    return where.schema.names if columns is None else columns


def _trouble(where: Where, group: int, column: str) -> Exception | None:
    try:
        with _opened(where.uri, where.size) as file:
            for _ in _iterate(file, (group,), [column], BATCH_ROWS):
                pass
    except DAMAGE as trouble:
        return trouble
    return None


def _gist(cause: Exception) -> str:
    return str(cause).split("\n")[0][:300].rstrip(". ")
