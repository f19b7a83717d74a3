"""The published rules: what each refuses, and that a document which none refuses passes."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.native import kernels
from assay.selectors import catalog, past, selection
from assay.selectors.errors import BadSetting
from assay.selectors.explain import explain
from assay.selectors.methods.quality import RULES, Quality
from assay.selectors.records import Batch
from assay.selectors.selection import Means
from assay.selectors.spec import Spec

WORDS = "the harbour was quiet and grey that morning with a slow tide to carry them out of it"


def prose(sentences=12, seed=1):
    """Sentences with enough of everything: every rule of every set is kept."""
    chance = np.random.default_rng(seed)
    return "\n".join(
        " ".join(chance.permutation([*WORDS.split(), f"word{seed}x{n}"])).capitalize() + "."
        for n in range(sentences)
    )


def batch(*texts):
    text = pa.array(texts, pa.string())
    ids = pa.array([str(n) for n in range(len(texts))])
    rows = np.arange(len(texts))
    return Batch(text, ids, kernels.fingerprint(ids), rows, 0)


def broken(text, rules=("c4", "gopher", "fineweb"), **settings):
    """The rules that a text breaks, and its score."""
    judge = Quality(rules, **settings).fit(None)
    told, score = judge.explain(batch(text)), judge.score(batch(text))[0, 0]
    names = {one["rule"] for one in told["broken"]}
    assert np.isneginf(score) == bool(names) or judge.drop is False
    return names


# A text that breaks the rule, made of the one that keeps all of them.
BREAKS = {
    "c4.min_sentences": lambda text: text.replace(".", ""),
    "c4.no_lorem_ipsum": lambda text: text + "\nLorem ipsum dolor sit amet, it said that day.",
    "c4.no_curly_brackets": lambda text: text + "\nThey wrote { and then no more of it.",
    "gopher.min_words": lambda text: text[:200],
    "gopher.max_words": lambda text: "\n".join(prose(seed=n) for n in range(480)),
    "gopher.min_mean_word_length": lambda text: text + " a b" * 400,
    "gopher.max_mean_word_length": lambda text: " ".join(w + "ing" * 4 for w in text.split()),
    "gopher.max_hash_ratio": lambda text: text + " #" * 50,
    "gopher.max_ellipsis_ratio": lambda text: text.replace(" the", " the..." * 3),
    "gopher.max_bullet_lines": lambda text: "\n".join("• " + line for line in text.split("\n")),
    "gopher.max_ellipsis_lines": lambda text: text.replace(".", "..."),
    "gopher.min_alphabetic_words": lambda text: text + " 1 2 3 4 5 6 7 8 9" * 7,
    "gopher.min_stop_words": lambda text: " ".join(w for w in text.lower().split() if len(w) > 4),
    "gopher.max_duplicate_lines": lambda text: text + "\n" + text,
    "gopher.max_duplicate_line_characters": lambda text: text + "\n" + text,
    "gopher.max_duplicate_paragraphs": lambda text: text + "\n\n" + text,
    "gopher.max_duplicate_paragraph_characters": lambda text: text + "\n\n" + text,
    **{f"gopher.max_top_{n}gram": lambda text: text + " slow grey" * 300 for n in (2, 3, 4)},
    **{f"gopher.max_duplicate_{n}gram": lambda text: f"{text} {text}" for n in range(5, 11)},
    "fineweb.min_terminal_lines": lambda text: text.replace(".", ""),
    "fineweb.max_short_lines": lambda text: text + "\nand so." * 40,
    "fineweb.max_duplicate_line_text": lambda text: text + "\n" + text.split("\n")[0],
    "fineweb.max_newline_ratio": lambda text: text + "\n" * 400,
}


def test_every_rule_has_a_text_that_breaks_it():
    assert set(BREAKS) == set(RULES)
    assert not broken(prose())


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_refuses_what_it_should(rule):
    assert rule in broken(BREAKS[rule](prose()))


# (rule, value that just keeps it, value that just breaks it): the sources' own comparisons
EDGES = [
    ("gopher.min_words", 50, 49),
    ("gopher.max_words", 100_000, 100_001),
    ("gopher.max_duplicate_lines", 0.30, 0.3001),
    ("gopher.max_top_3gram", 0.18, 0.1801),
    ("gopher.max_duplicate_10gram", 0.10, 0.1001),
    ("c4.min_sentences", 5, 4),
    ("fineweb.min_terminal_lines", 0.1201, 0.12),
    ("fineweb.max_short_lines", 0.6699, 0.67),
    ("fineweb.max_duplicate_line_text", 0.0099, 0.01),
    ("fineweb.max_newline_ratio", 0.3, 0.3001),
]


@pytest.mark.parametrize(("rule", "keeps", "breaks"), EDGES)
def test_a_threshold_is_met_as_its_source_meets_it(rule, keeps, breaks):
    assert RULES[rule].holds(np.array([keeps, breaks], float)).tolist() == [True, False]


def test_a_threshold_may_be_changed_and_a_rule_left_out():
    short = prose()[:200]
    assert broken(short, "gopher") == {"gopher.min_words"}
    assert not broken(short, "gopher", thresholds={"gopher.min_words": 20})
    assert not broken(short, "gopher", thresholds={"gopher.min_words": None})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rules": "gopher", "thresholds": {"c4.min_sentences": 3}}, "no rule of gopher"),
        ({"rules": "c5"}, "rules"),
        ({"rules": ()}, "no rule is left"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(BadSetting, match=words):
        catalog.build("quality", settings)


def corpus(folder):
    texts = [prose(seed=n) for n in range(20)]
    texts += [prose(seed=n) + " #" * 50 for n in range(20, 30)]
    texts += [prose(seed=n)[:100] + " #" * 50 for n in range(30, 35)]
    ids = [f"{n:02d}" for n in range(35)]
    folder.mkdir()
    pq.write_table(pa.table({"id": ids, "text": texts}), folder / "a.parquet", row_group_size=6)
    return str(folder)


def select(raw, out, budget, **settings):
    return selection.select(Spec("quality", (raw,), budget, str(out), settings=settings))


def ids(made):
    parts = [pq.read_table(made.uri(part["name"])) for part in made.content["parts"]]
    return sorted(pa.concat_tables(parts)["assay_id"].to_pylist())


def test_who_breaks_a_rule_is_never_chosen(tmp_path):
    made = select(corpus(tmp_path / "raw"), tmp_path / "o", "100%")
    assert ids(made) == [f"{n:02d}" for n in range(20)]


def test_or_comes_after_those_that_break_fewer(tmp_path):
    raw = corpus(tmp_path / "raw")
    some, more = (
        ids(select(raw, tmp_path / budget, budget, failing="last"))
        for budget in ("20docs", "30docs")
    )
    assert some == [f"{n:02d}" for n in range(20)] and more == [f"{n:02d}" for n in range(30)]


def test_statistics_ride_along_and_are_no_scores(tmp_path):
    made = select(corpus(tmp_path / "raw"), tmp_path / "o", "100%", rules=["c4", "gopher"])
    table = pq.read_table(tmp_path / "o" / "scores")
    assert {"score", "passed.c4", "passed.gopher", "stat.words", "stat.lix"} < set(
        table.column_names
    )
    words = [len(text.split()) for text in pq.read_table(tmp_path / "raw")["text"].to_pylist()]
    assert table["stat.words"].to_pylist() == words
    kept = pq.read_table(made.uri("part-00000.parquet"))
    assert set(kept["assay_score"].to_pylist()) == {1.0}


def test_only_the_statistics_in_use_where_that_is_asked(tmp_path):
    made = select(corpus(tmp_path / "raw"), tmp_path / "o", "5docs", rules="c4", statistics="used")
    names = [name for name in made.content["scores"]["columns"] if name.startswith("stat.")]
    assert names == ["stat.c4_sentences", "stat.curly_brackets", "stat.lorem_ipsum"]


def test_as_a_stage_it_keeps_the_same_documents(tmp_path):
    raw = str(corpus(tmp_path / "raw"))
    stages = ({"method": "quality", "settings": {}},)
    asked = Spec("uniform", (raw,), "100%", str(tmp_path / "o"), stages=stages)
    kept = pq.read_table(selection.select(asked).uri("part-00000.parquet"))
    assert kept["id"].to_pylist() == pq.read_table(raw)["id"].to_pylist()[:20]


def test_a_drop_is_explained_by_the_rules_that_it_breaks(tmp_path):
    made = select(corpus(tmp_path / "raw"), tmp_path / "o", "100%")
    told = explain(past.reopen(made.folder), "31", Means())
    assert not told["kept"] and told["score"] is None
    broken = {one["rule"]: one for one in told["because"]["broken"]}
    assert broken["gopher.max_hash_ratio"]["found"] > 0.1
    assert broken["gopher.max_hash_ratio"]["wanted"] == "at most 0.1"
    assert told["because"]["statistics"]["words"] < 80
    assert explain(past.reopen(made.folder), "03", Means())["because"]["broken"] == []


def test_texts_of_nothing_are_judged_too():
    judge = Quality(("c4", "gopher", "fineweb")).fit(None)
    assert np.isneginf(judge.score(batch("", " \n ", "\u200b", "a"))[:, 0]).all()
