"""What `influence` finds on the development pool, how faithfully it is distilled, and how fast.

    python benchmarks/influence.py --pool FOLDER [--set size=100K ...] [--documents N] [TARGET ...]

FOLDER is the development pool, and k a domain's documents in it, as in precision.py. Every row is a
target: P@k and P@k/2 of influence, and of `classifier` on the same sample of the pool; Spearman's
correlation of distilled scores and gradients on held-out documents; and documents a second of
both scorers, measured in turns in one process. --documents draws some of the pool, by id.
"""

import argparse
import copy
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml
from methods import precision
from precision import REFERENCE, InMemory, Pool, batch

from assay.selectors import catalog
from assay.selectors.records import best
from assay.selectors.scoring import scored
from assay.selectors.selector import Scorer

TURNS = 5  # timings of each scorer, by turns; the median counts


def main() -> None:
    asked = options().parse_args()
    settings = {name: yaml.safe_load(value) for name, value in (s.split("=", 1) for s in asked.set)}
    pool = Pool.read(asked.pool, asked.documents)
    domains = json.loads(REFERENCE.read_text(encoding="utf-8"))["targets"]
    made: dict[str, Any] = {}
    print(f"influence {settings}, {len(pool.domain):,} documents", file=sys.stderr)
    print("| target | chance | influence P@k P@k/2 | classifier P@k P@k/2 | Spearman, distilled |")
    print("| --- | --- | --- | --- | --- |")
    for name in asked.target:
        domain = domains[name]["domain"]
        rows = pq.read_table(
            asked.pool / "targets" / f"{name}.parquet", filters=[("split", "=", "train")]
        )
        target = batch(rows, 0, name)
        scorers = {
            "influence": fitted("influence", settings, pool, target, made),
            "classifier": fitted("classifier", {}, pool, target, made),
        }
        cells = {who: precision(scores(one, pool), pool, domain) for who, one in scorers.items()}
        told = scorers["influence"].appraisal(len(pool.domain), 0)
        chance = (pool.domain == domain).mean()
        words = [f"{a:.3f} {b:.3f}" for a, b in cells.values()]
        print(f"| {name} | {chance:.3f} | {words[0]} | {words[1]} | {told['held_out_spearman']} |")
        print(json.dumps({k: v for k, v in told.items() if k not in ("checks", "said")}),
              file=sys.stderr)  # fmt: skip
    speeds = timed(scorers, pool)
    print("\n" + "; ".join(f"{who}: {speed:,.0f} documents/s" for who, speed in speeds.items()))
    share = speeds["influence"] / speeds["classifier"]
    print(f"influence over classifier: {share:.2f} (bar for distilled scores: 0.80)")


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", nargs="*", default=["heldout_textbook", "gsm8k"])
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--documents", type=int, help="of the pool, drawn by id; by default all")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    return parser


@dataclass(frozen=True)
class Remembering(InMemory):
    """What does not hang on the target, such as the proxy, is made once for all of them."""

    made: dict[str, Any] = field(default_factory=dict)

    def remember(self, what, question, empty, work, total):
        if question not in self.made:
            begun = time.monotonic()
            self.made[question] = work(lambda done: None)
            print(f"{what}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
        return copy.deepcopy(self.made[question])


def fitted(method: str, settings: dict, pool: Pool, target: Any, made: dict) -> Any:
    return catalog.build(method, settings).fit(Remembering(pool, target, made=made))


def scores(scorer: Scorer, pool: Pool) -> np.ndarray:
    return np.concatenate([best(scored(each, scorer, "")) for each in pool.batches])


def timed(scorers: dict[str, Scorer], pool: Pool) -> dict[str, float]:
    """Documents a second of each scorer on one thread."""
    seconds: dict[str, list[float]] = {who: [] for who in scorers}
    for _ in range(TURNS):
        for who, scorer in scorers.items():
            begun = time.process_time()
            for each in pool.batches:
                scorer.score(each)
            seconds[who].append(time.process_time() - begun)
    return {who: len(pool.domain) / statistics.median(took) for who, took in seconds.items()}


if __name__ == "__main__":
    main()
