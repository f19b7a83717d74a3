"""What share of a method's choice belongs to the target's own domain: every method, every target.

    python benchmarks/methods.py --pool FOLDER [--documents 6000] [--method NAME ...] [TARGET ...]

FOLDER is the development pool and k a domain's documents in it, as in precision.py; a cell holds
P@k and P@k/2. --documents draws some of the pool for slow methods. `chance` is the domain's share
of the pool: what any choice without regard to the target finds. Each method has its defaults, and
learns from the train split of a target.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from precision import REFERENCE, InMemory, Pool, batch

from assay.selectors import catalog
from assay.selectors.records import Floats, best
from assay.selectors.scoring import scored

METHODS = ("dsir", "classifier", "lm", "align", "zipfit", "quality", "uniform")

Cell = tuple[float, float]  # P@k, P@k/2


def main() -> None:
    asked = options().parse_args()
    pool = Pool.read(asked.pool, asked.documents)
    domains = {name: entry["domain"] for name, entry in known(asked.target).items()}
    found = {method: column(method, pool, asked.pool, domains) for method in asked.method}
    print(table(pool, domains, found))


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", nargs="*", help="by default all that have a matching domain")
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--documents", type=int, help="of the pool, drawn by id; by default all")
    parser.add_argument("--method", nargs="+", default=METHODS, metavar="NAME")
    return parser


def known(asked: Sequence[str]) -> dict[str, dict]:
    targets: dict[str, dict] = json.loads(REFERENCE.read_text(encoding="utf-8"))["targets"]
    return {name: targets[name] for name in asked or targets}


def column(method: str, pool: Pool, folder: Path, domains: dict[str, str]) -> dict[str, Cell]:
    begun, selector = time.process_time(), catalog.build(method, {})
    found = {}
    for name, domain in domains.items():
        target = folder / "targets" / f"{name}.parquet"
        rows = pq.read_table(target, filters=[("split", "=", "train")])
        scorer = selector.fit(InMemory(pool, batch(rows, 0, name)))
        scores = np.concatenate([best(scored(each, scorer, "")) for each in pool.batches])
        found[name] = precision(scores, pool, domain)
    seconds = time.process_time() - begun
    print(f"{method}: {seconds / len(domains):.1f} CPU s a target", file=sys.stderr)
    return found


def precision(scores: Floats, pool: Pool, domain: str) -> Cell:
    key = np.concatenate([each.key for each in pool.batches])
    best_first = np.lexsort((key, -scores))
    best_first = best_first[scores[best_first] > -np.inf]
    hit = pool.domain[best_first] == domain
    k = int((pool.domain == domain).sum())
    at_k, at_half = (float(hit[:cut].sum() / cut) for cut in (k, max(k // 2, 1)))
    return at_k, at_half


def table(pool: Pool, domains: dict[str, str], found: dict[str, dict[str, Cell]]) -> str:
    lines = [("target", "k", "chance", *found), ("---",) * (3 + len(found))]
    for name, domain in domains.items():
        k = int((pool.domain == domain).sum())
        cells = [words(column[name]) for column in found.values()]
        lines.append((name, f"{k:,}", f"{k / len(pool.domain):.2f}", *cells))
    averages = [np.mean(list(column.values()), axis=0) for column in found.values()]
    lines.append(("**mean**", "", "", *(f"**{words(cell)}**" for cell in averages)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def words(cell: Sequence[float]) -> str:
    return " ".join(f"{value:.2f}" for value in cell)


if __name__ == "__main__":
    main()
