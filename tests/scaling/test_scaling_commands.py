"""The commands: JSON on stdout, words for people, files, errors with their codes."""

import json
import re
import tomllib
from importlib.metadata import EntryPoint

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from contract import ROOT

from assay.api.scaling_commands import COMMANDS
from assay.scaling import registry
from assay.scaling.errors import (
    BadFitSetting,
    BadRuns,
    BadValue,
    ConstantColumn,
    MissingRunColumn,
    OutOfReach,
    TooFewRuns,
    UnknownLaw,
)
from assay.scaling.law import coefficients, predict
from assay.scaling.laws.chinchilla import Chinchilla
from assay.selectors.errors import StorageError


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The laws of pyproject.toml, whether this checkout is installed or not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    laws = project["entry-points"][registry.GROUP]
    entries = {name: EntryPoint(name, value, registry.GROUP) for name, value in laws.items()}
    monkeypatch.setattr(registry, "entries", lambda: entries)
    registry.load.cache_clear()


@pytest.fixture
def table(tmp_path):
    """Runs that obey the shipped law to 0.2 %, under names of somebody else's."""
    rng = np.random.default_rng(0)
    x = {"params": np.exp(rng.uniform(17, 22, 60)), "tokens": np.exp(rng.uniform(21, 25, 60))}
    loss = predict(Chinchilla(), coefficients(Chinchilla()), x) * np.exp(2e-3 * rng.normal(size=60))
    path = tmp_path / "runs.csv"
    pl.DataFrame({"Model Size": x["params"], "D": x["tokens"], "loss": loss}).write_csv(path)
    return path


def run(*arguments):
    """stdout of a command; its error is raised here as the program would be handed it."""
    command = next(c for c in COMMANDS if c.name == arguments[0])
    result = CliRunner().invoke(command, [str(a) for a in arguments[1:]])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def document(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout, parse_constant=pytest.fail)


MAP = ("--map", "params=Model Size", "--map", "tokens=D")


def test_laws_lists_every_law_with_sources_and_marks():
    laws = {law["name"]: law for law in document("laws")["laws"]}
    assert laws.keys() == set(registry.names())
    step = laws["steplaw-lr"]
    assert step["published"][0]["coefficients"]["scale"] == 1.79
    assert step["published"][0]["mark"] == "verified" and step["about"]
    assert "fit only" in run("laws").stdout


def test_fit_answers_with_parameters_hold_out_and_warnings(table):
    got = document("fit", "chinchilla", "--runs", table, *MAP, "--bootstrap", 200)
    assert got["law"] == "chinchilla" and got["runs"] == 60
    assert got["parameters"].keys() == {"E", "A", "B", "alpha", "beta"}
    alpha = got["parameters"]["alpha"]
    assert alpha["low"] < alpha["value"] < alpha["high"] and alpha["se"] > 0
    assert alpha["low"] < 0.3473 < alpha["high"]
    assert got["holdout"]["mean_error"] < 0.02 and isinstance(got["warnings"], list)
    assert got == document("fit", "chinchilla", "--runs", table, *MAP, "--bootstrap", 200)


def test_fit_ties_and_fixes(table):
    got = document(
        "fit", "chinchilla", "--runs", table, *MAP, "--bootstrap", 50, "--tie", "beta=alpha"
    )
    assert got["parameters"]["beta"] == got["parameters"]["alpha"]
    got = document("fit", "chinchilla", "--runs", table, *MAP, "--bootstrap", 50, "--fix", "E=1.8")
    assert got["parameters"]["E"]["value"] == pytest.approx(1.8)


def test_fit_weighs_other_forms_on_the_same_runs(table):
    beside = ("--beside", "beta=alpha", "--beside", "E=1.2", "--beside", "gadre")
    found = document("fit", "chinchilla", "--runs", table, *MAP, "--bootstrap", 50, *beside)
    forms = {form["name"]: form for form in found["forms"]}
    assert forms.keys() == {"chinchilla", "beta=alpha", "E=1.2", "gadre"}
    assert sum(form["weight"] for form in forms.values()) == pytest.approx(1)
    scores = [form["aicc"] for form in found["forms"]]
    assert scores == sorted(scores)
    assert forms["E=1.2"]["aicc"] > forms["chinchilla"]["aicc"] + 10  # the truth is 1.82
    assert (forms["chinchilla"]["free"], forms["beta=alpha"]["free"]) == (5, 4)
    said = run("fit", "chinchilla", "--runs", table, *MAP, "--bootstrap", 50, *beside).stdout
    assert "which form the runs support" in said and "sensitivity:" in said


