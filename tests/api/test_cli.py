"""The program as a person meets it: words, exit codes, stdout for data only."""

import json
import os
import signal
import stat
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.api import cli
from assay.api.display import duration, size, table


@pytest.fixture
def run(capsys):
    def running(*words):
        code = cli.run([str(word) for word in words])
        found = capsys.readouterr()
        return code, found.out, found.err

    return running


@pytest.fixture
def done(run, corpus, target, tmp_path):
    out = tmp_path / "run"
    words = ["--raw", *sorted(corpus.glob("*.parquet")), "--target", target, "--budget", "20%"]
    code, _, err = run("select", "dsir", *words, "--out", out, "--group-by", "topic")
    assert code == 0, err
    return out


def test_select_says_what_it_kept_and_where(run, corpus, target, tmp_path):
    out = tmp_path / "o"
    code, said, told = run(
        "select", "dsir", "--raw", corpus, "--target", target, "--budget", "160docs", "--out", out
    )
    assert code == 0
    assert "kept 160 of 800 documents" in said
    assert str(out / "manifest.json") in said
    assert "warning" not in told


def test_json_is_one_document_on_stdout(run, corpus, tmp_path):
    words = ["--raw", corpus, "--budget", "10%", "--out", tmp_path / "o", "--json"]
    code, said, _ = run("select", "uniform", *words)
    assert code == 0
    assert json.loads(said) == json.loads((tmp_path / "o" / "manifest.json").read_text())


def test_several_values_may_follow_an_option(done):
    content = json.loads((done / "manifest.json").read_text())
    assert len(content["request"]["inputs"]["raw"]) == 4


def test_a_spec_file_and_flags_over_it(run, corpus, target, tmp_path, monkeypatch):
    yaml, toml = tmp_path / "spec.yaml", tmp_path / "spec.toml"
    yaml.write_text(
        f"method: dsir\nraw: {corpus}\ntarget: {{sums: {target}}}\nbudget: 5%\nseed: 3\n"
        f"settings: {{orders: 1}}\nout: {tmp_path}/a\n"
    )
    toml.write_text(
        f'method = "dsir"\nraw = ["{corpus}"]\nbudget = "5%"\nseed = 3\nout = "{tmp_path}/b"\n'
        f'[target]\nsums = "{target}"\n[settings]\norders = 1\n'
    )
    assert run("select", "-c", yaml)[0] == 0
    assert run("select", "-c", toml)[0] == 0
    digests = [json.loads((tmp_path / n / "manifest.json").read_text())["digest"] for n in "ab"]
    assert digests[0] == digests[1]
    monkeypatch.setenv("ASSAY_SEED", "4")
    monkeypatch.setenv("ASSAY_WORKERS", "1")
    code, said, _ = run(
        "select", "-c", yaml, "--out", tmp_path / "c", "--set", "orders=2", "--json"
    )
    request = json.loads(said)["request"]
    assert (code, request["seed"], request["settings"]["orders"]) == (0, 4, 2)
    code, said, _ = run("select", "-c", yaml, "--out", tmp_path / "d", "--seed", "5", "--json")
    assert json.loads(said)["request"]["seed"] == 5


@pytest.mark.parametrize(
    "change, code, words",
    [
        (["dsri"], 2, "did you mean 'dsir'"),
        (["--set", "order=3"], 2, "did you mean 'orders'"),
        (["--set", "orders=many"], 2, "orders"),
        (["--set", "orders"], 2, "--set name=value"),
        (["--budget", "7"], 2, "no unit"),
        (["--budget", "0docs"], 2, "buys nothing"),
        (["--budget", "120%"], 2, "100% or less"),
        (["--budget", "5parsecs"], 2, "'parsecs'"),
        (["--text-column", "content"], 3, "no column 'content'"),
        (["--id-column", "uuid"], 3, "uuid"),
        (["--group-by", "domain"], 3, "domain"),
        (["--raw", "/nowhere/at/all"], 3, "/nowhere/at/all"),
        (["--raw", "ftp://host/x"], 2, "ftp"),
        (["--engine", "steam"], 2, "steam"),
        (["--workers", "0"], 2, "workers"),
    ],
)
def test_a_wrong_request_ends_with_its_code_and_one_clear_message(
    run, corpus, target, tmp_path, change, code, words
):
    line = {"--raw": corpus, "--target": target, "--budget": "10%", "--out": tmp_path / "o"}
    method = "dsir"
    extra = []
    if len(change) == 1:
        method = change[0]
    elif change[0] in line:
        line[change[0]] = change[1]
    else:
        extra = change
    found, said, told = run("select", method, *[w for pair in line.items() for w in pair], *extra)
    assert found == code
    assert words in told
    assert said == ""
    assert "Traceback" not in told
    assert not (tmp_path / "o" / "manifest.json").exists()


