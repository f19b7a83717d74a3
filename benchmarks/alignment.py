"""Speed and likeness of `zipfit` and `align` beside the reference package, on the same documents.

    python -m venv ref && ref/bin/pip install zip-fit==1.0.9 zstandard brotli lz4
    python benchmarks/alignment.py --pool FOLDER --reference ref/bin/python [TARGET ...]
    python benchmarks/alignment.py --smoke          (the sample of the examples, no reference)

FOLDER is the development pool, as in precision.py. Times are CPU seconds, user and system, of fit
and scoring alone, the best of nine where a run takes less than a second (on a busy machine a short
run hangs on what else runs); the reference's are those of its pool of one process. Spearman is
against exact gzip-6 scores. Without --reference the exact scores stand in for it and no speed is
compared.
(zip-fit 1.0.9 does not import without zstandard and brotli, which it does not ask for; its default,
gzip at level 0, stores and does not compress, so level 6 is set; ids and scores it drops.)
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from precision import InMemory, Pool, batch

from assay.jobs.executors import pool as executor
from assay.selectors import catalog
from assay.selectors.choice import mix
from assay.selectors.records import Batch, Floats
from assay.selectors.selector import Scorer

SAMPLE = Path(__file__).parent.parent / "examples" / "sample"
TARGETS = ("heldout_tech_docs", "pubmedqa")
PIECE = 500  # documents scored at a time; a selection's batches hold about 4 MB
QUICK = 1.0  # seconds: what takes less is run nine times, and the best counts
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "zipfit targets=all": ("zipfit", {"targets": "all"}),
    "zipfit": ("zipfit", {}),
    "zipfit lz4": ("zipfit", {"compressor": "lz4"}),
    "align": ("align", {}),
    "align contrast=0": ("align", {"contrast": 0}),
}
THEIRS = """
import json, resource, sys
import zip_fit.zipfit as package
raw, target = json.load(open(sys.argv[1]))
package.cpu_count = lambda: 1
used = lambda: sum(sum(resource.getrusage(who)[:2]) for who in (0, -1))
made = package.ZIPFIT("", "", k=len(raw), compression_algorithm="gzip", compress_level=6)
begun = used()
ranked = made.rank_sequences_by_alignment(raw, target)
json.dump([used() - begun, dict(ranked)], open(sys.argv[2], "w"))
"""


def main() -> None:
    asked = options().parse_args()
    for name, raw, target in cases(asked):
        bytes_ = sum(len(text.encode()) for text in target.text.to_pylist())
        print(
            f"\n{name}: {len(raw):,} documents, {size(raw) / 1e6:.2f} MB; "
            f"{len(target)} targets, {bytes_ / 1e6:.2f} MB\n"
        )
        for line in table(raw, target, asked.reference):
            print(line, flush=True)


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", nargs="*", help=f"by default {' '.join(TARGETS)}")
    parser.add_argument("--pool", type=Path)
    parser.add_argument("--reference", help="python of an environment with zip-fit 1.0.9")
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--targets", type=int, default=100)
    parser.add_argument("--smoke", action="store_true", help="few documents of the sample")
    return parser


def cases(asked: argparse.Namespace) -> list[tuple[str, Batch, Batch]]:
    if asked.smoke:
        raw = drawn(pa.concat_tables(map(pq.read_table, sorted(SAMPLE.glob("raw-*")))), 60)
        return [("sample", raw, drawn(pq.read_table(SAMPLE / "target.parquet"), 20, "target"))]
    if asked.pool is None:
        raise SystemExit("name the development pool with --pool, or try --smoke")
    shards = [pq.read_table(path, columns=["id", "text"]) for path in asked.pool.glob("*.parquet")]
    raw = drawn(pa.concat_tables(shards), asked.documents)
    found = {name: asked.pool / "targets" / f"{name}.parquet" for name in asked.target or TARGETS}
    return [
        (name, raw, drawn(pq.read_table(path), asked.targets, "target"))
        for name, path in found.items()
    ]


def drawn(table: pa.Table, number: int, target: str = "") -> Batch:
    """The documents whose ids' hashes come first."""
    if "id" not in table.column_names:
        table = table.append_column("id", pa.array([str(n) for n in range(len(table))]))
    whole = batch(table.select(["id", "text"]), 0)
    first = np.argsort(mix(whole.key, 11), kind="stable")[:number]
    return batch(table.select(["id", "text"]).take(first), 0, target)


