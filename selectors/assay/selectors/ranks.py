"""Correlations of ranks."""

from typing import Any

import numpy as np
import numpy.typing as npt

from assay.selectors.records import Floats

LEAST = 3  # pairs, below which ranks say nothing


def spearman(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float | None:
    """The correlation of the ranks, ties at their mean (Spearman 1904); none where either side is
    constant, or for fewer than LEAST pairs."""
    if len(one) < LEAST:
        return None
    x, y = (ranks - ranks.mean() for ranks in (_ranks(one), _ranks(other)))
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else None


def _ranks(values: npt.NDArray[Any]) -> Floats:
    """As scipy.stats.rankdata has them, whose import takes longer than many a report."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    return np.asarray((last - (times - 1) / 2)[place], np.float64)
