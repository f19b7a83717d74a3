"""Selections from end to end: crashes, odd corpora, folders that are taken."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.selectors import manifest, selection, shards
from assay.selectors.errors import (
    BadBudget,
    BadRequest,
    BadSetting,
    Busy,
    ChangedInput,
    Mismatch,
    NothingToRead,
    OtherSelection,
    Stopped,
    TooManyBadRows,
)
from assay.selectors.past import reopen, replay
from assay.selectors.selection import Means
from assay.selectors.spec import Spec, read_file
from assay.selectors.storage import lock

KILLED = """
import sys
from assay.selectors import shards
from assay.selectors.selection import select
from assay.selectors.spec import Spec
shards.UNIT_BYTES = 3000
raw, target, out = sys.argv[1:]
print("ready", flush=True)
select(Spec("dsir", (raw,), "30%", out, {"sums": (target,)}))
"""


@pytest.fixture
def many_units(monkeypatch):
    monkeypatch.setattr(shards, "UNIT_BYTES", 3000)


def asked(corpus, target, out, **more):
    values = {"method": "dsir", "budget": "30%"} | more
    return Spec(raw=(str(corpus),), target={"sums": (str(target),)}, out=str(out), **values)


def parts(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("part-*.parquet"))}


def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(
    corpus, target, tmp_path, many_units
):
    undisturbed = selection.select(asked(corpus, target, tmp_path / "a"))
    begun = time.monotonic()
    selection.select(asked(corpus, target, tmp_path / "timed"))
    usual = time.monotonic() - begun
    chance, out, kills = random.Random(5), tmp_path / "b", 0
    for _ in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(corpus), str(target), str(out)],
            stdout=subprocess.PIPE,
        )
        child.stdout.readline()
        try:
            child.wait(chance.uniform(0, usual))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            kills += 1
        child.stdout.close()
    assert kills
    again = selection.select(asked(corpus, target, out))
    assert again.digest == undisturbed.digest
    assert parts(out) == parts(tmp_path / "a")
    assert not [name for name in os.listdir(out) if "tmp" in name]


def test_a_run_that_is_stopped_goes_on(corpus, target, tmp_path, many_units):
    stops = 0

    def stopping(function, items):
        for number, item in enumerate(items):
            if number == 3:
                raise Stopped("asked")
            yield function(item)

    for _ in range(5):
        try:
            selection.select(asked(corpus, target, tmp_path / "b"), Means(map=stopping))
        except Stopped:
            stops += 1
    assert stops == 5
    whole = selection.select(asked(corpus, target, tmp_path / "b"))
    assert whole.digest == selection.select(asked(corpus, target, tmp_path / "a")).digest


def test_a_folder_with_another_selection_is_left_alone(corpus, target, tmp_path):
    selection.select(asked(corpus, target, tmp_path / "o"))
    before = parts(tmp_path / "o")
    with pytest.raises(OtherSelection, match="budget is '30%' there, '31%' here"):
        selection.select(asked(corpus, target, tmp_path / "o", budget="31%"))
    with pytest.raises(OtherSelection, match="orders is 2 there, 3 here"):
        selection.select(asked(corpus, target, tmp_path / "o", settings={"orders": 3}))
    assert parts(tmp_path / "o") == before


def test_a_run_that_another_version_began_is_not_mixed_with_ours(
    corpus, target, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(selection, "_tally", lambda *_: (_ for _ in ()).throw(RuntimeError))
        selection.select(asked(corpus, target, out))
    with monkeypatch.context() as patch:
        patch.setattr(selection.pa, "__version__", "1.2.3")
        with pytest.raises(OtherSelection, match=r"pyarrow is '[\d.]+' there, '1.2.3' here"):
            selection.select(asked(corpus, target, out))
    assert selection.select(asked(corpus, target, out)).digest


def test_two_writers_do_not_meet(corpus, target, tmp_path):
    (tmp_path / "o").mkdir()
    with lock(str(tmp_path / "o")), pytest.raises(Busy):
        selection.select(asked(corpus, target, tmp_path / "o"))


def test_an_input_that_changed_in_between_is_noticed(corpus, target, tmp_path, many_units):
    moved = tmp_path / "raw"
    shutil.copytree(corpus, moved)

    def changing(function, items):
        for number, item in enumerate(items):
            if number == 6:
                table = pq.read_table(moved / "shard-001.parquet").slice(1)
                pq.write_table(table, moved / "shard-001.parquet", row_group_size=37)
            yield function(item)

    with pytest.raises((ChangedInput, OtherSelection)):
        selection.select(asked(moved, target, tmp_path / "o"), Means(map=changing))
    with pytest.raises(OtherSelection, match="inputs"):
        selection.select(asked(moved, target, tmp_path / "o"))
    assert manifest.find(str(tmp_path / "o")) is None


def test_an_empty_corpus_and_an_empty_target_are_told_apart(corpus, target, tmp_path):
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    schema = pa.schema({"id": pa.string(), "text": pa.string()})
    pq.write_table(schema.empty_table(), nothing / "a.parquet")
    with pytest.raises(NothingToRead, match="corpus is empty"):
        selection.select(asked(nothing, target, tmp_path / "o"))
    with pytest.raises(NothingToRead, match="target 'sums' is empty"):
        selection.select(asked(corpus, nothing, tmp_path / "o"))
    pq.write_table(pa.table({"id": ["a"], "text": [""]}), nothing / "a.parquet")
    with pytest.raises(NothingToRead, match="holds no text"):
        selection.select(asked(corpus, nothing, tmp_path / "o"))


def test_a_shard_without_rows_is_no_trouble(corpus, target, tmp_path):
    more = tmp_path / "raw"
    shutil.copytree(corpus, more)
    empty = pq.read_schema(more / "shard-000.parquet").empty_table()
    pq.write_table(empty, more / "shard-000a.parquet")
    made = selection.select(asked(more, target, tmp_path / "o"))
    assert made.content["spent"]["documents"] == 240


def dirty(folder, rows=100, bad=10):
    folder.mkdir()
    texts = [None if n % (rows // bad) == 3 else f"word {n} and more" for n in range(rows)]
    ids = [f"d{n}" for n in range(rows)]
    pq.write_table(pa.table({"id": ids, "text": texts}), folder / "a.parquet", row_group_size=20)
    return folder


def test_bad_rows_are_counted_told_and_written_down(target, tmp_path):
    made = selection.select(asked(dirty(tmp_path / "raw"), target, tmp_path / "o", budget="50docs"))
    assert made.content["corpus"]["bad_rows"] == {"the text is null": 10}
    assert any("10 rows (10.00%)" in warning for warning in made.content["warnings"])
    lines = (tmp_path / "o" / "quarantine" / "00000-00000.jsonl").read_text().splitlines()
    assert len(lines) == 10 and '"row": 3' in lines[0]


def test_more_bad_rows_than_allowed_stop_the_run(target, tmp_path):
    raw, out = dirty(tmp_path / "raw"), tmp_path / "o"
    with pytest.raises(TooManyBadRows, match=r"10 rows could not be read .*allows 9"):
        selection.select(asked(raw, target, out, budget="50docs", max_bad_rows=9))
    assert manifest.find(str(out)) is None
    made = selection.select(asked(raw, target, out, budget="50docs", max_bad_rows=10))
    assert made.content["spent"]["documents"] == 50


def test_a_column_of_nulls_is_an_answer_not_a_selection(target, tmp_path):
    (tmp_path / "raw").mkdir()
    table = pa.table({"id": ["a", "b"], "text": pa.array([None, None], pa.string())})
    pq.write_table(table, tmp_path / "raw" / "a.parquet")
    with pytest.raises(NothingToRead, match="no row of the corpus holds a text"):
        selection.select(asked(tmp_path / "raw", target, tmp_path / "o"))


def test_a_budget_below_the_best_document_says_so(corpus, target, tmp_path):
    with pytest.raises(BadBudget, match="nothing would be kept"):
        selection.select(asked(corpus, target, tmp_path / "o", budget="3bytes"))
    assert manifest.find(str(tmp_path / "o")) is None


def test_a_selection_of_a_selection_names_its_own_scores(corpus, target, tmp_path):
    first = selection.select(asked(corpus, target, tmp_path / "a", group_by="topic"))
    second = selection.select(asked(tmp_path / "a", target, tmp_path / "b", budget="50docs"))
    table = pq.read_table(tmp_path / "b" / "part-00000.parquet")
    assert table.column_names.count("assay_score") == 1
    assert set(table["assay_source"].to_pylist()) == {"part-00000.parquet"}
    assert second.content["spent"]["documents"] == 50
    assert first.digest != second.digest


def test_changed_parts_and_changed_manifests_are_found(corpus, target, tmp_path):
    made = selection.select(asked(corpus, target, tmp_path / "o"))
    part = tmp_path / "o" / "part-00000.parquet"
    content = part.read_bytes()
    part.write_bytes(content[:-1] + b"X")
    assert "changed" in manifest.verify(made)[0]
    part.unlink()
    assert "missing" in manifest.verify(made)[0]
    part.write_bytes(content)
    path = tmp_path / "o" / "manifest.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    assert "edited" in manifest.verify(manifest.read(str(path)))[0]


def test_a_replay_on_changed_data_names_the_shard(corpus, target, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(corpus, raw)
    made = selection.select(asked(raw, target, tmp_path / "o"))
    table = pq.read_table(raw / "shard-002.parquet")
    pq.write_table(table.slice(1), raw / "shard-002.parquet")
    with pytest.raises(Mismatch, match=r"shard-002\.parquet has changed"):
        replay(made, str(tmp_path / "p"), Means())
    assert reopen(str(tmp_path / "o")).files


def test_many_parts_are_written_as_few_are(corpus, target, tmp_path, many_units, monkeypatch):
    from assay.selectors import writing

    monkeypatch.setattr(writing, "PART_BYTES", 9000)
    made = selection.select(asked(corpus, target, tmp_path / "o"))
    assert len(made.content["parts"]) > 3
    tables = [pq.read_table(tmp_path / "o" / p["name"]) for p in made.content["parts"]]
    whole = selection.select(asked(corpus, target, tmp_path / "p"))
    assert manifest.verify(whole) == []
    assert pa.concat_tables(tables).equals(pa.concat_tables(tables))
    assert sum(len(table) for table in tables) == 240


KINDS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()]


@pytest.mark.parametrize("kind", [*KINDS, pa.binary_view(), pa.dictionary(pa.int32(), pa.string())])
def test_every_kind_of_text_column_goes_through(target, tmp_path, kind):
    texts = [f"ship {n} and sail" if n % 2 else f"seven plus {n}" for n in range(40)]
    column = pa.array(texts).cast(kind) if kind not in (pa.binary_view(),) else None
    if column is None:
        column = pa.array([text.encode() for text in texts], kind)
    table = pa.table({"id": [str(n) for n in range(40)], "text": column, "also": [column[0]] * 40})
    (tmp_path / "raw").mkdir()
    pq.write_table(table, tmp_path / "raw" / "a.parquet", row_group_size=7)
    selection.select(asked(tmp_path / "raw", target, tmp_path / "o", budget="10docs"))
    found = pq.read_table(tmp_path / "o" / "part-00000.parquet")["text"].to_pylist()
    assert len(found) == 10 and set(found) <= set(table["text"].to_pylist())
    assert all("seven" in (t if isinstance(t, str) else t.decode()) for t in found)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"max_bad_rows": -1}, "max_bad_rows is -1: ask for 0 or more"),
        ({"target": {"a" * 101: ("x.parquet",)}}, "name has 101 characters"),
    ],
)
def test_what_cannot_be_carried_out_is_said_before_anything_is_read(
    corpus, target, tmp_path, more, said
):
    with pytest.raises(BadSetting, match=said):
        selection.select(replace(asked(corpus, target, tmp_path / "o"), **more))
    assert not (tmp_path / "o").exists()


def test_a_folder_is_no_spec_file(tmp_path):
    with pytest.raises(BadRequest, match="a folder, not a spec file"):
        read_file(str(tmp_path))
