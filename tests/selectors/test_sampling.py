"""The sample is one set, whoever reads the documents in whatever order."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.native import kernels
from assay.selectors.choice import mix
from assay.selectors.errors import BadRequest
from assay.selectors.folding import freeze, pack, thaw, unpack
from assay.selectors.methods.classifier import Classifier
from assay.selectors.records import Batch
from assay.selectors.sampling import CONTENT_SEED, ROW, Sample

DOCUMENTS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["", "x", "héllo wörld", "y" * 300])),
    max_size=25,
)


def batch(documents, kind="string"):
    ids = pa.array([name for name, _ in documents], pa.string())
    text = pa.array([text for _, text in documents], pa.string()).cast(kind)
    return Batch(text, ids, kernels.fingerprint(ids), np.arange(len(documents)), 0)


def sampled(documents, room=1000, longest=100, seed=0):
    sample = Sample(room, longest, seed)
    sample.add(batch(documents))
    return sample


def same(one, other):
    a, b = freeze(one), freeze(other)
    return all(np.array_equal(a[name], b[name]) for name in a)


def oracle(documents, room, longest, seed):
    """The longest beginning of the documents in the order of their hashes that fits."""
    read = batch(documents)
    content = kernels.fingerprint(read.text, seed=CONTENT_SEED)
    placed = sorted(zip(mix(read.key, seed).tolist(), content.tolist(), documents, strict=True))
    kept, spent = [], 0
    for rank, hashed, (_, text) in placed:
        cut = text.encode()[:longest].decode(errors="ignore")
        spent += len(cut.encode()) + ROW
        if spent > room:
            kept = [one for one in kept if one[:2] != (rank, hashed)]
            break
        kept.append((rank, hashed, cut))
    return [cut for _, _, cut in kept]


@given(DOCUMENTS, st.integers(0, 1500), st.integers(1, 60), st.integers(0, 3))
def test_it_is_the_longest_beginning_that_fits(documents, room, longest, seed):
    found = sampled(documents, room, longest, seed).texts().to_pylist()
    assert [text.decode() for text in found] == oracle(documents, room, longest, seed)


@given(DOCUMENTS, st.integers(0, 1500), st.data())
def test_any_grouping_and_any_order_give_the_same(documents, room, data):
    shuffled = data.draw(st.permutations(documents))
    first, last = sorted(data.draw(st.integers(0, len(documents))) for _ in range(2))
    pieces = shuffled[:first], shuffled[first:last], shuffled[last:]
    total = Sample(room, 100, 0)
    for piece in pieces:
        total.merge(sampled(piece, room))
    assert same(total, sampled(documents, room))


@given(DOCUMENTS, st.integers(0, 1500))
def test_an_empty_one_changes_nothing_and_a_stored_one_comes_back(documents, room):
    sample = sampled(documents, room)
    before = freeze(sample)
    sample.merge(Sample(room, 100, 0))
    assert all(np.array_equal(before[name], value) for name, value in freeze(sample).items())
    _, _, state = unpack(pack("question", 1, before))
    assert same(thaw(Sample(room, 100, 0), state), sample)


@pytest.mark.parametrize("kind", ["large_string", "string_view", "binary"])
def test_any_type_of_text_will_do(kind):
    documents = [("a", "héllo"), ("b", ""), ("c", "x" * 200)]
    sample = Sample(1000, 100, 0)
    sample.add(batch(documents, kind))
    assert same(sample, sampled(documents))


def test_it_never_holds_more_than_its_room():
    sample = Sample(10_000, 50, 0)
    for start in range(0, 5000, 500):
        sample.add(batch([(str(n), "word " * (n % 30)) for n in range(start, start + 500)]))
    assert 9_000 < len(sample.text) + ROW * len(sample) <= 10_000
    assert sample.documents == 5000


def test_another_seed_draws_another_sample():
    documents = [(str(n), f"text {n}") for n in range(200)]
    assert not same(sampled(documents, seed=1), sampled(documents, seed=2))


def test_a_method_that_needs_a_target_says_so():
    class Bare:
        seed, targets = 0, ()

    with pytest.raises(BadRequest, match="classifier needs a target"):
        Classifier().fit(Bare())
