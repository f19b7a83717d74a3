"""What it costs to find the clusters of many documents, from a score store that is made up.

    python benchmarks/clusters.py [DOCUMENTS] [MEMORY IN MB]

No file is read: a sixth of the documents share all their bands with another one. Printed are the
seconds of one core, and by how much the memory of the process grew.
"""

import copy
import resource
import sys
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from assay.selectors.choice import mix
from assay.selectors.clusters import Bands, clusters
from assay.selectors.records import Ids, Scored
from assay.selectors.selector import S
from assay.selectors.sketch import shape

UNIT = 25_000  # documents: 64 MB of ordinary web text


class Store:
    """The fold of a store with so many documents and bands."""

    seed, targets = 0, ()

    def __init__(self, documents: int, bands: int) -> None:
        self.documents = documents
        self.names = tuple(f"band{band}" for band in range(bands))

    def __call__(self, stream: str, empty: S, /) -> S:
        total = copy.deepcopy(empty)
        for first in range(0, self.documents, UNIT):
            part = copy.deepcopy(empty)
            for scored in self.batches(first):
                part.add(scored)
            total.merge(part)
        return total

    def batches(self, first: int) -> Iterator[Scored]:
        number = np.arange(first, min(first + UNIT, self.documents), dtype=np.int64)
        key = mix(number.astype(np.uint64), 0)
        none, text = np.zeros(len(number), np.int32), pa.nulls(len(number), pa.string())
        bands = np.stack([self.band(number, place) for place in range(len(self.names))], axis=1)
        scores = (bands >> np.uint64(11)).astype(np.float64)
        yield Scored(scores, self.names, key, key, number, none, number, number, text, text)

    def band(self, number: np.ndarray, place: int) -> Ids:
        original = np.where(number % 3 == 0, number // 2, number)
        return mix(original.astype(np.uint64), place + 1)


def main() -> None:
    documents = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    memory = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    bands, _rows = shape(0.7, 128)
    store = Store(documents, bands)
    for _ in store.batches(0):  # what one batch takes is no part of it
        pass
    before, begun = peak(), time.process_time()
    found = clusters(store, Bands(store.names), memory * 1_000_000)
    spent, grown = time.process_time() - begun, peak() - before
    dropped = int(np.bitwise_count(found.dropped()).sum())
    print(f"{documents:,} documents, {bands} bands, {memory} MB for the buckets: {spent:.1f} s,")
    print(f"{grown:.0f} MB more than before, {grown / documents * 1e6:.0f} for each million;")
    print(f"{dropped:,} documents are copies")


def peak() -> float:
    """MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
