"""Stages: methods one after the other, each ruling documents out for those behind it."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.jobs.executors import pool
from assay.selectors import past, selection, spec
from assay.selectors.budget import parse
from assay.selectors.errors import BadBudget, BadSetting, Stopped, UnknownName
from assay.selectors.examples import nearest
from assay.selectors.explain import explain
from assay.selectors.records import score_names
from assay.selectors.selection import Means
from assay.selectors.spec import Spec
from assay.selectors.stages import numbered
from assay.selectors.whatif import what_if

DEDUP = {"method": "dedup", "settings": {"near": False}}
LONG = {"method": "quality", "settings": {"rules": "gopher"}}


@pytest.fixture(scope="module")
def copies(corpus, tmp_path_factory):
    """The corpus, and every tenth of its documents once more under another id."""
    table = pa.concat_tables([pq.read_table(path) for path in sorted(corpus.glob("*.parquet"))])
    again = table.take(list(range(0, len(table), 10)))
    names = pa.array([f"copy-{name}" for name in again["id"].to_pylist()])
    again = again.set_column(0, "id", names)
    folder = tmp_path_factory.mktemp("copies")
    pq.write_table(table, folder / "a.parquet", row_group_size=50)
    pq.write_table(again, folder / "b.parquet", row_group_size=50)
    return folder


def asked(copies, target, out, *stages, **more):
    values = {"method": "dsir", "budget": "30%", "id_column": "id"} | more
    return Spec(
        raw=(str(copies),), target={"t": (str(target),)}, out=str(out), stages=stages, **values
    )


def kept(made):
    tables = [pq.read_table(made.uri(part["name"])) for part in made.content["parts"]]
    return pa.concat_tables(tables)


def test_a_stage_rules_documents_out_and_the_budget_is_spent_on_the_rest(copies, target, tmp_path):
    plain = selection.select(asked(copies, target, tmp_path / "a"))
    staged = selection.select(asked(copies, target, tmp_path / "b", DEDUP))
    assert len(set(kept(plain)["text"].to_pylist())) < len(kept(plain))
    texts = kept(staged)["text"].to_pylist()
    assert (len(kept(plain)), len(set(texts)), len(texts)) == (264, 240, 240)  # of 880, of 800
    assert staged.content["cut"]["stages"].keys() == {"dedup", "last"}
    assert "stage.dedup.score" in staged.content["scores"]["columns"]


def test_stages_act_in_turn(copies, target, tmp_path):
    made = selection.select(asked(copies, target, tmp_path / "o", DEDUP, LONG, budget="100%"))
    words = [len(text.split()) for text in kept(made)["text"].to_pylist()]
    assert min(words) >= 50  # Gopher's least
    assert len(set(kept(made)["text"].to_pylist())) == len(words)
    names = made.content["scores"]["columns"]
    assert {"stage.dedup.score", "stage.quality.score", "score"} <= set(names)


def test_a_stage_need_not_know_what_those_before_it_dropped(copies, target, tmp_path):
    few = {"method": "lm", "keep": "20docs"}  # none of them in the last row groups
    made = selection.select(asked(copies, target, tmp_path / "a", few, DEDUP, budget="100%"))
    told = made.content["cut"]["stages"]
    assert (told["lm"]["left"], told["dedup"]["documents"]) == (20, 20)
    best = selection.select(asked(copies, target, tmp_path / "b", method="lm", budget="20docs"))
    assert set(kept(made)["text"].to_pylist()) == set(kept(best)["text"].to_pylist())
    assert len(kept(made)) == told["dedup"]["left"] == len(set(kept(best)["text"].to_pylist()))


def test_the_bytes_do_not_depend_on_who_does_the_work(copies, target, tmp_path):
    digests = set()
    for number, (engine, workers) in enumerate(
        [("threads", 1), ("threads", 2), ("threads", 4), ("processes", 2)]
    ):
        with pool(engine, workers) as means:
            request = asked(copies, target, tmp_path / str(number), DEDUP, LONG)
            digests.add(selection.select(request, Means(map=means)).digest)
    assert len(digests) == 1


def test_a_chain_that_is_stopped_goes_on(copies, target, tmp_path, monkeypatch):
    monkeypatch.setattr("assay.selectors.shards.UNIT_BYTES", 3000)

    def stopping(function, items):
        for number, item in enumerate(items):
            if number == 4:
                raise Stopped("asked")
            yield function(item)

    request = asked(copies, target, tmp_path / "a", DEDUP, LONG)
    for _ in range(4):
        with pytest.raises(Stopped):
            selection.select(request, Means(map=stopping))
    whole = selection.select(asked(copies, target, tmp_path / "b", DEDUP, LONG))
    assert selection.select(request).digest == whole.digest


def test_what_a_stage_ruled_out_is_not_shown_as_near_the_cut(copies, target, tmp_path):
    half = {"method": "lm", "keep": "50%"}
    made = selection.select(asked(copies, target, tmp_path / "o", half, budget="10%"))
    opened = past.reopen(made.folder)
    rule = opened.rule(Means())
    near = nearest(rule, opened.fold(Means()))
    scores = opened.fold(Means()).streams["scores"]
    ended = {
        (int(shard), int(row)): stage
        for unit in scores.units
        for some in scores.batches(unit)
        for shard, row, stage in zip(some.shard, some.row, rule.ended(some), strict=True)
    }
    assert sum(stage == "lm" for stage in ended.values()) == 440
    assert len(near) == 80 and not any(ended[place] for place in near)


def test_a_share_of_what_is_left_is_no_reason_to_warn(copies, target, tmp_path):
    made = selection.select(asked(copies, target, tmp_path / "o", LONG, budget="30%"))
    spent, cut = made.content["spent"]["documents"], made.content["cut"]["stages"]["last"]
    assert spent == cut["limit"] < 0.9 * 0.3 * 880  # most texts have fewer than 50 words
    assert not any(
        "what comes next does not fit" in warning for warning in made.content["warnings"]
    )


def test_a_stage_leaves_the_share_or_the_scores_that_are_asked_for(copies, target, tmp_path):
    half = {"method": "lm", "keep": "50%"}
    made = selection.select(asked(copies, target, tmp_path / "a", DEDUP, half, budget="100%"))
    assert made.content["spent"]["documents"] == 400
    told = made.content["cut"]["stages"]
    assert (told["dedup"]["documents"], told["dedup"]["left"]) == (880, 800)
    assert (told["lm"]["documents"], told["lm"]["left"]) == (800, 400)
    least = float(np.sort(column(made, "stage.lm.score"))[440])
    high = {"method": "lm", "least": least}
    made = selection.select(asked(copies, target, tmp_path / "b", high, budget="100%"))
    expected = int((column(made, "stage.lm.score") >= least).sum())
    assert made.content["spent"]["documents"] == expected >= 440
    assert min(kept_column(made, "stage.lm.score")) == least


def column(made, name):
    """Of the whole score store."""
    files = past.reopen(made.folder).files
    return np.concatenate([pq.read_table(file.uri)[name].to_numpy() for file in files])


def kept_column(made, name):
    wanted = set(kept(made)["assay_id"].to_pylist())
    tables = [pq.read_table(file.uri) for file in past.reopen(made.folder).files]
    rows = pa.concat_tables(tables).select(["id", name]).to_pylist()
    return [row[name] for row in rows if row["id"] in wanted]


def test_a_stage_with_limits_is_replayed_whoever_works(copies, target, tmp_path):
    stages = (DEDUP, {"method": "lm", "keep": "50%", "least": -10.0})
    made = selection.select(asked(copies, target, tmp_path / "a", *stages))
    with pool("threads", 3) as means:
        again = past.replay(made, str(tmp_path / "b"), Means(map=means))
    assert again.digest == made.digest
    fewer = selection.select(asked(copies, target, tmp_path / "c", *stages, budget="10%"))
    assert set(kept(fewer)["id"].to_pylist()) < set(kept(made)["id"].to_pylist())


@pytest.mark.parametrize(
    ("stage", "error", "words"),
    [
        ({"method": "lm", "keep": "0docs"}, BadBudget, "the stage lm: keep: .*buys nothing"),
        ({"method": "lm", "keep": 7}, BadBudget, "the stage lm: keep: .*no unit"),
        ({"method": "lm", "least": "much"}, BadSetting, "the stage lm: least: 'much' is no score"),
        ({"method": "lm", "least": float("nan")}, BadSetting, "is no score"),
        ({"method": "lm", "keep": "0.01%"}, BadBudget, "the stage lm: .*less than one"),
        ({"method": "lm", "least": 99}, BadBudget, "the stage lm leaves none of 880 documents"),
    ],
)
def test_limits_that_cannot_be_are_named(copies, target, tmp_path, stage, error, words):
    with pytest.raises(error, match=words):
        selection.select(asked(copies, target, tmp_path / "o", stage))


def test_methods_with_hyphens_are_numbered_too():
    assert numbered("same-length", ["same", "same-length"]) == "same-length-2"
    assert numbered("same", ["same-length"]) == "same"


def test_scores_of_a_stage_do_not_rank():
    assert score_names(("stage.lm.score", "a", "b")) == ["a", "b"]
    assert score_names(("stage.dedup.score", "score.x", "score.y")) == ["score.x", "score.y"]


def test_a_larger_budget_keeps_a_superset(copies, target, tmp_path):
    few, many = (
        selection.select(asked(copies, target, tmp_path / budget, DEDUP, budget=budget))
        for budget in ("10%", "40%")
    )
    assert set(kept(few)["id"].to_pylist()) < set(kept(many)["id"].to_pylist())


def test_what_if_and_explain_know_the_stages(copies, target, tmp_path):
    made = selection.select(asked(copies, target, tmp_path / "o", DEDUP))
    opened = past.reopen(made.folder)
    found = what_if(opened, [parse("100%")], Means())
    assert found["budgets"][0]["kept"]["documents"] == 800  # of 880, 80 are copies
    pairs = [(f"doc-{n:05d}", f"copy-doc-{n:05d}") for n in range(0, 800, 10)]
    told = [explain(opened, name, Means()) for name in pairs[0]]
    gone = [one for one in told if one["ruled_out_by"] == "dedup"]
    assert len(gone) == 1 and not gone[0]["kept"]
    said = gone[0]["because"]["dedup"]
    assert said["identical"] and said["representative"] in pairs[0]
    assert not said["is_representative"]


def test_a_chain_can_be_scored_by_a_folder_moved_elsewhere(copies, target, tmp_path):
    made = selection.select(asked(copies, target, tmp_path / "o", DEDUP))
    shutil.move(tmp_path / "o", tmp_path / "p")
    moved = past.reopen(str(tmp_path / "p"))
    assert what_if(moved, [parse("10%")], Means())["budgets"][0]["kept"]["documents"] == 80
    assert moved.manifest.digest == made.digest


@pytest.mark.parametrize(
    "written",
    [
        ["dedup"],
        [{"dedup": {}}],
        [{"method": "dedup"}],
        [{"method": "dedup", "settings": {"near": True}}],
        [{"dedup": {"keep": "90%"}}],
    ],
)
def test_a_stage_is_written_in_several_ways(written):
    found = spec.from_mapping({"method": "uniform", "stages": written}, "here")
    assert spec.checked(
        Spec(method="uniform", raw=("x",), out="o", budget="1%", stages=found.stages)
    ).stages[0]["settings"]["near"]


def test_a_stage_that_cannot_be_is_named(copies, target, tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'dedup'"):
        selection.select(asked(copies, target, tmp_path / "o", {"method": "dedupe"}))
    with pytest.raises(BadSetting, match="a stage is"):
        selection.select(asked(copies, target, tmp_path / "o", {"methods": "dedup"}))
    with pytest.raises(UnknownName, match="dedup has no setting 'nearly'"):
        stage = {"method": "dedup", "settings": {"nearly": True}}
        selection.select(asked(copies, target, tmp_path / "o", stage))
    assert not (tmp_path / "o").exists()
