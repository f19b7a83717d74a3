"""How far the best learning rate moves between sizes of proxies.

    python benchmarks/learning_rate.py 'POOL/*.parquet'              # on a CPU: 100K, 1M and 4M
    python benchmarks/learning_rate.py 'POOL/*.parquet' --sizes 4M,20M,60M --tokens 2e8
    python benchmarks/learning_rate.py --smoke

Every size is trained at every factor of the trainer's own rate, on the same text, and asked for the
bits per byte of documents that it was not trained on, mean over seeds. The best rate of a size is
where a parabola in the logarithm of the rate, through the best and its two neighbours, is lowest.
"""

import argparse
import json
from glob import glob
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from assay.api import settings

settings.for_threads()  # before torch is imported, as `assay` does it

from assay.scaling.proxy import needs
from assay.scaling.proxy.errors import Diverged
from assay.scaling.proxy.evaluate import surprise
from assay.scaling.proxy.tokens import pack
from assay.scaling.proxy.train import LEARNING_RATE, Place, Trainer, TrainSpec

SAMPLE = str(Path(__file__).parents[1] / "examples" / "sample" / "raw-*.parquet")


def texts(pattern, column, size, held_out, seed):
    """Documents to train on, `size` bytes of them, and others, `held_out` bytes."""
    paths = sorted(glob(pattern))
    found = [
        t.encode() for p in paths for t in pq.read_table(p, columns=[column])[column].to_pylist()
    ]
    order = np.random.default_rng(seed).permutation(len(found))
    parts, wanted = ([], []), (held_out, size)
    side = 0
    for place in order:
        if sum(map(len, parts[side])) >= wanted[side]:
            side += 1
        if side > 1:
            break
        parts[side].append(found[place][:4000])
    return parts[1], parts[0]


def bits(size, factor, seed, asked, device, train, held):
    spec = TrainSpec(
        size,
        int(asked.tokens),
        seed=seed,
        sequence=asked.sequence,
        micro_batch=asked.micro_batch,
        learning_rate=LEARNING_RATE * factor,
        bf16=device.gpu,
        compile=device.gpu,
    )
    trainer = Trainer(spec, train, Place(device))
    try:
        trainer.run()
    except Diverged:
        return float("inf")
    return surprise(trainer.model, held, trainer.where, spec.bf16).bits_per_byte


def lowest(factors, lost):
    """Where the parabola through the best and its neighbours is lowest, and whether there are two;
    else the best."""
    best = int(np.argmin(lost))
    some = slice(max(best - 1, 0), best + 2)
    logs, values = np.log2(factors[some]), lost[some]
    if len(logs) < 3 or not np.isfinite(values).all():
        return float(factors[best]), False
    a, b, _ = np.polyfit(logs, values, 2)
    return float(2 ** (-b / (2 * a))), True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("raw", nargs="?", default=SAMPLE)
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--sizes", default="100K,1M,4M")
    parser.add_argument("--factors", default="0.25,0.5,1,2,4")
    parser.add_argument("--tokens", type=float, default=200_000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sequence", type=int, default=256)
    parser.add_argument("--micro-batch", type=int, default=8)
    parser.add_argument("--held-out", type=int, default=100_000, help="bytes")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--smoke", action="store_true")
    asked = parser.parse_args()
    if asked.smoke:
        asked.sizes, asked.factors, asked.tokens, asked.seeds = "100K", "0.5,1,2", 4000, 1
    device = needs.device(asked.device, asked.threads)
    parts = texts(asked.raw, asked.text_column, asked.tokens, asked.held_out, 0)
    train, held = (pack(part) for part in parts)
    factors = np.array([float(word) for word in asked.factors.split(",")])
    best = {}
    for size in asked.sizes.split(","):
        rows = [
            [bits(size, factor, seed, asked, device, train, held) for factor in factors]
            for seed in range(asked.seeds)
        ]
        lost = np.mean(rows, axis=0)
        best[size], inside = lowest(factors, lost)
        told = {
            "size": size,
            "bits_per_byte": dict(zip(factors.tolist(), lost.tolist(), strict=True)),
        }
        told |= {
            "best": best[size],
            "best_of_each_seed": [lowest(factors, np.array(r))[0] for r in rows],
        }
        print(json.dumps(told | {"at_an_end": not inside}), flush=True)
    print(json.dumps({"device": device.name, "moves_by": max(best.values()) / min(best.values())}))


if __name__ == "__main__":
    main()
