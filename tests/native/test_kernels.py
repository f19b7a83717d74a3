"""The kernels over Arrow columns agree with their oracles on any layout."""

import ast
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assay.native import kernels

# Written down once: a change here is a new version of the definition.
FINGERPRINTS = ["b230b65f5201266f", "e02c3e2fc027ec14", "d3377a585793c50d", "e2e29e12520ae7e9"]
FINGERPRINTS_7 = ["fbd61f2a392c3892", "d0da478ec8f5a488", "675a5dd13212da00", "1a7f03debf35ce5d"]
FAST_SLOTS = [
    259038,
    395895,
    1558687,
    602792,
    1957678,
    98635,
    1691051,
    108222,
    1117394,
    549318,
    1454944,
    562109,
    1451771,
    618739,
    1279603,
]

TEXT_TYPES = [pa.string(), pa.large_string(), pa.string_view()]
BYTES_TYPES = [pa.binary(), pa.large_binary(), pa.binary_view()]
WORDS = st.lists(st.sampled_from(["the", "cat", "Sat", "on", "ΜΑΣ", "名前", ",", "x" * 20, "é"]))
WORDY = WORDS.map(" ".join).map(str.encode)
ROWS = st.lists(
    st.one_of(st.none(), st.binary(max_size=40), WORDY, st.text(max_size=20).map(str.encode))
)
SETTINGS = st.tuples(
    st.sampled_from(["fast", "reference"]),
    st.integers(1, 8),
    st.one_of(st.integers(1, 3000), st.sampled_from([1, 2, 1024, 10_000])),
)


@st.composite
def columns(draw):
    """(array, rows): an Arrow array of any accepted layout, perhaps a slice, and what it holds."""
    rows = draw(ROWS)
    kind = draw(st.sampled_from(BYTES_TYPES + TEXT_TYPES))
    if kind in TEXT_TYPES:
        rows = [row and row.decode("utf-8", "replace").encode() for row in rows]
        array = pa.array([None if row is None else row.decode() for row in rows], kind)
    else:
        array = pa.array(rows, kind)
    first = draw(st.integers(0, len(rows)))
    last = draw(st.integers(first, len(rows)))
    return array.slice(first, last - first), rows[first:last]


def array_of(rows):
    return pa.array(rows, pa.large_binary())


def dot(listed, table):
    sums = [np.zeros(table.shape[1:]) for _ in range(8)]
    token = -1
    for _, order, slot in listed:
        token += order == 1
        sums[token % 8] = sums[token % 8] + table[slot].astype(np.float64)
    a, b, c, d, e, f, g, h = sums
    return ((a + e) + (c + g)) + ((b + f) + (d + h))


# --- each kernel and its oracle ---------------------------------------------------------------


@given(columns())
def test_valid_utf8_is_what_python_decodes(oracle, column):
    array, rows = column
    assert kernels.valid_utf8(array).tolist() == [oracle.is_utf8(row) for row in rows]


