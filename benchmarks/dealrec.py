"""DEALRec on Amazon Games: few sequences by influence and effort, against as many drawn evenly.

    python benchmarks/dealrec.py --data FOLDER [--seeds 5] [--budget 1024] [--over matrix]

FOLDER holds the tables of the published split (8:1:1 by global time): sequential_train,
sequential_valid and sequential_test with `user` and `items`, train_samples with `user`,
`history_titles` and `target_title`, all .parquet. Scores come from one surrogate. A SASRec is then
trained on each arm's sequences, from the same first weights for the same seed, and asked for
what users do in the test split: recall and NDCG at 10 of all items but those the user has had.
The best epoch is the one that is best on the validation split. Intervals are Student's over seeds
of the differences from `uniform` by seed, 95 %. Prints JSON, and progress on stderr.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from assay.scaling.influence.coverage import normalise, stratified
from assay.scaling.influence.sequences import pruning, surrogate
from assay.scaling.influence.sequences.effort import EffortSpec
from assay.scaling.influence.sequences.reading import aligned, appended, read_sequences
from assay.scaling.influence.sequences.scores import InfluenceSpec
from assay.scaling.influence.sequences.surrogate import TrainSpec
from assay.selectors.choice import mix

MEASURES = ("recall", "ndcg")


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    folder = Path(given.data)
    spec = pruning.PruneSpec(
        given.budget,
        surrogate=TrainSpec(epochs=given.epochs, patience=4),
        influence=InfluenceSpec(over=given.over),
        effort=EffortSpec(sequence=given.sequence),
    )
    tables = pruning.Tables(
        *(str(folder / f"{name}.parquet")
          for name in ("sequential_train", "train_samples", "sequential_valid")),
        prompt_column="history_titles", answer_column="target_title",
    )  # fmt: skip
    begun = time.perf_counter()
    sequences, prompts, training, later = pruning.read(spec, tables, tell)
    scored = pruning.scored(spec, sequences, prompts, training, later, tell)
    scoring = time.perf_counter() - begun
    print(json.dumps({"scores": scored.notes, "seconds": scoring}, indent=1), flush=True)

    valid = aligned(later, sequences.ids)
    test = read_sequences(str(folder / "sequential_test.parquet"), known=sequences.known)
    test = aligned(test, sequences.ids)
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(given.seeds):
        for arm, chosen in arms(spec, scored, seed, given.arms.split(",")).items():
            asked = TrainSpec(epochs=given.subset_epochs, look=10, patience=4, seed=seed)
            subset = sequences.take(chosen)
            made = surrogate.trained(asked, subset, sequences, valid)
            best = surrogate.measured(made.model, appended(sequences, valid), test)
            row = {name: float(getattr(best, name).mean()) for name in MEASURES}
            row |= {"kept": made.best, "items": len(np.unique(subset.items)),
                    "interactions": int(subset.lengths.sum())}  # fmt: skip
            found.setdefault(arm, []).append(row)
            tell(f"{time.perf_counter() - begun:.0f} s, seed {seed}, {arm}: {row}")
    print(json.dumps({"arms": summary(found), "users": len(best.places)}, indent=1))
    print(json.dumps({"runs": found, "seconds": time.perf_counter() - begun}))


def arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--budget", type=int, default=1024)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--over", default="matrix")
    parser.add_argument("--arms", default="uniform,dealrec,influence,effort")
    parser.add_argument("--epochs", type=int, default=12, help="Of the surrogate, at most.")
    parser.add_argument("--subset-epochs", type=int, default=100, help="Of each arm, at most.")
    parser.add_argument("--sequence", type=int, default=128, help="Bytes that the LM is shown.")
    return parser.parse_args()


def arms(spec: pruning.PruneSpec, scored: Any, seed: int, names: list[str]) -> dict[str, Any]:
    """The places of each arm's sequences; those of another seed are drawn anew."""
    again = replace(spec, seed=seed)

    def covering(scores: Any) -> Any:
        return stratified(normalise(scores, "minmax"), spec.budget, spec.groups, spec.width,
                          spec.hard_prune, seed, scored.sequences.keys)  # fmt: skip

    order = np.argsort(mix(scored.sequences.keys, seed + 1000), kind="stable")
    made = {
        "uniform": lambda: np.sort(order[: spec.budget]),
        "dealrec": lambda: pruning.choose(again, scored),
        "influence": lambda: covering(scored.influence),
        "effort": lambda: covering(scored.effort),
        "longest": lambda: np.sort(np.lexsort((order, -scored.sequences.lengths))[: spec.budget]),
    }
    return {name: made[name]() for name in names}


def summary(found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Means, and differences from `uniform` with their intervals."""
    said: dict[str, Any] = {}
    for arm, rows in found.items():
        said[arm] = {}
        for name in (*MEASURES, "items", "interactions", "kept"):
            values = np.array([row[name] for row in rows])
            said[arm][name] = {"mean": values.mean(), "sd": values.std(ddof=1)}
            if arm != "uniform" and name in MEASURES:
                away = values - np.array([row[name] for row in found["uniform"]])
                half = stats.t.ppf(0.975, len(away) - 1) * stats.sem(away)
                said[arm][name] |= {"difference": away.mean(),
                                    "t": [away.mean() - half, away.mean() + half]}  # fmt: skip
    return said


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
