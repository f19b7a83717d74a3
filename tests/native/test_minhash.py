"""Signatures are datasketch's; documents that share buckets come together."""

import re

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash
from hypothesis import example, given
from hypothesis import strategies as st

from assay.native import kernels
from assay.selectors.sketch import fast_hash

TOKEN = re.compile(r"\w+|[^\w\s]+")
WORDS = st.sampled_from(["the", "cat", "Sat", "on", "ΜΑΣ", "名前", ",", "x" * 20, "é", "?!", "\n"])
TEXTS = st.lists(st.one_of(st.lists(WORDS).map(" ".join), st.text(max_size=30)), max_size=5)
HASHES = {"sha1": None, "fast": fast_hash}  # None: datasketch's own, sha1_hash32


def shingles(text, width):
    tokens = TOKEN.findall(text.lower())
    width = min(width, len(tokens))
    starts = range(len(tokens) - width + 1) if tokens else []
    return [" ".join(tokens[i : i + width]).encode() for i in starts]


def reference(text, width, permutations, seed, hashing):
    sketch = MinHash(permutations, seed=seed, hashfunc=HASHES[hashing], scheme="affine32")
    sketch.update_batch(shingles(text, width))
    return sketch.hashvalues


def drawn(permutations, seed):
    return MinHash(permutations, seed=seed).permutations.astype(np.uint64)


@pytest.mark.parametrize("hashing", HASHES)
@given(TEXTS, st.integers(1, 6), st.sampled_from([1, 3, 64, 130]), st.integers(0, 9))
@example(["", "a", "a b c d e", "a b c d e f", "long" * 40 + " x y z w"], 5, 128, 1)
def test_signatures_equal_datasketch_s(hashing, texts, width, permutations, seed):
    found = kernels.minhash(pa.array(texts, pa.string()), drawn(permutations, seed), width, hashing)
    assert found.shape == (len(texts), permutations)
    for text, row in zip(texts, found, strict=True):
        assert (row == reference(text, width, permutations, seed, hashing)).all()


@pytest.mark.parametrize("hashing", HASHES)
def test_every_instruction_set_and_length_agrees(way, hashing):
    vocabulary = [f"w{n}" * (1 + n % 17) for n in range(400)]
    chance = np.random.default_rng(3)
    lengths = [0, 1, 4, 5, 6, 20, 21, 36, 100, 1100, 3000]
    texts = [" ".join(chance.choice(vocabulary, length)) for length in lengths]
    found = kernels.minhash(pa.array(texts), drawn(128, 1), 5, hashing)
    expected = [reference(text, 5, 128, 1, hashing) for text in texts]
    assert (found == np.array(expected)).all()


@pytest.mark.parametrize("length", range(50, 70))
def test_a_shingle_of_any_length_has_datasketch_s_hash(length):
    text = "x" * length
    found = kernels.minhash(pa.array([text]), drawn(4, 1), 1, "sha1")
    assert (found[0] == reference(text, 1, 4, 1, "sha1")).all()


def test_bands_are_equal_where_the_signature_is():
    texts = pa.array(["a b c d e f g", "a b c d e f g", "a b c d e f h", ""])
    signatures = kernels.minhash(texts, drawn(128, 1), 5)
    bands = kernels.minhash_bands(texts, drawn(128, 1), 5, "fast", 32, 4)
    same = (signatures[0] == signatures[2]).reshape(32, 4).all(axis=1)
    assert same.any() and not same.all()
    assert ((bands[0] == bands[2]) == same).all() and (bands[0] == bands[1]).all()
    assert bands[:3].max() < 2**53 and len(np.unique(bands[0])) == 32
    assert (bands[3] == 2**64 - 1).all()


def test_settings_out_of_range_are_refused():
    texts, permutations = pa.array(["a"]), drawn(8, 1)
    for wrong in (permutations[0], permutations.astype(np.int64), permutations[:, :0].copy()):
        with pytest.raises(ValueError, match="permutations must be"):
            kernels.minhash(texts, wrong, 5)
    with pytest.raises(ValueError, match="hashing must be 'fast' or 'sha1'"):
        kernels.minhash(texts, permutations, 5, "md5")
    with pytest.raises(ValueError, match="width"):
        kernels.minhash(texts, permutations, 0)
    for bands, rows in ((3, 3), (0, 1), (1, 0), (2**62, 2**62)):
        with pytest.raises(ValueError, match="bands"):
            kernels.minhash_bands(texts, permutations, 5, "fast", bands, rows)


# The forest ------------------------------------------------------------------------------


def components(documents, entries):
    """The set of each document's companions, itself included."""
    together = [{number} for number in range(documents)]
    for bucket, number in entries:
        for other, companion in entries:
            if other == bucket and together[number] is not together[companion]:
                together[number] |= together[companion]
                for one in together[number]:
                    together[one] = together[number]
    return together


ENTRIES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 11)), max_size=20)


@given(st.lists(ENTRIES, max_size=3), st.lists(st.integers(0, 5), min_size=12, max_size=12))
def test_the_smallest_of_each_cluster_ends_up_on_top(rounds, ranks):
    above, rank = np.arange(12), np.array(ranks, np.uint64)
    for entries in rounds:
        table = np.array(entries, np.uint64).reshape(-1, 2)
        kernels.join_buckets(above, rank, table)
    flat = [(bucket + 10 * place, n) for place, some in enumerate(rounds) for bucket, n in some]
    for number, companions in enumerate(components(12, flat)):
        top = number
        while above[top] != top:
            top = above[top]
        assert top == min(companions, key=lambda one: (ranks[one], one))


def test_a_document_that_is_not_there_is_refused():
    above, rank = np.arange(3), np.zeros(3, np.uint64)
    with pytest.raises(ValueError, match="names others"):
        kernels.join_buckets(above, rank, np.array([[1, 3]], np.uint64))
    with pytest.raises(ValueError, match="points outside"):
        kernels.join_buckets(np.array([5, 1, 2]), rank, np.array([[1, 0]], np.uint64))
    with pytest.raises(ValueError, match="rank"):
        kernels.join_buckets(above, rank[:2], np.zeros((0, 2), np.uint64))
