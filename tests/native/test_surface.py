"""The statistics of a text agree with a plain reading of what they are."""

import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assay.native import kernels

STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}
POLICY = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies"]
POLICY += ["use cookies"]
SENTENCE_END = re.compile(r"[.!?][.!?\"')\]\u201d\u2019]*(?=\s|\Z)")


def share(part, whole):
    return part / whole if whole else 0.0


def lines_of(text):
    return [line.strip() for line in text.split("\n") if line.strip()]


def paragraphs_of(text):
    blank_apart = "\n".join(line.strip() for line in text.split("\n"))
    return [part.strip("\n") for part in re.split(r"\n{2,}", blank_apart) if part.strip("\n")]


def repeats(items):
    """How many came before, and their characters."""
    again = [item for place, item in enumerate(items) if item in set(items[:place])]
    return len(again), sum(map(len, again))


def top_ngram(words, n):
    ngrams = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
    if not ngrams:
        return 0
    ngram, times = Counter(ngrams).most_common(1)[0]
    return len(ngram) * times


def duplicate_ngrams(words, n):
    seen, characters, place = set(), 0, 0
    while place + n <= len(words):
        ngram = tuple(words[place : place + n])
        if ngram in seen:
            characters += len("".join(ngram))
            place += n
        else:
            seen.add(ngram)
            place += 1
    return characters


def ascii_lower(text):
    return "".join(c.lower() if c.isascii() else c for c in text)


def states_policy(line):
    return any(phrase in ascii_lower(line) for phrase in POLICY)


def c4_keeps(line):
    words = line.split()
    return (
        line.endswith((".", "?", "!", '"'))
        and not line.endswith("...")
        and len(words) >= 3
        and max(map(len, words)) <= 1000
        and "javascript" not in ascii_lower(line)
        and not states_policy(line)
    )


def sentences_of(text):
    return len(SENTENCE_END.findall(text))


def letters_of(text):
    return len(re.findall(r"\w", text))


def capitalised(text):
    """Words with a capital that do not begin a line or a sentence."""
    count = 0
    for line in text.split("\n"):
        begins = True
        for word in line.split():
            count += not begins and word[0].lower() != word[0]
            begins = sentences_of(word) > 0
    return count


def moving_types(words):
    size = min(50, len(words))
    runs = [words[i : i + size] for i in range(len(words) - size + 1)] if size else []
    return share(sum(len(set(run)) for run in runs), size * len(runs))


def readability(text, words):
    if not words:
        return {"ari": 0, "coleman_liau": 0, "lix": 0}
    sentences, letters = max(sentences_of(text), 1), letters_of(text)
    long_words = sum(letters_of(word) > 6 for word in words)
    return {
        "ari": 4.71 * letters / len(words) + 0.5 * len(words) / sentences - 21.43,
        "coleman_liau": 5.88 * letters / len(words) - 29.6 * sentences / len(words) - 15.8,
        "lix": len(words) / sentences + 100 * long_words / len(words),
    }


