"""How fast a selection is: against the reference package, and against reading and writing alone.

    python benchmarks/speed.py --raw FILE... --target FILE --reference-python PYTHON
    python benchmarks/speed.py --smoke

Three things are run over the same documents, each as a process of its own, timed from its start to
its end with everything that happens in between (imports, report and manifest too):

(a) the reference package `data-selection` 1.0.3 over the documents as JSON lines, by a Python that
    has it: `python -m venv X; X/bin/pip install data-selection==1.0.3 nltk==3.9.1`,
(b) `assay select dsir`, the installed program, from Parquet to the subset,
(c) a plain loop of pyarrow that reads the same Parquet once, all columns, and writes the rows that
    (b) kept, with no work in between: the limit of anything that is built on pyarrow.

(b) and (c) are run several times, spread around (a); the medians count. CPU seconds are those of
the process and of all its children. How to read the table: docs/benchmarks.md.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).parent.parent / "examples" / "sample"
SMALLEST = 100  # MB of text that the bars are for
BARS = {"reference": (120, 300), "limit": (0.15, 0.35)}  # least, hoped for; per CPU second
SETTINGS = {  # with which assay does what the reference package does
    "features": "reference",
    "smoothing": 0,
    "length_normalised": "false",
    "min_length": 100,
    "draw": "sample",
}
GROUP_ROWS = 8_192  # rows of a row group that the plain loop writes: as many as assay


def main() -> None:
    asked = options().parse_args()
    if asked.act_as:
        ACTS[asked.act_as](json.loads(asked.plan))
        return
    if asked.smoke:
        asked.raw, asked.target = sorted(SAMPLE.glob("raw-*.parquet")), SAMPLE / "target.parquet"
        asked.repeats = 1
    asked.raw = sorted(path.absolute() for path in asked.raw or ())
    with workplace(asked.work) as folder:
        results = Benchmark(asked, folder).run()
    print(report(results))
    if asked.json:
        asked.json.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    sys.exit(asked.strict and any(not met for _, met in verdicts(results)))


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--raw", type=Path, nargs="+", metavar="FILE", help="Parquet shards with a column text")
    add("--target", type=Path, metavar="FILE")
    add("--budget", default="10%")
    add("--assay", type=Path, default=Path(sys.executable).with_name("assay"), metavar="PROGRAM")
    add("--reference-python", type=Path, metavar="PYTHON", help="one that has data-selection")
    add("--reference-processes", type=int, nargs="+", default=[1, 2], metavar="N")
    add("--skip-reference", action="store_true")
    add("--workers", type=int, nargs="+", default=[1, 2], metavar="N")
    add("--repeats", type=int, default=5, help="runs of assay and of the loop [default: 5]")
    add("--work", type=Path, metavar="FOLDER", help="where to write [default: a temporary folder]")
    add("--json", type=Path, metavar="FILE", help="every single run, too")
    add("--strict", action="store_true", help="fail where a bar is missed")
    add("--smoke", action="store_true", help="on the sample that is shipped, once, in seconds")
    add("--act-as", choices=ACTS, help=argparse.SUPPRESS)
    add("--plan", help=argparse.SUPPRESS)
    return parser


# Processes that are measured ---------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What one process took, its children included; the memory is that of the largest one."""

    wall: float
    cpu: float
    peak: float  # MB


def measure(command: Sequence[Any]) -> Run:
    """Run a program to its end. This process stays small: a child's peak begins with its parent's.

    The programs may write bytecode down, as installed ones have it.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as said:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command], stdout=said, stderr=said, env=environment
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            end = said.read().decode(errors="replace")[-3000:]
            sys.exit(f"failed with {process.returncode}: {' '.join(map(str, command))}\n{end}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * unit / 1e6)


def act(name: str, plan: dict[str, Any], python: Path | str = sys.executable) -> Run:
    """Run one of the functions below as a process of its own."""
    return measure([python, "-X", "utf8", __file__, "--act-as", name, "--plan", json.dumps(plan)])


def act_reference(plan: dict[str, Any]) -> None:
    """(a): what the package's README does, with its defaults."""
    from data_selection import HashedNgramDSIR
    from joblib.externals.loky import get_reusable_executor

    folder = Path(plan["folder"])
    dsir = HashedNgramDSIR(
        plan["raw"], plan["target"], cache_dir=str(folder / "cache"), num_proc=plan["processes"]
    )
    dsir.fit_importance_estimator()
    dsir.compute_importance_weights()
    dsir.resample(str(folder / "subset"), plan["keep"], cache_dir=str(folder / "resampled"))
    if plan["processes"] > 1:
        get_reusable_executor().shutdown(wait=True)  # CPU seconds of workers that were waited for


