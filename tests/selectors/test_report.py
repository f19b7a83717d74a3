"""The report: summaries that merge, alarms that fire when they should, a page that is safe."""

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, fields, is_dataclass
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.native import kernels
from assay.selectors.budget import parse
from assay.selectors.choice import mix, top
from assay.selectors.folding import Folding
from assay.selectors.methods.dsir import Dsir
from assay.selectors.methods.uniform import Same, Uniform
from assay.selectors.progress import Silence
from assay.selectors.ranks import spearman
from assay.selectors.records import Batch, best
from assay.selectors.report import alarms
from assay.selectors.report.divergence import BUCKETS, coarse, divergences, folded
from assay.selectors.report.files import write_report
from assay.selectors.report.findings import find
from assay.selectors.report.groups import Groups
from assay.selectors.report.leaks import Leaks, Passages
from assay.selectors.report.outcome import Outcome
from assay.selectors.report.repeats import Repeats
from assay.selectors.report.samples import REPEAT, Sample
from assay.selectors.report.surveys import SCORE_BINS, Detail, Survey, score_edges
from assay.selectors.report.texts import Excerpts
from assay.selectors.report.ticks import ticks
from assay.selectors.report.values import SIZES
from assay.selectors.report.words import amount, percent
from assay.selectors.scoring import scored
from assay.selectors.spec import Spec
from assay.selectors.stats import Features, NgramCounts
from assay.selectors.writing import Written

HOSTILE = '<script>alert("x")</script> \u202egnp.exe\u2066 \x00\x1b[31m & "quotes" \ufffe'


# A small world -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shelf:
    """A stream in memory: units of batches."""

    units: tuple

    def batches(self, unit):
        return iter(unit)

    def size(self, unit):
        return 1


@dataclass(frozen=True)
class Given:
    """A scorer that was told the score of each text."""

    scores: dict
    names: tuple = ("score",)

    def score(self, batch):
        return np.array([self.scores[text] for text in batch.text.to_pylist()], float)


@dataclass(frozen=True)
class Plain:
    """A rule that keeps what it is told, by the place in the shard."""

    rows: frozenset

    def keep(self, some):
        return np.array([row in self.rows for row in some.row.tolist()], bool)

    def describe(self):
        return {"rows": len(self.rows)}


def batch(texts, ids=None, sources=None, start=0, target=""):
    ids = ids or [f"doc-{start + n}" for n in range(len(texts))]
    names = pa.array(ids, pa.string())
    return Batch(
        pa.array(texts, pa.string()),
        names,
        kernels.fingerprint(names, seed=0),
        np.arange(start, start + len(texts)),
        0,
        None if sources is None else pa.array(sources, pa.string()),
        target,
    )


def part(whole, chosen):
    """Some rows of a batch, as they would be written."""
    rows = np.flatnonzero(chosen)
    source = None if whole.source is None else whole.source.take(rows)
    return Batch(whole.text.take(rows), whole.id.take(rows), whole.key[rows], rows, 0, source)


def selection(out, raw, scorer=None, target=None, budget="25%", selector=None, **spec):
    """A selection carried out in memory: what the report is handed."""
    streams = {"raw": Shelf(((raw,),))}
    names = ()
    if target:
        names = ("goal",)
        streams["target"] = streams["target/goal"] = Shelf(((batch(target, target="goal"),),))

    def folds():
        return Folding(streams, 7, names, map, Silence())

    selector = selector or Uniform()
    scorer = scorer or selector.fit(folds())
    some = scored(raw, scorer, "shard-0")
    streams["scores"] = Shelf(((some,),))
    rule = selector.choose(parse(budget), folds()) if not isinstance(scorer, Given) else None
    rule = rule or top(parse(budget), folds())
    keep = rule.keep(some)
    streams["kept"] = Shelf(((part(raw, keep),),))
    counts = [(len(s), int(s.size.sum()), int(s.tokens.sum())) for s in (some, some.take(keep))]
    sizes = [dict(zip(SIZES, count, strict=True)) for count in counts]
    content = {"corpus": sizes[0], "spent": sizes[1], "cut": rule.describe()}
    examples = tuple(
        {
            "kept": bool(keep[n]),
            "id": raw.id[n].as_py(),
            "score": float(best(some)[n]),
            "source": some.source[n].as_py(),
            "tokens": int(some.tokens[n]),
            "text": raw.text[n].as_py()[:400],
        }
        for n in [*np.flatnonzero(keep)[:20], *np.flatnonzero(~keep)[:20]]
    )
    written = Written("part-00000.parquet", 0, 0, 0, 0, "", examples)
    told = {"method": "test", "raw": ("r",), "budget": budget, "out": str(out)} | spec
    targets = {"goal": ("t",)} if target else {}
    asked = Spec(**told, target=targets)
    return Outcome(asked, scorer, rule, content, (written,)), folds()


