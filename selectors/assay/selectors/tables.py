"""Score columns in a Parquet file of one's own: `id`, and numbers called score.NAME, one row each.

Such as `assay rate` writes, or any other program. Rows are joined to documents by their ids, so the
order and the shards of the corpus make no difference. The file lies in memory, 8 bytes for each
score and as many for each id.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assay.native import kernels
from assay.selectors import storage
from assay.selectors.errors import BadInput, BadRequest
from assay.selectors.records import Batch, Floats, Ids, Scored

MOST = 100_000_000  # rows
COVERED = 0.99  # of the documents, at least, have a row
STRANGE = 0.5  # of a batch without a row: then the ids are others, and not only a few missing
FEW = 100  # documents below which a batch says nothing about that
SCORE = "score"
ROWS = 65_536


@dataclass(frozen=True)
class Table:
    """Scores by the hash of an id, ascending."""

    uri: str
    digest: str  # of the file and of what is said beside it
    key: Ids
    values: Floats  # (rows, columns)
    names: tuple[str, ...]  # score, or score.NAME
    about: dict[str, Any]  # of each column: polarity, group, range, model, version

    def __len__(self) -> int:
        return len(self.key)

    def of(self, batch: Batch) -> Scored:
        """The rows of some documents; NaN for a document that has none."""
        place = np.minimum(np.searchsorted(self.key, batch.key), len(self.key) - 1)
        there = self.key[place] == batch.key
        if len(batch) >= FEW and np.mean(there) < STRANGE:
            raise BadInput(
                f"{self.uri}: {int((~there).sum())} of {len(batch)} documents have no row in it, "
                f"such as id {batch.id[int(np.argmin(there))].as_py()!r}: it was made for other "
                f"documents, or with another --id-column"
            )
        values = np.where(there[:, None], self.values[place], np.nan)
        return _scored(values, self.names, batch.key, batch.id)

    @cached_property
    def stream(self) -> "Rows":
        return Rows(self)


@dataclass(frozen=True)
class Rows:
    """The rows of a table as a stream of scores."""

    table: Table

    @property
    def units(self) -> tuple[int, ...]:
        return tuple(range(0, len(self.table), ROWS))

    def batches(self, unit: int) -> Iterator[Scored]:
        rows = slice(unit, unit + ROWS)
        key = self.table.key[rows]
        yield _scored(self.table.values[rows], self.table.names, key, pa.array([""] * len(key)))

    def size(self, unit: int) -> int:
        return 8 * (len(self.table.names) + 1) * min(ROWS, len(self.table) - unit)


def _scored(values: Floats, names: tuple[str, ...], key: Ids, ids: pa.Array) -> Scored:
    none = np.zeros(len(key), np.int64)
    empty = pa.array([""] * len(key))
    return Scored(values, names, key, key, none, none.astype(np.int32), none, none, ids, empty)


def is_table(uri: str) -> bool:
    """A Parquet file; a finished selection is a folder or its manifest."""
    return uri.endswith(".parquet") and not storage.exists(storage.join(uri, "manifest.json"))


def read(uri: str, documents: int, partial: bool = False) -> Table:
    """The table at an address, if it holds a row for nearly all of so many documents; or for some
    of them, where it is `partial`."""
    data = storage.read_bytes(uri)
    found = _opened(uri, data)
    names = tuple(name for name in found.column_names if _is_score(name))
    _check(uri, found, names, 0 if partial else documents)
    key = kernels.fingerprint(pc.cast(found["id"].combine_chunks(), pa.string()))
    values = np.column_stack([_numbers(uri, found, name) for name in names])
    key, values = _once(uri, key, values)
    beside = _beside(uri)
    digest = hashlib.sha256(data + beside).hexdigest()
    return Table(uri, f"sha256:{digest}", key, values, names, _about(uri, beside))


def _is_score(name: str) -> bool:
    return name == SCORE or name.startswith(f"{SCORE}.")


def _opened(uri: str, data: bytes) -> pa.Table:
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        if file.metadata.num_rows > MOST:
            raise BadRequest(f"{uri}: has more than {MOST} rows, which would not fit in memory")
        wanted = [n for n in file.schema_arrow.names if n == "id" or _is_score(n)]
        return file.read(columns=wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as cause:
        raise BadInput(f"{uri}: cannot be read as Parquet: {cause}") from cause


def _check(uri: str, found: pa.Table, names: tuple[str, ...], documents: int) -> None:
    if "id" not in found.column_names or not names:
        raise BadInput(
            f"{uri}: a table of scores has a column `id` and columns `score.NAME`; it has "
            f"{', '.join(found.column_names) or 'none of them'}"
        )
    if found["id"].null_count:
        raise BadInput(f"{uri}: {found['id'].null_count} rows have no id")
    if len(found) < COVERED * documents:
        raise BadRequest(
            f"{uri}: has {len(found)} rows for {documents} documents, {COVERED:.0%} is the least: "
            f"score the others too, select from those that are scored, or let them be learned from "
            f"the texts (odis --set scorer=ridge)"
        )


def _numbers(uri: str, found: pa.Table, name: str) -> Floats:
    kind = found.schema.field(name).type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise BadInput(f"{uri}: the column {name!r} holds {kind}, and no numbers")
    values = pc.cast(found[name], pa.float64()).combine_chunks()
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)


def _once(uri: str, key: Ids, values: Floats) -> tuple[Ids, Floats]:
    """Each id once, ascending; the same scores twice are one row."""
    order = np.argsort(key, kind="stable")
    key, values = key[order], values[order]
    first = np.concatenate([[True], key[1:] != key[:-1]])
    again = np.flatnonzero(~first)
    if len(again):
        before = np.flatnonzero(first)[np.cumsum(first)[again] - 1]
        differ = ~((values[again] == values[before]) | np.isnan(values[again])).all(axis=1)
        if differ.any():
            raise BadInput(
                f"{uri}: {int(differ.sum())} ids come twice with different scores: leave one row "
                f"for each id"
            )
    return key[first], values[first]


def _beside(uri: str) -> bytes:
    address = uri.removesuffix(".parquet") + ".json"
    return storage.read_bytes(address) if storage.exists(address) else b""


def _about(uri: str, beside: bytes) -> dict[str, Any]:
    if not beside:
        return {}
    try:
        found = json.loads(beside)
    except ValueError as cause:
        raise BadInput(f"{uri.removesuffix('.parquet')}.json: is no JSON: {cause}") from cause
    if not isinstance(found, dict):
        raise BadInput(f"{uri.removesuffix('.parquet')}.json: says nothing by column")
    return found
