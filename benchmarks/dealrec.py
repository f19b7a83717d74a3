"""DEALRec on Amazon Games: few sequences by influence and effort, against as many drawn evenly.

    assay prune-sequences --sequences FOLDER/sequential_train.parquet \\
        --valid FOLDER/sequential_valid.parquet --prompts FOLDER/train_samples.parquet \\
        --prompt-column history_titles --answer-column target_title --budget 1024 \\
        --epochs 6 --effort-bytes 128 --threads 1 --out games.parquet
    python benchmarks/dealrec.py --data FOLDER --scores games.scores.parquet [--seeds 5]

FOLDER holds the tables of the published split (8:1:1 by global time): sequential_train,
sequential_valid and sequential_test with `user` and `items`, all .parquet. The scores are those of
one surrogate. A SASRec is then trained on each arm's sequences, from the same first weights for
the same seed, and asked for what users do in the test split: recall and NDCG at 10 of all items
but those that the user has had. The epoch that is best on the validation split is the one that is
measured. Intervals are Student's over seeds of the differences from `uniform` by seed, 95 %.
Prints a row for each training as it ends, then JSON.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from scipy import stats

from assay.scaling.influence.coverage import normalise, stratified
from assay.scaling.influence.sequences import surrogate
from assay.scaling.influence.sequences.pruning import PruneSpec
from assay.scaling.influence.sequences.reading import (
    Places,
    Sequences,
    aligned,
    appended,
    read_sequences,
)
from assay.scaling.influence.sequences.surrogate import TrainSpec
from assay.selectors.choice import mix

MEASURES = ("recall", "ndcg")


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    folder = Path(given.data)
    every = read_sequences(str(folder / "sequential_train.parquet"))
    later = {
        name: read_sequences(str(folder / f"sequential_{name}.parquet"), known=every.known)
        for name in ("valid", "test")
    }
    scores = pq.read_table(given.scores)
    place = {name: i for i, name in enumerate(every.ids)}
    sequences = every.take(np.array([place[name] for name in scores["id"].to_pylist()]))
    valid, test = (aligned(later[name], sequences.ids) for name in ("valid", "test"))
    history = appended(sequences, valid)

    begun = time.perf_counter()
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(given.seeds):
        for arm in given.arms.split(","):
            subset = sequences.take(chosen(arm, scores, sequences, given, seed))
            asked = TrainSpec(epochs=given.epochs, look=10, patience=4, seed=seed)
            made = surrogate.trained(asked, subset, sequences, valid)
            best = surrogate.measured(made.model, history, test)
            row = {name: float(getattr(best, name).mean()) for name in MEASURES}
            row |= {"kept": made.best, "items": len(np.unique(subset.items)),
                    "interactions": int(subset.lengths.sum())}  # fmt: skip
            found.setdefault(arm, []).append(row)
            spent = time.perf_counter() - begun
            print(f"{spent:.0f} s, seed {seed}, {arm}: {json.dumps(row)}", flush=True)
    print(json.dumps({"arms": summary(found), "users": int((test.lengths > 0).sum())}, indent=1))


def arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--scores", required=True, help="NAME.scores.parquet of the command.")
    parser.add_argument("--budget", type=int, default=1024)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--arms", default="uniform,dealrec,influence,effort")
    parser.add_argument("--epochs", type=int, default=100, help="At most; one look in ten.")
    return parser.parse_args()


def chosen(arm: str, scores: Any, sequences: Sequences, given: Any, seed: int) -> Places:
    """The places of an arm's sequences; those of another seed are drawn anew."""
    drawn = mix(sequences.keys, seed + 1000)
    if arm == "uniform":
        return np.argsort(drawn, kind="stable")[: given.budget]
    if arm == "longest":
        return np.lexsort((drawn, -sequences.lengths))[: given.budget]
    spec = PruneSpec(given.budget)
    moved, hard = (
        normalise(scores[f"score.{name}"].to_numpy(), spec.normalisation)
        for name in ("influence", "effort")
    )
    overall = {"dealrec": moved + spec.effort_weight * hard, "influence": moved, "effort": hard}
    return stratified(overall[arm], given.budget, spec.groups, spec.width, spec.hard_prune, seed,
                      sequences.keys)  # fmt: skip


def summary(found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Means, and differences from `uniform` with their intervals."""
    said: dict[str, Any] = {}
    for arm, rows in found.items():
        said[arm] = {}
        for name in (*MEASURES, "items", "interactions", "kept"):
            values = np.array([row[name] for row in rows])
            said[arm][name] = {"mean": values.mean(), "sd": values.std(ddof=1)}
            if arm != "uniform" and name in MEASURES and "uniform" in found:
                away = values - np.array([row[name] for row in found["uniform"]])
                half = stats.t.ppf(0.975, len(away) - 1) * stats.sem(away)
                said[arm][name] |= {"difference": away.mean(),
                                    "t": [away.mean() - half, away.mean() + half]}  # fmt: skip
    return said


if __name__ == "__main__":
    main()
