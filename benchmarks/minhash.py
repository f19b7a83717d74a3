"""MinHash beside datasketch: the same documents, one core, one run.

    python benchmarks/minhash.py --smoke                 the sample that is shipped, in seconds
    python benchmarks/minhash.py --pool FOLDER           Parquet shards with a text column

Both make signatures of 128 permutations of runs of five tokens. datasketch is measured with the
shingles made by Python, and with shingles given, so that only its own work counts; with its SHA-1,
and with zlib.crc32, the fastest hash of the standard library. Signatures are compared where the
hash is the same. Times are seconds of one core, the best of some rounds taken in turn.
"""

import argparse
import re
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasketch import MinHash

from assay.selectors.sketch import Sketch, fast_hash

SAMPLE = Path(__file__).parent.parent / "examples" / "sample"
TOKEN = re.compile(r"\w+|[^\w\s]+")
PERMUTATIONS, WIDTH, SEED = 128, 5, 1
BAR = 10  # times datasketch, per core
CHECKED = (
    50  # documents whose fast signature is compared, as datasketch hashes slowly with our hash
)


def main() -> None:
    asked = options().parse_args()
    texts = read(asked.pool or SAMPLE, 300 if asked.smoke else asked.documents)
    times, agreed = measured(texts, rounds=2 if asked.smoke else 5)
    print(table(times, texts))
    print(f"\nsignatures that equal datasketch's: {agreed}")
    ours, theirs = times["assay, fast"], times["datasketch, SHA-1, shingles given"]
    print(f"assay (fast, shingles made) : datasketch (shingles given) = {theirs / ours:.0f} : 1")
    sys.exit(0 if theirs / ours >= BAR else f"less than {BAR} times as fast")


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--smoke", action="store_true", help="the sample, 300 documents, two rounds"
    )
    parser.add_argument("--pool", type=Path, help="a folder of Parquet shards with a text column")
    parser.add_argument("--documents", type=int, default=2000)
    return parser


def read(folder: Path, documents: int) -> pa.Array:
    """Some texts, evenly over the shards."""
    shards = [pq.read_table(path, columns=["text"])["text"] for path in folder.glob("*.parquet")]
    every = pa.chunked_array([chunk for shard in shards for chunk in shard.chunks])
    step = max(1, len(every) // documents)
    return every.take(pa.array(range(0, len(every), step)[:documents])).combine_chunks()


# Signatures --------------------------------------------------------------------------


def measured(texts: pa.Array, rounds: int) -> tuple[dict[str, float], str]:
    """The best time of each way, and what agreed."""
    plain = [text.as_py() for text in texts]
    given = [shingles(text) for text in plain]
    ways: dict[str, Callable[[], np.ndarray]] = {
        "datasketch, SHA-1": lambda: theirs([shingles(text) for text in plain]),
        "datasketch, SHA-1, shingles given": lambda: theirs(given),
        "datasketch, crc32, shingles given": lambda: theirs(given, zlib.crc32),
        "assay, sha1": lambda: Sketch(hash="sha1").signatures(texts),
        "assay, fast": lambda: Sketch().signatures(texts),
        "assay, fast, bands for 0.7": lambda: Sketch().bands(texts, 0.7),
    }
    found: dict[str, np.ndarray] = {}
    times = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            begun = time.process_time()
            found[name] = way()
            times[name] = min(times[name], time.process_time() - begun)
    sha1 = (found["assay, sha1"] == found["datasketch, SHA-1, shingles given"]).all(axis=1).sum()
    fast = (found["assay, fast"][:CHECKED] == theirs(given[:CHECKED], fast_hash)).all(axis=1).sum()
    some = min(CHECKED, len(texts))
    return times, f"{sha1} of {len(texts)} (sha1), {fast} of {some} (fast)"


def shingles(text: str) -> list[bytes]:
    tokens = TOKEN.findall(text.lower())
    width = min(WIDTH, len(tokens))
    starts = range(len(tokens) - width + 1) if tokens else range(0)
    return [" ".join(tokens[i : i + width]).encode() for i in starts]


def theirs(
    given: Sequence[list[bytes]], hashfunc: Callable[[bytes], int] | None = None
) -> np.ndarray:
    made = []
    drawn = MinHash(PERMUTATIONS, seed=SEED)
    for one in given:
        # As its own bulk() does it: the permutations are drawn once.
        sketch = MinHash(
            PERMUTATIONS,
            seed=SEED,
            hashfunc=hashfunc,
            permutations=drawn.permutations,
            scheme="affine32",
        )
        sketch.update_batch(one)
        made.append(sketch.hashvalues)
    return np.array(made)


def table(times: dict[str, float], texts: pa.Array) -> str:
    size = sum(len(text.as_buffer()) for text in texts if text.as_py())
    base = times["datasketch, SHA-1, shingles given"]
    lines = [f"{len(texts):,} documents, {size / 1e6:.1f} MB\n", "| | docs/s | MB/s | times |"]
    lines.append("|---|---|---|---|")
    for name, seconds in times.items():
        rate, flow = len(texts) / seconds, size / 1e6 / seconds
        lines.append(f"| {name} | {rate:,.0f} | {flow:,.1f} | {base / seconds:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
