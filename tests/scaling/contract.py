"""What the contract suites share: every law of pyproject.toml, and runs that obey it."""

import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np

from assay.scaling.law import (
    coefficients,
    fitted,
    log_values_and_slopes,
    natural,
    predict,
)
from assay.scaling.observations import Observations

ROOT = Path(__file__).parents[2]

# Wide enough to tell every parameter: (low, high), evenly in the log.
INPUTS = {
    "params": (3e7, 3e10),
    "active_params": (3e7, 3e10),
    "tokens": (3e8, 3e12),
    "compute": (1e18, 1e23),
    "experts": (1, 512),
    "granularity": (1, 32),
    "bits": (2, 16),
    "members": (1, 32),
    "loss": (1.8, 4.5),
    "learning_rate": (2e-4, 1.2e-2),
    "batch_tokens": (4e4, 4e6),
    "width_over_depth": (20, 400),
}


@cache
def laws():
    """Every law of the registry by name: what an installed catalogue would find."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {n: load(t) for n, t in project["project"]["entry-points"]["assay.laws"].items()}


def load(target):
    module, name = target.split(":")
    made = getattr(import_module(module), name)
    return made() if isinstance(made, type) else made


def truth(law):
    """The first published coefficients, or some among the starts (no exponent of zero)."""
    if law.published:
        return coefficients(law)
    low, high = (fitted(law, np.array([p.start[end] for p in law.parameters])) for end in (0, 1))
    return natural(law, low + 0.6 * (high - low))


def design(law, runs, rng):
    """Inputs of `runs` runs that vary independently."""
    x = {name: column(law, name, runs, rng) for name in law.inputs}
    if "unique_tokens" in x:
        x["unique_tokens"] = x["tokens"] / np.exp(rng.uniform(0, np.log(60), runs))
    return x


def column(law, name, runs, rng):
    if name in ("sparsity", "activation"):
        return rng.uniform(0.02, 0.97, runs)
    ranges = [p.range[name] for p in law.published if name in p.range]
    low, high = INPUTS.get(name) or (ranges[0] if ranges else (1.0, 100.0))
    return np.exp(rng.uniform(np.log(low), np.log(high), runs))


def runs_of(law, theta, runs, noise, seed):
    rng = np.random.default_rng(seed)
    x = design(law, runs, rng)
    seen = predict(law, theta, x) * np.exp(noise * rng.standard_normal(runs))
    return Observations({**x, law.predicts: seen})


def visible(law, x):
    """Which parameters these runs could tell at all.

    A_max of efficiency leverage is 5e16 where values beyond 1 already mean "never"."""
    _, slopes = log_values_and_slopes(law, fitted(law, truth(law)), x)
    return np.abs(slopes).max(axis=-1) > 1e-6
