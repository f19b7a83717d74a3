"""odis: how fast, how little its directions have in common, how large a corpus it chooses from.

    python benchmarks/odis.py --pool FOLDER [--target NAME] [--reference-python PYTHON]
    python benchmarks/odis.py --rows 1000000      choosing alone, from a made-up score store

FOLDER is the development pool (benchmarks/precision.py says what lies there). Each arm is a whole
run of `assay select odis` with one worker in a process of its own; its speed is bytes of text over
its CPU seconds. Every arm takes 2 % of the documents along each direction. PYTHON has datatrove and
spacy installed: the statistics of its Gopher and FineWeb filters are timed on the first 500
documents of the pool, in CPU seconds, in the same run. Prints JSON.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ARMS = {
    "components": [],
    "winsorised": ["transform=winsorised"],
    "columns, without decorrelation": ["along=columns"],
    "their average": ["along=average"],
    "one component": ["only=1"],
    "clusters": ["along=clusters"],
}
REFERENCE = """
import sys, time, json, pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.pipeline.filters import (
    FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter)
texts = pq.read_table(sys.argv[1], columns=["text"])["text"].to_pylist()[:500]
filters = [GopherQualityFilter(), GopherRepetitionFilter(), FineWebQualityFilter()]
for one in filters:
    one.filter(Document(text=texts[0], id="0"))
begun = time.process_time()
for text in texts:
    for one in filters:
        one.filter(Document(text=text, id="0"))
print(json.dumps({"seconds": time.process_time() - begun,
                  "bytes": sum(len(text.encode()) for text in texts)}))
"""


def arm(pool: Path, target: str, out: str, settings: list[str]) -> dict[str, Any]:
    """One whole run in a process of its own."""
    words = [sys.executable, "-m", "assay.api", "select", "odis", "--raw", str(pool / "*.parquet"),
             "--budget", "8%", "--out", out, "--workers", "1", "--json"]  # fmt: skip
    if target:
        words += ["--target", str(pool / "targets" / f"{target}.parquet")]
    for setting in settings:
        words += ["--set", setting]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    made = json.loads((Path(out) / "manifest.json").read_text())
    overlap = made["cut"]["overlap"]
    parts = overlap["part"]
    apart = [p for i, row in enumerate(parts) for j, p in enumerate(row) if i != j]
    return {
        "cpu_seconds": round(seconds, 2),
        "mb_per_cpu_second": round(made["corpus"]["bytes"] / 1e6 / seconds, 2),
        "documents": content["spent"]["documents"],
        "directions": len(parts),
        "overlap_mean": overlap["mean"],
        "overlap_most": max(apart, default=0.0),
        "lift_mean": overlap["mean_lift"],
    }


def reference(python: str, pool: Path) -> dict[str, float]:
    shard = str(sorted(pool.glob("*.parquet"))[0])
    done = subprocess.run(
        [python, "-c", REFERENCE, shard], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return {"mb_per_cpu_second": round(found["bytes"] / 1e6 / found["seconds"], 4)}


def choosing(rows: int) -> dict[str, float]:
    """Choosing 8 % by four tails from made-up scores, read from memory in batches."""
    import numpy as np
    import pyarrow as pa

    from assay.selectors.budget import parse
    from assay.selectors.methods.odis import Odis
    from assay.selectors.records import Scored

    tails = [f"pc{n}+" for n in range(1, 5)]
    names = ("score", "place.mean", *(f"along.{t[:-1]}" for t in tails),
             *(f"tail.{t}" for t in tails), *(f"z.{n}" for n in range(11)))  # fmt: skip
    each = 50_000

    def batch(number: int) -> Scored:
        chance = np.random.default_rng(number)
        y = chance.standard_normal((each, 4))
        places = np.argsort(np.argsort(y, axis=0), axis=0) / each
        columns = [places.max(axis=1), chance.uniform(size=each), *y.T, *places.T]
        scores = np.column_stack([*columns, chance.standard_normal((each, 11))])
        row = np.arange(each, dtype=np.int64)
        key = chance.integers(0, 1 << 62, each).astype(np.uint64)
        empty = pa.array([""] * each)
        return Scored(scores, names, key, key, row, np.full(each, number, np.int32),
                      row + 100, row % 1000 + 20, empty, empty)  # fmt: skip

    class Fold:
        seed, targets = 0, ()
        passes = 0

        def __call__(self, stream: str, empty: Any) -> Any:
            self.passes += 1
            for number in range(-(-rows // each)):
                empty.add(batch(number))
            return empty

    making = time.process_time()
    for number in range(-(-rows // each)):
        batch(number)
    making = time.process_time() - making
    fold = Fold()
    begun = time.process_time()
    rule = Odis().choose(parse("8%"), fold)  # type: ignore[arg-type]
    took = time.process_time() - begun
    assert rule.describe()
    return {
        "rows": rows,
        "passes": fold.passes,
        "cpu_seconds": round(took - fold.passes * making, 2),
        "cpu_seconds_with_making_the_rows": round(took, 2),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pool", type=Path)
    parser.add_argument("--target", default="")
    parser.add_argument("--reference-python")
    parser.add_argument("--rows", type=int)
    given = parser.parse_args()
    found: dict[str, Any] = {"load_average": round(os.getloadavg()[0], 2)}
    if given.pool:
        with tempfile.TemporaryDirectory() as folder:
            for number, (name, settings) in enumerate(ARMS.items()):
                found[name] = arm(given.pool, given.target, f"{folder}/{number}", settings)
        if given.reference_python:
            found["datatrove"] = reference(given.reference_python, given.pool)
            ours = found["components"]["mb_per_cpu_second"]
            found["times_datatrove"] = round(ours / found["datatrove"]["mb_per_cpu_second"], 1)
    if given.rows:
        found["choosing"] = choosing(given.rows)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
