"""Running summaries that several methods share."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from assay.native import kernels
from assay.selectors.records import Batch, Counts


@dataclass(frozen=True)
class Features:
    """Which hashed n-grams a text is seen as: a definition, orders 1..n, buckets."""

    definition: str = "fast"
    orders: int = 2
    buckets: int = 1 << 20

    @property
    def slots(self) -> int:
        """Length of a table with one place for each feature."""
        return int(kernels.slots(self.definition, self.orders, self.buckets))

    @property
    def version(self) -> str:
        return f"{kernels.FEATURES[self.definition]} (Unicode {kernels.UNICODE_VERSION})"


@dataclass
class NgramCounts:
    """How often each hashed n-gram occurs."""

    features: Features
    counts: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    documents: int = 0

    @classmethod
    def empty(cls, features: Features) -> Self:
        return cls(features, np.zeros(features.slots, np.int64))

    def add(self, batch: Batch) -> None:
        f = self.features
        kernels.add_ngrams(batch.text, self.counts, f.definition, f.orders, f.buckets)
        self.documents += len(batch)

    def merge(self, other: "NgramCounts") -> None:
        self.counts += other.counts
        self.documents += other.documents
