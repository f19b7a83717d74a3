"""Which form of a law the runs support, and how much the answer hangs on Huber's delta.

Forms differ in parameters tied or fixed. AICc (Hurvich & Tsai 1989) is computed from the likelihood
that belongs to the objective: a density proportional to exp(-huber(r) / tau), with tau fitted, so
that a robust fit is not judged by the squares of its outliers.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import erf

from assay.scaling.errors import BadFitSetting, Undetermined
from assay.scaling.fit import DELTA, Fit, FitSpec, fit, refit
from assay.scaling.law import Law
from assay.scaling.observations import Observations

# Around the usual delta, and plain least squares, to which every delta above the residuals leads.
DELTAS = (1e-4, DELTA, 1e-2, np.inf)


@dataclass(frozen=True)
class Candidate:
    """A form with its score: lower is better; weights sum to one over the candidates."""

    name: str
    fit: Fit
    aicc: float
    weight: float


def choose(law: Law, runs: Observations, forms: Mapping[str, FitSpec]) -> list[Candidate]:
    """Every form fitted to the same runs, best first: {"tied": FitSpec(tied=...), ...}."""
    return ranked({name: fit(law, runs, spec) for name, spec in forms.items()})


def ranked(fits: Mapping[str, Fit]) -> list[Candidate]:
    check_comparable(list(fits.values()))
    scores = {name: aicc(found) for name, found in fits.items()}
    best = min(scores.values())
    support = {name: float(np.exp(-(score - best) / 2)) for name, score in scores.items()}
    total = sum(support.values())
    rows = [Candidate(n, fits[n], scores[n], support[n] / total) for n in fits]
    return sorted(rows, key=lambda row: row.aicc)


def check_comparable(fits: Sequence[Fit]) -> None:
    if len({(len(f.runs), f.spec.delta, f.law.predicts) for f in fits}) > 1:
        raise BadFitSetting("AICc compares fits to the same runs with the same delta only")


def aicc(found: Fit) -> float:
    runs, parameters = len(found.runs), found.free + 1  # and the scale of the residuals
    if runs <= parameters + 1:
        return np.inf
    correction = 2 * parameters * (parameters + 1) / (runs - parameters - 1)
    return minus_two_log_likelihood(found) + 2 * parameters + correction


def minus_two_log_likelihood(found: Fit) -> float:
    runs, delta = len(found.runs), min(found.spec.delta, 1e3)  # 1e3: least squares for all purposes
    mean = max(found.objective / runs, 1e-300)

    def value(log_tau: float) -> float:
        tau = np.exp(log_tau)
        return float(2 * runs * (mean / tau + log_mass(tau, delta)))

    # Between least squares (tau = 2 mean) and least absolute values (tau = mean).
    ended = minimize_scalar(value, bounds=(np.log(mean) - 2, np.log(mean) + 3), method="bounded")
    return float(ended.fun)


def log_mass(tau: float, delta: float) -> float:
    """log of the integral of exp(-huber(r) / tau) over all r."""
    middle = np.sqrt(2 * np.pi * tau) * erf(delta / np.sqrt(2 * tau))
    tails = 2 * tau / delta * np.exp(-(delta**2) / (2 * tau))
    return float(np.log(middle + tails))


def sensitivity(found: Fit, deltas: Sequence[float] = DELTAS) -> dict[float, Fit]:
    """The same fit with other deltas: what moves, hangs on a few runs.

    Deltas with which the runs determine nothing are left out.
    """
    table = {}
    for delta in deltas:
        with suppress(Undetermined):
            table[delta] = refit(found, delta=delta)
    return table
