"""MinHash sketches of texts, and the bands that near duplicates are likely to share.

Broder 1997 ("On the resemblance and containment of documents"); banding: Leskovec, Rajaraman and
Ullman, Mining of Massive Datasets, chapter 3. The permutations and the number of bands are
datasketch's (this is the only file that knows it), the arithmetic is a kernel's: signatures equal
those of `datasketch.MinHash` in its scheme "affine32", with its own SHA-1 (hash "sha1") or with
`fast_hash` given as its hashfunc (hash "fast").
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasketch import MinHash, MinHashLSH

from assay.native import kernels
from assay.selectors.records import Floats, Ids

NO_BAND = np.uint64(2**64 - 1)  # of a text without a token


@dataclass(frozen=True)
class Sketch:
    """How texts are sketched."""

    permutations: int = 128
    shingle: int = 5  # tokens
    seed: int = 1  # datasketch's own default
    hash: str = "fast"

    def signatures(self, text: pa.Array) -> npt.NDArray[np.uint32]:
        """Shape (documents, permutations)."""
        return kernels.minhash(text, self._drawn(), self.shingle, self.hash)

    def bands(self, text: pa.Array, threshold: float) -> Floats:
        """A number for each band of each text, shape (documents, bands); -1 where there is none.

        The numbers have 53 bits, so that the score store's floats hold them.
        """
        bands, rows = shape(threshold, self.permutations)
        found = kernels.minhash_bands(text, self._drawn(), self.shingle, self.hash, bands, rows)
        return np.where(found == NO_BAND, -1.0, found.astype(np.float64))

    def jaccard(self, one: pa.Array, other: pa.Array) -> float:
        """The estimated share of shingles that two texts have in common."""
        return float(np.mean(self.signatures(one)[0] == self.signatures(other)[0]))

    def _drawn(self) -> Ids:
        return _permutations(self.permutations, self.seed)


@cache
def shape(threshold: float, permutations: int) -> tuple[int, int]:
    """(bands, rows): what datasketch finds best for documents that share so many shingles."""
    index: Any = MinHashLSH(threshold=threshold, num_perm=permutations)
    return int(index.b), int(index.r)


def chance(jaccard: float, bands: int, rows: int) -> float:
    """That two documents with this share of common shingles meet in a band."""
    return float(1 - (1 - jaccard**rows) ** bands)


def fast_hash(shingle: bytes) -> int:
    """The hash "fast" of a shingle's bytes, as datasketch's `hashfunc`."""
    tokens = len(kernels.tokens(shingle))
    return int(kernels.windows(shingle, tokens)[0]) & 0xFFFFFFFF


@cache
def _permutations(count: int, seed: int) -> Ids:
    drawn = MinHash(num_perm=count, seed=seed, scheme="affine32").permutations
    return np.ascontiguousarray(drawn, np.uint64)
