"""Finds the columns that were asked for, and says precisely which are there instead."""

import difflib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assay.selectors.errors import MissingColumn

TEXT_NAMES = ("text", "content", "body", "document", "doc", "raw_content", "markdown", "value")


def find(schema: Any, path: str) -> pa.Field | None:
    """The column of this name, or the field of a struct that a dotted path leads to."""
    names = [field.name for field in schema]
    if path in names:
        return schema.field(names.index(path))
    for cut in _dots(path):
        head, tail = path[:cut], path[cut + 1 :]
        if head in names:
            kind = schema.field(names.index(head)).type
            return find(kind, tail) if pa.types.is_struct(kind) else None
    return None


def pick(batch: pa.RecordBatch, path: str) -> pa.Array:
    """The values of the column that `find` finds, decoded if they are dictionary-encoded."""
    names = batch.schema.names
    if path in names:
        return plain(batch.column(names.index(path)))
    cut = next(cut for cut in _dots(path) if path[:cut] in names)
    return plain(_inside(batch.column(names.index(path[:cut])), path[cut + 1 :]))


def plain(array: pa.Array) -> pa.Array:
    """The values themselves: no dictionary, no extension type, no views."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        return plain(array.dictionary_decode())
    if isinstance(array.type, pa.BaseExtensionType):
        return plain(array.storage)
    if array.type == pa.string_view():
        return pc.cast(array, pa.large_string())
    if array.type == pa.binary_view():
        return pc.cast(array, pa.large_binary())
    return array


def value_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values behind dictionaries and extension types."""
    if pa.types.is_dictionary(kind):
        return value_type(kind.value_type)
    return value_type(kind.storage_type) if isinstance(kind, pa.BaseExtensionType) else kind


def is_text(kind: pa.DataType) -> bool:
    """Whether values of this type can hold UTF-8."""
    return value_type(kind) in (
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
    )


def is_plain(kind: pa.DataType) -> bool:
    """Whether a value of this type can be written as one word: an id, a source."""
    return is_text(kind) or not (pa.types.is_nested(value_type(kind)) or pa.types.is_null(kind))


def require_text(uri: str, schema: pa.Schema, path: str) -> None:
    """The text column is there and holds text."""
    field = _require(uri, schema, path, "--text-column")
    if not is_text(field.type):
        raise MissingColumn(
            f"{uri}: column {path!r} holds {_in_words(field.type)}, not text."
            f"{_text_advice(schema, path)}"
        )


def require_plain(uri: str, schema: pa.Schema, path: str, option: str) -> None:
    """The column is there and each of its values can be written as one word."""
    field = _require(uri, schema, path, option)
    if not is_plain(field.type):
        raise MissingColumn(
            f"{uri}: column {path!r} holds {_in_words(field.type)}, which cannot serve as "
            f"{option}. Name a column of strings or numbers."
        )


def _require(uri: str, schema: pa.Schema, path: str, option: str) -> pa.Field:
    field = find(schema, path)
    if field is None:
        there = ", ".join(name[:40] for name in schema.names[:30]) or "none"
        advice = _text_advice(schema, path) if option == "--text-column" else ""
        near = advice or _near_advice(schema, path, option)
        raise MissingColumn(f"{uri}: no column {path!r}. Columns there: {there}.{near}")
    if schema.names.count(path) > 1:
        raise MissingColumn(
            f"{uri}: {schema.names.count(path)} columns are called {path!r}. "
            f"Rename one, or name another with {option}."
        )
    return field


def _text_advice(schema: pa.Schema, path: str) -> str:
    texts = {name for name, field in _leaves(schema) if is_text(field.type)} - {path}
    likely = [
        *(name for name in sorted(texts) if name.lower() == path.lower()),
        *(name for name in sorted(texts) if name.rpartition(".")[2] == path),
        *difflib.get_close_matches(path, sorted(texts), n=1, cutoff=0.75),
        *(name for known in TEXT_NAMES for name in sorted(texts) if name.lower() == known),
    ]
    return f" Use --text-column {likely[0]}." if likely else " Name one with --text-column."


def _near_advice(schema: pa.Schema, path: str, option: str) -> str:
    leaves = [name for name, _ in _leaves(schema)]
    same = [name for name in leaves if name.lower() == path.lower()]
    near = same or difflib.get_close_matches(path, leaves, n=1)
    return f" Use {option} {near[0]}." if near else f" Name one of them with {option}."


def _leaves(schema: Any, above: str = "") -> Iterator[tuple[str, pa.Field]]:
    for field in schema:
        yield above + field.name, field
        if pa.types.is_struct(field.type):
            yield from _leaves(field.type, f"{above}{field.name}.")


def _inside(array: pa.Array, path: str) -> pa.Array:
    names = [field.name for field in array.type]
    if path in names:
        return pc.struct_field(array, [names.index(path)])
    cut = next(cut for cut in _dots(path) if path[:cut] in names)
    return _inside(pc.struct_field(array, [names.index(path[:cut])]), path[cut + 1 :])


def _dots(path: str) -> list[int]:
    return [place for place, char in enumerate(path) if char == "."]


def _in_words(kind: pa.DataType) -> str:
    return f"numbers ({kind})" if pa.types.is_integer(kind) or _is_real(kind) else str(kind)


def _is_real(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_decimal(kind))
