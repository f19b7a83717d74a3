"""Tables of runs: what is read from which file, and what is said about a bad one."""

import gzip
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from assay.scaling.errors import (
    BadRuns,
    BadValue,
    ConstantColumn,
    MissingRunColumn,
    MixedConventions,
    TooFewRuns,
)
from assay.scaling.fit import FitSpec, fit, prepared
from assay.scaling.laws.chinchilla import Chinchilla
from assay.scaling.observations import Conventions, Observations, together
from assay.scaling.reading import bundled, from_table, read

ROWS = [
    {"params": 1e8, "tokens": 2e9, "loss": 3.9},
    {"params": 1e9, "tokens": 2e10, "loss": 2.9},
    {"params": 1e10, "tokens": 2e11, "loss": 2.2},
]


def same(runs):
    assert runs["params"].tolist() == [1e8, 1e9, 1e10]
    assert runs["loss"].tolist() == [3.9, 2.9, 2.2]
    assert runs["compute"] == pytest.approx([1.2e18, 1.2e20, 1.2e22])
    return runs


# What can be read ---------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet", ".jsonl", ".jsonl.gz", ".json"])
def test_every_kind_of_file_gives_the_same_runs(tmp_path, ending):
    path, frame = tmp_path / f"runs{ending}", pl.DataFrame(ROWS)
    lines = "\n".join(map(json.dumps, ROWS))
    if ending == ".parquet":
        frame.write_parquet(path)
    else:
        text = {".csv": frame.write_csv(), ".jso": json.dumps(ROWS)}.get(ending[:4], "")
        text = lines if ending.startswith(".jsonl") else text
        path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    assert same(read(path)).source == path.name


def test_columns_are_mapped_to_our_words_and_tokens_derived_from_compute():
    frame = pl.DataFrame({"Model Size": [1e8, 1e9], "Training FLOP": [6e18, 6e20], "y": [3.0, 2.5]})
    mapping = {"params": "Model Size", "compute": "Training FLOP", "loss": "y"}
    runs = from_table(frame, mapping)
    assert runs["tokens"] == pytest.approx([1e10, 1e11])
    assert runs.notes == ("tokens = compute / (6 params)",)
    assert runs.conventions.tokens == "compute/(6 params)"


def test_scaling_comes_before_what_is_derived():
    frame = pl.DataFrame({"params": [0.1, 1.0], "compute": [6e18, 6e20], "loss": [3.0, 2.5]})
    runs = from_table(frame, scale={"params": 1e9})
    assert runs["params"] == pytest.approx([1e8, 1e9])
    assert runs["tokens"] == pytest.approx([1e10, 1e11])


def test_a_column_of_loss_units_must_not_mix():
    frame = pl.DataFrame({"loss": [3.0, 1.1], "loss_unit": ["nats/token", "bits/byte"]})
    with pytest.raises(MixedConventions, match="row 2"):
        from_table(frame)


def test_whole_numbers_are_multiplied_without_overflow():
    frame = pl.DataFrame({"params": [7 * 10**9], "tokens": [15 * 10**12], "loss": [2.0]})
    assert from_table(frame)["compute"][0] == pytest.approx(6.3e23)


def test_an_mlflow_table_is_read_behind_its_prefixes():
    frame = pl.DataFrame(
        {
            "run_id": ["a", "b", "c", "d"],
            "status": ["FINISHED", "FINISHED", "FINISHED", "FAILED"],
            "metrics.loss": [3.9, 2.9, 2.2, None],
            "params.params": ["100M", "1B", "10B", "1B"],  # MLflow keeps parameters as text
            "params.tokens": ["2B", "20B", "200B", "20B"],
        }
    )
    runs = same(from_table(frame))
    assert runs.label(1) == "row 2 (b)"
    assert runs.notes[0] == "1 runs that did not finish were left out"


def test_mlflows_search_answer_is_read(tmp_path):
    def pairs(row):
        return [{"key": key, "value": value} for key, value in row.items()]

    answer = {
        "runs": [
            {
                "info": {"run_id": str(i), "status": "FINISHED"},
                "data": {
                    "metrics": pairs({"loss": row["loss"]}),
                    "params": pairs({"params": str(row["params"]), "tokens": str(row["tokens"])}),
                },
            }
            for i, row in enumerate(ROWS)
        ]
    }
    path = tmp_path / "search.json"
    path.write_text(json.dumps(answer))
    same(read(path))