def size(raw: Batch) -> int:
    return sum(len(text.encode()) for text in raw.text.to_pylist())


# The table ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    name: str
    seconds: float
    scores: Floats


def table(raw: Batch, target: Batch, reference: str | None) -> list[str]:
    runs = [timed(name, raw, target) for name in METHODS]
    if reference:
        runs = [theirs(reference, raw, target), *runs]
    first, exact = runs[0], next(run for run in runs if run.name == "zipfit targets=all")
    lines = [
        "| | CPU s | documents / CPU s | MB / CPU s | times the first | Spearman with exact gzip-6 "
        "| Spearman with length |",
        "|---|---|---|---|---|---|---|",
    ]
    length = np.array([len(text.encode()) for text in raw.text.to_pylist()])
    for run in runs:
        lines.append(
            f"| {run.name} | {run.seconds:.2f} | {len(raw) / run.seconds:,.0f} | "
            f"{length.sum() / 1e6 / run.seconds:.2f} | {first.seconds / run.seconds:.1f} | "
            f"{spearman(run.scores, exact.scores):.4f} | {spearman(run.scores, length):+.2f} |"
        )
    if reference:
        lines.append(f"\nlargest difference to the reference: {gap(first, exact):.1e}")
    return [*lines, "", *shared_out(raw, target)]


def timed(name: str, raw: Batch, target: Batch) -> Run:
    first = once(name, raw, target)
    again = [once(name, raw, target) for _ in range(8 if first.seconds < QUICK else 0)]
    return min([first, *again], key=lambda run: run.seconds)


def once(name: str, raw: Batch, target: Batch) -> Run:
    begun = cpu()
    scorer = fitted(name, raw, target)
    parts = [scorer.score(piece) for piece in pieces(raw)]
    return Run(name, cpu() - begun, np.concatenate([first_column(part) for part in parts]))


def fitted(name: str, raw: Batch, target: Batch) -> Scorer:
    method, settings = METHODS[name]
    domain = np.zeros(len(raw))
    return catalog.build(method, settings).fit(InMemory(Pool([raw], domain, {}), target))


def pieces(raw: Batch) -> list[Batch]:
    return [
        Batch(raw.text[here], raw.id[here], raw.key[here], raw.row[here], 0)
        for here in (slice(at, at + PIECE) for at in range(0, len(raw), PIECE))
    ]


def theirs(python: str, raw: Batch, target: Batch) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.json", Path(folder) / "made.json"
        texts = raw.text.to_pylist()
        given.write_text(json.dumps([texts, target.text.to_pylist()]))
        command = [python, "-c", THEIRS, str(given), str(made)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds, scores = json.loads(made.read_text())
    return Run("reference gzip-6", seconds, np.array([scores[text] for text in texts]))


def gap(first: Run, exact: Run) -> float:
    return float(np.abs(first.scores - exact.scores).max())


def shared_out(raw: Batch, target: Batch) -> list[str]:
    """What more threads bring, and what they cost."""
    lines = ["| | threads | wall s | CPU s |", "|---|---|---|---|"]
    for name in ("zipfit targets=all", "align"):
        scorer, few = fitted(name, raw, target), pieces(raw)
        for workers in (1, 2):
            wall, used = measured(partial(scored, scorer, few, workers))
            lines.append(f"| {name} | {workers} | {wall:.2f} | {used:.2f} |")
    return lines


def scored(scorer: Scorer, raw: list[Batch], workers: int) -> None:
    with executor("threads", workers) as mapped:
        for _ in mapped(scorer.score, raw):
            pass


def measured(work: Callable[[], None]) -> tuple[float, float]:
    wall, used = time.perf_counter(), cpu()
    work()
    return time.perf_counter() - wall, cpu() - used


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def first_column(scores: Floats) -> Floats:
    return scores if scores.ndim == 1 else scores[:, 0]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def ranks(values: np.ndarray) -> np.ndarray:
    """Places from the lowest on; equal values share their mean place."""
    _, group, times = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(times) - (times - 1) / 2)[group]


if __name__ == "__main__":
    sys.exit(main())