def test_a_method_that_needs_a_target_asks_for_it(run, corpus, target, tmp_path):
    words = ["--raw", corpus, "--budget", "10%", "--out", tmp_path / "o"]
    code, _, told = run("select", "dsir", *words)
    assert code == 2 and "--target" in told
    assert run("select", "dsir", *words, "--target", target)[0] == 0  # the folder is not spoilt


def test_an_environment_variable_that_means_nothing_is_an_error(run, corpus, monkeypatch):
    monkeypatch.setenv("ASSAY_WORKER", "3")
    code, _, told = run("select", "uniform", "--raw", corpus, "--budget", "1%", "--out", "x")
    assert code == 2 and "ASSAY_WORKERS" in told


def test_a_folder_that_may_not_be_written_is_a_storage_error(run, corpus, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    words = ["--raw", corpus, "--budget", "10%", "--out", locked / "o"]
    if os.geteuid() == 0:  # root may write anywhere but here
        words[-1] = "/proc/assay/o"
    code, _, told = run("select", "uniform", *words)
    assert code == 5 and "o" in told


def test_a_folder_with_another_selection_asks_for_fresh(run, done, corpus, target):
    words = ["--raw", corpus, "--target", target, "--budget", "21%", "--out", done]
    code, _, told = run("select", "dsir", *words)
    assert code == 2 and "--fresh" in told
    assert run("select", "dsir", *words, "--fresh")[0] == 0


def test_verify_tells_a_changed_part(run, done):
    assert run("verify", done)[0] == 0
    assert run("verify", done, "--inputs")[0] == 0
    part = done / "part-00000.parquet"
    part.write_bytes(part.read_bytes() + b"x")
    code, _, told = run("verify", done / "manifest.json")
    assert code == 6 and "part-00000.parquet" in told


def test_replay_comes_out_the_same(run, done, tmp_path):
    code, said, _ = run("replay", done, "--json")
    assert code == 0 and json.loads(said)["same"]
    assert run("replay", done, "--out", tmp_path / "again")[0] == 0
    assert run("diff", done, tmp_path / "again")[1].startswith("the two selections are the same")


def test_what_if_needs_no_text(run, done, corpus, tmp_path):
    away = tmp_path / "away"
    os.rename(corpus, away)
    try:
        code, said, _ = run("what-if", done, "--budget", "5%,160docs", "10%", "--json")
    finally:
        os.rename(away, corpus)
    answers = json.loads(said)["budgets"]
    assert code == 0
    assert [answer["kept"]["documents"] for answer in answers] == [40, 160, 80]
    assert answers[0]["sources"]["sums"]["documents"] == 40


def test_explain_tells_kept_from_dropped(run, done):
    kept = pq.read_table(done / "part-00000.parquet")["assay_id"][0].as_py()
    code, said, _ = run("explain", done, kept, "--json")
    told = json.loads(said)
    assert code == 0 and told["kept"] and told["because"]["ngrams"]
    assert told["score"] >= told["lowest_kept"]
    code, said, _ = run("explain", done, "doc-00001")
    assert code == 0 and "dropped" in said
    assert run("explain", done, "nobody")[0] == 2


def test_diff_names_what_was_asked_differently_and_why_documents_differ(
    run, done, corpus, target, tmp_path
):
    words = ["--raw", corpus, "--target", target, "--out", tmp_path / "b"]
    run("select", "dsir", *words, "--budget", "10%", "--group-by", "topic")
    code, said, _ = run("diff", done, tmp_path / "b", "--json")
    found = json.loads(said)
    assert code == 0 and found["asked"] == ["budget: '20%' in A, '10%' in B"]
    assert (found["both"], found["only_a"]["documents"], found["only_b"]["documents"]) == (
        80,
        80,
        0,
    )
    assert found["only_a"]["because"]["below the other's cut"] == 80
    assert "below the other's cut" in run("diff", done, tmp_path / "b")[1]


def test_methods_and_doctor_show_what_is_there(run):
    assert "smoothing" in run("methods", "dsir")[1]
    shown = json.loads(run("methods", "--json")[1])
    assert {"dsir", "uniform"} <= {method["name"] for method in shown}
    code, said, _ = run("doctor")
    assert code == 0 and "BAD" not in said
    assert run("doctor", "/nowhere/at/all")[0] == 1


def test_a_dry_run_writes_nothing(run, corpus, target, tmp_path):
    words = ["--raw", corpus, "--target", target, "--budget", "10%", "--out", tmp_path / "o"]
    code, said, _ = run("select", "dsir", *words, "--dry-run")
    assert code == 0 and "800 rows" in said and "nothing was written" in said
    assert not (tmp_path / "o").exists()


def test_every_help_text_opens(run):
    for command in ("", *cli.COMMANDS):
        code, said, _ = run(*command.split(), "--help")
        assert code == 0 and "Usage" in said


def test_the_program_starts_without_what_only_some_commands_need():
    check = "import sys; from assay.api import select_command; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    for heavy in ("polars", "rich", "torch", "ray", "matplotlib", "scipy"):
        assert f"'{heavy}'" not in done.stdout


def test_select_is_a_program_of_its_own(corpus, tmp_path):
    program = os.path.join(os.path.dirname(sys.executable), "select")
    words = [program, "uniform", "--raw", corpus, "--budget", "10%", "--out", tmp_path / "o"]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0


SLOW = """
import sys, time
from assay.selectors import scoring, shards
shards.UNIT_BYTES = 3000
scored = scoring.scored
def slowly(*words):
    time.sleep(0.05)
    return scored(*words)
scoring.scored = slowly
from assay.api import cli
cli.main(sys.argv[1:])
"""


def test_ctrl_c_saves_and_says_how_to_go_on(corpus, target, tmp_path):
    out = tmp_path / "o"
    words = ["select", "dsir", "--raw", corpus, "--target", target, "--budget", "10%"]
    command = [sys.executable, "-c", SLOW, *map(str, words), "--out", str(out), "--workers", "2"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if (out / "scores").is_dir() and any((out / "scores").glob("*.parquet")):
            break
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "To go on:" in told and "Traceback" not in told
    assert not (out / "manifest.json").exists()
    before = set((out / "scores").glob("*.parquet"))
    assert before
    assert cli.run([*map(str, words), "--out", str(out)]) == 0


def test_numbers_are_written_for_people():
    assert [size(n) for n in (0, 999, 1000, 4_930_000, 2e12)] == [
        "0 B", "999 B", "1 kB", "4.93 MB", "2 TB",
    ]  # fmt: skip
    assert [duration(s) for s in (0.23, 42, 200, 3720)] == [
        "0.2 s", "42 s", "3 min 20 s", "1 h 02 min",
    ]  # fmt: skip
    assert table([["a", "b"], ["long", "1"]], right=(1,)).splitlines()[2] == "long  1"


def test_text_that_is_not_unicode_does_not_stop_the_terminal(run, tmp_path):
    pq.write_table(pa.table({"text": [b"\xff\xfe", b"fine"]}), tmp_path / "a.parquet")
    code, said, _ = run(
        "select", "uniform", "--raw", tmp_path / "a.parquet", "--budget", "1docs", "--out",
        tmp_path / "o",
    )  # fmt: skip
    assert code == 0 and "quarantine" in said


def test_explain_names_the_rule_that_fired(run, corpus, tmp_path):
    words = ["--raw", corpus, "--budget", "50%", "--out", tmp_path / "o"]
    assert run("select", "quality", *words)[0] == 0
    code, said, _ = run("explain", tmp_path / "o", "doc-00000")  # five words
    assert code == 0 and "gopher.min_words" in said and "at least 50" in said


def test_explain_names_who_stays_of_a_cluster(run, tmp_path):
    texts = [f"a text of words that stand here twice, {number}" for number in (1, 1, 2)]
    raw = pa.table({"id": ["one", "two", "three"], "text": texts})
    pq.write_table(raw, tmp_path / "a.parquet")
    words = [
        "--raw",
        tmp_path / "a.parquet",
        "--budget",
        "100%",
        "--out",
        tmp_path / "o",
        "--set",
        "near=false",
    ]
    assert run("select", "dedup", *words)[0] == 0
    kept = pq.read_table(tmp_path / "o" / "part-00000.parquet")["assay_id"].to_pylist()
    stays, gone = sorted(["one", "two"], key=lambda name: name not in kept)
    code, said, _ = run("explain", tmp_path / "o", gone)
    assert code == 0 and f"of a cluster of 2 documents, '{stays}' stays: the same text" in said
    assert "it stays" in run("explain", tmp_path / "o", stays)[1]
    assert "no other document" in run("explain", tmp_path / "o", "three")[1]
