"""What the faces call to fit: runs in, a JSON document and a text for people out."""

from assay.scaling import pictures, sweeps, texts
from assay.scaling.commands import Document, Reply, plan_run
from assay.scaling.costs import Rates
from assay.scaling.documents import plain
from assay.scaling.fitting import Study, StudySpec, study
from assay.scaling.law import Law
from assay.scaling.observations import Observations
from assay.scaling.plan import PlanSpec, learned


def fit_run(law: Law, runs: Observations, spec: StudySpec) -> Reply:
    """A law fitted to runs, with intervals, hold-out, profiles and warnings."""
    found = study(law, runs, spec)
    document = fit_document(found, spec)
    return Reply(document, texts.fit(document), lambda: pictures.of_fit(found))


def fit_document(found: Study, spec: StudySpec) -> Document:
    fit = found.fit
    return {
        "law": fit.law.name,
        "predicts": fit.law.predicts,
        "objective": fit.objective,
        "runs": len(fit.runs),
        "source": fit.runs.source,
        "conventions": plain(fit.runs.conventions),
        "notes": list(fit.runs.notes),
        "parameters": plain(found.replicates.estimates()),
        "settings": plain(spec),
        "starts_at_optimum": fit.share,
        "condition": fit.condition,
        "residual_sd": fit.residual_sd,
        "holdout": holdout_document(found),
        "profiles": [profile_document(found, number) for number in range(len(found.profiles))],
        "sensitivity": [
            {"delta": plain(delta), "parameters": plain(other.parameters)}
            for delta, other in found.sensitivity.items()
        ],
        "forms": plain(found.rivals),
        "published": [
            {"name": p.name, "mark": p.mark, "coefficients": plain(p.coefficients)}
            for p in fit.law.published
        ],
        "formulas": sweeps.formulas(fit) if found.gaps else {},
        "warnings": list(fit.warnings),
    }


def holdout_document(found: Study) -> Document:
    """Of the largest runs; of sweeps, each predicted from the others."""
    if found.gaps:
        smooth, nearest = [g.smooth for g in found.gaps], [g.nearest for g in found.gaps]
        return {
            "by": "sweep",
            "unit": "per cent of the loss above the best of the sweep left out",
            "smooth_mean": sum(smooth) / len(smooth),
            "smooth_max": max(smooth),
            "nearest_mean": sum(nearest) / len(nearest),
            "nearest_max": max(nearest),
            "sweeps": plain(found.gaps),
        }
    held = found.holdout
    if held is None:
        return {"problem": found.holdout_problem}
    return {
        "by": held.by,
        "above": held.above,
        "runs": len(held.test),
        "mean_error": held.mean,
        "worst_error": held.worst,
        "bias": held.bias,
        "decades": held.decades,
    }


def profile_document(found: Study, number: int) -> Document:
    profile = found.profiles[number]
    return {
        "parameter": profile.parameter,
        "value": profile.value,
        "low": plain(profile.low),
        "high": plain(profile.high),
        "identified": profile.identified,
        "said": str(profile),
    }


def plan_from_runs(
    law: Law,
    runs: Observations,
    study_spec: StudySpec,
    spec: PlanSpec,
    rates: Rates,
) -> Reply:
    """The same, with the law fitted to runs first."""
    found = study(law, runs, study_spec)
    reply = plan_run(spec, rates, learned(found.replicates))
    reply.document["fit"] = fit_document(found, study_spec)
    reply.document["warnings"] += found.fit.warnings
    return reply