@pytest.mark.parametrize("prefix", range(0, 40))
def test_valid_utf8_is_strict_wherever_the_bytes_stand(oracle, prefix):
    parts = ["é", "名", "😀", "\U0010ffff", "\ud7ff", "\ue000"]
    good = [part.encode() for part in parts]
    bad = [b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\x80"]
    bad += [b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xff", b"\xe9"]
    bad += [part[:-1] for part in good]
    rows = [b"a" * prefix + part + tail for part in good + bad for tail in (b"", b"abc", b"x" * 30)]
    assert kernels.valid_utf8(array_of(rows)).tolist() == [oracle.is_utf8(row) for row in rows]


@given(columns(), st.integers(0, 2**64 - 1))
def test_fingerprint_is_hash_1(oracle, column, seed):
    array, rows = column
    expected = [oracle.hash_bytes(row or b"", seed) for row in rows]
    assert kernels.fingerprint(array, seed).tolist() == expected


def test_fingerprint_never_changes():
    rows = [b"", b"a", b"The quick brown fox", bytes(range(256)) * 3]
    assert [f"{h:016x}" for h in kernels.fingerprint(array_of(rows))] == FINGERPRINTS
    assert [f"{h:016x}" for h in kernels.fingerprint(array_of(rows), seed=7)] == FINGERPRINTS_7


@pytest.mark.parametrize("size", [*range(0, 150), 1000])
def test_fingerprint_is_right_at_every_length(oracle, size):
    raw = bytes((i * 37 + 11) % 256 for i in range(size))
    assert kernels.fingerprint(array_of([raw]))[0] == oracle.hash_bytes(raw)


def test_flipping_a_bit_flips_half_of_the_fingerprint():
    random = np.random.default_rng(1)
    for size in (4, 12, 33, 100, 400):
        raw = random.integers(0, 256, (200, size), np.uint8)
        bits = random.integers(0, size * 8, 200)
        flipped = raw.copy()
        flipped[np.arange(200), bits // 8] ^= (1 << bits % 8).astype(np.uint8)
        rows = [bytes(row) for row in raw], [bytes(row) for row in flipped]
        before, after = (kernels.fingerprint(array_of(r)) for r in rows)
        changed = np.unpackbits((before ^ after).view(np.uint8)).reshape(200, 64).mean()
        assert abs(changed - 0.5) < 0.03  # 6 sigma at 12,800 bits is 0.027


@given(columns())
def test_count_tokens_counts_them(oracle, column):
    array, rows = column
    expected = [len(oracle.tokens(row or b"")) for row in rows]
    assert kernels.count_tokens(array).tolist() == expected


@given(st.one_of(st.binary(max_size=60), WORDY), SETTINGS)
@example(b"Alice went", ("reference", 2, 10_000))
def test_list_ngrams_agrees_with_the_definition(oracle, raw, setting):
    assert kernels.list_ngrams(raw, *setting) == oracle.list_ngrams(raw, *setting)


def test_the_reference_features_are_those_of_the_dsir_paper_s_code():
    slots = {
        ngram: slot for ngram, _, slot in kernels.list_ngrams(b"Alice went", "reference", 2, 10_000)
    }
    assert slots[b"alice"] == 6720
    assert slots[b"alice went"] == 114


def test_the_fast_features_never_change():
    raw = "The cat sat. Ünïcödé 名前; antidisestablishmentarianism".encode()
    slots = [slot for _, _, slot in kernels.list_ngrams(raw, "fast", 2, 1 << 20)]
    assert slots == FAST_SLOTS


@pytest.mark.parametrize("size", [*range(1, 130), 200, 1000])
@pytest.mark.parametrize("buckets", [1, 3, 10_000, 1 << 20, (1 << 31) - 1, 1 << 31])
def test_reference_slots_are_right_at_every_length(way, oracle, size, buckets):
    raw = b"b" * size + b" " + b"c" * size
    assert kernels.list_ngrams(raw, "reference", 2, buckets) == oracle.list_ngrams(
        raw, "reference", 2, buckets
    )


@given(columns(), SETTINGS)
def test_add_ngrams_counts_what_list_ngrams_lists(column, setting):
    array, rows = column
    expected = np.zeros(kernels.slots(*setting), np.int64)
    for row in rows:
        for _, _, slot in kernels.list_ngrams(row or b"", *setting):
            expected[slot] += 1
    counts = np.ones(kernels.slots(*setting), np.int64)
    assert kernels.add_ngrams(array, counts, *setting) == expected.sum()
    assert (counts - 1 == expected).all()


@given(
    columns(),
    SETTINGS,
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([(), (1,), (3,)]),
)
def test_dot_ngrams_adds_in_the_order_of_list_ngrams(column, setting, dtype, tail):
    array, rows = column
    table = np.random.default_rng(5).normal(size=(kernels.slots(*setting), *tail)).astype(dtype)
    sums, ngrams = kernels.dot_ngrams(array, table, *setting)
    listed = [kernels.list_ngrams(row or b"", *setting) for row in rows]
    assert sums.shape == (len(rows), *tail) and sums.dtype == np.float64
    assert ngrams.tolist() == [len(one) for one in listed]
    for found, one in zip(sums, listed, strict=True):
        assert found.tobytes() == dot(one, table).tobytes()  # every bit


@given(st.one_of(st.binary(max_size=60), WORDY), st.integers(1, 12))
def test_windows_are_hashes_of_runs_of_tokens(oracle, raw, width):
    assert kernels.windows(raw, width).tolist() == oracle.windows(raw, width)


@given(columns(), st.integers(1, 4), st.lists(WORDY, max_size=4), st.booleans())
def test_find_windows_finds_each_pair_once(oracle, column, width, targets, few):
    array, rows = column
    wanted = {h for target in targets for h in oracle.windows(target, width)}
    wanted |= set() if few else set(range(0, 1 << 60, 1 << 51))
    wanted = np.array(sorted(wanted), np.uint64)
    expected = [
        (row, place)
        for row, raw in enumerate(rows)
        for place in sorted(
            np.flatnonzero(np.isin(wanted, np.array(oracle.windows(raw or b"", width), np.uint64)))
        )
    ]
    found = kernels.find_windows(array, width, wanted)
    assert list(zip(*(part.tolist() for part in found), strict=True)) == expected


# --- real documents, many instruction sets, many threads --------------------------------------


def answers(array):
    rng = np.random.default_rng(3)
    out = [kernels.valid_utf8(array), kernels.fingerprint(array), kernels.count_tokens(array)]
    for features, buckets in [("fast", 1 << 16), ("fast", 50_021), ("reference", 10_000)]:
        size = kernels.slots(features, 2, buckets)
        counts = np.zeros(size, np.int64)
        kernels.add_ngrams(array, counts, features, 2, buckets)
        out.append(counts)
        out += kernels.dot_ngrams(array, rng.normal(size=size), features, 2, buckets)
    wanted = np.unique(kernels.windows(array[0].as_py().encode(), 3))
    return [*out, *kernels.find_windows(array, 3, wanted)]


def same(ours, theirs):
    return all(a.tobytes() == b.tobytes() for a, b in zip(ours, theirs, strict=True))


def test_every_instruction_set_gives_the_same_bits(documents):
    array = pa.array(documents[:800])
    before = kernels._force_simd("portable")
    try:
        expected = answers(array)
    finally:
        kernels._force_simd(before)
    assert same(answers(array), expected)


def test_a_batch_s_other_documents_do_not_matter(documents):
    texts = documents[:200]
    table = np.random.default_rng(4).normal(size=kernels.slots("fast", 3, 999)).astype(np.float32)
    together, _ = kernels.dot_ngrams(pa.array(texts), table, "fast", 3, 999)
    alone = [kernels.dot_ngrams(pa.array([text]), table, "fast", 3, 999)[0][0] for text in texts]
    assert together.tolist() == alone


def test_threads_do_not_disturb_each_other(documents):
    array = pa.array(documents[:400])
    expected = answers(array)
    results = []
    threads = [threading.Thread(target=lambda: results.append(answers(array))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(same(result, expected) for result in results)


@pytest.mark.parametrize("features", ["fast", "reference"])
def test_real_documents_have_the_ngrams_of_the_definition(way, oracle, documents, features):
    for text in documents[:: 20 if features == "fast" else 4]:
        raw = text.encode()
        listed = kernels.list_ngrams(raw, features, 2, 10_000)
        expected = oracle.list_ngrams(
            raw[:3000] if features == "fast" else raw, features, 2, 10_000
        )
        if features == "fast" and len(raw) > 3000:  # the slow hash: only what a cut cannot change
            expected = expected[:-8]
            listed = listed[: len(expected)]
        assert listed == expected


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 9), st.integers(1, 8))
def test_one_long_document_is_like_its_oracle(oracle, seed, orders):
    words = [f"Word{i * seed % 97}" + "ß" * (i % 7) for i in range(30_000)]
    raw = " ".join(words).encode()
    assert kernels.count_tokens(array_of([raw]))[0] == len(words)
    listed = kernels.list_ngrams(raw, "reference", orders, 1000)
    tail = oracle.list_ngrams(" ".join(words[-20:]).encode(), "reference", orders, 1000)
    assert [n for n, _, _ in listed] == [n for n, _ in oracle_ngrams(words, orders)]
    assert listed[-orders:] == tail[-orders:]


def oracle_ngrams(words, orders):
    lowered = [word.lower().encode() for word in words]
    for end in range(1, len(lowered) + 1):
        for order in range(1, min(orders, end) + 1):
            yield b" ".join(lowered[end - order : end]), order


@pytest.mark.parametrize("features", ["fast", "reference"])
def test_one_word_of_five_million_bytes_is_one_ngram(way, oracle, features):
    raw = b"x" * 5_000_000 + b" y"
    counts = np.zeros(kernels.slots(features, 2, 64), np.int64)
    assert kernels.add_ngrams(array_of([raw]), counts, features, 2, 64) == 3
    if features == "reference":
        listed = kernels.list_ngrams(raw, features, 2, 64)
        assert listed == oracle.list_ngrams(raw, features, 2, 64)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        ["a"],
        "a",
        None,
        np.array(["a"]),
        pa.array([1]),
        pa.array(["a"]).dictionary_encode(),
        pa.record_batch({"text": ["a"]}),
        pa.array([["a"]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_column_that_is_not_text_is_named(wrong):
    with pytest.raises(
        TypeError, match=r"texts must be .*string_view.*, not .*" + type(wrong).__name__
    ):
        kernels.count_tokens(wrong)


def test_a_chunked_array_is_refused_with_a_way_out():
    with pytest.raises(TypeError, match=r"ChunkedArray.*combine_chunks"):
        kernels.count_tokens(pa.chunked_array([["a"]]))


def test_the_found_arrow_type_is_named():
    with pytest.raises(TypeError, match="of type int64"):
        kernels.count_tokens(pa.array([1]))


def test_polars_text_comes_in_through_arrow():
    series = pl.Series(["one two", None, "a string that is longer than twelve bytes"])
    assert kernels.count_tokens(series.to_arrow()).tolist() == [2, 0, 8]


@pytest.mark.parametrize("kind", TEXT_TYPES + BYTES_TYPES, ids=str)
def test_empty_columns_and_only_nulls_are_fine(kind):
    for rows in ([], [None], [None] * 9):
        array = pa.array(rows, kind)
        assert kernels.count_tokens(array).tolist() == [0] * len(rows)
        assert kernels.valid_utf8(array).tolist() == [False] * len(rows)
        assert kernels.find_windows(array, 2, np.zeros(1, np.uint64))[0].tolist() == []


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        (np.zeros(7, np.int64), r"shape \(7,\)"),
        (np.zeros((4, 4), np.int64), r"shape \(4, 4\)"),
        (np.zeros(16, np.int32), "format 'i'"),
        (np.zeros(16), "format 'd'"),
        (np.zeros(32, np.int64)[::2], "strides"),
        (read_only(np.zeros(16, np.int64)), "read-only"),
        (np.zeros(16, ">i8"), "format '>"),
        ([0] * 16, "list"),
    ],
    ids=str,
)
def test_wrong_counts_are_refused(counts, found):
    with pytest.raises(ValueError, match="16 int64.*, not .*" + found):
        kernels.add_ngrams(pa.array(["a"]), counts, "fast", 2, 8)


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (np.zeros(7), r"shape \(7,\)"),
        (np.zeros((16, 2, 2)), r"shape \(16, 2, 2\)"),
        (np.zeros(16, np.float16), "format 'e'"),
        (np.zeros(16, np.int64), "format 'l'"),
        (np.zeros((2, 16)).T, "strides"),
        (np.float64(3), "shape"),
    ],
    ids=str,
)
def test_wrong_tables_are_refused(table, found):
    with pytest.raises(ValueError, match=r"\(16,\) or \(16, columns\), not .*" + found):
        kernels.dot_ngrams(pa.array(["a"]), table, "fast", 2, 8)


def test_a_read_only_table_is_fine():
    table = read_only(np.ones(16, np.float32))
    assert kernels.dot_ngrams(pa.array(["a b"]), table, "fast", 2, 8)[0].tolist() == [3.0]


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        (("quick", 2, 8), "'fast' or 'reference', not 'quick'"),
        (("fast", 0, 8), "1 to 8, not 0"),
        (("fast", 9, 8), "1 to 8, not 9"),
        (("fast", 2, 0), "not 0"),
        (("fast", 2, 2**31 + 1), "not 2147483649"),
    ],
)
def test_wrong_settings_are_refused(setting, found):
    with pytest.raises(ValueError, match=found):
        kernels.slots(*setting)


