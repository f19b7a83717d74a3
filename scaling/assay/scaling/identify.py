"""Do these runs determine this law? Condition, correlation and a rough standard error.

A fit always returns numbers. Whether the numbers mean anything is read off the slopes: if some
combination of parameters hardly changes any prediction, the runs do not determine it.
"""

from dataclasses import dataclass

import numpy as np

from assay.scaling.errors import Undetermined
from assay.scaling.polish import Problem
from assay.scaling.slopes import Floats

HOPELESS = 1e8  # of the condition number: beyond it, double precision cannot tell either
STEEP = 1e4  # collinear designs (D = 20 N at every size) lie beyond, sweeps of both below
VAGUE = float(np.log(10) / (2 * 1.96))  # of log(parameter): the 95 % interval spans a factor of 10
TRACE = 1e-6  # the least change of a log prediction, a unit of the parameter, that is seen at all
COLLINEAR = 0.999  # correlation of two inputs in logs


@dataclass(frozen=True)
class Report:
    condition: float
    weak: tuple[str, ...]  # parameters that the runs do not identify
    warnings: tuple[str, ...]


def report(task: Problem, z: Floats, moves: Floats) -> Report:
    """The condition number and what to say about it; refuses where nothing is determined."""
    residual, slopes = task.look(z)
    j = moves.T @ slopes
    # A parameter that ran off to where it changes nothing is a warning (below); only what the
    # others leave open among themselves is a reason to refuse.
    seen = np.abs(j).max(axis=1) > TRACE
    condition, weak = conditioning(j[seen])
    labels = free_names(task, moves[:, seen])
    if condition > HOPELESS:
        raise Undetermined(
            f"{task.law.name}: the runs do not determine {combination(labels, weak)}: the"
            f" predictions are the same whatever they are. {cure(task)}"
        )
    errors = np.abs(moves) @ rough_errors(residual, j, task.delta)
    unseen = np.abs(moves[:, ~seen]).any(axis=1)
    unknown = vague(task, z, np.where(unseen, np.inf, errors))
    warnings = (
        *steep(condition, labels, weak, task),
        *(not_identified(name, said) for name, said in unknown.items()),
        *collinear(task),
    )
    return Report(condition, tuple(unknown), warnings)


def conditioning(j: Floats) -> tuple[float, Floats]:
    """The condition number of the slopes `j` (parameters, runs), and the weakest combination.

    Each row is scaled to length one first: the unit of a parameter is nobody's fault.
    """
    if not len(j):
        return 1.0, np.zeros(0)
    length = np.linalg.norm(j, axis=1)
    if not (length > 0).all():
        return np.inf, (length == 0).astype(float)
    left, singular, _ = np.linalg.svd(j / length[:, None], full_matrices=False)
    if singular[-1] == 0:
        return np.inf, left[:, -1]
    return float(singular[0] / singular[-1]), left[:, -1]


def whitener(j: Floats) -> Floats:
    """A change of coordinates after which the slopes `j` are orthonormal.

    Among other things this subtracts from log N its mean over the runs, where an exponent and its
    coefficient meet: centring, and more.
    """
    left, singular, _ = np.linalg.svd(j, full_matrices=False)
    return np.asarray(left / np.maximum(singular, 1e-10 * singular[0]))


def rough_errors(residual: Floats, j: Floats, delta: float) -> Floats:
    """Standard errors of an M-estimator (Huber & Ronchetti 2009, chapter 7, in outline)."""
    # A delta far below the noise leaves too few runs in the quadratic zone to count them.
    zone = max(delta, 0.5 * float(np.median(np.abs(residual))), 1e-300)
    inside = max(float(np.mean(np.abs(residual) <= zone)), 1 / len(residual))
    pull = np.clip(residual, -zone, zone)
    spread = float(np.sqrt(np.mean(pull**2))) / inside
    return np.asarray(spread * np.sqrt(np.sum(whitener(j) ** 2, axis=1)))


def free_names(task: Problem, moves: Floats) -> list[str]:
    names = [p.name for p in task.law.parameters]
    return ["=".join(names[i] for i in np.flatnonzero(column)) for column in moves.T]


def combination(labels: list[str], weak: Floats) -> str:
    """The parameters that matter most in a direction, in words."""
    heavy = [labels[i] for i in np.argsort(-np.abs(weak)) if abs(weak[i]) > 0.3]
    return " and ".join(heavy or labels)


def steep(condition: float, labels: list[str], weak: Floats, task: Problem) -> tuple[str, ...]:
    if condition <= STEEP:
        return ()
    return (
        f"the runs hardly tell {combination(labels, weak)} apart (condition number"
        f" {condition:.1e}): read predictions, not these parameters. {cure(task)}",
    )


def vague(task: Problem, z: Floats, errors: Floats) -> dict[str, str]:
    """Parameters whose error is as large as what it measures, with that error in words."""
    found = {}
    for parameter, value, error in zip(task.law.parameters, z, errors, strict=True):
        size = VAGUE if parameter.positive else max(abs(value), 1e-3)
        if error > size:
            found[parameter.name] = in_words(error, parameter.positive)
    return found


def not_identified(name: str, error: str) -> str:
    return (
        f"{name} is not identified by these runs (standard error about {error}): look at its"
        " profile, not at the value"
    )


def in_words(error: float, positive: bool) -> str:
    if not positive:
        return f"{error:.3g}"
    return (
        "more than a factor of 1000" if error > np.log(1e3) else f"a factor of {np.exp(error):.3g}"
    )


def collinear(task: Problem) -> tuple[str, ...]:
    """Inputs that move together, such as tokens = 20 params at every size."""
    found = []
    columns = [(name, c) for name, c in task.x.items() if (c > 0).all() and np.ptp(c) > 0]
    for i, (name, column) in enumerate(columns):
        for other, second in columns[i + 1 :]:
            if abs(np.corrcoef(np.log(column), np.log(second))[0, 1]) > COLLINEAR:
                found.append(
                    f"{name} and {other} rise together in these runs: their effects"
                    " cannot be told apart; vary one at a fixed other"
                )
    return tuple(found)


def cure(task: Problem) -> str:
    return f"Add runs that vary {' and '.join(task.law.inputs)} independently, or fix a parameter"
