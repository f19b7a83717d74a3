"""`assay bakeoff`, and the stages of `assay select`, as they are typed."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from assay.api import cli


@pytest.fixture
def run(capsys):
    def call(*words):
        code = cli.run([str(word) for word in words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture
def words(corpus, target, tmp_path):
    shared = ("--raw", corpus, "--target", target, "--budget", "20%", "--group-by", "topic")
    return (*shared, "--out", tmp_path / "o")


def test_methods_are_compared_at_one_budget(run, words):
    code, said, _ = run("bakeoff", "dsir", "lm", "uniform", *words, "--label", "sums", "--json")
    assert code == 0
    found = json.loads(said)
    rows = {row["name"]: row for row in found["methods"]}
    assert rows.keys() == {"dsir", "lm", "uniform"}
    assert all(row["kept"]["documents"] == 160 for row in rows.values())
    assert rows["dsir"]["precision"] == 1.0  # 200 of 800 are sums
    assert 0.1 < rows["uniform"]["precision"] < 0.4
    assert all(row["cpu_seconds"] > 0 and row["seconds"] > 0 for row in rows.values())
    assert abs(rows["uniform"]["length_correlation"] or 0) < 0.2
    overlap = found["overlap"]
    assert overlap["dsir"]["dsir"] == 1 and overlap["dsir"]["lm"] == overlap["lm"]["dsir"]
    assert overlap["dsir"]["lm"] > overlap["dsir"]["uniform"]


def test_a_table_is_the_default_and_settings_have_columns_of_their_own(run, words, tmp_path):
    code, said, _ = run("bakeoff", "dsir", "dsir:orders=1", *words)
    assert code == 0
    assert "dsir-orders-1" in said and "Jaccard" in said and "precision" in said
    assert (tmp_path / "o" / "dsir-orders-1" / "manifest.json").exists()


def test_one_that_fails_does_not_take_the_others_with_it(run, words):
    without_target = [word for word in words if word not in words[2:4]]
    code, said, told = run("bakeoff", "uniform", "dsir", "lm", *without_target, "--json")
    found = json.loads(said)
    assert code == 2
    assert [row["name"] for row in found["methods"]] == ["uniform"]
    assert found["failed"].keys() == {"dsir", "lm"} and "--target" in found["failed"]["lm"]
    assert "dsir needs a target" in told and "Traceback" not in told


def test_where_all_fail_there_is_no_table(run, words):
    without_target = [word for word in words if word not in words[2:4]]
    code, said, told = run("bakeoff", "dsir", "lm", *without_target)
    assert code == 2 and not said and "--target" in told


def test_a_dry_run_says_what_each_would_take(run, words, tmp_path):
    code, said, _ = run("bakeoff", "uniform", "align", *words, "--dry-run", "--json")
    assert code == 0
    assert [one["name"] for one in json.loads(said)] == ["uniform", "align"]
    code, said, _ = run("bakeoff", "uniform", "align", *words, "--dry-run")
    assert "nothing was written" in said and "align" in said
    assert not (tmp_path / "o").exists()


def test_what_is_there_is_compared_again_and_claims_no_time(run, words):
    first = json.loads(run("bakeoff", "uniform", "dsir", *words, "--json")[1])
    again = json.loads(run("bakeoff", "uniform", "dsir", *words, "--json")[1])
    assert again["overlap"] == first["overlap"]
    for before, now in zip(first["methods"], again["methods"], strict=True):
        assert now["kept"] == before["kept"] and now["seconds"] == before["seconds"]
        assert before["cpu_seconds"] > 0 and now["cpu_seconds"] is None


def test_a_setting_may_hold_commas(run, words, tmp_path):
    blend = "blend:methods=dsir:2,lm:orders=1,sample=4"
    code, _, told = run("bakeoff", blend, "quality:rules=[c4,gopher],failing=last", *words)
    assert code == 0, told
    folders = sorted((tmp_path / "o").iterdir())
    requests = [json.loads((folder / "manifest.json").read_text())["request"] for folder in folders]
    assert requests[0]["settings"] == {"methods": "dsir:2,lm:orders=1", "sample": 4}
    assert requests[1]["settings"]["rules"] == ["c4", "gopher"]


@pytest.mark.parametrize(
    ("methods", "more", "word"),
    [
        (("dsir", "dsri"), (), "did you mean 'dsir'"),
        (("dsir", "uniform", "dsir"), (), "named twice"),
        (("dsir:order=1",), (), "orders"),
        (("dsir:1",), (), "dsir:1: write it as METHOD or METHOD:NAME=VALUE"),
        (("dsir",), ("--stage", "lm:50%"), "lm:50%: write it as METHOD"),
        (("uniform",), ("--label", "sms"), "did you mean 'sums'"),
    ],
)
def test_what_cannot_be_compared_is_said(run, words, methods, more, word):
    code, _, said = run("bakeoff", *methods, *words, *more)
    assert code == 2 and word in said and "Traceback" not in said


def test_a_label_needs_a_column(run, corpus, tmp_path):
    shared = ("--raw", corpus, "--budget", "20%", "--out", tmp_path / "o")
    code, _, said = run("bakeoff", "uniform", *shared, "--label", "sums")
    assert code == 2 and "--group-by" in said


def test_stages_are_typed_in_order(run, words, tmp_path):
    stages = ("--dedup", "--stage", "quality:rules=gopher,failing=last,keep=300docs")
    code, told, said = run("select", "dsir", *words, *stages)
    assert code == 0, said
    assert "stages: dedup left 800 of 800, quality left 300 of 800" in told
    request = json.loads((tmp_path / "o" / "manifest.json").read_text())["request"]
    assert [stage["method"] for stage in request["stages"]] == ["dedup", "quality"]
    assert request["stages"][1]["settings"]["failing"] == "last"
    assert request["stages"][1]["keep"] == "300docs"


def test_what_ended_a_documents_way_is_told_first(run, words, tmp_path):
    out = tmp_path / "o"
    assert run("select", "dsir", *words, "--stage", "quality")[0] == 0
    short = "doc-00000"  # five words long: Gopher asks for fifty
    code, said, _ = run("explain", out, short)
    assert code == 0
    assert "ruled out by the stage quality" in said
    assert said.index("gopher.min_words") < said.index("n-gram ")


def test_a_stage_that_is_mistyped_is_a_usage_error(run, words):
    code, _, said = run("select", "dsir", *words, "--stage", "quality:rules")
    assert code == 2 and "Traceback" not in said


def test_a_stage_that_keeps_the_best_says_what_was_asked(run, words, tmp_path):
    out = tmp_path / "o"
    code, told, _ = run("select", "dsir", *words, "--stage", "lm:keep=50%,least=-1.5")
    assert code == 0 and "stages: lm left " in told
    store = pq.read_table(next((out / "scores").glob("*.parquet")))
    lowest = store["id"][int(np.argmin(store["stage.lm.score"].to_numpy()))].as_py()
    said = run("explain", out, lowest)[1]
    assert "ruled out by the stage lm: it left " in said and "-1.5 is asked for" in said
    found = json.loads(run("explain", out, lowest, "--json")[1])
    assert found["stage"]["left"] < found["stage"]["documents"] == 800


def test_diff_names_the_stage_that_ruled_a_document_out(run, words, tmp_path):
    shared = [str(word) if word != "20%" else "100%" for word in words[:-1]]
    assert run("select", "dsir", *shared, tmp_path / "a")[0] == 0
    assert run("select", "dsir", *shared, tmp_path / "b", "--stage", "quality")[0] == 0
    found = json.loads(run("diff", tmp_path / "a", tmp_path / "b", "--json")[1])
    because = found["only_a"]["because"]
    assert because["ruled out by the other's stage quality"] == found["only_a"]["documents"] > 0
    assert because["below the other's cut"] == found["only_b"]["documents"] == 0
    said = run("diff", tmp_path / "a", tmp_path / "b")[1]
    assert "stages: none in A, quality in B" in said and ", ruled out by quality" in said
