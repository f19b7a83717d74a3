"""Columns in which a few values repeat: half a megabyte of Parquet may decode to gigabytes.

Row groups of such columns are read as dictionaries, cut so that the decoded pieces stay small, then
decoded. That costs a quarter of the reading speed (measured here: 151 against 208 MB/s), so it is
done only for the row groups whose footer does not rule a large repetition out.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.selectors.formats.columns import is_text
from assay.selectors.formats.layout import BATCH_BYTES

# A chunk that is one dictionary and its indices is small. A larger one holds most of its values in
# full (writers give up a dictionary at 1 MB or so), and its size tells what it decodes to.
SMALL = 2 << 20
SHORT = 8  # or has at most so many bytes for each row
MUCH = 64 << 20  # what a row group may decode to at worst before we look closer
CODED = {"RLE_DICTIONARY", "PLAIN_DICTIONARY"}


def runs(
    footer: Any, groups: tuple[int, ...], names: list[str]
) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """Neighbouring row groups, with those of the columns that may decode to much more than their
    size: (columns, row groups)."""
    for coded, run in itertools.groupby(groups, lambda group: _repeating(footer, group, names)):
        yield coded, tuple(run)


def _repeating(footer: Any, group: int, names: list[str]) -> list[str]:
    row_group = footer.row_group(group)
    chunks = [row_group.column(place) for place in range(row_group.num_columns)]
    found = {chunk.path_in_schema for chunk in chunks if _may_repeat(chunk)}
    return [name for name in names if name in found]


def cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The same rows, in pieces that decode to about BATCH_BYTES each."""
    coded = [column for column in batch.columns if _is_coded(column)]
    if not coded or not len(batch):
        yield batch
        return
    ends = np.cumsum(sum((_lengths(column) for column in coded), start=np.zeros(len(batch))))
    starts = np.flatnonzero(np.diff(ends // BATCH_BYTES)) + 1
    edges = [0, *starts.tolist(), len(batch)]
    for start, end in itertools.pairwise(edges):
        yield batch.slice(start, end - start)


def decoded(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns as the types of the schema."""
    columns = [
        column if column.type == field.type else pc.cast(column.dictionary_decode(), field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _may_repeat(chunk: Any) -> bool:
    if chunk.physical_type != "BYTE_ARRAY" or not CODED & set(chunk.encodings):
        return False
    size, values = chunk.total_uncompressed_size, chunk.num_values
    small = size <= SMALL or size <= SHORT * values
    return bool(small and size * values > MUCH)


def _is_coded(column: pa.Array) -> bool:
    return bool(pa.types.is_dictionary(column.type) and is_text(column.type))


def _lengths(column: pa.Array) -> Any:
    each = pc.fill_null(pc.binary_length(column.dictionary), 0).to_numpy(zero_copy_only=False)
    places = pc.fill_null(column.indices, 0).to_numpy(zero_copy_only=False)
    return each[places] if len(each) else np.zeros(len(column))
