"""Arrow IPC: files are read by record batches, streams from beginning to end."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from assay.selectors import storage
from assay.selectors.errors import AssayError, BadShard
from assay.selectors.formats import sniff
from assay.selectors.formats.columns import is_text, pick
from assay.selectors.formats.layout import (
    BATCH_BYTES,
    BATCH_ROWS,
    Columns,
    Group,
    Layout,
    Rows,
    Where,
)
from assay.selectors.formats.taking import taken
from assay.selectors.records import Counts

FILE = b"ARROW1"
DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError)


def survey(uri: str, size: int, text: str) -> Layout:
    """The schema, and the rows of each record batch of a file, or of a stream as a whole."""
    with _opened(uri, size, None) as reader:
        schema = reader.schema
    narrow = _narrowest(schema)
    with _opened(uri, size, [narrow] if schema.names else None) as reader:
        if _is_file(reader):
            counts = [len(_batch(uri, reader, n)) for n in range(reader.num_record_batches)]
            each = size // max(len(counts), 1)
            return Layout(schema, tuple(Group(rows, each) for rows in counts))
        rows = sum(len(batch) for batch in _stream(uri, reader))
        return Layout(schema, (Group(rows, size),))


def read(where: Where, columns: Columns) -> Iterator[Rows]:
    """Text, id and group of the rows, in order."""
    row = where.first_row
    with _opened(where.uri, where.size, _tops(where.schema, columns)) as reader:
        for batch in _slices(_some(where, reader)):
            yield Rows(
                np.arange(row, row + len(batch), dtype=np.int64),
                _checked(where.uri, pick(batch, columns.text)),
                _checked(where.uri, pick(batch, columns.id)) if columns.id else None,
                _checked(where.uri, pick(batch, columns.group)) if columns.group else None,
            )
            row += len(batch)


def take(where: Where, wanted: Counts) -> Iterator[pa.RecordBatch]:
    """The wanted rows with all their columns."""
    with _opened(where.uri, where.size, None) as reader:
        yield from taken(_slices(_some(where, reader)), where.first_row, wanted)


@contextmanager
def _opened(uri: str, size: int, fields: list[int] | None) -> Iterator[Any]:
    source = storage.open_input(uri)
    try:
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        head = source.read(len(FILE))
        source.seek(0)
        opens = pa.ipc.open_file if head == FILE else pa.ipc.open_stream
        with _said(uri, size):
            reader = opens(source, options=options)
        yield reader
    finally:
        source.close()


@contextmanager
def _said(uri: str, size: int) -> Iterator[None]:
    try:
        yield
    except AssayError:
        raise
    except DAMAGE as cause:
        raise BadShard(f"{uri}: {_what_is_wrong(uri, size, cause)}") from cause


def _is_file(reader: Any) -> bool:
    return isinstance(reader, pa.RecordBatchFileReader)


def _some(where: Where, reader: Any) -> Iterator[pa.RecordBatch]:
    if not _is_file(reader):
        yield from _stream(where.uri, reader)
        return
    for number in where.groups:
        yield _batch(where.uri, reader, number)


def _batch(uri: str, reader: Any, number: int) -> pa.RecordBatch:
    try:
        return reader.get_batch(number)
    except AssayError:
        raise
    except DAMAGE as cause:
        raise BadShard(_broken(uri, number, cause)) from cause


def _stream(uri: str, reader: Any) -> Iterator[pa.RecordBatch]:
    number = 0
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except AssayError:
            raise
        except DAMAGE as cause:
            raise BadShard(_broken(uri, number, cause)) from cause
        yield batch
        number += 1


def _slices(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        each = batch.nbytes / max(len(batch), 1)
        rows = int(np.clip(BATCH_BYTES / max(each, 1), 1, BATCH_ROWS))
        for start in range(0, len(batch), rows):
            yield batch.slice(start, rows)


def _tops(schema: pa.Schema, columns: Columns) -> list[int]:
    """Places of the columns that the paths begin with."""
    paths = columns.paths()
    return [
        place
        for place, name in enumerate(schema.names)
        if any(path == name or path.startswith(name + ".") for path in paths)
    ]


def _narrowest(schema: pa.Schema) -> int:
    """A column that is cheap to read when only rows are counted."""
    fixed = [place for place, field in enumerate(schema) if pa.types.is_primitive(field.type)]
    return fixed[0] if fixed else 0


def _checked(uri: str, column: pa.Array) -> pa.Array:
    """Unlike Parquet, IPC is taken as it lies in the file: offsets may point anywhere."""
    try:
        (column.view(_bytes(column.type)) if is_text(column.type) else column).validate(full=True)
    except DAMAGE as cause:
        raise BadShard(f"{uri}: damaged: {cause}. Copy it again or leave it out.") from cause
    return column


def _bytes(kind: pa.DataType) -> pa.DataType:
    return pa.large_binary() if kind in (pa.large_string(), pa.large_binary()) else pa.binary()


# What to say about damage ----------------------------------------------------------------


def _what_is_wrong(uri: str, size: int, cause: Exception) -> str:
    if size == 0:
        return "a file of zero bytes is not Arrow IPC. Write it again or leave it out."
    with storage.open_stream(uri) as file:
        head = file.read(65536)
        file.seek(max(size - len(FILE), 0))
        tail = file.read()
    if head.startswith(FILE) and tail != FILE:
        return (
            f"truncated: the file begins as Arrow IPC but its {size:,} bytes do not end with "
            "ARROW1, so its footer is lost. Copy it again or leave it out."
        )
    if head.startswith(FILE):
        return f"the Arrow IPC file cannot be read: {_gist(cause)}. Copy it again or leave it out."
    return f"not Arrow IPC: {_gist(cause)}.{sniff.advice(head)}"


def _broken(uri: str, number: int, cause: Exception) -> str:
    return f"{uri}, record batch {number}: {_gist(cause)}. Copy the file again or leave it out."


def _gist(cause: Exception) -> str:
    return str(cause).split("\n")[0][:300].rstrip(". ")
