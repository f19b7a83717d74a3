"""What every selector promises, ours and plug-ins: found through their entry points."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.jobs.executors import pool
from assay.selectors import catalog, estimate, manifest, past, selection
from assay.selectors.budget import parse
from assay.selectors.errors import BadShard
from assay.selectors.records import best
from assay.selectors.selection import Means
from assay.selectors.spec import Spec

METHODS = catalog.names()

# What makes a method quick enough to be asked so often; every other has its defaults.
QUICK = {
    "influence": {
        "size": "100K", "tokens": 1500, "context": 32, "windows": 1, "oracle": 40, "device": "cpu",
        "checkpoints": 1,
    }
}  # fmt: skip


def asked(method, corpus, target, out, budget="25%", **more):
    if method in QUICK:
        pytest.importorskip("torch", reason=f"{method} needs the extra 'proxy'")
        more["settings"] = QUICK[method]
    return Spec(
        method=method,
        raw=(str(corpus),),
        target={"sums": (str(target),)},
        budget=budget,
        out=str(out),
        id_column="id",
        **more,
    )


def select(method, corpus, target, out, budget="25%", means=None, **more):
    return selection.select(asked(method, corpus, target, out, budget, **more), means)


def kept(made):
    tables = [pq.read_table(made.uri(part["name"])) for part in made.content["parts"]]
    return pa.concat_tables(tables)


def ids(made):
    return set(kept(made)["assay_id"].to_pylist())


@pytest.fixture(scope="module", params=METHODS)
def method(request):
    return request.param


@pytest.fixture(scope="module")
def made(method, corpus, target, tmp_path_factory):
    return select(
        method, corpus, target, tmp_path_factory.mktemp("made") / method, group_by="topic"
    )


@pytest.fixture(scope="module")
def odd(corpus, tmp_path_factory):
    """Texts as they are met: empty, endless, repeated, torn, in other scripts; and no texts."""
    plain = pq.read_table(corpus)["text"].to_pylist()
    texts = [
        *("", " ", "\n\n\t", "a", "!!!", "\0", "\ufeff", "\u202eback", "ﬁ ﷺ 🙂👩‍👩‍👧 e\u0301"),
        *("x" * 300_000, "word " * 50_000, "\n" * 5000, "数学是研究数量的学科。" * 40),
        *plain[:50],
    ]
    rows = [text.encode() for text in texts] + [b"torn \xff\xfe text", None]
    ids = [f"a{n}" if n % 7 else "the same" for n in range(len(rows))]
    folder = tmp_path_factory.mktemp("odd")
    table = pa.table({"id": ids, "text": pa.array(rows, pa.binary())})
    pq.write_table(table, folder / "a.parquet", row_group_size=9)
    lines = [json.dumps({"id": f"b{n}", "text": text}) for n, text in enumerate(plain[50:59])]
    (folder / "b.jsonl").write_text("\n".join([*lines, "{not JSON", '{"id": 1}', "", ""]))
    return folder


def test_it_has_words_for_a_person(method):
    told = catalog.describe(method)
    assert told.about
    assert all(setting.about for setting in told.settings)


def test_its_settings_come_back_from_their_plain_values(method):
    selector = catalog.build(method, {})
    assert catalog.build(method, catalog.settings_of(selector)) == selector


def test_it_keeps_what_the_budget_buys(made):
    assert made.content["spent"]["documents"] == 200
    assert len(kept(made)) == 200


def test_every_original_column_rides_along(made, corpus):
    original = pq.read_table(corpus)
    table = kept(made)
    assert table.column_names[: len(original.column_names)] == original.column_names
    rows = {row["id"]: row for row in original.to_pylist()}
    for row in table.drop_columns(["assay_id", "assay_score", "assay_source"]).to_pylist():
        assert row == rows[row["id"]]


def test_what_stands_is_what_the_manifest_says(made):
    assert manifest.verify(made) == []


@pytest.mark.parametrize("engine, workers", [("threads", 2), ("threads", 4), ("processes", 2)])
def test_the_bytes_do_not_depend_on_who_does_the_work(
    made, method, corpus, target, tmp_path, engine, workers
):
    with pool(engine, workers) as mapped:
        again = select(
            method, corpus, target, tmp_path / "o", means=Means(mapped), group_by="topic"
        )
    assert again.digest == made.digest
    for part in made.content["parts"]:
        before, now = (Path(run.uri(part["name"])).read_bytes() for run in (made, again))
        assert before == now


def test_the_documents_and_scores_do_not_depend_on_the_shards(
    made, method, corpus, target, tmp_path
):
    from_one = tmp_path / "one"
    from_one.mkdir()
    pq.write_table(pq.read_table(corpus), from_one / "all.parquet", row_group_size=211)
    again = select(method, from_one, target, tmp_path / "o", group_by="topic")
    columns = ["assay_id", "assay_score"]
    assert (
        kept(again)
        .select(columns)
        .sort_by("assay_id")
        .equals(kept(made).select(columns).sort_by("assay_id"))
    )


def test_a_larger_budget_never_drops_a_document(made, method, corpus, target, tmp_path):
    larger = select(method, corpus, target, tmp_path / "o", budget="300docs")
    assert ids(made) <= ids(larger)


def test_more_than_there_is_keeps_everything_that_may_be_chosen(method, corpus, target, tmp_path):
    whole = select(method, corpus, target, tmp_path / "o", budget="5000docs")
    scores = past.reopen(whole.folder).fold(Means()).streams["scores"]
    found = [best(scored) for file in scores.units for scored in scores.batches(file)]
    may_be_chosen = int((np.concatenate(found) > -np.inf).sum())  # quality rules some out
    assert whole.content["spent"]["documents"] == may_be_chosen >= 300
    assert any("more than the corpus holds" in warning for warning in whole.content["warnings"])


@pytest.mark.parametrize("budget", ["9000bytes", "2000tokens"])
def test_a_budget_in_other_units_is_not_overspent(method, corpus, target, tmp_path, budget):
    found = select(method, corpus, target, tmp_path / "o", budget=budget)
    spent = found.content["spent"][parse(budget).unit]
    assert parse(budget).amount * 0.8 < spent <= parse(budget).amount


def test_the_same_command_again_finds_it_done(made, method, corpus, target):
    again = select(method, corpus, target, made.folder, group_by="topic")
    assert again.content == made.content


def test_another_budget_is_answered_as_a_selection_would(made, method, corpus, target, tmp_path):
    rule = past.reopen(made.folder).rule(Means(), parse("100docs"))
    real = select(method, corpus, target, tmp_path / "o", budget="100docs")
    opened = past.reopen(made.folder)
    names = set()
    for file in opened.files:
        for scored in opened.fold(Means()).streams["scores"].batches(file):
            names |= set(scored.id.filter(pa.array(rule.keep(scored))).to_pylist())
    assert names == ids(real)


def test_as_a_stage_it_keeps_what_it_keeps_alone(method, corpus, target, tmp_path):
    stage = {"method": method, "settings": QUICK.get(method, {}), "keep": "100docs"}
    alone = select(method, corpus, target, tmp_path / "a", budget="100docs")
    staged = select("uniform", corpus, target, tmp_path / "b", budget="100%", stages=(stage,))
    assert ids(staged) == ids(alone)
    assert staged.content["cut"]["stages"][method]["left"] == len(ids(alone)) == 100


def test_a_replay_comes_out_the_same(made, tmp_path):
    assert past.replay(made, str(tmp_path / "o"), Means()).digest == made.digest


def test_a_dry_run_tells_what_it_would_take(method, corpus, target, tmp_path):
    told = estimate.estimate(asked(method, corpus, target, tmp_path / "o"), Means())
    assert told["raw"]["rows"] == 800
    assert told["seconds"]["total"] > 0
    assert not (tmp_path / "o").exists()


def test_texts_as_they_are_met_are_read_and_the_others_are_told(method, odd, target, tmp_path):
    made = select(method, odd, target, tmp_path / "o", budget="100%")
    assert made.content["corpus"]["rows"] == 76
    assert made.content["corpus"]["bad_rows"] == {
        "the line is not JSON": 1,
        "the text is missing": 1,
        "the text is not valid UTF-8": 1,
        "the text is null": 1,
    }
    assert manifest.verify(made) == []
    for part in made.content["parts"]:  # of shards with other columns, a part of their own
        scores = pq.read_table(made.uri(part["name"]), columns=["assay_score"])["assay_score"]
        assert np.isfinite(scores.to_numpy()).all()


def test_a_damaged_shard_is_named(method, odd, target, tmp_path):
    whole = (odd / "a.parquet").read_bytes()
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    for raw, wanted in ((tmp_path / "raw", target), (odd, tmp_path / "raw")):
        with pytest.raises(BadShard, match=r"cut\.parquet: truncated"):
            select(method, raw, wanted, tmp_path / "o")
        assert not (tmp_path / "o" / "manifest.json").exists()


def test_a_target_of_texts_as_they_are_met_will_do(method, odd, corpus, tmp_path):
    made = select(method, corpus, odd, tmp_path / "o")
    assert made.content["spent"]["documents"] == 200
    assert np.isfinite(kept(made)["assay_score"].to_numpy()).all()


def test_scores_are_numbers(made):
    assert np.isfinite(kept(made)["assay_score"].to_numpy()).all()