def test_a_weights_and_biases_export_is_read_with_its_dicts_in_cells(tmp_path):
    path = tmp_path / "project.csv"
    pl.DataFrame(
        {
            "summary": [str({"loss": row["loss"], "_step": 9}) for row in ROWS],  # Python's quotes
            "config": [json.dumps({k: row[k] for k in ("params", "tokens")}) for row in ROWS],
            "name": ["calm-sun-1", "bold-sea-2", "warm-oak-3"],
        }
    ).write_csv(path)
    assert same(read(path)).label(0) == "row 1 (calm-sun-1)"


def test_the_tables_that_come_with_the_package_are_whole():
    assert len(read(bundled("muennighoff2023"))) == 182
    assert len(read(bundled("clark2022"))) > 200
    with pytest.raises(BadRuns, match="clark2022, muennighoff2023"):
        bundled("hoffmann2022")


# Conventions are data -----------------------------------------------------------------------


def test_a_file_states_its_own_conventions():
    frame = pl.DataFrame(ROWS).with_columns(
        counted=pl.lit("non-embedding"), unit=pl.lit("nats/token"), tokenizer=pl.lit("gpt2")
    )
    known = from_table(frame).conventions
    assert (known.params, known.loss, known.tokenizer) == ("non-embedding", "nats/token", "gpt2")
    with pytest.raises(MixedConventions, match="params: non-embedding against total"):
        from_table(frame, conventions=Conventions(params="total"))


@pytest.mark.parametrize("column", ["counted", "unit", "tokenizer"])
def test_mixed_conventions_in_one_file_are_refused_by_row(column):
    frame = pl.DataFrame(ROWS).with_columns(pl.Series(column, ["a", "a", "b"]))
    with pytest.raises(MixedConventions, match=f"'{column}': row 1 says 'a', row 3 says 'b'"):
        from_table(frame)


@pytest.mark.parametrize(("column", "said"), [("counted", "non-embeding"), ("unit", "nats")])
def test_a_convention_that_nobody_knows_is_refused(column, said):
    frame = pl.DataFrame(ROWS).with_columns(pl.lit(said).alias(column))
    with pytest.raises(BadRuns, match=f"'{said}' is no known way .* did you mean|known are"):
        from_table(frame)
    with pytest.raises(BadRuns, match="'totl' is no known way"):
        from_table(pl.DataFrame(ROWS), conventions=Conventions(params="totl"))


def test_compute_that_contradicts_the_run_is_noted():
    frame = pl.DataFrame(ROWS).with_columns(compute=pl.Series([1.2e18, 1.2e20, 1.2e19]))
    note = from_table(frame).notes[-1]
    assert "1 of 3 runs" in note and "row 3" in note and "0.001 times" in note
    near = pl.DataFrame(ROWS).with_columns(compute=pl.Series([1.4e18, 1.1e20, 1.2e22]))
    assert not from_table(near).notes


def test_tables_counted_differently_are_not_put_together():
    columns = {name: np.array([row[name] for row in ROWS]) for name in ROWS[0]}
    bits = Observations(columns, Conventions(loss="bits/byte"), "one.csv")
    nats = Observations(columns, Conventions(loss="nats/token"), "two.csv")
    with pytest.raises(MixedConventions, match=r"one\.csv and two\.csv differ in loss"):
        together(bits, nats)
    both = together(bits, Observations(columns, source="three.csv"))
    assert len(both) == 6
    assert both.label(4) == "three.csv row 2"


def test_mixed_units_in_one_column_are_refused_by_row():
    frame = pl.DataFrame({"params": ["100M", "1B", "1000"], "tokens": [1e9] * 3, "loss": [3.0] * 3})
    with pytest.raises(MixedConventions, match="row 1 says '100M' with a unit and row 3"):
        from_table(frame)


def test_sizes_in_millions_without_a_unit_are_noticed():
    with pytest.raises(BadValue, match=r"row 2, column 'params': 124 is not .* above 500"):
        fit(Chinchilla(), observations(params=[1e8, 124.0] * 5))


