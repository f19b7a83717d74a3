"""What every format tells about a shard, and hands over when it is read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from assay.selectors.quarantine import BadRow
from assay.selectors.records import Counts

BATCH_ROWS = 1024  # measured: 8,192 rows were a quarter slower on two cores
BATCH_BYTES = 4 << 20  # a batch stays in the cache of a core or nearly so


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that are read together: a row group, a record batch, a whole file of lines."""

    rows: int
    bytes: int  # uncompressed, as far as it is known
    start: int = 0  # where lines can be entered: the byte,
    line: int = 0  # and the number of lines before it


@dataclass(frozen=True, slots=True)
class Layout:
    """A shard as its footer, or a first walk through it, describes it."""

    schema: pa.Schema
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that are read for every document, by their paths in the schema."""

    text: str
    id: str | None = None
    group: str | None = None

    def paths(self) -> list[str]:
        return [path for path in (self.text, self.id, self.group) if path]


@dataclass(frozen=True, slots=True)
class Where:
    """Some groups of a shard, one after the other."""

    uri: str
    shard: int
    size: int
    schema: pa.Schema
    groups: tuple[int, ...]
    first_row: int
    rows: int
    start: int = 0
    first_line: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows as they stand in the shard; those that are no rows at all are in `bad`."""

    row: Counts
    text: pa.Array
    id: pa.Array | None
    group: pa.Array | None
    bad: list[BadRow] = field(default_factory=list)


class Format(Protocol):
    """A family of formats; each module beside this one is such an object."""

    def survey(self, uri: str, size: int, text: str) -> Layout:
        """Schema, groups and rows, without holding the shard in memory."""
        ...

    def read(self, where: Where, columns: Columns) -> Iterator[Rows]:
        """The rows in order, in batches of bounded size, decoding the named columns only."""
        ...

    def take(self, where: Where, wanted: Counts) -> Iterator[pa.RecordBatch]:
        """The wanted rows in order, all columns; `wanted` is sorted and lies in these groups."""
        ...