def words(rng, count, known):
    return " ".join(rng.choice(known, count))


def vocabulary(text):
    return text.split()


SUMS = vocabulary(
    "apples sum total how many each dollars left share plus minus equals seven twelve"
)
LAW = vocabulary("court shall section statute party agreement clause herein pursuant provision act")
SEA = vocabulary("wave ship harbour sail wind salt captain tide storm deck anchor gull mist north")


@pytest.fixture(scope="module")
def healthy():
    """Three kinds of text, all of the same lengths, in turn."""
    rng = np.random.default_rng(5)
    kinds = [SUMS, LAW, SEA]
    texts = [words(rng, int(rng.integers(20, 60)), kinds[n % 3]) for n in range(900)]
    return batch(texts, sources=[("sums", "law", "sea")[n % 3] for n in range(900)])


def fired(outcome, fold):
    return {check.name for check in alarms.checks(find(outcome, fold)) if check.fired}


# Summaries merge ---------------------------------------------------------------------------------


def settled(value):
    """A summary as plain values, once nothing waits."""
    if isinstance(value, Repeats):
        value.settled()
    if isinstance(value, Sample):
        value.drawn()
    if is_dataclass(value):
        return {f.name: settled(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, np.ndarray | pa.Array):
        return value.tolist()
    return value


def in_groups(make, items, cuts):
    """The summary of the items, added and merged in the groups that the cuts make."""
    bounds = [0, *sorted(cuts), len(items)]
    total = make()
    for low, high in pairwise(bounds):
        group = make()
        for item in items[low:high]:
            group.add(*item if isinstance(item, tuple) else (item,))
        total.merge(group)
    return settled(total)


def rows_of(rng, count):
    """Rows of a score store with much that repeats."""
    texts = [words(rng, int(rng.integers(0, 6)), ["a", "b", "c"]) for _ in range(count)]
    names = [f"i{number}" for number in rng.integers(0, max(count // 2, 1), count)]
    sources = [f"s{number}" for number in rng.integers(0, 12, count)]
    scores = {text: float(rng.choice([-np.inf, -1.5, 0, 2.25, 1e9])) for text in texts}
    whole = batch(texts, names, sources)
    return [
        scored(part(whole, np.arange(count) == n), Given(scores), "shard") for n in range(count)
    ]


cuts = st.lists(st.integers(0, 24), max_size=5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), cuts)
def test_the_passes_over_the_scores_do_not_depend_on_grouping(seed, places):
    rows = rows_of(np.random.default_rng(seed), 24)
    rule = Plain(frozenset(range(0, 24, 3)))

    def first():
        repeats = {"contents": Repeats(limit=3), "ids": Repeats(limit=5)}
        return Survey(rule, sample=Sample(limit=4), **repeats)

    assert in_groups(first, rows, places) == in_groups(first, rows, [])
    whole = first()
    for row in rows:
        whole.add(row)

    def second():
        detail = Detail.after(whole)
        detail.groups = Groups(detail.groups.order, limit=4)
        return detail

    assert in_groups(second, rows, places) == in_groups(second, rows, [])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), cuts)
def test_the_passes_over_texts_do_not_depend_on_grouping(seed, places):
    rng = np.random.default_rng(seed)
    texts = [words(rng, int(rng.integers(0, 14)), ["a", "b"]) for _ in range(24)]
    rows = [batch([text], [f"i{rng.integers(9)}"], start=n) for n, text in enumerate(texts)]
    passages = Passages()
    passages.add(batch(texts[:6]))
    for make in (
        lambda: Passages(limit=3),
        lambda: Excerpts(limit=3),
        lambda: Leaks.of([passages], 0.7),
    ):
        assert in_groups(make, rows, places) == in_groups(make, rows, [])


@given(st.lists(st.integers(0, 40), max_size=200))
def test_repeats_count_every_copy_of_the_values_that_they_follow(values):
    repeats = Repeats(limit=8)
    for value in values:
        one = np.array([value], np.uint64)
        repeats.add(one, one)
    repeats.settled()
    counted = dict(zip(repeats.value.tolist(), repeats.times.tolist(), strict=True))
    mixed = mix(np.array(values, np.uint64), REPEAT).tolist()
    assert len(counted) <= 8
    assert all(mixed.count(value) == times for value, times in counted.items())
    assert repeats.level > 0 or len(counted) == len(set(values))


def test_the_heaviest_group_is_found_among_more_than_can_be_tracked():
    sources = [f"site-{n}" for n in range(400)] + ["large"] * 60
    some = scored(batch(["a b c"] * 460, sources=sources), Same(), "shard")
    survey = Survey(Plain(frozenset(range(0, 460, 2))))
    survey.add(some)
    detail = Detail.after(survey)
    detail.groups.limit = 20
    detail.add(some)
    assert detail.groups.full and len(detail.groups.hash) == 20
    place = detail.groups.name.to_pylist().index("large")
    assert detail.groups.sizes[place].tolist()[::3] == [30, 30]


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 9)), min_size=3, max_size=60))
def test_the_rank_correlation_is_that_of_mean_ranks(pairs):
    one, other = np.array(pairs).T
    ranks = [[(np.sum(v < x) + np.sum(v <= x) + 1) / 2 for x in v] for v in (one, other)]
    found = spearman(one, other)
    if min(np.std(r) for r in ranks) == 0:
        assert found is None
    else:
        assert found == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-5)


