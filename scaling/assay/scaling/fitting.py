"""One fit with everything that a careful person would ask of it, as a value.

    study = study(find("chinchilla"), runs, StudySpec())
    study.fit, study.replicates, study.holdout, study.profiles, study.sensitivity

`steplaw` is fitted to whole sweeps (sweeps.py); every other law by fit.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.scaling import bootstrap as runs_bootstrap
from assay.scaling import sweeps
from assay.scaling.choosing import sensitivity
from assay.scaling.errors import BadFitSetting, ScalingError
from assay.scaling.fit import DELTA, Fit, FitSpec, fit
from assay.scaling.holdout import Holdout, holdout
from assay.scaling.law import Law
from assay.scaling.laws.steplaw import StepSurface
from assay.scaling.observations import Observations
from assay.scaling.profiles import Profile, weak
from assay.scaling.rivals import Rival, rivals


@dataclass(frozen=True)
class StudySpec:
    """What changes the answer."""

    bootstrap: int = 4000
    seed: int = 0
    starts: int = 64
    delta: float = DELTA
    tied: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)
    holdout_above: float | None = None
    beside: tuple[str, ...] = ()  # other forms to weigh by AICc: rivals.py

    def __post_init__(self) -> None:
        if self.bootstrap < 2:
            raise BadFitSetting(f"bootstrap is {self.bootstrap}; an interval needs at least 2")


@dataclass(frozen=True)
class Study:
    """A fit, its intervals, and its failures."""

    fit: Fit
    replicates: runs_bootstrap.Bootstrap
    holdout: Holdout | None
    holdout_problem: str
    gaps: tuple[sweeps.Gap, ...]  # of sweeps only
    profiles: tuple[Profile, ...]
    sensitivity: Mapping[float, Fit]
    rivals: tuple[Rival, ...] = ()


def study(law: Law, runs: Observations, spec: StudySpec) -> Study:
    """Fit, bootstrap, hold out, profile what is weak, and try other deltas."""
    if isinstance(law, StepSurface):
        return of_sweeps(runs, spec)
    found = fit(law, runs, FitSpec(spec.starts, spec.delta, spec.seed, spec.tied, spec.fixed))
    tested, problem = tested_on_largest(law, runs, found, spec)
    return Study(
        fit=found,
        replicates=runs_bootstrap.bootstrap(found, spec.bootstrap, spec.seed),
        holdout=tested,
        holdout_problem=problem,
        gaps=(),
        profiles=tuple(weak(found)),
        sensitivity=sensitivity(found),
        rivals=tuple(rivals(found, runs, spec.beside, spec.holdout_above) if spec.beside else ()),
    )


def of_sweeps(runs: Observations, spec: StudySpec) -> Study:
    if spec.tied or spec.fixed:
        raise BadFitSetting("steplaw is fitted to whole sweeps: parameters cannot be tied or fixed")
    if spec.beside:
        raise BadFitSetting("steplaw is fitted to whole sweeps: no other form is fitted to those")
    found = sweeps.fit(runs, spec.delta)
    return Study(
        fit=found,
        replicates=sweeps.bootstrap(runs, found, spec.bootstrap, spec.seed),
        holdout=None,
        holdout_problem="sweeps are left out one by one instead",
        gaps=tuple(sweeps.leave_one_out(runs, spec.delta)),
        profiles=(),
        sensitivity={},
    )


def tested_on_largest(
    law: Law, runs: Observations, found: Fit, spec: StudySpec
) -> tuple[Holdout | None, str]:
    """The hold-out, or why there is none: too few runs for one are no reason to have no fit."""
    try:
        return holdout(law, runs, found.spec, above=spec.holdout_above), ""
    except ScalingError as problem:
        if spec.holdout_above is not None:
            raise
        return None, str(problem)
