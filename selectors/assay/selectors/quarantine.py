"""Rows that could not be read: left out, written down, counted; never skipped in silence."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
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


class Writer:
    """Writes bad rows as they come; the file is made for the first one."""

    def __init__(self, place: str, shard: str, stack: ExitStack) -> None:
        self._place, self._shard, self._stack = place, shard, stack
        self._sink: storage.Sink | None = None

    def extend(self, bad: Iterable[BadRow]) -> None:
        for row in bad:
            if self._sink is None:
                self._sink = self._stack.enter_context(storage.writing(self._place))
            self._sink.write(_line(self._shard, row).encode())


@contextmanager
def writing(folder: str, unit: tuple[int, int], shard: str) -> Iterator[Writer]:
    """The bad rows of one unit (shard, number) as JSON lines; no file if there are none."""
    place = storage.join(folder, f"{unit[0]:05d}-{unit[1]:05d}.jsonl")
    with ExitStack() as stack:
        yield Writer(place, shard, stack)


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