@given(
    st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=50),
    st.sampled_from([0.0, 0.3, -7.5]),
)
def test_every_score_has_a_place_in_few_bins(scores, origin):
    values = np.array(scores)
    edges = score_edges(values, values.min(), values.max(), origin)
    assert 2 <= len(edges) <= SCORE_BINS + 1
    assert (np.diff(edges) > 0).all() and np.isfinite(edges).all()


# The distance to the target ------------------------------------------------------------------


def test_counting_in_fewer_buckets_is_adding_up_neighbours(healthy):
    fine = NgramCounts.empty(Features("fast", 2, 1 << 16))
    few = NgramCounts.empty(coarse(fine.features))
    fine.add(healthy)
    few.add(healthy)
    assert few.features.buckets == BUCKETS
    assert (folded(fine.counts, len(few.counts)) == few.counts).all()


def test_choosing_what_resembles_the_target_brings_the_text_nearer_to_it(tmp_path, healthy):
    target = [words(np.random.default_rng(n), 40, SUMS) for n in range(50)]
    outcome, fold = selection(tmp_path, healthy, target=target, selector=Dsir())
    found = find(outcome, fold)
    assert found["divergence"]["reduction"] > 0.5
    ngrams = found["ngrams"]["kept"]
    assert {row["ngram"] for row in ngrams["for"]} & set(SUMS)
    assert found["target_documents"]["kept_with_one"] == 0


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_a_random_part_is_no_nearer_to_the_target(seed):
    rng = np.random.default_rng(seed)
    shape = rng.dirichlet(np.full(500, 0.3))
    raw = rng.multinomial(200_000, shape)
    target = rng.multinomial(5_000, rng.dirichlet(np.full(500, 0.3)))
    kept = rng.multinomial(20_000, shape)
    before, after = divergences(target, raw, kept)
    # The worst bucket is one of which 1 is expected: the mean of log((found + 1) / 2) is -0.12.
    assert abs(before - after) < 0.15


