"""What every selector promises, ours and plug-ins: found through their entry points."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.jobs.executors import pool
from assay.selectors import catalog, manifest, past, selection
from assay.selectors.budget import parse
from assay.selectors.records import best
from assay.selectors.selection import Means
from assay.selectors.spec import Spec

METHODS = catalog.names()


def select(method, corpus, target, out, budget="25%", means=None, **more):
    asked = Spec(
        method=method,
        raw=(str(corpus),),
        target={"sums": (str(target),)},
        budget=budget,
        out=str(out),
        id_column="id",
        **more,
    )
    return selection.select(asked, means)


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


def test_a_replay_comes_out_the_same(made, tmp_path):
    assert past.replay(made, str(tmp_path / "o"), Means()).digest == made.digest


def test_scores_are_numbers(made):
    assert np.isfinite(kept(made)["assay_score"].to_numpy()).all()