@pytest.mark.parametrize(
    ("form", "word"),
    [
        ("beta=", "NAME=NAME"),
        ("beta=much", "neither a number nor a parameter"),
        ("E=inf", "finite"),
    ],
)
def test_a_form_that_cannot_be_read_says_why(table, form, word):
    assert word in wrong(
        BadFitSetting, 2, "fit", "chinchilla", "--runs", table, *MAP, "--beside", form
    )


def test_fit_steplaw_takes_sequences_and_names(shared):
    path = shared("steplaw", "dense_lr_bs_loss.csv")
    names = ("params=N", "tokens=D", "learning_rate=lr", "batch_tokens=bs", "loss=smooth loss")
    mapped = [word for name in names for word in ("--map", name)]
    got = document("fit", "steplaw", "--runs", path, *mapped, "--scale", "batch_tokens=2048")
    assert got["holdout"]["smooth_mean"] < 0.040 and got["holdout"]["nearest_mean"] <= 0.10
    assert got["runs"] == 1225 and len(got["holdout"]["sweeps"]) == 17
    assert got["formulas"]["learning rate"].startswith("1.2")


def test_recommend_has_the_promised_shape():
    got = document("recommend", "--params", 1e9, "--tokens", 100e9)
    for name in ("learning_rate", "batch_tokens", "weight_decay"):
        assert {"value", "low", "high", "law"} <= got[name].keys()
    assert got["learning_rate"]["value"] == pytest.approx(1.79 * 1e9**-0.713 * 1e11**0.307)
    assert got["laws"] and isinstance(got["warnings"], list)


def test_plan_takes_compute_money_or_hours():
    money = document(
        "plan", "--money", 1e6, "--dollars-per-hour", 2.5, "--gpus", 512, "--activation", 0.05
    )
    assert money["dense"]["cost"]["dollars"] == pytest.approx(1e6, rel=1e-6)
    assert money["dense"]["placement"]["fits"] and money["mixture"]["leverage"] > 3
    hours = document("plan", "--gpu-hours", 4e5, "--gpus", 512)
    assert hours["dense"]["training_compute"] == pytest.approx(money["dense"]["training_compute"])


def test_plan_from_runs_fits_them_first(table):
    got = document("plan", "--compute", 1e21, "--runs", table, *MAP, "--bootstrap", 200)
    assert got["fit"]["runs"] == 60
    assert got["dense"]["params"]["value"] == pytest.approx(2.79e9, rel=0.3)
    assert got["dense"]["params"]["low"] < got["dense"]["params"]["value"]


def test_a_model_that_does_not_fit_is_still_planned():
    got = document("plan", "--compute", 1e25, "--gpus", 1)
    assert not got["dense"]["placement"]["fits"] and "GB" in got["dense"]["placement"]["problem"]


def test_words_for_people_are_the_default(table):
    assert "learning rate" in run("recommend", "--params", 1e9, "--tokens", 1e11).stdout
    assert "95 %" in run("plan", "--compute", 1e21).stdout
    shown = run("fit", "chinchilla", "--runs", table, *MAP, "--bootstrap", 50).stdout
    assert "alpha" in shown and "hold-out" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("laws",),
        ("recommend", "--params", 1e9, "--tokens", 1e11),
        ("plan", "--compute", 1e21, "--activation", 0.05),
        ("plan", "--compute", 1e21, "--inference-tokens", 1e13, "--unique-tokens", 1e9),
    ],
    ids=["laws", "recommend", "plan", "serving"],
)
def test_a_folder_gets_pictures_and_a_page_that_needs_nothing_else(arguments, tmp_path):
    out = tmp_path / "report"
    result = run(*arguments, "--out", out)
    assert "report.html" in result.stderr and "report.html" not in result.stdout
    page = (out / "report.html").read_text()
    assert "<svg" in page and "<title>" in page
    assert not re.search(r"(src|href)=[\"'](?!#)", page)  # nothing is fetched from anywhere
    json.loads((out / "report.json").read_text())
    for name in out.glob("*.png"):
        assert name.read_bytes().startswith(b"\x89PNG")


def test_pictures_of_a_fit(table, tmp_path):
    run("fit", "chinchilla", "--runs", table, *MAP, "--bootstrap", 50, "--out", tmp_path)
    assert {p.name for p in tmp_path.glob("*.svg")} == {"isoflop.svg", "fit.svg"}