def test_nothing_kept_is_as_far_from_the_target_as_the_corpus():
    target, raw = np.array([5, 1, 0, 9]), np.array([50, 40, 30, 20])
    before, after = divergences(target, raw, np.zeros(4, np.int64))
    assert before == pytest.approx(after)


# Alarms --------------------------------------------------------------------------------------


def test_no_alarm_on_a_healthy_selection(tmp_path, healthy):
    target = [words(np.random.default_rng(n), 40, SUMS + SEA) for n in range(50)]
    assert fired(*selection(tmp_path, healthy, method="uniform")) == set()
    made = selection(tmp_path, healthy, target=target, selector=Dsir(), budget="50%")
    assert fired(*made) == set()


def test_a_score_that_is_the_length_is_noticed(tmp_path):
    rng = np.random.default_rng(1)
    texts = [words(rng, int(rng.integers(10, 400)), SEA) + f" {n}" for n in range(300)]
    scorer = Given({text: float(len(text)) for text in texts})
    assert "length_bias" in fired(*selection(tmp_path, batch(texts), scorer))


def test_kept_documents_much_longer_than_the_corpus_are_noticed_unless_the_target_is(tmp_path):
    rng = np.random.default_rng(2)
    texts = [words(rng, 200 if n % 10 == 0 else 20, SEA) + f" {n}" for n in range(300)]
    scorer = Given({text: float(n % 10 == 0) + n * 1e-6 for n, text in enumerate(texts)})
    long = [words(rng, 190, LAW)]
    assert "length_shift" in fired(*selection(tmp_path, batch(texts), scorer, budget="10%"))
    made = selection(tmp_path, batch(texts), scorer, budget="10%", target=long)
    assert "length_shift" not in fired(*made)


def test_a_group_that_takes_over_is_noticed(tmp_path, healthy):
    sums = np.array(healthy.source.to_pylist()) == "sums"
    scores = {t: float(s) for t, s in zip(healthy.text.to_pylist(), sums, strict=True)}
    outcome, fold = selection(tmp_path, healthy, Given(scores), group_by="kind")
    found = find(outcome, fold)
    check = alarms.one_group(found)
    assert check.fired and "'sums'" in check.found
    one = batch(healthy.text.to_pylist(), sources=["only"] * len(healthy))
    assert "one_group" not in fired(*selection(tmp_path, one, Given(scores)))


def test_repeated_texts_are_noticed_and_named(tmp_path):
    rng = np.random.default_rng(3)
    texts = [words(rng, 30, SEA) + f" {n}" for n in range(200)] + ["the same again"] * 20
    outcome, fold = selection(tmp_path, batch(texts), budget="100%")
    found = find(outcome, fold)["duplicates"]["text"]
    assert found["extra"] == 19 and found["repeated"] == 1
    assert found["most"] == [{"id": "doc-200", "times": 20}]
    assert "repeated_texts" in fired(outcome, fold)


def test_an_id_that_stands_for_two_texts_is_noticed_and_named(tmp_path, healthy):
    ids = [*healthy.id.to_pylist()[:-1], "doc-0"]
    twice = batch(healthy.text.to_pylist(), ids)
    outcome, fold = selection(tmp_path, twice, budget="100%")
    found = find(outcome, fold)
    assert found["duplicates"]["id"]["ambiguous_ids"] == ["doc-0"]
    assert fired(outcome, fold) == {"ambiguous_ids"}


def test_copies_with_one_id_are_copies_and_no_ambiguous_id(tmp_path, healthy):
    texts, ids = healthy.text.to_pylist(), healthy.id.to_pylist()
    copied = batch(texts + texts[:100], ids + ids[:100])
    assert fired(*selection(tmp_path, copied, budget="100%")) == {"repeated_texts"}