# Bad input ----------------------------------------------------------------------------------


def observations(runs=10, **replaced):
    rng = np.random.default_rng(0)
    columns = {
        "params": 10 ** rng.uniform(8, 10, runs),
        "tokens": 10 ** rng.uniform(9, 11, runs),
        "loss": rng.uniform(2, 4, runs),
    }
    return Observations({**columns, **{k: np.array(v, float) for k, v in replaced.items()}})


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("loss", np.nan, "row 4, column 'loss': nan is not a finite number above 0"),
        ("loss", -1.0, "row 4, column 'loss': -1 is not"),
        ("tokens", np.inf, "row 4, column 'tokens': inf is not"),
        ("params", 0.0, "row 4, column 'params': 0 is not"),
    ],
)
def test_a_bad_value_is_named_with_row_column_and_range(column, value, said):
    runs = observations()
    runs.columns[column][3] = value
    with pytest.raises(BadValue, match=said):
        fit(Chinchilla(), runs)


def test_what_a_law_predicts_must_have_a_logarithm():
    law = replace(Chinchilla(), predicts="excess")
    with pytest.raises(BadValue, match="row 1, column 'excess': 0 is not a finite number above 0"):
        fit(law, observations(excess=[0.0] * 10))


def test_several_bad_rows_are_counted():
    with pytest.raises(BadValue, match=r"\(10 such rows\)"):
        fit(Chinchilla(), observations(loss=[-1.0] * 10))


def test_fewer_runs_than_parameters_are_refused_with_both_numbers():
    with pytest.raises(TooFewRuns, match="5 runs; a law with 5 parameters needs more than 5"):
        fit(Chinchilla(), observations(5))
    assert len(prepared(Chinchilla(), observations(5), FitSpec(fixed={"E": 1.8}))) == 5


def test_a_constant_column_is_refused_by_name():
    with pytest.raises(ConstantColumn, match="'tokens' is 2e\\+10 in every run"):
        fit(Chinchilla(), observations(tokens=[2e10] * 10))


def test_a_missing_column_is_answered_with_the_ones_there_are():
    runs = Observations({"N": np.ones(9), "loss": np.ones(9)})
    with pytest.raises(
        MissingRunColumn, match=r"no column 'params'; it has N, loss.*--map params="
    ):
        fit(Chinchilla(), runs)


def test_a_wrong_mapping_is_answered_with_the_nearest_name():
    with pytest.raises(MissingRunColumn, match=r"'Modle Size'.*did you mean 'Model Size'"):
        from_table(pl.DataFrame({"Model Size": [1.0]}), {"params": "Modle Size"})


def test_two_columns_for_one_word_are_refused():
    frame = pl.DataFrame({"config.params": [1e9], "summary.params": [1e9]})
    with pytest.raises(BadRuns, match=r"params could be config\.params or summary\.params"):
        from_table(frame)


@pytest.mark.parametrize(
    ("cell", "said"), [("many", "'many' is not a finite number"), ("", "empty"), ("nan", "'nan'")]
)
def test_text_that_is_no_number_is_named_by_row_and_column(cell, said):
    frame = pl.DataFrame({"params": ["1e9", cell], "tokens": [1.0, 1.0], "loss": [3.0, 3.0]})
    with pytest.raises(BadValue, match=f"row 2, column 'params'.*{said}"):
        from_table(frame)


def test_an_empty_cell_is_named_by_row_and_column():
    with pytest.raises(BadValue, match="row 2, column 'loss': the cell is empty"):
        from_table(pl.DataFrame({"loss": [3.0, None]}))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, "no such file"),
        ("runs.xls", b"", r"\.csv, \.tsv, \.parquet"),
        ("runs.parquet", b"PAR0", "cannot be read"),
        ("runs.jsonl", b"{", "cannot be read"),
        ("runs.jsonl", b"", "holds no runs"),
        ("runs.json", b'{"a": 1}', "expected a list of runs"),
        ("runs.csv", b"loss,params,loss\n1,2,3\n", "several columns are called 'loss'"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadRuns, match=said) as raised:
        read(tmp_path / name)
    assert name in str(raised.value)
    assert raised.value.exit_code == 3
