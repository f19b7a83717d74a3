"""The chosen rows, written: which units make a part, and a part's rows with all their columns.

Where parts begin and end hangs on the corpus and the choice alone, never on who writes them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay.selectors import scores, shards, storage
from assay.selectors.folding import Map
from assay.selectors.records import Floats, Mask, Scored, best, joined
from assay.selectors.scores import ScoreFile
from assay.selectors.selector import Rule
from assay.selectors.shards import Corpus, Unit

PART_BYTES = 256_000_000  # text in a part: some 100 MB of zstd Parquet, what readers like
GROUP_ROWS = 8_192  # rows of a row group,
GROUP_BYTES = 32_000_000  # or this much, whichever comes first
ADDED = ("assay_id", "assay_score", "assay_source")
EXCERPT = 400  # characters of an example that the report shows


@dataclass(frozen=True)
class Kept:
    """What a rule keeps of a unit."""

    unit: Unit
    scores: ScoreFile
    documents: int
    bytes: int
    tokens: int


@dataclass(frozen=True)
class Tally:
    """Counts what a rule keeps of a unit. Goes to the workers."""

    rule: Rule

    def __call__(self, pair: tuple[Unit, ScoreFile]) -> Kept:
        unit, file = pair
        counts = np.zeros(3, np.int64)
        for scored in scores.read(file.uri):
            keep = self.rule.keep(scored)
            counts += (keep.sum(), scored.size[keep].sum(), scored.tokens[keep].sum())
        return Kept(unit, file, *(int(count) for count in counts))


@dataclass(frozen=True)
class Part:
    """A part to be written: its number and its units, of one schema."""

    number: int
    kept: tuple[Kept, ...]

    @property
    def name(self) -> str:
        return f"part-{self.number:05d}.parquet"

    @property
    def bytes(self) -> int:
        return sum(kept.bytes for kept in self.kept)


@dataclass(frozen=True)
class Written:
    """A part that stands: what the manifest says of it, and the examples met on the way."""

    name: str
    rows: int
    text_bytes: int
    tokens: int
    size: int
    sha256: str
    examples: tuple[dict[str, Any], ...] = field(default=())

    def entry(self) -> dict[str, Any]:
        return {k: v for k, v in asdict(self).items() if k != "examples"}


def plan(corpus: Corpus, kept: Sequence[Kept]) -> list[Part]:
    """Neighbouring units together, up to PART_BYTES of text and as long as their schemas agree."""
    runs: list[list[Kept]] = []
    for one in kept:
        if not one.documents:
            continue
        if runs and _fits(corpus, runs[-1], one):
            runs[-1].append(one)
        else:
            runs.append([one])
    return [Part(number, tuple(run)) for number, run in enumerate(runs)]


def _fits(corpus: Corpus, run: list[Kept], one: Kept) -> bool:
    schemas = [corpus.shards[kept.unit.shard].schema for kept in (run[0], one)]
    size = sum(kept.bytes for kept in run) + one.bytes
    return size <= PART_BYTES and bool(schemas[0].equals(schemas[1]))


@dataclass(frozen=True)
class Writing:
    """Writes a part. Goes to the workers."""

    corpus: Corpus
    names: tuple[str, ...]  # of the shards
    text_column: str
    rule: Rule
    examples: frozenset[tuple[int, int]]  # (shard, row) of documents that the report shows
    out: str

    def __call__(self, part: Part, map: Map = map) -> Written:  # noqa: A002
        record = storage.join(self.out, "state", f"{part.name}.json")
        if storage.exists(record):
            found = json.loads(storage.read_bytes(record))
            return Written(**found | {"examples": tuple(found["examples"])})
        written = self._write(part, map)
        storage.write_bytes(record, json.dumps(asdict(written)).encode())
        return written

    def _write(self, part: Part, map: Map) -> Written:  # noqa: A002
        examples: list[dict[str, Any]] = []
        schema = self._schema(part)
        with storage.writing(storage.join(self.out, part.name)) as sink:
            groups = _Groups(pq.ParquetWriter(sink, schema, compression="zstd"))
            for table, shown in self._walk(part, map):
                groups.add(table)
                examples += shown
            groups.close()
        return Written(
            name=part.name,
            rows=sum(kept.documents for kept in part.kept),
            text_bytes=part.bytes,
            tokens=sum(kept.tokens for kept in part.kept),
            size=sink.size,
            sha256=sink.sha256,
            examples=tuple(examples),
        )

    def _schema(self, part: Part) -> pa.Schema:
        original = self.corpus.shards[part.kept[0].unit.shard].schema
        return _with_columns(original.empty_table(), _columns([], np.zeros(0), "")).schema

    def _walk(self, part: Part, map: Map) -> Iterator["Piece"]:  # noqa: A002
        """The part's rows in order; units are read ahead while they are of ordinary size."""
        if max(kept.unit.bytes for kept in part.kept) > 2 * shards.UNIT_BYTES:
            for kept in part.kept:
                yield from self._pieces(kept)
        else:
            for pieces in map(self._all_pieces, part.kept):
                yield from pieces

    def _all_pieces(self, kept: Kept) -> list["Piece"]:
        return list(self._pieces(kept))

    def _pieces(self, kept: Kept) -> Iterator["Piece"]:
        """The chosen rows of a unit, and the examples among its rows."""
        shard, name = self.corpus.shards[kept.unit.shard], self.names[kept.unit.shard]
        scored, keep, shown = self._wanted(kept)
        begin = 0
        for rows in shards.tables(shard, kept.unit, scored.row):
            here = slice(begin, begin + len(rows))
            begin += len(rows)
            table, some = pa.Table.from_batches([rows]), scored.take(here)
            added = _columns(some.id, best(some), name)
            chosen = _with_columns(table, added).filter(pa.array(keep[here]))
            yield chosen, list(self._examples(table, some, keep[here], shown[here]))

    def _wanted(self, kept: Kept) -> tuple[Scored, Mask, Mask]:
        """The rows of a unit to be read; which of them are kept, and which are examples."""
        parts = [scores.nothing(scores.names_of(kept.scores.uri))]
        masks: list[tuple[Mask, Mask]] = [(np.zeros(0, bool), np.zeros(0, bool))]
        for scored in scores.read(kept.scores.uri):
            keep = self.rule.keep(scored)
            stands = zip(scored.shard.tolist(), scored.row.tolist(), strict=True)
            shown = np.array([place in self.examples for place in stands], bool)
            wanted = keep | shown
            parts.append(scored.take(wanted))
            masks.append((keep[wanted], shown[wanted]))
        keeps, shows = zip(*masks, strict=True)
        return joined(parts), np.concatenate(keeps), np.concatenate(shows)

    def _examples(
        self, table: pa.Table, scored: Scored, keep: Mask, shown: Mask
    ) -> Iterator[dict[str, Any]]:
        for place in np.flatnonzero(shown):
            text = _text(table, self.text_column, int(place))
            yield _example(scored, int(place), bool(keep[place]), text)


