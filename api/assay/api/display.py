"""What a person sees while a command works, and how numbers are written."""

import os
import resource
import sys
import time
from typing import Any, TextIO

EVERY = 10.0  # seconds between plain lines
FIRST = 2.0  # nothing is shown of what takes less


class PlainProgress:
    """A line now and then, for logs."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._stage, self._total, self._done = "", 0, 0
        self._begun = self._told = time.monotonic()

    def note(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    def begin(self, stage: str, total: int) -> None:
        self._stage, self._total, self._done = stage, total, 0
        self._begun = time.monotonic()
        self._told = self._begun + FIRST - EVERY

    def advance(self, size: int) -> None:
        self._done += size
        if time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            print(self.line(), file=self._stream, flush=True)

    def end(self) -> None: ...

    def line(self) -> str:
        """Stage, share, rate, what is left, memory."""
        seconds = max(time.monotonic() - self._begun, 1e-9)
        rate = self._done / seconds
        left = (self._total - self._done) / rate if rate else 0
        share = self._done / self._total if self._total else 1
        return (
            f"{self._stage}: {share:.0%} of {size(self._total)}, {size(rate)}/s, "
            f"{duration(left)} left, memory {size(peak_memory())}"
        )


class BarProgress:
    """A bar with rate, time left and memory, for terminals."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar: Any = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]:>10}/s"),
            TimeRemainingColumn(),
            TextColumn("memory {task.fields[memory]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: Any = None
        self._begun, self._done = 0.0, 0

    def note(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def begin(self, stage: str, total: int) -> None:
        self._begun, self._done = time.monotonic(), 0
        self._bar.start()
        self._task = self._bar.add_task(stage, total=max(total, 1), rate="", memory="")

    def advance(self, done: int) -> None:
        self._done += done
        rate = size(self._done / max(time.monotonic() - self._begun, 1e-9))
        self._bar.update(self._task, advance=done, rate=rate, memory=size(peak_memory()))

    def end(self) -> None:
        self._bar.stop()
        self._bar.remove_task(self._task)


def progress() -> Any:
    """A bar on a terminal, lines elsewhere."""
    return BarProgress() if sys.stderr.isatty() else PlainProgress(sys.stderr)


def peak_memory() -> int:
    """Bytes of memory that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def size(count: float) -> str:
    """4.9 MB"""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.5:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"


def place(uri: str) -> str:
    """A local path from here on, where it lies below; any other URI as it is."""
    if not uri.startswith("/"):
        return uri
    near = os.path.relpath(uri)
    return uri if near.startswith("..") else near


def number(count: float) -> str:
    """68,274"""
    return f"{count:,.0f}"


def some(count: int, thing: str) -> str:
    """1 shard, 6 shards"""
    return f"{number(count)} {thing}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """1 h 02 min, 3 min 20 s, 4.2 s"""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def table(rows: list[list[str]], right: tuple[int, ...] = ()) -> str:
    """Columns, aligned; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_row(row, widths, right) for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def bar(share: float, width: int = 24) -> str:
    """A share from 0 to 1 as a bar of text."""
    eighths = round(min(max(share, 0), 1) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")


def _row(row: list[str], widths: list[int], right: tuple[int, ...]) -> str:
    cells = [
        cell.rjust(width) if column in right else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
