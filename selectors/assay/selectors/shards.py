"""A corpus -> shards -> units -> batches of bounded size.

`survey` looks at every shard once and cuts it into units, the portions that workers are handed.
`batches` reads a unit for scoring: text, id and group only. `tables` reads the chosen rows with all
their columns. Rows that cannot be read are left out and reported, never dropped in silence.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.native import kernels
from assay.selectors import storage
from assay.selectors.errors import BadInput, ChangedInput, NothingToRead
from assay.selectors.formats import columns as finding
from assay.selectors.formats import delimited, ipc, json_lines, parquet
from assay.selectors.formats.layout import Columns, Format, Group, Rows, Where
from assay.selectors.formats.names import KNOWN, promised
from assay.selectors.quarantine import BadRow, excerpt
from assay.selectors.records import Batch, Counts, Mask
from assay.selectors.stores.places import Stored

UNIT_BYTES = (
    64_000_000  # uncompressed: some 0.2 s of work, so a crash or a slow worker costs little
)
DEFAULT_ID = "id"
FORMATS: dict[str, Format] = {
    "parquet": parquet,
    "jsonl": json_lines,
    "ipc": ipc,
    "csv": delimited,
    "tsv": delimited,
}

A = TypeVar("A")
B = TypeVar("B")


class Map(Protocol):
    """Anything that maps in order: the built-in one, or an executor's."""

    def __call__(self, function: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """Which columns are read. Paths may be dotted: "doc.text" is the field of a struct."""

    text_column: str = "text"
    id_column: str | None = None  # None: "id" if it is there, else the hash of the text
    group_by: str | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """Consecutive groups of one shard: what a worker is handed."""

    shard: int
    number: int
    row_groups: tuple[int, ...]
    first_row: int
    rows: int
    bytes: int
    start: int = 0  # where a file of lines is entered: the byte,
    first_line: int = 0  # and the number of lines before it


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of a corpus."""

    index: int
    uri: str
    format: str
    size: int
    etag: str
    rows: int
    schema: pa.Schema
    units: tuple[Unit, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Shards in the order of their addresses."""

    shards: tuple[Shard, ...]

    @property
    def units(self) -> tuple[Unit, ...]:
        return tuple(unit for shard in self.shards for unit in shard.units)

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def bytes(self) -> int:
        return sum(shard.size for shard in self.shards)


@dataclass(frozen=True, slots=True)
class Read:
    """Documents of a unit, and the rows among them that were left out."""

    batch: Batch
    bad: list[BadRow]


# Surveying -------------------------------------------------------------------------------


def survey(
    uris: Sequence[str],
    reading: Reading,
    map: Map = map,  # noqa: A002
    progress: Callable[[Shard], Any] | None = None,
) -> Corpus:
    """Find the shards, look at their layout, and make sure that they hold what is to be read."""
    found = storage.listing(uris)
    if not found:
        raise NothingToRead(f"no shard was named. Readable are {KNOWN}.")
    shards = []
    for shard in map(partial(_surveyed, reading), list(enumerate(found))):
        shards.append(shard)
        if progress:
            progress(shard)
    return Corpus(tuple(shards))


def fingerprints(corpus: Corpus, map: Map = map) -> list[str]:  # noqa: A002
    """What names the content of each shard: sha256:... or, for remote objects, etag:..."""
    return list(map(_fingerprint, corpus.shards))


def _fingerprint(shard: Shard) -> str:
    return storage.fingerprint(shard.uri, shard.size)


def _surveyed(reading: Reading, numbered: tuple[int, Stored]) -> Shard:
    index, stored = numbered
    kind = _format(stored.uri)
    layout = FORMATS[kind].survey(stored.uri, stored.size, reading.text_column)
    rows = sum(group.rows for group in layout.groups)
    if rows or layout.schema.names:
        _validate(stored.uri, layout.schema, reading)
    units = tuple(_units(index, layout.groups))
    return Shard(index, stored.uri, kind, stored.size, stored.etag, rows, layout.schema, units)


def _format(uri: str) -> str:
    name = promised(uri)
    if name is None:
        raise BadInput(
            f"{uri}: the name does not say what the file holds. Readable are {KNOWN}. Plain text: "
            "write each document as one JSON line, "
            "e.g. jq -Rs '{text: .}' page.txt >> pages.jsonl."
        )
    return name.format


def _validate(uri: str, schema: pa.Schema, reading: Reading) -> None:
    finding.require_text(uri, schema, reading.text_column)
    if reading.id_column is not None:
        finding.require_plain(uri, schema, reading.id_column, "--id-column")
    if reading.group_by is not None:
        finding.require_plain(uri, schema, reading.group_by, "--group-by")


def _units(shard: int, groups: Sequence[Group]) -> Iterator[Unit]:
    row = 0
    for number, places in enumerate(_runs(groups)):
        rows = sum(groups[place].rows for place in places)
        size = sum(groups[place].bytes for place in places)
        first = groups[places[0]]
        yield Unit(shard, number, tuple(places), row, rows, size, first.start, first.line)
        row += rows


def _runs(groups: Sequence[Group]) -> Iterator[list[int]]:
    """Neighbours together while they stay under UNIT_BYTES; a larger group stands alone."""
    run: list[int] = []
    size = 0
    for place, group in enumerate(groups):
        if run and size + group.bytes > UNIT_BYTES:
            yield run
            run, size = [], 0
        run.append(place)
        size += group.bytes
    if run:
        yield run


# Reading for scoring ---------------------------------------------------------------------


def batches(shard: Shard, unit: Unit, reading: Reading, *, target: str = "") -> Iterator[Read]:
    """The documents of a unit in order: text, id and group."""
    _check_unchanged(shard)
    columns = _columns(shard.schema, reading)
    for rows in FORMATS[shard.format].read(_where(shard, unit), columns):
        yield _read(rows, shard.index, target)


def _check_unchanged(shard: Shard) -> None:
    now = storage.stat(shard.uri)
    if (now.size, now.etag) != (shard.size, shard.etag):
        raise ChangedInput(
            f"{shard.uri}: the shard changed while it was being read: it had {shard.size:,} bytes, "
            f"now {now.size:,}. Let its writer finish, then start over with --fresh."
        )


def _columns(schema: pa.Schema, reading: Reading) -> Columns:
    known = finding.find(schema, DEFAULT_ID)
    default = DEFAULT_ID if known is not None and finding.is_plain(known.type) else None
    return Columns(reading.text_column, reading.id_column or default, reading.group_by)


def _where(shard: Shard, unit: Unit) -> Where:
    return Where(
        shard.uri,
        shard.index,
        shard.size,
        shard.schema,
        unit.row_groups,
        unit.first_row,
        unit.rows,
        unit.start,
        unit.first_line,
    )


def _read(rows: Rows, shard: int, target: str) -> Read:
    good = _readable(rows.text)
    bad = sorted([*rows.bad, *_left_out(rows, good, shard)], key=lambda row: row.row)
    kept = rows if good.all() else _kept(rows, good)
    text = _as_string(kept.text)
    ids = _ids(kept.id, text)
    source = None if kept.group is None else pc.fill_null(_words(kept.group), "")
    key = kernels.fingerprint(ids, seed=0)
    return Read(Batch(text, ids, key, kept.row, shard, source, target), bad)


def _readable(text: pa.Array) -> Mask:
    valid = kernels.valid_utf8(text)
    return valid & text.is_valid().to_numpy(zero_copy_only=False) if text.null_count else valid


def _left_out(rows: Rows, good: Mask, shard: int) -> Iterator[BadRow]:
    for place in np.flatnonzero(~good):
        row, text = int(rows.row[place]), rows.text[int(place)]
        if text.is_valid:
            shown = excerpt(text.as_buffer().to_pybytes())
            yield BadRow(shard, row, "the text is not valid UTF-8", shown)
        else:
            yield BadRow(shard, row, "the text is null")


def _kept(rows: Rows, good: Mask) -> Rows:
    mask = pa.array(good)
    text, ids, group = (
        column if column is None else column.filter(mask)
        for column in (rows.text, rows.id, rows.group)
    )
    return Rows(rows.row[good], text, ids, group)


def _as_string(text: pa.Array) -> pa.Array:
    """Bytes that are known to be UTF-8, as text; nothing is copied."""
    if text.type == pa.binary():
        return text.view(pa.string())
    return text.view(pa.large_string()) if text.type == pa.large_binary() else text


def _ids(given: pa.Array | None, text: pa.Array) -> pa.Array:
    """The ids as words; where there is none, the text's hash."""
    if given is None:
        return _hash_ids(text)
    words = _words(given)
    return pc.coalesce(words, _hash_ids(text)) if words.null_count else words


def _hash_ids(text: pa.Array) -> pa.Array:
    """32 hex digits for each text: two hashes of 64 bits."""
    halves = [kernels.fingerprint(text, seed=seed).astype(">u8") for seed in (1, 2)]
    digits = np.stack(halves, axis=1).tobytes().hex().encode()
    ends = pa.py_buffer(np.arange(0, len(digits) + 1, 32, dtype=np.int32))
    return pa.Array.from_buffers(pa.string(), len(text), [None, ends, pa.py_buffer(digits)])


def _words(values: pa.Array) -> pa.Array:
    """Each value as a word: strings as they are, numbers in decimal, other bytes in hex."""
    if pa.types.is_fixed_size_binary(values.type):
        values = pc.cast(values, pa.binary())
    if not finding.is_text(values.type):
        return _printed(values)
    if kernels.valid_utf8(values).all():
        return pc.cast(_as_string(values), pa.string())
    return pa.array([_word(value.as_buffer()) for value in values], pa.string())


def _printed(values: pa.Array) -> pa.Array:
    try:
        return pc.cast(values, pa.string())
    except pa.ArrowNotImplementedError:
        shown = (value.as_py() for value in values)
        return pa.array([None if value is None else str(value) for value in shown], pa.string())


def _word(value: pa.Buffer | None) -> str | None:
    if value is None:
        return None
    content = value.to_pybytes()
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError:
        return str(content.hex())


# Reading what was chosen -----------------------------------------------------------------


def tables(shard: Shard, unit: Unit, wanted: Counts) -> Iterator[pa.RecordBatch]:
    """The wanted rows of a unit in order, with all their columns as they are."""
    inside = wanted[slice(*np.searchsorted(wanted, (unit.first_row, unit.first_row + unit.rows)))]
    if len(inside):
        _check_unchanged(shard)
        yield from FORMATS[shard.format].take(_where(shard, unit), inside)
