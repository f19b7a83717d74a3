"""ZIP-FIT: the reference's formula to the last digits, and the error of comparing few targets."""

import gzip
import json
import random

import lz4.frame
import numpy as np
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selectors import catalog, past, selection
from assay.selectors import explain as explaining
from assay.selectors.compression import Gzip
from assay.selectors.errors import BadRequest, BadSetting, NothingToRead
from assay.selectors.methods import zipfit
from assay.selectors.selection import Means
from assay.selectors.spec import Spec

WORDS = "sum seven twelve apples left share ship sail wind tide storm law statute 中文 naïve"


def text(seed, words):
    chance, known = random.Random(seed), WORDS.split()
    return " ".join(chance.choice(known) for _ in range(words))


RAW = ["", "a", "seven", text(1, 30), text(2, 400), text(3, 9000), "x" * 70_000]
TARGET = ["", "tide", text(4, 20), text(5, 300), text(6, 6000)]


def reference(compress, x, y):
    """The formula as the reference package computes it."""
    c1, c2, both = (len(compress(part.encode())) for part in (x, y, x + y))
    return 1 - (both - min(c1, c2)) / max(c1, c2)


def gzipped(level):
    return lambda data: gzip.compress(data, compresslevel=level)


def framed(level):
    return lambda data: lz4.frame.compress(data, compression_level=level)


def zstded(level):
    return lambda data: zstandard.ZstdCompressor(level=level).compress(data)


@pytest.mark.parametrize(
    "name, level, compress",
    [
        *[("gzip", level, gzipped(level)) for level in range(1, 10)],
        *[("lz4", level, framed(level)) for level in (-5, 0, 1, 3, 9, 12)],
        *[("zstd", level, zstded(level)) for level in (1, 3, 9)],
        ("gzip", None, gzipped(6)),
        ("lz4", None, framed(0)),
        ("zstd", None, zstded(3)),
    ],
)
def test_all_targets_give_the_score_of_the_reference(memory, name, level, compress):
    selector = catalog.build("zipfit", {"compressor": name, "level": level, "targets": "all"})
    found = selector.fit(memory.fold(target=TARGET)).score(memory.batch(RAW))
    expected = [np.mean([reference(compress, x, y) for y in TARGET]) for x in RAW]
    assert np.abs(found[:, 0] - expected).max() < 1e-12
    assert (found[:, 1] == 0).all()


@settings(deadline=None)
@given(st.binary(max_size=3000), st.binary(max_size=3000), st.integers(1, 60), st.integers(1, 9))
def test_a_copied_state_gives_the_size_of_compressing_both_at_once(x, y, times, level):
    x, y = x * times, (y + x[:200]) * (61 - times)
    assert Gzip(level).sizes(x, [y]) == (
        len(gzip.compress(x, level)),
        [len(gzip.compress(x + y, level))],
    )


@pytest.mark.parametrize(
    "asked, words",
    [
        ({"level": 0}, "stores and does not compress"),
        ({"level": 10}, "levels 1 to 9"),
        ({"compressor": "zstd", "level": 23}, "levels -22 to 22"),
        ({"compressor": "rar"}, "compressor"),
        ({"targets": 1}, "targets"),
        ({"targets": "most"}, "targets"),
    ],
)
def test_a_setting_out_of_range_is_named(asked, words):
    with pytest.raises(BadSetting, match=words):
        catalog.build("zipfit", asked)


def many(number):
    chance = random.Random(7)
    return [text(n, chance.randrange(5, 400)) for n in range(number)]


def ranks(values):
    return np.argsort(np.argsort(values))


def test_few_targets_rank_as_all_of_them_and_say_how_far_they_may_be_off(memory):
    fold, documents = memory.fold(target=many(120)), memory.batch(many(300)[120:])
    exact = catalog.build("zipfit", {"targets": "all"}).fit(fold).score(documents)[:, 0]
    few, error = catalog.build("zipfit", {}).fit(fold).score(documents).T
    assert np.corrcoef(ranks(exact), ranks(few))[0, 1] > 0.98
    assert (error > 0).all()
    assert (np.abs(few - exact) < 3 * error).mean() > 0.95


