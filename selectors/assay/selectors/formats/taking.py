"""Keeps the wanted rows of record batches that follow each other."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.selectors.records import Counts


def taken(batches: Iterable[pa.RecordBatch], row: int, wanted: Counts) -> Iterator[pa.RecordBatch]:
    """The wanted rows; `row` is the first row of the first batch. Stops after the last one."""
    for batch in batches:
        end = row + len(batch)
        first, last = np.searchsorted(wanted, (row, end))
        if first < last:
            yield _taken(batch, wanted[first:last] - row)
        if last == len(wanted):
            return
        row = end


def _taken(batch: pa.RecordBatch, places: Counts) -> pa.RecordBatch:
    if len(places) == len(batch):
        return batch
    columns = [_pick(column, pa.array(places)) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _pick(column: pa.Array, places: pa.Array) -> pa.Array:
    """Arrow has no `take` for views: they go through their plain types."""
    plain = _without_views(column.type)
    if plain == column.type:
        return column.take(places)
    return pc.cast(pc.cast(column, plain).take(places), column.type)


def _without_views(kind: pa.DataType) -> pa.DataType:
    if kind == pa.string_view():
        return pa.large_string()
    if kind == pa.binary_view():
        return pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_views(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_without_views(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_without_views(kind.value_type)))
    return kind
