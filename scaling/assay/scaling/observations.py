"""Runs as columns, with their conventions as data.

A table of runs means nothing until three things are known: which parameters were counted, in what
unit the loss is, and whose tokens these are. They travel with the columns here, and runs that
differ in one of them are never fitted together. Reading files is reading.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from assay.scaling.errors import (
    BadValue,
    ConstantColumn,
    MissingRunColumn,
    MixedConventions,
    TooFewRuns,
)
from assay.scaling.slopes import Floats

Columns = Mapping[str, Floats]


@dataclass(frozen=True)
class Column:
    """What a column of this name must hold."""

    meaning: str
    unit: str = ""
    low: float = 0.0  # the least value allowed ...
    open: bool = True  # ... which itself is not allowed if this is set
    high: float = np.inf


FEWEST = 500.0  # parameters; below, somebody wrote millions (the smallest model in print has 768)
BELOW_ONE = float(np.nextafter(1.0, 0.0))
# The words of this house for what a run can tell. Laws may read other columns too; those need
# only be finite.
VOCABULARY: dict[str, Column] = {
    "params": Column("parameters of the model", "parameters", low=FEWEST),
    "active_params": Column("parameters used for a token", "parameters", low=FEWEST),
    "tokens": Column("training tokens, repeats included", "tokens"),
    "unique_tokens": Column("training tokens, each counted once", "tokens"),
    "loss": Column("validation loss at the end", "nats/token"),
    "compute": Column("training compute", "FLOPs"),
    "learning_rate": Column("peak learning rate"),
    "batch_tokens": Column("tokens in a batch", "tokens"),
    "weight_decay": Column("weight decay"),
    "steps": Column("optimiser steps", low=1, open=False),
    "experts": Column("experts in a layer, or expansion rate", low=1, open=False),
    "granularity": Column("how finely experts are split"),
    "activation": Column("active share of expert parameters", low=0, high=1),
    "sparsity": Column("share not used", low=0, open=False, high=BELOW_ONE),
    "bits": Column("bits of a parameter while training", "bits", low=1, open=False),
    "members": Column("models in the ensemble", low=1, open=False),
    "inference_tokens": Column("tokens served in the model's life", "tokens", open=False),
    "error": Column("average downstream error, 0 to 1", high=1),
}
ANYTHING = Column("", low=-np.inf)
ABOVE_ZERO = Column("")


@dataclass(frozen=True)
class Conventions:
    """How the runs were counted. An empty string means: not known."""

    params: str = ""  # "total", "non-embedding", "active"
    loss: str = ""  # "nats/token", "bits/byte", ...
    tokenizer: str = ""
    compute: str = ""  # "6ND", "counted", ...
    tokens: str = ""  # "as given", or how they were derived

    def conflicts(self, other: "Conventions") -> list[str]:
        """Where both are known and differ, in words."""
        pairs = [(f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return [f"{what}: {a} against {b}" for what, a, b in pairs if a and b and a != b]


UNKNOWN = Conventions()
# What may be said of them; tokenizers have any name.
KNOWN = {
    "params": ("total", "non-embedding", "active", "dense"),
    "loss": ("nats/token", "bits/token", "nats/byte", "bits/byte"),
}
APART = 2.0  # attention and embeddings move compute from 6ND by less (Kaplan 2020, table 1)


@dataclass(frozen=True)
class Observations:
    """Runs, as columns of equal length. `labels` name the rows in messages."""

    columns: Columns
    conventions: Conventions = UNKNOWN
    source: str = "runs"
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return max((len(column) for column in self.columns.values()), default=0)

    def __getitem__(self, name: str) -> Floats:
        if name not in self.columns:
            raise MissingRunColumn(
                f"{self.source} has no column {name!r}; it has {', '.join(self.columns) or 'none'}."
                f" Say which one it is: --map {name}='Its Name'"
            )
        return self.columns[name]

    def label(self, row: int) -> str:
        return self.labels[row] if self.labels else f"row {row + 1}"

    def take(self, keep: npt.NDArray[Any]) -> "Observations":
        """The runs that a mask or a list of row numbers picks."""
        rows = np.arange(len(self))[keep]
        labels = tuple(self.label(row) for row in rows)
        return replace(self, columns={k: v[rows] for k, v in self.columns.items()}, labels=labels)

    def having(self, **columns: Floats) -> "Observations":
        """With these columns added or replaced."""
        new = {name: np.asarray(column, float) for name, column in columns.items()}
        return replace(self, columns={**self.columns, **new})


def together(first: Observations, second: Observations) -> Observations:
    """Both tables as one; refused if they were counted differently."""
    if clash := first.conventions.conflicts(second.conventions):
        raise MixedConventions(
            f"{first.source} and {second.source} differ in {'; '.join(clash)}. Convert one of them"
        )
    shared = [name for name in first.columns if name in second.columns]
    columns = {name: np.concatenate([first[name], second[name]]) for name in shared}
    labels = tuple(
        f"{part.source} {part.label(row)}" for part in (first, second) for row in range(len(part))
    )
    return replace(first, columns=columns, labels=labels, source=f"{first.source}+{second.source}")


def with_derived(runs: Observations) -> Observations:
    """Fill in whichever of params, tokens and compute is missing, by C = 6ND (Kaplan 2020, 2.1)."""
    have = runs.columns
    if "tokens" not in have and {"params", "compute"} <= have.keys():
        derived = runs.having(tokens=have["compute"] / (6 * have["params"]))
        return noted(derived, "tokens = compute / (6 params)", tokens="compute/(6 params)")
    if "compute" not in have and {"params", "tokens"} <= have.keys():
        # As floats: N*D of a large run overflows 64-bit integers.
        derived = runs.having(compute=6.0 * have["params"].astype(float) * have["tokens"])
        return noted(derived, "compute = 6 params tokens", compute="6ND")
    if {"params", "tokens", "compute"} <= have.keys():
        return contradicted(runs)
    return runs


def contradicted(runs: Observations) -> Observations:
    """With a note if compute is not what the parameters and tokens of the same run cost."""
    have = runs.columns
    size = have["active_params"] if "active_params" in have else have["params"]
    with np.errstate(all="ignore"):
        ratio = have["compute"] / (6.0 * size * have["tokens"])
        off = np.isfinite(ratio) & (np.abs(np.log(ratio)) > np.log(APART))
    if not off.any():
        return runs
    row = int(np.argmax(off))
    return noted(
        runs,
        f"compute contradicts 6 params tokens by more than a factor of {APART:g} in"
        f" {int(off.sum())} of {len(runs)} runs (first {runs.label(row)}: {ratio[row]:.3g} times):"
        " look at the units and at what params counts, or leave one of the columns out",
    )


def noted(runs: Observations, note: str, **conventions: str) -> Observations:
    return replace(
        runs,
        conventions=replace(runs.conventions, **conventions),
        notes=(*runs.notes, note),
    )


def checked(runs: Observations, needed: tuple[str, ...], parameters: int) -> Observations:
    """The columns that a fit needs, each value in its range; otherwise a word on what to mend."""
    kept = {name: np.asarray(runs[name], float) for name in needed}
    for name, column in kept.items():
        check_values(runs, name, column)
    if len(runs) <= parameters:
        raise TooFewRuns(
            f"{runs.source} has {len(runs)} runs; a law with {parameters} parameters needs more"
            f" than {parameters}"
        )
    for name, column in kept.items():
        check_varies(runs, name, column)
    return replace(runs, columns={**runs.columns, **kept})


def check_values(
    runs: Observations, name: str, column: Floats, otherwise: Column = ANYTHING
) -> None:
    """Finite everywhere, and inside the range that the vocabulary states, or `otherwise`."""
    want = VOCABULARY.get(name, otherwise)
    low_enough = column > want.low if want.open else column >= want.low
    bad = ~(np.isfinite(column) & low_enough & (column <= want.high))
    if bad.any():
        row = int(np.argmax(bad))
        more = f" ({int(bad.sum())} such rows)" if bad.sum() > 1 else ""
        raise BadValue(
            f"{runs.source}, {runs.label(row)}, column {name!r}: {column[row]:g} is not a finite"
            f" number {allowed(want)}{more}"
        )


def allowed(want: Column) -> str:
    """The range of a column, in words."""
    low = f"above {want.low:g}" if want.open else f"of at least {want.low:g}"
    low = "" if want.low == -np.inf else low
    return low if want.high == np.inf else f"{low} and at most {want.high:g}"


def check_varies(runs: Observations, name: str, column: Floats) -> None:
    if np.ptp(column) <= 1e-12 * np.abs(column).max():
        raise ConstantColumn(
            f"{runs.source}, column {name!r} is {column[0]:g} in every run: the runs cannot tell"
            f" what {name} does. Add runs that differ in it, or fix its parameters"
        )