def surface(text):
    words, lines, paragraphs = text.split(), lines_of(text), paragraphs_of(text)
    again, again_characters = repeats(lines)
    paragraph_again, paragraph_characters = repeats(paragraphs)
    kept = [line for line in lines if c4_keeps(line)]
    ellipses = ("...", "…")
    plain = {
        "characters": len(text),
        "words": len(words),
        "mean_word_length": share(sum(map(len, words)), len(words)),
        "hash_ratio": share(text.count("#"), len(words)),
        "ellipsis_ratio": share(text.count("...") + text.count("…"), len(words)),
        "alphabetic_words": share(sum(bool(re.search(r"[^\W0-9_]", w)) for w in words), len(words)),
        "stop_words": sum(word in STOP_WORDS for word in words),
        "lines": len(lines),
        "bullet_lines": share(sum(line.startswith(("•", "-")) for line in lines), len(lines)),
        "ellipsis_lines": share(sum(line.endswith(ellipses) for line in lines), len(lines)),
        "terminal_lines": share(sum(line.endswith(tuple(".!?'\"")) for line in lines), len(lines)),
        "short_lines": share(sum(len(line) <= 30 for line in lines), len(lines)),
        "newline_ratio": share(text.count("\n"), len(words)),
        "duplicate_lines": share(again, len(lines)),
        "duplicate_line_characters": share(again_characters, len(text)),
        "duplicate_line_text": share(again_characters, len(text.replace("\n", ""))),
        "paragraphs": len(paragraphs),
        "duplicate_paragraphs": share(paragraph_again, len(paragraphs)),
        "duplicate_paragraph_characters": share(paragraph_characters, len(text)),
        "c4_lines": share(len(kept), len(lines)),
        "c4_sentences": sum(max(sentences_of(line), 1) for line in kept),
        "curly_brackets": text.count("{"),
        "lorem_ipsum": "lorem ipsum" in ascii_lower(text),
        "javascript_lines": share(sum("javascript" in ascii_lower(x) for x in lines), len(lines)),
        "policy_lines": share(sum(map(states_policy, lines)), len(lines)),
        "sentences": sentences_of(text),
        "digit_characters": share(len(re.findall("[0-9]", text)), len(text)),
        "capitalised_words": share(capitalised(text), len(words)),
        "parentheses": share(text.count("("), len(words)),
        "mattr_50": moving_types(words),
    }
    tops = {f"top_{n}gram_characters": share(top_ngram(words, n), len(text)) for n in (2, 3, 4)}
    repeated = {n: share(duplicate_ngrams(words, n), len(text)) for n in range(5, 11)}
    named = {f"duplicate_{n}gram_characters": value for n, value in repeated.items()}
    return plain | tops | named | readability(text, words)


def check(texts):
    found = kernels.surface(pa.array(texts, pa.string()))
    assert found.shape == (len(texts), len(kernels.STATISTICS))
    for text, row in zip(texts, found, strict=True):
        expected = surface(text)
        assert set(expected) == set(kernels.STATISTICS)
        got = dict(zip(kernels.STATISTICS, row.tolist(), strict=True))
        wrong = {
            name: (got[name], float(value))
            for name, value in expected.items()
            if not np.isclose(got[name], value, rtol=1e-12, atol=1e-12)
        }
        assert not wrong, text


PIECES = ["the", "cat", "The", "Ünder", "İt", "sat.", 'on."', "that", "x3", "42", "#", "...", "…"]
PIECES += ["....", "•", "-", "{", "(so)", "no!)", "what?!", "名前", "e\u0301", "Lorem", "ipsum"]
PIECES += ["JavaScript", "Use", "cookies", "privacy policy", "terms of use", "a" * 1001, "s’"]
SPACES = [" ", " ", " ", "\n", "\n\n", "\n \n", "\t", "\u00a0", "\r\n", "\u2028", "\x1c", " \n"]
PROSE = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(SPACES)), max_size=90).map(
    lambda pairs: "".join(map("".join, pairs))
)


@given(st.lists(st.one_of(PROSE, st.text(max_size=40)), max_size=4))
@example(["", " \n\n", "a", ". . .", "a. B c.\nD e", '"Yes." "No."', "\ufeff", "a\x00b"])
@example(["one two three four five " * 30, "same line here\n" * 9, "para one\n\npara one\n\nx"])
def test_the_statistics_agree_with_the_oracle(texts):
    check(texts)


def test_real_documents_agree_with_the_oracle(documents):
    check(documents[:40])


def test_a_document_measures_the_same_in_any_company(documents):
    some = documents[:30]
    together = kernels.surface(pa.array(some))
    alone = [kernels.surface(pa.array([text]))[0] for text in some]
    assert (together == np.array(alone)).all()


def test_a_huge_document_is_measured_by_its_beginning():
    words = " ".join(f"w{number % 5000}" for number in range(1 << 20))
    short, long = kernels.surface(pa.array([words, words + " tail" * 9]))
    places = [kernels.STATISTICS.index(f"top_{n}gram_characters") for n in (2, 3, 4)]
    places.append(kernels.STATISTICS.index("mattr_50"))
    assert (short[places] == long[places]).all()
    assert long[kernels.STATISTICS.index("words")] == (1 << 20) + 9


def test_what_is_no_text_is_refused():
    with pytest.raises(TypeError, match="texts must be"):
        kernels.surface(pa.array([1, 2]))
