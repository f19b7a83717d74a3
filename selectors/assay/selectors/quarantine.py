"""Rows that could not be read: left out, written down, counted; never skipped in silence."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from assay.selectors import storage

EXCERPT = 200  # characters of a bad row that are shown


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out, and why."""

    shard: int
    row: int  # place in the shard, counted from 0
    reason: str  # the same words for the same fault: reasons are counted
    excerpt: str = ""
    line: int | None = None  # line of the file, counted from 1, where a file has lines


def write(folder: str, unit: tuple[int, int], uri: str, bad: Iterable[BadRow]) -> str:
    """Write the bad rows of one unit (shard, number) as JSON lines; no file if there are none."""
    rows = sorted(bad, key=lambda row: row.row)
    place = storage.join(folder, f"{unit[0]:05d}-{unit[1]:05d}.jsonl")
    if not rows:
        storage.delete(place)
        return ""
    storage.write_bytes(place, "".join(_line(uri, row) for row in rows).encode())
    return place


def read(folder: str) -> Iterator[dict[str, object]]:
    """All rows in quarantine, in the order of shards."""
    for name in storage.names(folder):
        if name.endswith(".jsonl"):
            for line in storage.read_bytes(storage.join(folder, name)).splitlines():
                yield json.loads(line)


def reasons(bad: Iterable[BadRow]) -> dict[str, int]:
    """How often each reason was given, by name."""
    return dict(sorted(Counter(row.reason for row in bad).items()))


def excerpt(content: str | bytes) -> str:
    """The beginning of a bad row, as text that any terminal and any JSON reader can take."""
    if isinstance(content, bytes):
        content = content[: 4 * EXCERPT].decode("utf-8", "backslashreplace")
    shown = content[:EXCERPT].encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(char if char.isprintable() else _escaped(char) for char in shown)[:EXCERPT]


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _line(uri: str, bad: BadRow) -> str:
    told = {"shard": uri, "row": bad.row, "line": bad.line, "reason": bad.reason}
    return json.dumps({**told, "excerpt": bad.excerpt}, ensure_ascii=True) + "\n"