Piece = tuple[pa.Table, list[dict[str, Any]]]


class _Groups:
    """Gathers small tables into row groups."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._waiting: list[pa.Table] = []
        self._rows = self._bytes = 0

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._rows += len(table)
        self._bytes += table.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            table = pa.concat_tables(self._waiting)
            self._writer.write_table(table, row_group_size=len(table))
        self._waiting, self._rows, self._bytes = [], 0, 0


def _columns(ids: Any, found: Floats, source: str) -> dict[str, pa.Array]:
    name = pa.array([source] * len(found), pa.string())
    values = (pa.array(ids, pa.string()), pa.array(found, pa.float64()), name)
    return dict(zip(ADDED, values, strict=True))


def _with_columns(table: pa.Table, added: dict[str, pa.Array]) -> pa.Table:
    """The table with our columns at the end; those of an earlier selection give way."""
    table = table.drop_columns([name for name in ADDED if name in table.column_names])
    for name, values in added.items():
        table = table.append_column(name, values)
    return table


def _text(table: pa.Table, column: str, place: int) -> str:
    name, *inside = [column] if column in table.column_names else column.split(".")
    value = table.column(name)[place].as_py()
    for field_name in inside:
        value = value[field_name]
    shown = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return shown[:EXCERPT]


def _example(scored: Scored, place: int, kept: bool, text: str) -> dict[str, Any]:
    return {
        "kept": kept,
        "id": scored.id[place].as_py(),
        "score": float(best(scored)[place]),
        "source": scored.source[place].as_py(),
        "tokens": int(scored.tokens[place]),
        "text": text,
    }
