"""Scores of earlier selections, used again by a blend."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.jobs.executors import pool
from assay.selectors import estimate, past, selection
from assay.selectors.budget import parse
from assay.selectors.errors import BadInput, BadRequest, Mismatch, NotFound, Stopped, UnknownName
from assay.selectors.explain import explain
from assay.selectors.methods.blend import ColumnSample, ingredients
from assay.selectors.scores import nothing
from assay.selectors.selection import Means
from assay.selectors.spec import Spec, from_mapping

BOTH = "scores/ratio:2,scores/rules/stat.words"


def asked(corpus, target, out, method, settings=None, **more):
    values = {"budget": "25%", "id_column": "id"} | more
    return Spec(
        method=method,
        raw=(str(corpus),),
        target={"sums": (str(target),)} if target else {},
        out=str(out),
        settings=settings or {},
        **values,
    )


@pytest.fixture(scope="module")
def runs(corpus, target, tmp_path_factory):
    """Two selections of the corpus, by name."""
    folder = tmp_path_factory.mktemp("runs")
    requests = {
        "ratio": asked(corpus, target, folder / "ratio", "dsir"),
        "rules": asked(corpus, None, folder / "rules", "quality", {"failing": "last"}),
    }
    return {name: selection.select(request).folder for name, request in requests.items()}


def kept(made):
    return pq.read_table(made.uri(made.content["parts"][0]["name"]))


def test_a_stored_score_counts_as_the_method_itself_does(corpus, target, runs, tmp_path):
    methods = {"here": "dsir,quality:0.5:failing=last", "stored": "scores/ratio,scores/rules:0.5"}
    here, stored = (
        selection.select(
            asked(corpus, target, tmp_path / name, "blend", {"methods": methods[name]}, scores=runs)
        )
        for name in methods
    )
    # The ranks are read off other samples; of so small a corpus both are the whole of it.
    assert kept(here).equals(kept(stored))


def test_no_target_and_no_fit_is_needed(corpus, runs, tmp_path):
    made = selection.select(
        asked(corpus, None, tmp_path / "o", "blend", {"methods": BOTH}, scores=runs)
    )
    assert made.content["spent"]["documents"] == 200
    names = made.content["scores"]["columns"]
    assert names == ["score", "blend.ratio", "blend.rules/stat.words"]
    opened = past.reopen(runs["rules"]).fold(Means()).streams["scores"]
    there = [batch for unit in opened.units for batch in opened.batches(unit)]
    words = {
        name: value
        for batch in there
        for name, value in zip(
            batch.id.to_pylist(), batch.scores[:, batch.names.index("stat.words")], strict=True
        )
    }
    ours = past.reopen(made.folder).fold(Means()).streams["scores"]
    for unit in ours.units:
        for batch in ours.batches(unit):
            found = batch.scores[:, 2].tolist()
            assert found == [words[name] for name in batch.id.to_pylist()]


def test_the_bytes_do_not_depend_on_who_does_the_work(corpus, runs, tmp_path, monkeypatch):
    digests = set()
    for number, (engine, workers) in enumerate([("threads", 1), ("threads", 4), ("processes", 2)]):
        with pool(engine, workers) as mapped:
            out = tmp_path / str(number)
            request = asked(corpus, None, out, "blend", {"methods": BOTH}, scores=runs)
            digests.add(selection.select(request, Means(map=mapped)).digest)
    assert len(digests) == 1


def test_batches_that_begin_within_a_unit_find_their_rows(corpus, runs, tmp_path, monkeypatch):
    whole = selection.select(
        asked(corpus, None, tmp_path / "a", "blend", {"methods": BOTH}, scores=runs)
    )
    monkeypatch.setattr("assay.selectors.formats.parquet.BATCH_BYTES", 2000, raising=True)
    small = selection.select(
        asked(corpus, None, tmp_path / "b", "blend", {"methods": BOTH}, scores=runs)
    )
    assert small.digest == whole.digest


def test_a_stopped_blend_goes_on(corpus, runs, tmp_path):
    def stopping(function, items):
        for number, item in enumerate(items):
            if number == 2:
                raise Stopped("asked")
            yield function(item)

    request = asked(corpus, None, tmp_path / "a", "blend", {"methods": BOTH}, scores=runs)
    with pytest.raises(Stopped):
        selection.select(request, Means(map=stopping))
    whole = selection.select(
        asked(corpus, None, tmp_path / "b", "blend", {"methods": BOTH}, scores=runs)
    )
    assert selection.select(request).digest == whole.digest


def test_it_is_replayed_explained_estimated_and_asked_what_if(corpus, runs, tmp_path):
    request = asked(corpus, None, tmp_path / "o", "blend", {"methods": BOTH}, scores=runs)
    assert estimate.estimate(request, Means())["raw"]["rows"] == 800
    made = selection.select(request)
    assert past.replay(made, str(tmp_path / "again"), Means()).digest == made.digest
    opened = past.reopen(made.folder)
    told = explain(opened, kept(made)["assay_id"][0].as_py(), Means())
    assert told["kept"] and told["because"]["blend"].keys() == {"ratio", "rules/stat.words"}
    rule = opened.rule(Means(), parse("400docs"))
    assert rule.describe()["spent"] == 400


def test_a_blend_of_a_run_that_was_made_again_differently_is_no_replay(corpus, target, tmp_path):
    first = selection.select(asked(corpus, target, tmp_path / "r", "dsir"))
    runs = {"r": first.folder}
    made = selection.select(
        asked(corpus, None, tmp_path / "o", "blend", {"methods": "scores/r"}, scores=runs)
    )
    selection.select(asked(corpus, target, tmp_path / "r", "dsir", {"orders": 1}), fresh=True)
    with pytest.raises(Mismatch, match="scores: r has changed"):
        past.replay(made, str(tmp_path / "again"), Means())


def test_what_cannot_be_used_is_said(corpus, target, runs, tmp_path):
    def refused(error, words, methods, source=corpus, scores=runs):
        request = asked(source, None, tmp_path / "o", "blend", {"methods": methods}, scores=scores)
        with pytest.raises(error, match=words):
            selection.select(request)

    refused(BadRequest, "scores/none.*--scores none=RUN", "scores/none")
    refused(
        UnknownName, "no column 'stat.word'.*did you mean 'stat.words'", "scores/rules/stat.word"
    )
    refused(BadRequest, "scored another corpus", "scores/ratio", source=target)
    refused(NotFound, "no manifest", "scores/ratio", scores={"ratio": str(tmp_path / "none")})


def test_rows_that_cannot_be_read_are_in_neither_and_another_text_column_is_noticed(tmp_path):
    texts = [None if n % 5 == 0 else f"text number {n}" for n in range(60)]
    others = ["other" if n % 7 else None for n in range(60)]
    names = [f"d{n}" for n in range(60)]
    (tmp_path / "raw").mkdir()
    table = pa.table({"id": names, "text": texts, "other": others})
    pq.write_table(table, tmp_path / "raw" / "a.parquet", row_group_size=7)
    first = selection.select(asked(tmp_path / "raw", None, tmp_path / "r", "uniform"))
    again = {"methods": "scores/r"}, {"r": first.folder}
    made = selection.select(
        asked(tmp_path / "raw", None, tmp_path / "o", "blend", again[0], scores=again[1])
    )
    assert made.content["corpus"]["documents"] == 48
    with pytest.raises(BadInput, match=r"'r' has no score for some documents.*text column"):
        selection.select(
            asked(
                tmp_path / "raw", None, tmp_path / "p", "blend", again[0], scores=again[1],
                text_column="other",
            )
        )  # fmt: skip


@pytest.mark.parametrize("methods", ["scores/", "scores/a:orders=2"])
def test_a_run_is_written_with_its_name_and_no_settings(methods):
    with pytest.raises(BadRequest, match="scores/RUN"):
        ingredients(methods)


def test_runs_are_named_on_the_command_line_and_in_a_file():
    typed = from_mapping({"method": "blend", "scores": ("a=x/y", "b=s3://z?k=v")}, "here")
    filed = from_mapping({"method": "blend", "scores": {"a": "x/y", "b": "s3://z?k=v"}}, "here")
    assert typed.scores == filed.scores == {"a": "x/y", "b": "s3://z?k=v"}
    with pytest.raises(BadRequest, match="--scores NAME=RUN"):
        from_mapping({"method": "blend", "scores": ("x/y",)}, "here")


def test_a_sample_of_scores_does_not_depend_on_how_the_stream_was_cut():
    chance = np.random.default_rng(5)
    empty = nothing(("score",))
    key, score = chance.integers(0, 60, 400).astype(np.uint64), chance.integers(0, 9, (400, 1))
    whole = ColumnSample("", 50, 1)
    rows = [
        type(empty)(
            score[n : n + 1].astype(float),
            ("score",),
            key[n : n + 1],
            *[empty.content] * 6,
            empty.id,
        )
        for n in range(400)
    ]
    for row in rows:
        whole.add(row)
    parts = [ColumnSample("", 50, 1) for _ in range(3)]
    for n, row in enumerate(rows):
        parts[n % 3].add(row)
    parts[2].merge(parts[0])
    parts[2].merge(parts[1])
    assert parts[2].score.tolist() == whole.score.tolist()
    assert parts[2].place.tolist() == whole.place.tolist()