def test_matplotlib_and_scipy_wait_until_they_are_needed():
    import subprocess
    import sys

    lazy = "import sys, assay.api.scaling_commands; print('matplotlib' in sys.modules,"
    lazy += " 'scipy' in sys.modules, 'polars' in sys.modules)"
    paths = [p for p in sys.path if p]
    code = f"import sys; sys.path[:0] = {paths!r}; {lazy}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"] * 3


# What can go wrong ----------------------------------------------------------------------


def wrong(error, code, *arguments):
    with pytest.raises(error) as caught:
        run(*arguments)
    assert caught.value.exit_code == code
    return str(caught.value)


def test_an_unknown_law_is_a_usage_error_with_a_suggestion(table):
    assert "chinchilla" in wrong(UnknownLaw, 2, "fit", "chinchila", "--runs", table)


def test_an_unknown_column_names_those_that_are_there(table):
    said = wrong(MissingRunColumn, 3, "fit", "chinchilla", "--runs", table, "--map", "params=Size")
    assert "Size" in said and "Model Size" in said


def test_a_missing_file_and_too_few_runs_and_constant_columns(table, tmp_path):
    wrong(BadRuns, 3, "fit", "chinchilla", "--runs", tmp_path / "none.csv")
    frame = pl.read_csv(table)
    frame.head(5).write_csv(tmp_path / "few.csv")
    wrong(TooFewRuns, 3, "fit", "chinchilla", "--runs", tmp_path / "few.csv", *MAP)
    frame.with_columns(pl.lit(1e9).alias("D")).write_csv(tmp_path / "flat.csv")
    said = wrong(ConstantColumn, 3, "fit", "chinchilla", "--runs", tmp_path / "flat.csv", *MAP)
    assert "tokens" in said


def test_a_bad_cell_is_named_by_row_and_column(table, tmp_path):
    frame = pl.read_csv(table)
    loss = frame["loss"].to_list()
    loss[6] = -1.0
    frame.with_columns(pl.Series("loss", loss)).write_csv(tmp_path / "bad.csv")
    said = wrong(BadValue, 3, "fit", "chinchilla", "--runs", tmp_path / "bad.csv", *MAP)
    assert "row 7" in said and "loss" in said


@pytest.mark.parametrize(
    ("error", "arguments", "word"),
    [
        (OutOfReach, ("plan",), "--compute"),
        (OutOfReach, ("plan", "--compute", 1e21, "--money", 5), "one budget"),
        (OutOfReach, ("plan", "--money", 5), "--dollars-per-hour"),
        (OutOfReach, ("plan", "--compute", -1), "buys nothing"),
        (OutOfReach, ("plan", "--compute", 1e21, "--unique-tokens", 1), "such as 5e10"),
        (BadFitSetting, ("plan", "--compute", 1e21, "--beside", "E=1"), "--beside is for runs"),
        (
            BadFitSetting,
            ("plan", "--compute", 1e21, "--runs", "x.csv", "--published", "epoch240"),
            "give one",
        ),
        (OutOfReach, ("plan", "--compute", 1e21, "--hardware", "abacus"), "H100"),
        (UnknownLaw, ("plan", "--compute", 1e21, "--published", "nobody"), "epoch240"),
        (OutOfReach, ("recommend", "--params", -5, "--tokens", 1e9), "params"),
        (BadFitSetting, ("fit", "chinchilla", "--runs", "x.csv", "--map", "params"), "NAME=VALUE"),
        (BadFitSetting, ("fit", "chinchilla", "--runs", "x.csv", "--map", "parms=N"), "params"),
        (BadFitSetting, ("plan", "--compute", 1e21, "--map", "params=N"), "--runs"),
        (BadFitSetting, ("plan", "--compute", 1e21, "--granularity", 8), "--activation"),
        (OutOfReach, ("recommend", "--params", 1e9, "--tokens", 1e9, "--loss", 1e-300), "loss"),
        (OutOfReach, ("recommend", "--params", 1e9, "--tokens", 1e9, "--experts", 8), "active"),
    ],
)
def test_requests_that_cannot_be_carried_out_say_why(error, arguments, word):
    assert word in wrong(error, 2, *arguments)


@pytest.mark.parametrize("option", ["--seed", "--top-losses"])
def test_negative_counts_are_usage_errors(table, option):
    assert run("fit", "chinchilla", "--runs", table, *MAP, option, -1).exit_code == 2


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    arguments = ("--params", 1e9, "--tokens", 1e11, "--out", tmp_path / "file" / "x")
    assert "--out" in wrong(StorageError, 5, "recommend", *arguments)
