"""How many of the documents that a method ranks first are of the target's own domain.

    python benchmarks/precision.py --pool FOLDER [--method dsir] [--set smoothing=0.4] [TARGET ...]

FOLDER is the development pool: Parquet shards with id, text and domain, `targets/*.parquet` with
text and split, and MANIFEST.json, which names the domain that matches each target. Of a target only
the rows of one split are used. k is the number of pool documents of the domain, so that P@k is
precision and recall in one; P@k/2 is beside it. The reference package's figures on the same pool
(the better of its top-k and its Gumbel sampling, each of them by itself) come from
docs/data/reference_precision.json. Domains mostly equal repositories: a method can win by house
style.
"""

import argparse
import copy
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay.native import kernels
from assay.selectors import catalog
from assay.selectors.folding import identity
from assay.selectors.records import Batch, Floats
from assay.selectors.selector import S, Scorer, Selector

REFERENCE = Path(__file__).parent.parent / "docs" / "data" / "reference_precision.json"


def main() -> None:
    asked = options().parse_args()
    pool = Pool.read(asked.pool)
    settings = dict(setting.split("=", 1) for setting in asked.set)
    selector = catalog.build(asked.method, settings)
    known = json.loads(REFERENCE.read_text(encoding="utf-8"))["targets"]
    rows = [
        Row.of(name, known[name], ranked(selector, pool, asked.pool, name, asked.split), pool)
        for name in asked.target or known
    ]
    print(f"{asked.method} {catalog.settings_of(selector)}, {asked.split} split\n", file=sys.stderr)
    print(table(rows))
    sys.exit(any(row.margin < 0 for row in rows) if asked.strict else 0)


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", nargs="*", help="by default all that have a matching domain")
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--method", default="dsir")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--split", default="train", help="the reference was measured on train")
    parser.add_argument("--strict", action="store_true", help="fail where the reference is better")
    return parser


# Ranking -----------------------------------------------------------------------------


@dataclass
class Pool:
    batches: list[Batch]
    domain: np.ndarray
    folded: dict[str, object]  # what was learned of the raw pool: the same for every target

    @classmethod
    def read(cls, folder: Path, documents: int | None = None) -> "Pool":
        columns = ["id", "text", "domain"]
        shards = [pq.read_table(path, columns=columns) for path in sorted(folder.glob("*.parquet"))]
        if documents:
            shards = [drawn(pa.concat_tables(shards), documents)]
        batches = [batch(shard, place) for place, shard in enumerate(shards)]
        domain = np.concatenate([shard.column("domain").to_numpy() for shard in shards])
        return cls(batches, domain, {})


def drawn(table: pa.Table, documents: int) -> pa.Table:
    """The documents whose ids' hashes come first."""
    key = kernels.fingerprint(table.column("id").combine_chunks(), seed=5)
    return table.take(np.argsort(key, kind="stable")[:documents])


def batch(table: pa.Table, shard: int, target: str = "") -> Batch:
    text, name = (table.column(column).combine_chunks() for column in ("text", "id"))
    rows = np.arange(len(table), dtype=np.int64)
    return Batch(text, name, kernels.fingerprint(name), rows, shard, target=target)


@dataclass(frozen=True)
class InMemory:
    """The `Fold` of one target and a pool that fits in memory."""

    pool: Pool
    target: Batch
    seed: int = 0

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target.target,)

    def __call__(self, stream: str, empty: S, /) -> S:
        if stream != "raw":
            return added(empty, [self.target])
        asked = identity(empty)
        if asked not in self.pool.folded:
            self.pool.folded[asked] = added(empty, self.pool.batches)
        return cast(S, self.pool.folded[asked])


def added(empty: S, batches: Sequence[Batch]) -> S:
    total = copy.deepcopy(empty)
    for each in batches:
        total.add(each)
    return total


def ranked(selector: Selector, pool: Pool, folder: Path, name: str, split: str) -> np.ndarray:
    """Places of the pool's documents, best first; those that may not be chosen are left out."""
    rows = pq.read_table(folder / "targets" / f"{name}.parquet", filters=[("split", "=", split)])
    scorer = selector.fit(InMemory(pool, batch(rows, 0, name)))
    scores = np.concatenate([ranking(scorer, each) for each in pool.batches])
    key = np.concatenate([each.key for each in pool.batches])
    best_first = np.lexsort((key, -scores))
    return best_first[scores[best_first] > -np.inf]


def ranking(scorer: Scorer, documents: Batch) -> Floats:
    """The score that ranks; a column beside it, such as a standard error, does not."""
    found = scorer.score(documents)
    return found if found.ndim == 1 else found[:, scorer.names.index("score")]


# The table ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    target: str
    domain: str
    k: int
    reference: tuple[float, float]  # at k, at k/2
    ours: tuple[float, float]

    @classmethod
    def of(cls, target: str, known: dict, best_first: np.ndarray, pool: Pool) -> "Row":
        hit = pool.domain[best_first] == known["domain"]
        k = int((pool.domain == known["domain"]).sum())
        at_k, at_half = (int(hit[:cut].sum()) / cut for cut in (k, max(k // 2, 1)))
        reference = [max(known[f"p_{cut}_top"], known[f"p_{cut}_gumbel"]) for cut in ("k", "half")]
        theirs = (reference[0], reference[1])
        return cls(target, known["domain"], k, theirs, (at_k, at_half))

    @property
    def margin(self) -> float:
        """By how much we are ahead where we are least ahead; six digits are stored."""
        return min(round(a - b, 5) for a, b in zip(self.ours, self.reference, strict=True))


def table(rows: Sequence[Row]) -> str:
    head = ("target", "domain", "k", "reference P@k", "ours P@k", "reference P@k/2", "ours P@k/2")
    lines = [head, tuple("---" for _ in head), *(cells(row) for row in rows)]
    if len(rows) > 1:
        lines.append(("**mean**", "", "", *(f"**{mean:.3f}**" for mean in means(rows))))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(row: Row) -> tuple[str, ...]:
    pairs = zip(row.reference, row.ours, strict=True)
    return (row.target, row.domain, f"{row.k:,}", *(f"{v:.3f}" for pair in pairs for v in pair))


def means(rows: Sequence[Row]) -> list[float]:
    values = [[v for pair in zip(r.reference, r.ours, strict=True) for v in pair] for r in rows]
    return [float(mean) for mean in np.mean(values, axis=0)]


if __name__ == "__main__":
    main()
