"""Oracles: what every kernel should answer, written to be obviously right."""

import hashlib
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from assay.native import kernels

TOKEN = re.compile(r"\w+|[^\w\s]+")


def text_of(raw: bytes) -> str:
    """Each byte that is not UTF-8 becomes a lone surrogate: neither word nor space."""
    return raw.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def lower(raw: bytes) -> bytes:
    return bytes_of(text_of(raw).lower())


def tokens(raw: bytes) -> list[bytes]:
    return [bytes_of(token) for token in TOKEN.findall(text_of(raw).lower())]


def is_utf8(raw: bytes | None) -> bool:
    try:
        return raw is not None and raw.decode("utf-8") is not None
    except UnicodeDecodeError:
        return False


def ngrams(raw: bytes, orders: int) -> list[tuple[bytes, int]]:
    words = tokens(raw)
    return [
        (b" ".join(words[end - order : end]), order)
        for end in range(1, len(words) + 1)
        for order in range(1, min(orders, end) + 1)
    ]


def reference_slot(ngram: bytes, buckets: int) -> int:
    return int(hashlib.sha256(ngram).hexdigest(), 16) % buckets


# hash-1, once more and slowly.
ALL = (1 << 64) - 1
K0, K1, K2, K3, K4, K5, K6, K7 = (
    0x243F6A8885A308D3,
    0x13198A2E03707345,
    0xA4093822299F31D1,
    0x082EFA98EC4E6C89,
    0x452821E638D01377,
    0xBE5466CF34E90C6D,
    0xC0AC29B7C97C50DD,
    0x3F84D5B5B5470917,
)


def mix(x: int, y: int) -> int:
    product = x * y
    turned = (y << 32 | y >> 32) & ALL
    return ((product & ALL ^ product >> 64) + (x ^ turned)) & ALL


def step(state: int, a: int, b: int) -> int:
    return mix(a ^ state, b ^ K1)


def finish(state: int, length: int) -> int:
    state ^= length * K2 & ALL
    state ^= state >> 32
    state = state * K3 & ALL
    return state ^ state >> 29


def hash_bytes(raw: bytes, seed: int = 0) -> int:
    padded = raw + bytes(-len(raw) % 16 if raw else 16)
    words = [int.from_bytes(padded[i : i + 8], "little") for i in range(0, len(padded), 8)]
    state = finish(seed ^ K0, 1)
    if len(raw) > 64:
        four = [state, state ^ K4, state ^ K5, state ^ K6]
        while len(words) > 8:
            four = [step(s, words[2 * i], words[2 * i + 1]) for i, s in enumerate(four)]
            words = words[8:]
        state = step(step(*four[:3]), four[3], K7)
    for i in range(0, len(words), 2):
        state = step(state, words[i], words[i + 1])
    return finish(state, len(raw))


def fast_slot(ngram: bytes, order: int, buckets: int) -> int:
    first, *others = [hash_bytes(token) for token in ngram.split(b" ")]
    for token in others:
        first = mix((first + K6) & ALL, token ^ K7)
    return (order - 1) * buckets + (first * buckets >> 64)


def list_ngrams(raw: bytes, features: str, orders: int, buckets: int):
    if features == "fast":
        return [(n, order, fast_slot(n, order, buckets)) for n, order in ngrams(raw, orders)]
    return [(n, order, reference_slot(n, buckets)) for n, order in ngrams(raw, orders)]


def windows(raw: bytes, width: int) -> list[int]:
    hashes = [hash_bytes(token) for token in tokens(raw)]
    out = []
    for first in range(len(hashes) - width + 1):
        total = 0
        for value in hashes[first : first + width]:
            total = (total * K0 + value) & ALL
        out.append(finish(total, width))
    return out


@pytest.fixture(scope="session")
def oracle() -> SimpleNamespace:
    return SimpleNamespace(
        text_of=text_of,
        bytes_of=bytes_of,
        lower=lower,
        tokens=tokens,
        is_utf8=is_utf8,
        hash_bytes=hash_bytes,
        list_ngrams=list_ngrams,
        windows=windows,
    )


def ways() -> list[str]:
    """The instruction sets of this machine."""
    before = kernels._force_simd("portable")
    known = ["portable"]
    for name in ("avx2", "avx512"):
        try:
            kernels._force_simd(name)
            known.append(name)
        except ValueError:
            break
    kernels._force_simd(before)
    return known


@pytest.fixture(params=ways())
def way(request):
    """Each test that asks for it runs once per instruction set."""
    before = kernels._force_simd(request.param)
    yield request.param
    kernels._force_simd(before)


@pytest.fixture(scope="session")
def documents() -> list[str]:
    """Real documents: English, Chinese, LaTeX, code."""
    import pyarrow.parquet as pq

    here = Path(__file__).resolve().parents[2]
    shared = Path(os.environ.get("ASSAY_SHARED", here.parent / "shared"))
    files = sorted((shared / "data" / "pool").glob("*.parquet"))
    if not files:
        pytest.skip(f"no Parquet files in {shared}/data/pool (set ASSAY_SHARED)")
    texts = []
    for path in files[:3]:
        texts += pq.read_table(path, columns=["text"])["text"].to_pylist()[::25]
    return texts
