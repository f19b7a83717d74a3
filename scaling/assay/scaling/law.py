"""What a scaling law is. Read this first.

Three facts and a formula: the columns that the law reads, the parameters that it has, the
coefficients that were published for it, and the logarithm of what it predicts.

    @dataclass(frozen=True)
    class Chinchilla:
        \"\"\"Loss of a model of N parameters trained on D tokens.\"\"\"

        name: str = "chinchilla"
        predicts: str = "loss"
        inputs: tuple[str, ...] = ("params", "tokens")
        parameters: tuple[Parameter, ...] = (...)
        published: tuple[Published, ...] = (...)

        def log_value(self, theta: Theta, x: Columns, /) -> Floats:
            E, A, B, alpha, beta = theta
            return log_sum_exp(
                np.log(E),
                np.log(A) - alpha * np.log(x["params"]),
                np.log(B) - beta * np.log(x["tokens"]),
            )

A law of a hyperparameter is the same thing: it predicts "learning_rate" or "batch_tokens" where
another predicts "loss". Residuals are always differences of logarithms, so that starts, robust
fit, bootstrap, profiles, hold-out, plan and the distance of extrapolation are written once.

Formulas are plain numpy. The parameters arrive one by one, in the order of `parameters`, each
shaped to broadcast against a column, possibly many sets at once; slopes by the parameters follow
by themselves (slopes.py), so nobody derives a gradient by hand and none can be wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast, runtime_checkable

import numpy as np

from assay.scaling import slopes
from assay.scaling.errors import UnknownLaw, UnknownParameter
from assay.scaling.observations import UNKNOWN, Columns, Conventions, Observations
from assay.scaling.slopes import Floats

Theta = Sequence[Floats]
Mark = Literal["verified", "second-hand", "unverified"]


@dataclass(frozen=True)
class Parameter:
    """One number that a law leaves open."""

    name: str
    start: tuple[float, float]  # fits begin between these: evenly, or evenly in the log if positive
    positive: bool = False  # fitted as its logarithm
    linear: bool = False  # the predicted value (not its log) is linear in it: starts solve for it
    meaning: str = ""


@dataclass(frozen=True)
class Published:
    """Coefficients that somebody published, with what must be known to use them."""

    name: str  # short and unique in its law: "besiroglu2024"
    source: str  # citation: authors, arXiv number, table or equation
    coefficients: Mapping[str, float]
    # verified: read in the paper or its code, or measured again; second-hand: a third party quotes
    # the paper; unverified: nobody here has seen the source.
    mark: Mark
    range: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # of the runs behind it
    conventions: Conventions = UNKNOWN
    note: str = ""


@runtime_checkable
class Law(Protocol):
    """Three facts and a formula."""

    @property
    def name(self) -> str: ...

    @property
    def predicts(self) -> str:
        """The column that the law explains: "loss", "learning_rate", "batch_tokens", ..."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that the law reads."""
        ...

    @property
    def parameters(self) -> tuple[Parameter, ...]: ...

    @property
    def published(self) -> tuple[Published, ...]: ...

    def log_value(self, theta: Theta, x: Columns, /) -> Floats:
        """Natural log of the prediction; every entry of `theta` broadcasts against a column."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """A law that is fitted to something distilled from the runs, such as the optimum of a sweep."""

    def prepare(self, runs: Observations, /) -> Observations: ...


def predict(law: Law, theta: Floats, x: Columns) -> Floats:
    """What the law predicts: `theta` (..., parameters) and columns (n,) give (..., n)."""
    return np.exp(log_values(law, theta, x))


def log_values(law: Law, theta: Floats, x: Columns) -> Floats:
    """The log of it; needed by whoever compares or adds errors."""
    theta = np.asarray(theta, float)
    values = law.log_value(list(np.moveaxis(theta, -1, 0)[..., None]), x)
    return np.broadcast_to(values, (*theta.shape[:-1], length(x)))


def log_values_and_slopes(law: Law, z: Floats, x: Columns) -> tuple[Floats, Floats]:
    """Values (..., n) and slopes (..., parameters, n) at the fitted coordinates `z`."""
    theta = natural(law, z)
    leaves = []
    for number, parameter in enumerate(law.parameters):
        value = theta[..., number, None]
        leaves.append(slopes.leaf(number, value, value if parameter.positive else None))
    traced = law.log_value(leaves, x)
    return slopes.dense(traced, len(law.parameters), (*z.shape[:-1], length(x)))


def natural(law: Law, z: Floats) -> Floats:
    """From fitted coordinates, where positive parameters are logarithms, to the parameters."""
    positive = is_positive(law)
    return cast(Floats, np.where(positive, np.exp(np.where(positive, z, 0.0)), z))


def fitted(law: Law, theta: Floats) -> Floats:
    """From the parameters to the coordinates in which they are fitted."""
    positive = is_positive(law)
    return cast(Floats, np.where(positive, np.log(np.where(positive, theta, 1.0)), theta))


def is_positive(law: Law) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([p.positive for p in law.parameters], bool)


def length(x: Columns) -> int:
    """How many rows the columns have; bare numbers count as one row."""
    return max((np.size(column) for column in x.values()), default=1)


def names(law: Law) -> tuple[str, ...]:
    return tuple(p.name for p in law.parameters)


def position(law: Law, parameter: str) -> int:
    """Where a parameter stands in theta."""
    if parameter not in names(law):
        raise UnknownParameter(
            f"{law.name} has no parameter {parameter!r}; it has {', '.join(names(law))}"
        )
    return names(law).index(parameter)


def coefficients(law: Law, published: str | Published | None = None) -> Floats:
    """Published coefficients as theta: the named set, or the first, which is the one to trust."""
    chosen = published if isinstance(published, Published) else find_published(law, published)
    return np.array([chosen.coefficients[p.name] for p in law.parameters], float)


def find_published(law: Law, name: str | None = None) -> Published:
    """The published set of this name; without a name, the first."""
    for candidate in law.published:
        if name is None or candidate.name == name:
            return candidate
    known = ", ".join(p.name for p in law.published) or "none"
    raise UnknownLaw(f"{law.name} has no published set {name or ''!r}; known: {known}")


def decades_outside(published: Published, x: Columns) -> dict[str, float]:
    """Powers of ten by which each input leaves the published range; those inside are left out."""
    far: dict[str, float] = {}
    for column, (low, high) in published.range.items():
        if column in x:
            values = np.asarray(x[column], float)
            gap = max(float(np.log10(values.max() / high)), float(np.log10(low / values.min())))
            if gap > 0:
                far[column] = gap
    return far
