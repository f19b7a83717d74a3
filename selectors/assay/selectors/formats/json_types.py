"""Arrow types for JSON values: the union over all documents of a shard.

Whole numbers with others are reals. Values of several kinds in one place, objects without fixed
fields and numbers beyond 64 bits become text: a string as it is, anything else as JSON.
"""

import json
from typing import Any

import pyarrow as pa

from assay.selectors.errors import BadShard

MOST_FIELDS = 200  # an object with more different keys is a dictionary, not a record
MOST_COLUMNS = 5000
DEEPEST = 12


class Shape:
    """What values were seen in one place."""

    __slots__ = ("depth", "fields", "items", "kinds")

    def __init__(self, depth: int = 0) -> None:
        self.depth = depth
        self.kinds: set[str] = set()
        self.fields: dict[str, Shape] = {}
        self.items: Shape | None = None

    def add(self, value: Any) -> None:
        kind = _kind(value)
        self.kinds.add(kind)
        if kind == "object":
            self._add_fields(value)
        elif kind == "list":
            self._add_items(value)

    def type(self) -> pa.DataType:
        kinds = self.kinds - {"null"}
        if not kinds:
            return pa.null()
        if kinds == {"int", "real"}:
            return pa.float64()
        if len(kinds) > 1 or self.depth > DEEPEST:
            return pa.string()
        return self._type_of(kinds.pop())

    def _type_of(self, kind: str) -> pa.DataType:
        if kind == "list":
            return pa.list_(self.items.type() if self.items else pa.null())
        if kind == "object" and 0 < len(self.fields) <= MOST_FIELDS:
            return pa.struct([(name, shape.type()) for name, shape in self.fields.items()])
        return _TYPES.get(kind, pa.string())

    def _add_fields(self, value: dict[str, Any]) -> None:
        most = MOST_FIELDS if self.depth else MOST_COLUMNS
        if len(self.fields) > most or self.depth > DEEPEST:
            return
        for name, inside in value.items():
            if name not in self.fields:
                self.fields[name] = Shape(self.depth + 1)
            self.fields[name].add(inside)

    def _add_items(self, value: list[Any]) -> None:
        if self.depth > DEEPEST:
            return
        self.items = self.items or Shape(self.depth + 1)
        for inside in value:
            self.items.add(inside)


def schema(uri: str, documents: Shape) -> pa.Schema:
    """The columns of a shard, in the order in which they first appeared."""
    if len(documents.fields) > MOST_COLUMNS:
        raise BadShard(
            f"{uri}: more than {MOST_COLUMNS:,} different keys. Put what varies into one object, "
            'e.g. {"text": ..., "metadata": {...}}.'
        )
    return pa.schema([(name, shape.type()) for name, shape in documents.fields.items()])


def fitted(value: dict[str, Any], columns: pa.Schema) -> dict[str, Any]:
    """The values of the columns, in the form that their types take."""
    return {field.name: _fit(value.get(field.name), field.type) for field in columns}


def at(value: Any, path: str, missing: Any = None) -> Any:
    """The value under this key, or where a dotted path leads."""
    if not isinstance(value, dict):
        return missing
    if path in value:
        return value[path]
    for place, char in enumerate(path):
        if char == "." and path[:place] in value:
            return at(value[path[:place]], path[place + 1 :], missing)
    return missing


def word(value: Any) -> str | None:
    """A value as text: a string as it is, anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    if type(value) is int:  # the usual id; measured here: json.dumps takes 30 times as long
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _fit(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_string(kind):
        return word(value)
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_list(kind):
        return [_fit(inside, kind.value_type) for inside in value]
    if pa.types.is_struct(kind):
        return {field.name: _fit(value.get(field.name), field.type) for field in kind}
    return value


_TYPES = {"bool": pa.bool_(), "int": pa.int64(), "real": pa.float64(), "string": pa.string()}


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "string"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(1 << 63) <= value < 1 << 63 else "huge"
    if isinstance(value, float):
        return "real"
    return "list" if isinstance(value, list) else "object"
