"""Kernels over Arrow text columns. No copy of the text is made and the GIL is released.

`texts` is an Arrow array of type string, large_string, string_view, binary, large_binary or
binary_view, sliced or not. A null counts as an empty text. Bytes that are not UTF-8 never crash a
kernel, but only `valid_utf8` says something useful about them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

UNICODE_VERSION: str
STATISTICS: tuple[str, ...]  # the columns of surface()
FEATURES: dict[str, str]  # name -> version of the definition, e.g. {"fast": "fast-1", ...}

def valid_utf8(texts: Any) -> npt.NDArray[np.bool_]: ...
def fingerprint(texts: Any, seed: int = 0) -> npt.NDArray[np.uint64]: ...
def count_tokens(texts: Any) -> npt.NDArray[np.int64]: ...
def slots(features: str, orders: int, buckets: int) -> int: ...
def add_ngrams(
    texts: Any, counts: npt.NDArray[np.int64], features: str, orders: int, buckets: int
) -> int: ...
def dot_ngrams(
    texts: Any,
    table: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    features: str,
    orders: int,
    buckets: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]: ...
def distinct_ngrams(
    texts: Any, features: str, orders: int, buckets: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]: ...
def dot_distinct(
    texts: Any,
    table: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    features: str,
    orders: int,
    buckets: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]: ...
def dot_distinct_columns(
    texts: Any, table: npt.NDArray[np.float32], features: str, orders: int, buckets: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]: ...
def fit_logistic(
    ends: npt.NDArray[np.int64],
    slots: npt.NDArray[np.uint32],
    labels: npt.NDArray[np.float64],
    costs: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float32],
    rounds: int,
    tolerance: float,
) -> int: ...
def score_ngrams(
    texts: Any,
    counts: npt.NDArray[np.float32],
    tokens: tuple[float, float],
    prior: tuple[float, float],
    flat: float,
    background: float,
    features: str,
    orders: int,
    buckets: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]: ...
def lower(text: bytes) -> bytes: ...
def tokens(text: bytes) -> list[bytes]: ...
def list_ngrams(
    text: bytes, features: str, orders: int, buckets: int
) -> list[tuple[bytes, int, int]]: ...
def windows(text: bytes, width: int) -> npt.NDArray[np.uint64]: ...
def find_windows(
    texts: Any, width: int, wanted: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]: ...
def surface(texts: Any) -> npt.NDArray[np.float64]: ...
def minhash(
    texts: Any, permutations: npt.NDArray[np.uint64], width: int, hashing: str = "fast"
) -> npt.NDArray[np.uint32]: ...
def minhash_bands(
    texts: Any,
    permutations: npt.NDArray[np.uint64],
    width: int,
    hashing: str,
    bands: int,
    rows: int,
) -> npt.NDArray[np.uint64]: ...
def join_buckets(
    above: npt.NDArray[np.int64], rank: npt.NDArray[np.uint64], entries: npt.NDArray[np.uint64]
) -> None: ...
def _force_simd(name: str) -> str: ...  # for tests: "portable", "avx2" or "avx512"
