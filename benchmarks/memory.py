"""How much memory a selection takes, and whether it grows with the corpus.

    python benchmarks/memory.py --raw FILE... --target FILE

Runs `assay select dsir` with two workers on the corpus, and on one ten times as large, and prints
the most memory that was in use. The larger corpus is made for this and deleted afterwards (three
times the size of the Parquet, tenfold): each further copy has its letters exchanged in another way
and new ids, so no text comes twice, and most words are new too.

With `--engine threads` there is one process, whose peak the system itself knows. With
`--engine processes` the memory of all of them is added up from samples: pages that they share
(programs and libraries) count once in "shared once" (PSS) and once for each process in "sum" (RSS).
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEAST, GROWTH = 400, 0.10  # bars: MB, share
TIMES = 10
PAUSE = 0.05  # seconds between two samples


def main() -> None:
    asked = options().parse_args()
    if asked.enlarge:
        enlarge(json.loads(asked.enlarge))
        return
    with tempfile.TemporaryDirectory(prefix="assay-memory-", dir=asked.work) as folder:
        larger = enlarged(asked.raw, Path(folder))
        rows = [
            [
                measure(asked, engine, raw, Path(folder) / f"{engine}{len(raw)}")
                for raw in (asked.raw, larger)
            ]
            for engine in asked.engine
        ]
    print(table(rows, asked))
    sys.exit(asked.strict and not all(met(*row) for row in rows[:1]))


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--raw", type=Path, nargs="+", metavar="FILE", help="Parquet shards with id and text")
    add("--target", type=Path, metavar="FILE")
    add("--budget", default="10%")
    add("--workers", type=int, default=2)
    add("--engine", nargs="+", default=["threads", "processes"], metavar="ENGINE")
    add("--assay", type=Path, default=Path(sys.executable).with_name("assay"), metavar="PROGRAM")
    add("--work", type=Path, metavar="FOLDER", help="where to write [default: a temporary folder]")
    add("--strict", action="store_true", help="fail where a bar is missed")
    add("--enlarge", help=argparse.SUPPRESS)
    return parser


# The larger corpus -------------------------------------------------------------------


def enlarged(raw: Sequence[Path], folder: Path) -> list[Path]:
    """Made by a process of its own: a child's peak begins with its parent's."""
    made = [folder / f"copy{n}-{path.name}" for n in range(TIMES) for path in raw]
    plan = {"raw": [str(path) for path in raw], "made": [str(path) for path in made]}
    subprocess.run([sys.executable, __file__, "--enlarge", json.dumps(plan)], check=True)
    return made


def enlarge(plan: dict[str, Any]) -> None:
    """Copies with the row groups of the original, one thread, a row group at a time."""
    import pyarrow.parquet as pq

    for place, made in enumerate(plan["made"]):
        copy, shard = divmod(place, len(plan["raw"]))
        file = pq.ParquetFile(plan["raw"][shard])
        with pq.ParquetWriter(made, file.schema_arrow, compression="zstd") as sink:
            for group in range(file.num_row_groups):
                sink.write_table(changed(file.read_row_group(group), copy))


def changed(table: Any, copy: int) -> Any:
    """Letters are exchanged for letters of their kind, so the bytes remain UTF-8, and as many."""
    import pyarrow as pa

    if not copy:
        return table
    text = table.column("text").combine_chunks()
    validity, ends, letters = text.buffers()
    exchanged = pa.py_buffer(letters.to_pybytes().translate(exchange(copy)))
    buffers = [validity, ends, exchanged]
    new = pa.Array.from_buffers(text.type, len(text), buffers, offset=text.offset)
    ids = pa.array([f"{name}-{copy}" for name in table.column("id").to_pylist()])
    table = table.set_column(table.column_names.index("text"), "text", new)
    return table.set_column(table.column_names.index("id"), "id", ids)


def exchange(copy: int) -> bytes:
    """A table for `bytes.translate`."""
    kinds = ("aeiou", "bcdfghjklmnpqrstvwxyz")
    mixed = {kind: "".join(random.Random(copy).sample(kind, len(kind))) for kind in kinds}
    pairs = [(kind + kind.upper(), new + new.upper()) for kind, new in mixed.items()]
    old, new = ("".join(side).encode() for side in zip(*pairs, strict=True))
    return bytes.maketrans(old, new)


# Measuring ---------------------------------------------------------------------------


@dataclass
class Peak:
    """The most memory in use, in MB: as the system counted one process, and as sampled of all."""

    engine: str
    documents: int = 0
    text: float = 0.0
    seconds: float = 0.0
    largest: float = 0.0
    together: float = 0.0
    shared_once: float = 0.0

    @property
    def counted(self) -> float:
        return self.largest if self.engine == "threads" else self.shared_once


def measure(asked: Any, engine: str, raw: Sequence[Path], out: Path) -> Peak:
    print(f"{engine}: {len(raw)} shards", file=sys.stderr, flush=True)
    command = [asked.assay, "select", "dsir", "--raw", *raw, "--target", asked.target, "--out", out]
    command += ["--budget", asked.budget, "--workers", asked.workers, "--engine", engine]
    peak, begun = Peak(engine), time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([str(word) for word in command], stdout=said, stderr=said)
        while True:
            found, status, used = os.wait4(process.pid, os.WNOHANG)
            if found:
                break
            sample(process.pid, peak)
            time.sleep(PAUSE)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"failed with {process.returncode}:\n{said.read().decode()[-3000:]}")
    peak.seconds = time.perf_counter() - begun
    peak.largest = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    corpus = json.loads((out / "manifest.json").read_text())["corpus"]
    peak.documents, peak.text = corpus["documents"], corpus["bytes"] / 1e6
    return peak


def sample(pid: int, peak: Peak) -> None:
    """What the program and those it started hold now; nothing where there is no /proc."""
    sums = {"Rss:": 0, "Pss:": 0}
    for each in family(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        for name, size, *_ in (line.split() for line in lines[1:]):
            if name in sums:
                sums[name] += int(size) * 1024
    peak.together = max(peak.together, sums["Rss:"] / 1e6)
    peak.shared_once = max(peak.shared_once, sums["Pss:"] / 1e6)


def family(pid: int) -> Iterator[int]:
    yield pid
    for threads in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = threads.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from family(int(child))


# The table ---------------------------------------------------------------------------

HEAD = (
    *("engine", "documents", "text MB", "wall s", "largest process MB", "sum MB"),
    *("shared once MB", "growth"),
)


def table(rows: Sequence[Sequence[Peak]], asked: Any) -> str:
    lines = [HEAD, tuple("---" for _ in HEAD)]
    for small, large in rows:
        lines.append((*cells(small), ""))
        lines.append((*cells(large), f"{growth(small, large):+.1%}"))
    told = [f"| {' | '.join(line)} |" for line in lines]
    small, large = rows[0]
    said = "met" if met(small, large) else "MISSED"
    bar = f"less than {LEAST} MB and {GROWTH:.0%} of growth, {small.engine}"
    return "\n".join([*told, "", f"- {asked.workers} workers; the bar of {bar}: {said}"])


def cells(peak: Peak) -> tuple[str, ...]:
    sizes = (peak.text, peak.seconds, peak.largest, peak.together, peak.shared_once)
    return (peak.engine, f"{peak.documents:,}", *(f"{size:,.0f}" for size in sizes))


def growth(small: Peak, large: Peak) -> float:
    return large.counted / small.counted - 1


def met(small: Peak, large: Peak) -> bool:
    return max(small.counted, large.counted) < LEAST and growth(small, large) < GROWTH


if __name__ == "__main__":
    main()