def test_a_kept_document_that_contains_a_target_document_is_noticed_and_named(tmp_path, healthy):
    target = ["Anna had 12 apples; she gave 5 of them away. How many?", "too short"]
    texts = healthy.text.to_pylist()
    texts[4] = "Before it. ANNA had 12  apples; she\ngave 5 of them away. how many? After it."
    texts[5] = "Anna had 12 apples; she gave 5 of them to Bert. How many?"
    outcome, fold = selection(tmp_path, batch(texts), target=target, budget="100%")
    found = find(outcome, fold)["target_documents"]
    assert (found["kept_with_one"], found["found"], found["ids"]) == (1, 1, ["doc-4"])
    assert found["targets"]["goal"] == {"documents": 2, "too_short": 1, "looked_for": 1}
    assert "target_inside" in fired(outcome, fold)


def test_target_documents_that_begin_alike_are_told_apart():
    head = "write a function that takes a list and then "
    target = [head + tail for tail in ("sorts it", "sums it up", "sorts it twice", "returns it")]
    passages = Passages()
    passages.add(batch(target))
    leaks = Leaks.of([passages], 1.0)
    leaks.add(batch([f"{target[2]} {target[2]}", head + "does nothing", target[3].upper()]))
    # "sorts it" stands in "sorts it twice" too.
    assert (leaks.documents, int(leaks.found.sum())) == (2, 3)


def test_a_score_that_many_share_is_noticed_where_the_cut_goes_through_it(tmp_path, healthy):
    texts = healthy.text.to_pylist()
    scores = {text: 1.0 if n < 400 else -float(n) for n, text in enumerate(texts)}
    assert "shared_score" in fired(*selection(tmp_path, healthy, Given(scores), budget="25%"))
    assert "shared_score" not in fired(*selection(tmp_path, healthy, Given(scores), budget="60%"))
    assert "shared_score" not in fired(*selection(tmp_path, healthy, method="uniform"))


def test_ruled_out_documents_are_counted_apart(tmp_path, healthy):
    texts = healthy.text.to_pylist()
    scores = {text: -np.inf if n < 500 else float(n) for n, text in enumerate(texts)}
    found = find(*selection(tmp_path, healthy, Given(scores), budget="25%"))
    scores = found["scores"]
    assert scores["ruled_out"] == 500
    assert scores["kept"]["documents"] + scores["dropped"]["documents"] == 400
    inside = sum(scores["histogram"]["kept"]) + sum(scores["histogram"]["dropped"])
    outside = sum(scores["histogram"]["below"] + scores["histogram"]["above"])
    assert inside + outside == 400


# Files -----------------------------------------------------------------------------------------

SCHEMA = {
    "appraisal",
    "directions",
    "format",
    "selection",
    "totals",
    "scores",
    "lengths",
    "groups",
    "divergence",
    "ngrams",
    "duplicates",
    "target_documents",
    "examples",
    "checks",
}


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.addresses, self.said = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [v for k, v in attributes if k in ("src", "href", "srcset", "action")]
        assert not [key for key, _ in attributes if key.startswith("on")]

    def handle_data(self, data):
        self.said.append(data)


def written(tmp_path, outcome, fold):
    sentences = write_report(outcome, fold)
    files = {name: (tmp_path / name).read_text() for name in ("report.json", "report.html")}
    return sentences, json.loads(files["report.json"]), files["report.html"]


def test_the_report_is_three_files_and_its_alarms_are_sentences(tmp_path, healthy):
    target = [words(np.random.default_rng(n), 40, SUMS) for n in range(50)]
    made = selection(tmp_path, healthy, target=target, selector=Dsir(), budget="10%")
    sentences, found, html = written(tmp_path, *made)
    assert set(found) == SCHEMA and found["format"] == "assay.report/1"
    assert found["totals"]["kept"]["documents"] == 90
    assert {c["name"] for c in found["checks"] if c["fired"]} == {"one_group"}
    assert len(sentences) == 1 and "\n" not in sentences[0]
    assert "KL reduction" in html and "assay verify manifest.json" in html
    drawn = ElementTree.parse(tmp_path / "chosen.svg").getroot()
    assert drawn.tag.endswith("svg")