def test_targets_are_spread_over_their_sizes_whatever_their_order(memory):
    texts = [text(n, 10 * n) for n in range(1, 41)]
    scorers = [
        catalog.build("zipfit", {"targets": 4}).fit(memory.fold(target=given))
        for given in (texts, texts[::-1])
    ]
    assert scorers[0].targets == scorers[1].targets
    few = [texts.index(kept.decode()) for kept in scorers[0].targets]
    assert few == sorted(few) and few[0] < 6 and few[-1] > 30
    assert scorers[0].weight.sum() == pytest.approx(1)
    assert scorers[0].weight[0] < scorers[0].weight[-1]  # classes of small targets are narrower


def test_as_many_targets_as_there_are_is_exact(memory):
    fold, documents = memory.fold(target=many(8)), memory.batch(many(20)[8:])
    scores = [
        catalog.build("zipfit", {"targets": n}).fit(fold).score(documents) for n in (8, 99, "all")
    ]
    assert (scores[0] == scores[1]).all() and (scores[0] == scores[2]).all()


def test_more_target_text_than_memory_should_hold_is_refused_or_sampled(memory, monkeypatch):
    monkeypatch.setattr(zipfit, "TARGET_BYTES", 20_000)
    fold = memory.fold(target=many(120))
    with pytest.raises(BadRequest, match="give a number, such as targets=100"):
        catalog.build("zipfit", {"targets": "all"}).fit(fold)
    error = catalog.build("zipfit", {"targets": 30}).fit(fold).score(memory.batch(RAW))[:, 1]
    assert (error > 0).all()


def test_an_endless_target_text_is_compared_by_its_beginning_unless_all_are_asked_for(memory):
    fold = memory.fold(target=["tide and wind", text(9, 500_000)])
    longest = {
        asked: max(map(len, catalog.build("zipfit", {"targets": asked}).fit(fold).targets))
        for asked in (12, "all")
    }
    assert longest == {12: 1 << 20, "all": len(text(9, 500_000).encode())}


def test_a_target_without_a_text_is_refused(memory):
    with pytest.raises(NothingToRead):
        catalog.build("zipfit", {}).fit(memory.fold())


def asked(corpus, target, out):
    return Spec(
        method="zipfit",
        raw=(str(corpus),),
        target={"sums": (str(target),)},
        budget="100docs",
        out=str(out),
        id_column="id",
    )


def test_the_error_stands_beside_the_score_and_ranks_nothing(corpus, target, tmp_path):
    made = selection.select(asked(corpus, target, tmp_path / "o"))
    assert made.content["scores"]["columns"] == ["score", "standard_error"]
    assert set(made.content["versions"]) >= {"zlib"}
    stored = pq.read_table(tmp_path / "o" / "scores")
    by_id = dict(zip(stored["id"].to_pylist(), stored["score"].to_pylist(), strict=True))
    kept = pq.read_table(tmp_path / "o" / "part-00000.parquet")
    rows = zip(kept["assay_id"].to_pylist(), kept["assay_score"].to_pylist(), strict=True)
    assert all(by_id[name] == score for name, score in rows)
    assert sorted(by_id.values())[-100:] == sorted(kept["assay_score"].to_pylist())


def test_an_explanation_names_the_passages_and_the_nearest_targets(corpus, target, tmp_path):
    made = selection.select(asked(corpus, target, tmp_path / "o"))
    told = explaining.explain(past.reopen(made.folder), "doc-00004", Means())
    because = json.loads(json.dumps(told["because"]))
    assert because["passages"][0]["text"] in told["text"]
    assert because["passages"][0]["text"] in because["passages"][0]["target"]
    assert [near["similarity"] for near in because["nearest"]] == sorted(
        (near["similarity"] for near in because["nearest"]), reverse=True
    )
