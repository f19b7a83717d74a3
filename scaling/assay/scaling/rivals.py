"""Other forms beside a fit, on the same runs: which of them do the runs support?

    rivals(find("chinchilla"), runs, spec, ["beta=alpha", "E=1.69", "kaplan"])

A form is written as a law's name, or ties and fixed values of a law's parameters, or both, with
commas between: `beta=alpha`, `E=1.69`, `gadre,alpha=0.3`. Without a law's name it is one of the
law that is fitted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from assay.scaling.choosing import ranked
from assay.scaling.errors import BadFitSetting, ScalingError
from assay.scaling.fit import Fit, FitSpec, fit
from assay.scaling.holdout import holdout
from assay.scaling.law import Law, names
from assay.scaling.observations import Observations
from assay.scaling.registry import find


@dataclass(frozen=True)
class Rival:
    """A form, how well the runs support it, and how well it would have foretold the largest."""

    name: str
    free: int  # parameters that were fitted
    objective: float
    aicc: float
    weight: float  # Akaike's: they sum to one over the forms
    error: float | None  # mean, of the runs held out; None where there is no hold-out


def rivals(
    found: Fit, runs: Observations, forms: Sequence[str], above: float | None = None
) -> list[Rival]:
    """The fit and its rivals, best supported first."""
    fits = {own_name(found): found}
    for text in forms:
        law, spec = form(text, found.law, found.spec)
        fits[text] = fit(law, runs, spec)
    return [
        Rival(
            row.name,
            row.fit.free,
            row.fit.objective,
            row.aicc,
            row.weight,
            tested(row.fit, runs, above),
        )
        for row in ranked(fits)
    ]


def own_name(found: Fit) -> str:
    spec = found.spec
    parts = [f"{name}={value}" for name, value in {**spec.tied, **spec.fixed}.items()]
    return ",".join([found.law.name, *parts])


def form(text: str, law: Law, spec: FitSpec) -> tuple[Law, FitSpec]:
    """What a form asks for, with the starts, delta and seed of the fit it stands beside."""
    first, *rest = [part.strip() for part in text.split(",")]
    if "=" not in first:
        law = find(first)
    else:
        rest = [first, *rest]
    tied: dict[str, str] = {}
    fixed: dict[str, float] = {}
    for part in rest:
        name, equals, value = (word.strip() for word in part.partition("="))
        if not (name and equals and value):
            raise BadFitSetting(f"--beside {text!r}: write {part!r} as NAME=NAME or NAME=VALUE")
        if value in names(law):
            tied[name] = value
        else:
            fixed[name] = number(value, text, law)
    return law, replace(spec, tied=tied, fixed=fixed)


def number(value: str, text: str, law: Law) -> float:
    try:
        found = float(value)
    except ValueError as cause:
        known = ", ".join(names(law))
        raise BadFitSetting(
            f"--beside {text!r}: {value!r} is neither a number nor a parameter of {law.name}"
            f" ({known})"
        ) from cause
    if not math.isfinite(found):
        raise BadFitSetting(f"--beside {text!r}: {value!r} is not a finite number")
    return found


def tested(found: Fit, runs: Observations, above: float | None) -> float | None:
    try:
        return holdout(found.law, runs, found.spec, above=above).mean
    except ScalingError:
        return None
