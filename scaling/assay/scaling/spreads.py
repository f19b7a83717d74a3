"""How well published coefficients are known, where somebody's replicates say so.

Covariances of the fitted coordinates (a positive parameter is its logarithm), measured here on
bootstrap replicates; those replicates themselves are not ours to ship. Power laws are taken at a
centre, {input: value}, so that their scale and exponents are nearly independent.

A covariance tells how far other runs of the same kind would have moved the coefficients. It says
nothing about whether the form holds beyond those runs: distances of extrapolation do.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from assay.scaling.law import Law, Published, coefficients, fitted, natural
from assay.scaling.laws.steplaw import CENTRE
from assay.scaling.slopes import Floats

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Spread:
    """Of a power law at a centre: log scale there, then an exponent for each input."""

    source: str
    centre: Mapping[str, float]
    matrix: Matrix

    def log_sd(self, x: Mapping[str, float]) -> float:
        """Standard deviation of the log of the prediction."""
        away = [float(np.log(x[name] / middle)) for name, middle in self.centre.items()]
        at = np.array([1.0, *away])
        return float(np.sqrt(at @ np.array(self.matrix) @ at))


AUTHORS = "the 1,000 bootstrap vectors that Li et al. 2025 released (step-law/steplaw at 32a8f4cc)"
SWEEPS = "4,000 draws of the 17 released dense sweeps (sweeps.bootstrap)"
TOKENS = {"tokens": CENTRE["tokens"]}
POWERS = {
    ("steplaw-lr", "learning_rate"): Spread(
        AUTHORS,
        CENTRE,
        (
            (5.17e-4, 1.63e-4, 6.42e-5),
            (1.63e-4, 8.91e-4, -1.74e-4),
            (6.42e-5, -1.74e-4, 3.66e-4),
        ),
    ),
    ("steplaw-batch", "batch_tokens"): Spread(
        AUTHORS, TOKENS, ((5.58e-4, 1.15e-4), (1.15e-4, 3.49e-4))
    ),
    ("steplaw", "learning_rate"): Spread(
        SWEEPS,
        CENTRE,
        (
            (1.97e-3, 4.25e-4, -1.08e-3),
            (4.25e-4, 1.79e-3, -4.59e-4),
            (-1.08e-3, -4.59e-4, 8.52e-4),
        ),
    ),
    ("steplaw", "batch_tokens"): Spread(
        SWEEPS,
        CENTRE,
        (
            (2.87e-3, 5.62e-4, -2.30e-4),
            (5.62e-4, 1.07e-3, -1.84e-4),
            (-2.30e-4, -1.84e-4, 2.57e-4),
        ),
    ),
}

# E, A, B, alpha, beta of Chinchilla's law on the 240 runs; 4,000 multinomial replicates.
EPOCH_240: Matrix = (
    (1.910e-04, 2.016e-03, 3.510e-03, 1.190e-04, 1.712e-04),
    (2.016e-03, 6.239e-02, -2.627e-02, 3.721e-03, -1.314e-03),
    (3.510e-03, -2.627e-02, 1.725e-01, -1.635e-03, 8.436e-03),
    (1.190e-04, 3.721e-03, -1.635e-03, 2.223e-04, -8.189e-05),
    (1.712e-04, -1.314e-03, 8.436e-03, -8.189e-05, 4.130e-04),
)
MATRICES: Mapping[tuple[str, str], Matrix] = {
    ("chinchilla", "epoch240"): EPOCH_240,
    ("sardana", "epoch240"): EPOCH_240,
}


def draws(law: Law, published: Published, count: int, seed: int = 0) -> Floats | None:
    """Coefficients as other runs might have given them: (count, parameters); None if not known."""
    matrix = MATRICES.get((law.name, published.name))
    if matrix is None:
        return None
    middle = fitted(law, coefficients(law, published))
    z = np.random.default_rng(seed).multivariate_normal(middle, np.array(matrix), count)
    return natural(law, z)
