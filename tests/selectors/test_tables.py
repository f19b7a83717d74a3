"""Score columns in a file of one's own: joined by id, in any order; refused where they lie."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.selectors import past, selection
from assay.selectors.errors import AssayError
from assay.selectors.explain import explain
from assay.selectors.selection import Means
from assay.selectors.spec import Spec


@pytest.fixture
def rated(corpus, tmp_path):
    """A table of two scores for every document, in another order than theirs."""
    whole = pq.read_table(corpus)
    length = np.array([len(text) for text in whole["text"].to_pylist()], np.float32)
    noise = np.random.default_rng(0).standard_normal(len(whole)).astype(np.float32)
    order = np.random.default_rng(1).permutation(len(whole))
    columns = {"id": whole["id"], "score.length": length, "score.noise": noise, "other": noise}
    path = tmp_path / "rated.parquet"

    def write(change=lambda table: table, beside=None):
        pq.write_table(change(pa.table(columns).take(order)), path)
        if beside is not None:
            path.with_suffix(".json").write_text(beside)
        return str(path)

    return write


@pytest.fixture
def select(corpus, tmp_path):
    def run(table, name="o", method="blend", **settings):
        settings = settings or {"methods": "scores/mine/length"}
        asked = Spec(method, (str(corpus),), "10%", str(tmp_path / name), {}, settings,
                     scores={"mine": table})  # fmt: skip
        return selection.select(asked)

    return run


def kept(made):
    return set(pq.read_table([f"{made.folder}/{p['name']}" for p in made.content["parts"]])
               ["id"].to_pylist())  # fmt: skip


def test_scores_are_joined_by_id(rated, select, corpus):
    made = select(rated())
    whole = pq.read_table(corpus)
    length = [len(text) for text in whole["text"].to_pylist()]
    longest = np.argsort(length)[::-1][:40]
    assert len(kept(made) & {whole["id"][int(n)].as_py() for n in longest}) == 40
    told = explain(past.reopen(made.folder), sorted(kept(made))[0], Means())
    assert told["kept"] is True


def test_they_are_decorrelated_too_and_what_is_missing_counts_as_the_mean(rated, select):
    def some_missing(table):
        values = table["score.noise"].to_pylist()
        values[::50] = [None] * len(values[::50])
        place = table.column_names.index("score.noise")
        return table.set_column(place, "score.noise", pa.array(values, pa.float32()))

    columns = "scores/mine/length,scores/mine/noise"
    made = select(rated(some_missing), method="odis", columns=columns, components=2)
    assert made.content["spent"]["documents"] > 60
    assert len(made.content["cut"]["any_of"]) >= 2


def test_the_manifest_knows_the_table_and_what_is_said_of_it(rated, select):
    one = select(rated(beside=json.dumps({"length": {"version": 1}})), "a")
    two = select(rated(beside=json.dumps({"length": {"version": 2}})), "b")
    digests = [made.request["inputs"]["scores"]["mine"] for made in (one, two)]
    assert digests[0] != digests[1] and kept(one) == kept(two)


def doubled(different):
    def change(table):
        last = table.slice(0, 5)
        if different:
            values = pa.array([float(n) - 100 for n in range(5)], pa.float32())
            last = last.set_column(1, "score.length", values)
        return pa.concat_tables([table, last])

    return change


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda t: t.slice(0, 700), "700 rows for 800 documents"),
        (lambda t: t.rename_columns(["key", "score.length", "score.noise", "other"]), "`id`"),
        (lambda t: t.select(["id", "other"]), "score.NAME"),
        (lambda t: t.set_column(0, "id", pa.array([f"x{n}" for n in range(800)])), "other doc"),
        (lambda t: t.set_column(1, "score.length", pa.array(["a"] * 800)), "no numbers"),
        (lambda t: t.set_column(0, "id", pa.array([None] * 800, pa.string())), "no id"),
        (doubled(True), "twice"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(rated, select, change, said):
    with pytest.raises(AssayError, match=said):
        select(rated(change))


def test_a_document_without_a_row_is_not_chosen_by_it(rated, select, corpus):
    whole = pq.read_table(corpus)
    length = np.array([len(text) for text in whole["text"].to_pylist()])
    gone = {whole["id"][int(n)].as_py() for n in np.argsort(length)[::-1][:6]}

    def without(table):
        return table.filter(pa.array([name not in gone for name in table["id"].to_pylist()]))

    made = select(rated(without))
    assert len(kept(made)) == 80 and not kept(made) & gone


def test_rows_that_come_twice_with_the_same_scores_are_one(rated, select):
    assert kept(select(rated(doubled(False)), "a")) == kept(select(rated(), "b"))


def test_what_is_no_table_is_told(rated, select, tmp_path):
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(AssayError, match="Parquet"):
        select(str(tmp_path / "x.parquet"))
    with pytest.raises(AssayError, match="JSON"):
        select(rated(beside="{"))
    with pytest.raises(AssayError, match=r"no column 'quality'"):
        select(rated(beside="{}"), methods="scores/mine/quality")