def act_loop(plan: dict[str, Any]) -> None:
    """(c): each worker reads shards and writes one file."""
    with ThreadPoolExecutor(plan["workers"]) as workers:
        hands = range(plan["workers"])
        list(workers.map(lambda hand: copy_rows(plan, hand), hands))


def copy_rows(plan: dict[str, Any], hand: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    shards = list(zip(plan["raw"], plan["rows"], strict=True))[hand :: plan["workers"]]
    if not shards:
        return
    schema = pq.read_schema(shards[0][0])
    waiting: list[pa.RecordBatch] = []
    with pq.ParquetWriter(f"{plan['out']}-{hand}.parquet", schema, compression="zstd") as sink:
        for shard, rows in shards:
            wanted, row = np.load(rows), 0
            file = pq.ParquetFile(shard, pre_buffer=False, buffer_size=1 << 20)
            for batch in file.iter_batches(batch_size=1024, use_threads=False):
                end = row + len(batch)
                first, last = np.searchsorted(wanted, (row, end))
                if first < last:
                    waiting.append(batch.take(pa.array(wanted[first:last] - row)))
                if sum(map(len, waiting)) >= GROUP_ROWS:
                    sink.write_table(pa.Table.from_batches(waiting))
                    waiting.clear()
                row = end
        if waiting:
            sink.write_table(pa.Table.from_batches(waiting))


# What is made ready, and looked at afterwards; none of it is timed -------------------


def act_prepare(plan: dict[str, Any]) -> None:
    """Count the documents, and write them as JSON lines for the reference package."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    count = {"documents": 0, "text": 0, "stored": 0, "pyarrow": pa.__version__}
    for path in plan["raw"]:
        count["stored"] += os.path.getsize(path)
        for batch in pq.ParquetFile(path).iter_batches(columns=["text"]):
            count["documents"] += len(batch)
            count["text"] += pc.sum(pc.binary_length(batch.column(0))).as_py() or 0
    for path, written in plan["lines"].items():
        with open(written, "w", encoding="utf-8") as file:
            for batch in pq.ParquetFile(path).iter_batches():
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(batch))
    Path(plan["found"]).write_text(json.dumps(count))


def rows(batch: Any) -> Iterator[dict[str, Any]]:
    return (row for row in batch.to_pylist() if row["text"] is not None)


def act_rows(plan: dict[str, Any]) -> None:
    """Which rows of which shard a selection kept."""
    import numpy as np
    import pyarrow.dataset as ds

    subset = ds.dataset(sorted(Path(plan["selection"]).glob("part-*.parquet"))).to_table(
        ["assay_id"]
    )
    scores = ds.dataset(sorted(Path(plan["selection"], "scores").iterdir()))
    stands = scores.to_table(["id", "shard", "row"], filter=ds.field("id").isin(subset["assay_id"]))
    if len(stands) != len(subset):
        sys.exit("the documents of this benchmark need ids of their own")
    shard, row = stands["shard"].to_numpy(), stands["row"].to_numpy()
    for place, path in enumerate(plan["rows"]):
        np.save(path, np.sort(row[shard == place]))


def act_check(plan: dict[str, Any]) -> None:
    """The loop wrote what the selection kept; the two packages agree about every document."""
    import numpy as np
    import pyarrow.parquet as pq

    for copied in plan["copied"]:
        files = Path(plan["folder"]).glob(f"{copied}-*.parquet")
        if sum(pq.read_metadata(file).num_rows for file in files) != plan["keep"]:
            sys.exit(f"{copied} wrote other rows than the selection")
    difference = None
    if plan["weights"]:
        scores = pq.read_table(plan["scores"])["score"].to_numpy()
        weights = np.concatenate([np.load(path) for path in plan["weights"]])
        may_be_chosen = np.isfinite(scores)
        difference = float(np.abs(scores - weights)[may_be_chosen].max())
    found = {} if difference is None else {"largest difference of a log weight": difference}
    Path(plan["found"]).write_text(json.dumps(found))


ACTS = {
    "reference": act_reference,
    "loop": act_loop,
    "prepare": act_prepare,
    "rows": act_rows,
    "check": act_check,
}


# The benchmark -----------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """Something that is measured, several times or once."""

    what: str  # "reference", "assay", "assay, reference features", "loop"
    workers: int


@dataclass
class Results:
    about: dict[str, Any]
    runs: list[tuple[Task, list[Run]]] = field(default_factory=list)

    def add(self, task: Task, run: Run) -> None:
        known = [runs for other, runs in self.runs if other == task]
        if known:
            known[0].append(run)
        else:
            self.runs.append((task, [run]))

    def middle(self, what: str, workers: int | None = None) -> Run | None:
        """The medians; without a number of workers those of the least CPU seconds."""
        of = [runs for task, runs in self.runs if task.what == what]
        if workers is not None:
            of = [runs for task, runs in self.runs if task == Task(what, workers)]
        return min((middle(runs) for runs in of), key=lambda run: run.cpu, default=None)


def middle(runs: Sequence[Run]) -> Run:
    values = ([getattr(run, name) for run in runs] for name in ("wall", "cpu", "peak"))
    return Run(*(statistics.median(each) for each in values))


@dataclass
class Benchmark:
    asked: Any
    folder: Path
    keep: int = 0

    def run(self) -> Results:
        asked = self.asked
        if not asked.raw or not asked.target:
            sys.exit("name the documents with --raw and --target, or try --smoke")
        if not (asked.reference_python or asked.skip_reference or asked.smoke):
            sys.exit("name a Python with --reference-python, or leave it out: --skip-reference")
        say("making ready")
        found = self.prepare()
        results = Results(self.about(found))
        for task, repeat in self.tasks():
            say(f"{task.what}, {task.workers}, run {repeat + 1}")
            results.add(task, self.carry_out(task))
        results.about |= self.checked()
        results.about["load at the end"] = load()
        return results

    def prepare(self) -> dict[str, Any]:
        """Also brings the files and the programs into the page cache."""
        found, lines = self.folder / "prepared.json", {}
        if self.asked.reference_python:
            everything = [*self.asked.raw, self.asked.target]
            lines = {str(path): str(self.lines(path)) for path in everything}
        act("prepare", {"raw": words(self.asked.raw), "lines": lines, "found": str(found)})
        self.select(1, {})
        manifest = json.loads((self.folder / "selection" / "manifest.json").read_text())
        self.keep = manifest["spent"]["documents"]
        act("rows", {"selection": str(self.folder / "selection"), "rows": self.rows()})
        return json.loads(found.read_text()) | {"versions": manifest["versions"]}

    def tasks(self) -> Iterator[tuple[Task, int]]:
        """Rounds of assay and the loop, and the reference package evenly between them."""
        asked = self.asked
        ours = [Task(what, n) for n in asked.workers for what in ("assay", "loop")]
        ours.append(Task("assay, reference features", asked.workers[0]))
        theirs = asked.reference_processes if asked.reference_python else []
        after = [asked.repeats * (n + 1) // (len(theirs) + 1) for n in range(len(theirs))]
        for repeat in range(asked.repeats):
            due = (n for n, round_ in zip(theirs, after, strict=True) if round_ == repeat)
            yield from ((Task("reference", n), 0) for n in due)
            yield from ((task, repeat) for task in ours)

    def carry_out(self, task: Task) -> Run:
        if task.what == "assay":
            return self.select(task.workers, {})
        if task.what == "loop":
            plan = {"raw": words(self.asked.raw), "rows": self.rows(), "workers": task.workers}
            return act("loop", plan | {"out": str(self.folder / f"copied{task.workers}")})
        if task.what == "reference":
            return self.reference(task.workers)
        return self.select(task.workers, SETTINGS, "reference")

    def select(self, workers: int, settings: dict[str, Any], name: str = "selection") -> Run:
        out, asked = self.folder / name, self.asked
        shutil.rmtree(out, ignore_errors=True)
        command = [asked.assay, "select", "dsir", "--raw", *asked.raw, "--target", asked.target]
        command += ["--budget", asked.budget, "--out", out, "--workers", workers]
        for setting, value in settings.items():
            command += ["--set", f"{setting}={value}"]
        return measure(command)

    def reference(self, processes: int) -> Run:
        folder = self.folder / f"data-selection{processes}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        plan = {"raw": words(map(self.lines, self.asked.raw)), "processes": processes}
        plan |= {"target": [str(self.lines(self.asked.target))], "keep": self.keep}
        return act("reference", plan | {"folder": str(folder)}, self.asked.reference_python)

    def checked(self) -> dict[str, Any]:
        found = self.folder / "checked.json"
        processes = self.asked.reference_processes[0]
        weights = self.folder / f"data-selection{processes}" / "cache" / "log_importance_weights"
        shards = len(self.asked.raw)
        plan = {
            "folder": str(self.folder),
            "copied": [f"copied{n}" for n in self.asked.workers],
            "keep": self.keep,
            # With one process for each shard or fewer, its files are the shards in their order.
            "weights": words(weights / f"{n}.npy" for n in range(shards))
            if self.asked.reference_python and processes <= shards
            else [],
            "scores": str(self.folder / "reference" / "scores"),
            "found": str(found),
        }
        act("check", plan)
        return json.loads(found.read_text())

    def about(self, found: dict[str, Any]) -> dict[str, Any]:
        about = {
            "documents": found["documents"],
            "text MB": found["text"] / 1e6,
            "stored MB": found["stored"] / 1e6,
            "kept": self.keep,
            "budget": self.asked.budget,
            "repeats": self.asked.repeats,
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else "?",
            "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
            "python": platform.python_version(),
            "assay": found["versions"]["assay"],
            "pyarrow": found["pyarrow"],
            "load at the start": load(),
        }
        if self.asked.reference_python:
            ask = "import platform, importlib.metadata as m; v = m.version; "
            ask += "print(v('data-selection'), v('nltk'), v('numpy'), platform.python_version())"
            say_versions = [self.asked.reference_python, "-c", ask]
            said = subprocess.run(say_versions, capture_output=True, text=True, check=True).stdout
            about["reference"] = "data-selection {}, nltk {}, numpy {}, Python {}".format(
                *said.split()
            )
        return about

    def lines(self, path: Path) -> Path:
        return self.folder / f"{path.stem}.jsonl"

    def rows(self) -> list[str]:
        """Shards as assay counts them are in the order of their addresses, as --raw has to be."""
        return words(self.folder / f"rows{place}.npy" for place in range(len(self.asked.raw)))


@contextmanager
def workplace(named: Path | None) -> Iterator[Path]:
    """A folder that is gone afterwards, inside the one that was named."""
    with tempfile.TemporaryDirectory(prefix="assay-speed-", dir=named) as made:
        yield Path(made)


def words(paths: Any) -> list[str]:
    return [str(path) for path in paths]


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def load() -> str:
    return " ".join(f"{one:.1f}" for one in os.getloadavg())


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text} (load {load()})", file=sys.stderr, flush=True)


# The table ---------------------------------------------------------------------------

HEAD = (
    *("", "workers", "wall s", "CPU s", "peak MB", "MB per wall s", "MB per CPU s"),
    *("x reference, wall", "x reference, CPU", "of the limit, wall", "of the limit, CPU"),
)
NAMES = {
    "reference": "(a) data-selection",
    "assay": "(b) assay select dsir",
    "loop": "(c) plain pyarrow loop",
    "assay, reference features": "(b) with the reference's settings",
}


def report(results: Results) -> str:
    """The table, what it was measured on, and how it stands to the bars."""
    order = list(NAMES)
    runs = sorted(results.runs, key=lambda run: (order.index(run[0].what), run[0].workers))
    lines = [HEAD, tuple("---" for _ in HEAD), *(cells(results, task, r) for task, r in runs)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    about = "\n".join(f"- {name}: {shown(value)}" for name, value in results.about.items())
    verdict = "\n".join(f"- {said}" for said, _ in verdicts(results))
    return "\n\n".join(block for block in (table, about, verdict) if block)


def cells(results: Results, task: Task, runs: Sequence[Run]) -> tuple[str, ...]:
    mid, text = middle(runs), results.about["text MB"]
    least, most = min(run.cpu for run in runs), max(run.cpu for run in runs)
    spread = f" ({least:.2f}-{most:.2f})" if len(runs) > 1 else ""
    measured = (f"{mid.wall:.2f}", f"{mid.cpu:.2f}{spread}", f"{mid.peak:.0f}")
    rates = (f"{text / mid.wall:.2f}", f"{text / mid.cpu:.2f}")
    alike, best = results.middle("reference", task.workers), results.middle("reference")
    limit = results.middle("loop", task.workers)
    ratios = (
        f"{alike.wall / mid.wall:.0f}" if alike else "",
        f"{best.cpu / mid.cpu:.0f}" if best else "",
        f"{limit.wall / mid.wall:.2f}" if limit else "",
        f"{limit.cpu / mid.cpu:.2f}" if limit else "",
    )
    return (NAMES[task.what], str(task.workers), *measured, *rates, *ratios)


def verdicts(results: Results) -> Iterator[tuple[str, bool]]:
    """How many times the reference, and what part of the limit, per CPU second.

    Not of a sample: there, what is measured is how long programs take to start.
    """
    if results.about["text MB"] < SMALLEST:
        return
    for workers in sorted(task.workers for task, _ in results.runs if task.what == "assay"):
        ours = results.middle("assay", workers)
        others = {"reference": results.middle("reference")}
        others["limit"] = results.middle("loop", workers)
        for name, other in others.items():
            if ours and other:
                least, hoped = BARS[name]
                found = other.cpu / ours.cpu
                said = f"{workers} workers: {found:.3g} x the {name} per CPU second"
                stands = "reached" if found >= hoped else "not reached"
                met = "met" if found >= least else "MISSED"
                yield (
                    f"{said}: the bar of {least} is {met}, the aim of {hoped} {stands}",
                    (found >= least),
                )


def shown(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
