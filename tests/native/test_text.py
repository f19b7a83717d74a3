"""What a word is: str.lower and `re` of Python, for every code point and for any bytes."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.native import kernels

SIGMA = "\N{GREEK CAPITAL LETTER SIGMA}"

# Where CPython 3.12 (Unicode 15.0) and 3.13 (15.1) answer otherwise than 3.11 (14.0). All of these
# code points were unassigned in 14.0, which is the definition: on a newer Python they are left out.
NEW_SINCE_14 = [
    *[(0xECE, 0xECE), (0x10EFD, 0x10EFF), (0x1123F, 0x11241), (0x11F00, 0x11F59)],
    *[(0x1342F, 0x1342F), (0x13439, 0x13455), (0x1B132, 0x1B132), (0x1B155, 0x1B155)],
    *[(0x1D2C0, 0x1D2D3), (0x1DF25, 0x1DF2A), (0x1E030, 0x1E06D), (0x1E08F, 0x1E08F)],
    *[(0x1E4D0, 0x1E4F9), (0x2B739, 0x2B739), (0x2EBF0, 0x2EE5D), (0x31350, 0x323AF)],
]
IS_14 = unicodedata.unidata_version == "14.0.0"


def known(char: str) -> bool:
    return IS_14 or not any(first <= ord(char) <= last for first, last in NEW_SINCE_14)


CODES = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and known(chr(c))]
AWKWARD = "AaZz09_ \n\t\x1c\x00'-:.ΣσςİiıKÅȺẞ²½一ß𝒳𐐀\u00ad\u0301\u0307\u200b\u2028\u3000\x85"
TEXT = st.text(
    st.one_of(st.sampled_from(AWKWARD), st.characters(exclude_categories=["Cs"]).filter(known))
)
BROKEN = [b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xf0\x9f", b"\x80" * 5]
ANY_BYTES = st.lists(
    st.one_of(st.binary(max_size=70), TEXT.map(str.encode), st.sampled_from(BROKEN))
).map(b"".join)


def assert_same_lines(ours: bytes, texts: list[str]):
    expected = [text.lower() for text in texts]
    got = ours.decode().split("\n")
    assert len(got) == len(expected)
    wrong = [t for t, a, b in zip(texts, got, expected, strict=True) if a != b]
    assert not wrong, f"{len(wrong)} differ, the first is {wrong[0]!a}"


def test_the_unicode_version_is_part_of_the_definition():
    assert kernels.UNICODE_VERSION == "14.0.0"


@pytest.mark.parametrize(
    "context", ["{}", "A{}Σ", " {}Σ", "AΣ{}", "AΣ{}A", "AΣ'{}", "A{}{}Σ{}{}A"], ids=ascii
)
def test_every_code_point_is_lowered_as_python_does(way, context):
    texts = [context.replace("{}", char) for char in CODES if char != "\n"]
    assert_same_lines(kernels.lower("\n".join(texts).encode()), texts)


def test_every_code_point_has_the_class_that_re_gives_it(way, oracle):
    # Between a word character and a mark, each of the three classes cuts at other places.
    for first in range(0, len(CODES), 50_000):
        raw = "".join(f"a{char}.{char} " for char in CODES[first : first + 50_000]).encode()
        assert kernels.tokens(raw) == oracle.tokens(raw)


@given(ANY_BYTES)
def test_any_bytes_are_lowered_as_python_does(oracle, raw):
    assert kernels.lower(raw) == oracle.lower(raw)


@given(ANY_BYTES)
def test_any_bytes_have_the_tokens_that_re_finds(oracle, raw):
    assert kernels.tokens(raw) == oracle.tokens(raw)


@given(TEXT)
def test_the_definition_is_python_s_own_words(text):
    import re

    found = [token.decode() for token in kernels.tokens(text.encode())]
    assert found == re.findall(r"\w+|[^\w\s]+", text.lower())


@given(st.text(st.sampled_from("Σ'A.\u0301 é")))
def test_final_sigma_depends_on_what_is_around_it(text):
    assert kernels.lower(text.encode()).decode() == text.lower()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"a" * 5_000_000,  # one word
        ("名" * 400_000).encode(),
        b"." * 1_000_000 + b"a",
        ("İ" * 200_000).encode(),  # grows by half
        ("Ⱥ" * 200_000).encode(),
        ("A" + "'" * 300_000 + "Σ" + "'" * 300_000).encode(),
        ("Σ" * 100_000).encode(),
        b"\x80" * 100_000,
        b"\xf0\x9f\x98" * 50_000,
        b" " * 200_000 + b"x",
    ],
    ids=lambda raw: ascii(raw[:12]),
)
def test_the_size_of_a_piece_does_not_show(way, oracle, raw):
    expected = oracle.tokens(raw)
    assert kernels.lower(raw) == oracle.lower(raw)
    assert kernels.tokens(raw) == expected
    assert kernels.count_tokens(pa.array([raw])).tolist() == [len(expected)]


@pytest.mark.parametrize("shift", range(0, 70, 3))
def test_tokens_that_straddle_two_pieces_are_whole(way, oracle, shift):
    unit = "Straße, ΑΣ' İx 名前。 f(x)=y_2; " + "long" * 30 + "\n"
    raw = b"-" * shift + (unit * 400).encode()
    expected = oracle.tokens(raw)
    assert kernels.tokens(raw) == expected
    assert kernels.count_tokens(pa.array([raw])).tolist() == [len(expected)]


def test_real_documents_have_the_same_tokens(way, oracle, documents):
    for text in documents[:1500]:
        raw = text.encode()
        assert kernels.tokens(raw) == oracle.tokens(raw)
