"""The score store: one Parquet file for each unit of the corpus, a row for each document.

Score once, decide many times: the cut, the quotas and every what-if are read from here, and no
text is touched. Columns: id, shard, row, key, content, bytes, tokens, source, and the scores.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay.selectors import storage
from assay.selectors.records import Scored

FIXED = ("id", "shard", "row", "key", "content", "bytes", "tokens", "source")
ROWS = 65_536  # rows of a batch when reading
ROW_BYTES = 96  # of a row in memory, about
NOTE = b"assay"


@dataclass(frozen=True)
class ScoreFile:
    """A unit's scores: where they stand and what they count."""

    uri: str
    documents: int
    bytes: int
    tokens: int
    bad_rows: int
    reasons: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Scores:
    """The stream "scores": score files in the order of the corpus."""

    units: tuple[ScoreFile, ...]

    def batches(self, unit: ScoreFile) -> Iterator[Scored]:
        return read(unit.uri)

    def size(self, unit: ScoreFile) -> int:
        return unit.documents * ROW_BYTES


class ScoreWriter:
    """Writes a unit's rows as they come; `finished` tells of the file once it is committed."""

    def __init__(self, uri: str, names: tuple[str, ...], sink: Any) -> None:
        self._uri = uri
        schema = to_table(nothing(names)).schema
        # The hashes do not compress, and ids hardly repeat: dictionaries are for sources.
        self._file = pq.ParquetWriter(
            sink, schema, compression="zstd", compression_level=1, use_dictionary=["source"]
        )
        self._waiting: list[pa.Table] = []  # small batches would make small row groups
        self._counts = np.zeros(3, np.int64)
        self._reasons: dict[str, int] = {}

    def add(self, part: Scored) -> None:
        self._waiting.append(to_table(part))
        self._counts += (len(part), part.size.sum(), part.tokens.sum())
        if sum(len(table) for table in self._waiting) >= ROWS:
            self._flush()

    def note_bad_rows(self, reasons: Mapping[str, int]) -> None:
        self._reasons = dict(sorted(reasons.items()))

    def close(self) -> None:
        self._flush()
        self._file.add_key_value_metadata({NOTE: json.dumps(self._note()).encode()})
        self._file.close()

    def finished(self) -> ScoreFile:
        return _score_file(self._uri, self._note())

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(pa.concat_tables(self._waiting).combine_chunks())
            self._waiting.clear()

    def _note(self) -> dict[str, Any]:
        documents, size, tokens = (int(count) for count in self._counts)
        counted = {"documents": documents, "bytes": size, "tokens": tokens}
        return counted | {"bad_rows": self._reasons}


@contextmanager
def writing(uri: str, names: tuple[str, ...]) -> Iterator[ScoreWriter]:
    """A score file that appears, whole, when the block ends well."""
    with storage.writing(uri) as sink:
        writer = ScoreWriter(uri, names, sink)
        try:
            yield writer
        finally:
            writer.close()


def file_name(shard: int, unit: int) -> str:
    return f"{shard:05d}-{unit:05d}.parquet"


def find(uri: str) -> ScoreFile | None:
    """The score file under this address, if it was finished."""
    if not storage.exists(uri):
        return None
    metadata = pq.ParquetFile(storage.open_input(uri)).metadata.metadata
    return _score_file(uri, json.loads(metadata[NOTE]))


def read(uri: str, names: Sequence[str] | None = None) -> Iterator[Scored]:
    """A unit's rows, in batches of bounded size; with all score columns, or with some."""
    file = pq.ParquetFile(storage.open_input(uri), pre_buffer=False)
    columns = None if names is None else [*FIXED, *names]
    for batch in file.iter_batches(batch_size=ROWS, columns=columns, use_threads=False):
        yield from_batch(batch)


def to_table(scored: Scored) -> pa.Table:
    columns: dict[str, Any] = {
        "id": scored.id,
        "shard": scored.shard,
        "row": scored.row,
        "key": scored.key,
        "content": scored.content,
        "bytes": scored.size,
        "tokens": scored.tokens,
        "source": scored.source,
    }
    for place, name in enumerate(scored.names):
        columns[name] = scored.scores[:, place]
    return pa.table(columns)


def from_batch(batch: pa.RecordBatch) -> Scored:
    names = tuple(name for name in batch.schema.names if name not in FIXED)
    column = {name: batch.column(name) for name in batch.schema.names}
    numbers = {name: column[name].to_numpy(zero_copy_only=False) for name in FIXED[1:7]}
    scores = [column[name].to_numpy(zero_copy_only=False) for name in names]
    return Scored(
        scores=np.stack(scores, axis=1) if scores else np.zeros((len(batch), 0)),
        names=names,
        key=numbers["key"],
        content=numbers["content"],
        row=numbers["row"],
        shard=numbers["shard"],
        size=numbers["bytes"],
        tokens=numbers["tokens"],
        id=column["id"],
        source=column["source"],
    )


def nothing(names: tuple[str, ...]) -> Scored:
    """No rows at all."""
    whole, unsigned = np.zeros(0, np.int64), np.zeros(0, np.uint64)
    text = pa.array([], pa.string())
    shard = np.zeros(0, np.int32)
    none = np.zeros((0, len(names)))
    return Scored(none, names, unsigned, unsigned, whole, shard, whole, whole, text, text)


def _score_file(uri: str, note: dict[str, Any]) -> ScoreFile:
    reasons = tuple(note["bad_rows"].items())
    bad = sum(note["bad_rows"].values())
    return ScoreFile(uri, note["documents"], note["bytes"], note["tokens"], bad, reasons)


def names_of(uri: str) -> tuple[str, ...]:
    """The names of the score columns of a file."""
    schema = pq.read_schema(storage.open_input(uri))
    return tuple(name for name in schema.names if name not in FIXED)