def test_the_report_is_the_same_however_the_corpus_is_read(tmp_path, healthy):
    target = [words(np.random.default_rng(n), 40, SUMS) for n in range(50)]
    outcome, fold = selection(tmp_path / "a", healthy, target=target, selector=Dsir())
    other, again = selection(tmp_path / "b", healthy, target=target, selector=Dsir())
    for name, stream in again.streams.items():
        whole = stream.units[0][0]
        again.streams[name] = Shelf(tuple((some,) for some in split(whole)))
    for folder, made in (("a", (outcome, fold)), ("b", (other, again))):
        (tmp_path / folder).mkdir()
        write_report(*made)
    for name in ("report.json", "report.html", "chosen.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def split(whole):
    """A batch, or scored rows, in pieces of uneven size."""
    bounds = [0, 1, 7, len(whole) // 2, len(whole)]
    if hasattr(whole, "take"):
        return [whole.take(slice(a, b)) for a, b in pairwise(bounds)]
    place = np.arange(len(whole))
    pieces = [(place >= a) & (place < b) for a, b in pairwise(bounds)]
    return [
        Batch(
            whole.text.filter(pa.array(piece)),
            whole.id.filter(pa.array(piece)),
            whole.key[piece],
            whole.row[piece],
            whole.shard,
            None if whole.source is None else whole.source.filter(pa.array(piece)),
            whole.target,
        )
        for piece in pieces
    ]


def test_hostile_text_is_shown_and_does_nothing(tmp_path):
    texts = [f"{HOSTILE} {n}" for n in range(40)]
    ids = [f"{HOSTILE}{n}" for n in range(40)]
    sources = [f"{HOSTILE}{n % 3}" for n in range(40)]
    raw = batch(texts, ids, sources)
    target = [f"a target that nobody else has, with {HOSTILE}"]
    made = selection(tmp_path, raw, target=target, selector=Dsir(), group_by=HOSTILE)
    sentences, found, html = written(tmp_path, *made)
    page = Page(html)
    assert "script" not in page.tags and "img" not in page.tags and not page.addresses
    assert '<script>alert("x")</script>' in "".join(page.said)
    picture = (tmp_path / "chosen.svg").read_text()
    ElementTree.fromstring(picture)
    for file in (html, picture, *sentences):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe]", file)
    assert found["examples"][0]["text"].startswith(HOSTILE)


def test_the_page_fetches_nothing_and_runs_nothing(tmp_path, healthy):
    _, _, html = written(tmp_path, *selection(tmp_path, healthy))
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", html))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert "@import" not in html and "url(" not in html
    assert "default-src 'none'" in html


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e15, 1e300])
@pytest.mark.parametrize("offset", [0.0, -5.0])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_scores_of_any_size_can_be_drawn(tmp_path, healthy, scale, offset, spread):
    texts = healthy.text.to_pylist()
    scores = {text: (offset + spread * n / 900) * scale for n, text in enumerate(texts)}
    _, found, html = written(tmp_path, *selection(tmp_path, healthy, Given(scores)))
    ElementTree.parse(tmp_path / "chosen.svg")
    assert "nan" not in html.lower().replace("tenan", "").replace("finan", "")
    histogram = found["scores"]["histogram"]
    shown = histogram["kept"] + histogram["dropped"] + histogram["below"] + histogram["above"]
    assert sum(shown) == 900


def test_one_document_or_empty_texts_make_a_report_too(tmp_path):
    for texts in (["alone"], ["", "", ""]):
        _, found, _ = written(tmp_path, *selection(tmp_path, batch(texts), budget="100%"))
        assert found["totals"]["corpus"]["documents"] == len(texts)


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0"), (12_345, "12,345"), (1_234_567, "1.23 M"), (2.5e9, "2.5 B"), (9.99e12, "9.99 T")],
)
def test_large_numbers_are_short(number, said):
    assert amount(number) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0 %"), (0.00001, "< 0.01 %"), (0.0004, "0.04 %"), (0.123, "12.3 %"), (1, "100 %")],
)
def test_small_shares_are_not_nothing(share, said):
    assert percent(share) == said


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12))
def test_ticks_lie_inside_and_differ(low, width):
    marks = ticks(low, low + width)
    assert 1 <= len(marks) <= 9
    if len(marks) > 1:
        assert len({label for _, label in marks}) == len(marks)
