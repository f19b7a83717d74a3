"""How well a law would have predicted the largest runs, had they not been seen.

The score that matters: laws are bought for extrapolation, and a fit that looks fine inside its
runs can be far off one decade beyond.
"""

from dataclasses import dataclass, field

import numpy as np

from assay.scaling.errors import BadFitSetting
from assay.scaling.fit import Fit, FitSpec, fit_prepared, prepared, ready
from assay.scaling.law import Law
from assay.scaling.observations import Observations
from assay.scaling.slopes import Floats

SHARE = 0.1  # of the runs, largest first
ORDER = ("compute", "params", "active_params", "tokens")  # what "largest" means, first one present


@dataclass(frozen=True)
class Holdout:
    """A fit to the smaller runs and its errors on the larger ones."""

    fit: Fit
    by: str
    above: float
    test: Observations = field(repr=False)
    errors: Floats = field(repr=False)  # prediction / observation - 1, run by run

    @property
    def mean(self) -> float:
        return float(np.mean(np.abs(self.errors)))

    @property
    def worst(self) -> float:
        return float(np.max(np.abs(self.errors)))

    @property
    def bias(self) -> float:
        """Above zero where the larger runs were better than predicted."""
        return float(np.mean(self.errors))

    @property
    def decades(self) -> float:
        """How far the largest run left out lies beyond the largest one seen."""
        seen = self.fit.runs[self.by].max()
        return float(np.log10(self.test[self.by].max() / seen))


def holdout(
    law: Law,
    runs: Observations,
    spec: FitSpec | None = None,
    *,
    above: float | None = None,
    by: str | None = None,
    share: float = SHARE,
) -> Holdout:
    """Fit the runs below `above` (by default all but the largest tenth), predict the others."""
    spec = spec or FitSpec()
    runs = prepared(law, runs, spec)
    by = by or next((name for name in ORDER if name in runs.columns), law.inputs[0])
    size = runs[by]
    above = float(np.quantile(size, 1 - share)) if above is None else above
    large = size >= above
    if large.all() or not large.any():
        raise BadFitSetting(
            f"no split at {by} = {above:.3g}: the runs reach from {size.min():.3g} to"
            f" {size.max():.3g}"
        )
    found = fit_prepared(law, ready(law, runs.take(~large), spec), spec)
    test = runs.take(large)
    return Holdout(found, by, above, test, found.predict(test.columns) / test[law.predicts] - 1)
