"""JSON lines: one object per line, plain or compressed. Rows count lines that are not blank."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from assay.selectors.errors import BadShard
from assay.selectors.formats import json_types, packed, sniff
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

LONGEST = 256 << 20  # bytes of one line; more is a file that is not made of lines
GROUP_BYTES = 16_000_000  # a plain file can be entered at the start of each such group
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank."""

    row: int  # among such lines, from 0
    number: int  # in the file, from 1
    start: int  # byte at which it starts
    content: bytes


class Unusable(ValueError):
    """A line that is no document; the message is the reason."""


def survey(uri: str, size: int, text: str) -> Layout:
    """Walk through all lines: what columns the documents have, and how many there are."""
    documents, others = json_types.Shape(), json_types.Shape()
    cuts = Cuts(splits=not _is_packed(uri))
    first = b""
    for line in _lines(uri, size):
        first = first or line.content
        cuts.add(line)
        _look(line, text, documents, others)
    if cuts.rows and not (documents.fields or others.fields):
        raise BadShard(f"{uri}: not one of its {cuts.rows:,} lines is a JSON object.{_hint(first)}")
    return Layout(json_types.schema(uri, documents if documents.fields else others), cuts.groups())


def read(where: Where, columns: Columns) -> Iterator[Rows]:
    """Text, id and group of the lines that are documents; the others as bad rows."""
    for lines in _batches(_unit(where)):
        yield _read(lines, where.shard, columns)


def take(where: Where, wanted: Counts) -> Iterator[pa.RecordBatch]:
    """The wanted lines as rows of the schema that the survey found."""
    for lines in _batches(_picked(_unit(where), wanted)):
        rows = [json_types.fitted(_parsed(line.content), where.schema) for line in lines]
        columns = [
            pa.array([row[name] for row in rows], field.type)
            for name, field in zip(where.schema.names, where.schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=where.schema)


# Lines -----------------------------------------------------------------------------------


def _lines(uri: str, size: int, start: int = 0, row: int = 0, number: int = 0) -> Iterator[Line]:
    with packed.opened(uri, size, start) as file:
        at = start
        while content := file.readline(LONGEST):
            number += 1
            if len(content) == LONGEST:
                raise BadShard(f"{uri}, line {number}: longer than {LONGEST:,} bytes.{_REMEDY}")
            shown = content.removeprefix(BOM).strip()
            if shown:
                if row == 0:
                    _refuse_other_layouts(uri, shown)
                yield Line(row, number, at, shown)
                row += 1
            at += len(content)


_REMEDY = " Write one object per line, e.g. jq -c '.[]' array.json > lines.jsonl."


def _refuse_other_layouts(uri: str, first: bytes) -> None:
    if first[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BadShard(
            f"{uri}: UTF-16, not UTF-8. Convert it, e.g. "
            "iconv -f UTF-16 -t UTF-8 old.jsonl > new.jsonl."
        )
    if first[:1] == b"[":
        raise BadShard(f"{uri}: begins with '[': an array of JSON, not lines.{_REMEDY}")
    if first == b"{":
        raise BadShard(
            f"{uri}: objects of JSON over several lines. Write one per line, e.g. "
            "jq -c . pretty.json > lines.jsonl."
        )


def _hint(first: bytes) -> str:
    return sniff.advice(first) or f" The first is {excerpt(first)!r}."


def _is_packed(uri: str) -> bool:
    name = promised(uri)
    return bool(name and name.packing)


def _unit(where: Where) -> Iterator[Line]:
    lines = _lines(where.uri, where.size, where.start, where.first_row, where.first_line)
    for line in lines:
        if line.row >= where.first_row + where.rows:
            return
        yield line


def _picked(lines: Iterator[Line], wanted: Counts) -> Iterator[Line]:
    todo = iter(wanted.tolist())
    sought = next(todo, None)
    for line in lines:
        if sought is None:
            return
        if line.row == sought:
            yield line
            sought = next(todo, None)


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line.content)
        if size >= BATCH_BYTES or len(batch) == BATCH_ROWS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Cuts:
    """Counts rows and notes where groups of lines begin."""

    def __init__(self, splits: bool) -> None:
        self._splits = splits
        self._marks: list[Line] = []
        self.rows = 0
        self._end = 0

    def add(self, line: Line) -> None:
        if not self._marks or (self._splits and line.start - self._marks[-1].start >= GROUP_BYTES):
            self._marks.append(Line(line.row, line.number - 1, line.start, b""))
        self.rows += 1
        self._end = line.start + len(line.content)

    def groups(self) -> tuple[Group, ...]:
        """The first may begin after blank lines; starting there changes nothing."""
        if not self._marks:
            return ()
        ends = [*self._marks[1:], Line(self.rows, 0, self._end, b"")]
        return tuple(
            Group(end.row - mark.row, end.start - mark.start, mark.start, mark.number)
            for mark, end in zip(self._marks, ends, strict=True)
        )


# Documents -------------------------------------------------------------------------------


def _look(line: Line, text: str, documents: json_types.Shape, others: json_types.Shape) -> None:
    try:
        value = _parsed(line.content)
        if not documents.fields:
            others.add(value)
        _text(value, text)
        documents.add(value)
    except Unusable:
        return


def _read(lines: list[Line], shard: int, columns: Columns) -> Rows:
    rows: list[int] = []
    found: list[tuple[str, Any, Any]] = []
    bad: list[BadRow] = []
    for line in lines:
        try:
            value = _parsed(line.content)
            text = _text(value, columns.text)
        except Unusable as reason:
            bad.append(BadRow(shard, line.row, str(reason), excerpt(line.content), line.number))
            continue
        rows.append(line.row)
        found.append((text, _word_at(value, columns.id), _word_at(value, columns.group)))
    texts, ids, groups = ([row[place] for row in found] for place in range(3))
    return Rows(
        np.array(rows, np.int64),
        pa.array(texts, pa.large_string()),
        pa.array(ids, pa.string()) if columns.id else None,
        pa.array(groups, pa.string()) if columns.group else None,
        bad,
    )


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        line = content.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise Unusable("the line is not valid UTF-8") from cause
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as cause:
        raise Unusable("the line is not JSON") from cause
    if not isinstance(value, dict):
        raise Unusable("the line is not a JSON object")
    if "\\ud" in line or "\\uD" in line:
        _refuse_half_characters(value)
    return value


def _refuse_half_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as cause:
        raise Unusable("a lone surrogate: half of a character") from cause


def _text(value: dict[str, Any], path: str) -> str:
    text = json_types.at(value, path, missing=Ellipsis)
    if isinstance(text, str):
        return text
    if text is Ellipsis:
        raise Unusable("the text is missing")
    raise Unusable("the text is null" if text is None else "the text is not a string")


def _word_at(value: dict[str, Any], path: str | None) -> str | None:
    return json_types.word(json_types.at(value, path)) if path else None
