"""Requests that nobody means: what they name is left alone, and one message tells of it."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.api.cli import run
from assay.selectors import budget

ROWS = {"id": [str(n) for n in range(20)], "text": [f"word{n} and more" for n in range(20)]}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "raw" / "part-00000.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table(ROWS), path)
    return path


def uniform(raw: Path, out: Path, *more: str) -> int:
    asked = ["--raw", str(raw), "--out", str(out), "--budget", "10%", "--workers", "1"]
    return run(["select", "uniform", *asked, *more])


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
def test_a_corpus_is_never_written_over(
    corpus: Path, fresh: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    before = corpus.read_bytes()
    assert uniform(corpus.parent, corpus.parent, *fresh) == 2
    assert corpus.read_bytes() == before
    assert "lies in the output folder" in capsys.readouterr().err


def test_parts_of_someone_else_are_never_written_over(corpus: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "out" / "part-00000.parquet"
    theirs.parent.mkdir()
    theirs.write_bytes(b"theirs")
    assert uniform(corpus, theirs.parent) == 2
    assert theirs.read_bytes() == b"theirs"


def test_fresh_deletes_nothing_for_a_request_that_cannot_be_met(
    corpus: Path, tmp_path: Path
) -> None:
    assert uniform(corpus, tmp_path / "out") == 0
    assert uniform(tmp_path / "missing", tmp_path / "out", "--fresh") == 3
    assert (tmp_path / "out" / "manifest.json").exists()
    assert uniform(corpus, tmp_path / "out", "--fresh", "--seed", "7") == 0


@pytest.mark.parametrize(
    "fields",
    ["settings: [1]", "settings: abc", "raw: 5", "target: 5", "target: [5]", "{1: 2}"],
)
def test_a_spec_with_values_of_another_kind_is_refused(
    fields: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spec.yaml").write_text(fields)
    out = ["--out", str(tmp_path / "out"), "--budget", "1%"]
    assert run(["select", "uniform", "-c", str(tmp_path / "spec.yaml"), *out]) in (2, 3)
    assert "bug" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["temperature=.inf"], ["proportions.target=.nan"], ["orders=1", "orders.x=2"]],
)
def test_settings_that_are_no_numbers_are_refused(
    words: list[str], corpus: Path, tmp_path: Path
) -> None:
    sets = [part for word in words for part in ("--set", word)]
    asked = ["--raw", str(corpus), "--target", str(corpus), "--out", str(tmp_path / "out")]
    assert run(["select", "dsir", *asked, "--budget", "10%", *sets]) == 2


@pytest.mark.parametrize(
    "text", ["7%", "12.34567891%", "33.3333333333333%tokens", "0.0025MiB", "1.23456789123GB"]
)
def test_a_recorded_budget_buys_what_the_given_one_did(text: str) -> None:
    asked = budget.parse(text)
    assert budget.parse(str(asked)).limit(10**12) == asked.limit(10**12)


def test_budgets_that_differ_are_recorded_apart(corpus: Path, tmp_path: Path) -> None:
    assert str(budget.parse("12.34567%")) != str(budget.parse("12.3457%"))
    assert uniform(corpus, tmp_path / "out", "--budget", "1e400docs") == 2


@pytest.mark.parametrize("closed", ["", " >&-"])
def test_any_output_will_do(closed: str) -> None:
    told = f"PYTHONIOENCODING=ascii {sys.executable} -m assay.api methods{closed}"
    assert subprocess.run(["sh", "-c", told], capture_output=True).returncode == 0


def test_an_output_below_the_corpus_is_refused(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert uniform(corpus.parent, corpus.parent / "subset") == 2
    assert "outside of it" in capsys.readouterr().err
    assert not (corpus.parent / "subset").exists()