@pytest.mark.parametrize("wanted", [[2, 1], [1, 1]])
def test_wanted_windows_must_ascend(wanted):
    with pytest.raises(ValueError, match="ascending"):
        kernels.find_windows(pa.array(["a"]), 2, np.array(wanted, np.uint64))


@pytest.mark.parametrize("width", [0, -1, 2**20 + 1])
def test_wrong_widths_are_refused(width):
    with pytest.raises(ValueError, match="1 to 2\\^20"):
        kernels.windows(b"a", width)


def test_broken_offsets_are_refused_and_not_followed():
    offsets = pa.py_buffer(np.array([0, 3, 1], np.int32))
    broken = pa.Array.from_buffers(pa.binary(), 2, [None, offsets, pa.py_buffer(b"abc")])
    with pytest.raises(ValueError, match="text 1 has offsets that go backwards"):
        kernels.count_tokens(broken)


# --- the face -----------------------------------------------------------------------------------


def test_the_stub_names_what_the_module_has():
    import assay.native

    [folder] = [Path(p) for p in assay.native.__path__ if (Path(p) / "kernels.pyi").exists()]
    body = ast.parse((folder / "kernels.pyi").read_text()).body
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    values = {node.target.id for node in body if isinstance(node, ast.AnnAssign)}
    public = {name for name in dir(kernels) if not name.startswith("__")}
    assert functions.keys() | values == public
    for name, node in functions.items():
        text = getattr(kernels, name).__doc__
        assert len(text.splitlines()) > 1, f"{name} has no docstring"
        for argument in node.args.args:
            assert argument.arg in text.splitlines()[0]


def test_every_feature_has_a_version():
    assert kernels.FEATURES == {"fast": "fast-1", "reference": "reference-1"}
    assert kernels.slots("fast", 3, 100) == 300
    assert kernels.slots("reference", 3, 100) == 100
