"""The loop closed on made-up text: a good subset, a bad one, and one that is no different."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch", reason="trainings need the extra 'proxy'")

from assay.api import cli
from assay.scaling.proxy import needs, results, words
from assay.scaling.proxy.validate import apart
from assay.scaling.reading import read
from assay.scaling.registry import find
from assay.selectors import manifest, storage
from assay.selectors.selection import select
from assay.selectors.spec import Spec

ROOT = Path(__file__).parents[2]
QUICK = ["--sizes", "100K", "--tokens", "8000", "--sequence", "64", "--batch", "4"]
QUICK += ["--threads", "1", "--device", "cpu", "--target-bytes", "10000"]


@pytest.fixture(scope="module")
def made(tmp_path_factory, rows_of, shards_of):
    """A corpus of four topics, held-out text of one, and selections: good, and of a wrong topic."""
    folder = tmp_path_factory.mktemp("loop")
    raw = shards_of(folder / "raw", rows_of(2400), shards=2, group=200)
    for topic in ("sums", "law"):
        texts = [row for row in rows_of(3200)[2400:] if row["topic"] == topic]
        half = len(texts) // 2
        for name, some in (("train", texts[:half]), ("test", texts[half:])):
            shards_of(folder / f"{topic}-{name}", some, shards=1, group=100)
    for topic in ("sums", "law"):
        target = (str(folder / f"{topic}-train"),)
        spec = Spec("dsir", (str(raw),), "300docs", str(folder / f"of-{topic}"), {"t": target})
        select(spec)
    return folder


def validated(made, out, subset, *words):
    asked = ["validate", "--subset", made / subset, "--raw", made / "raw", "--out", out]
    asked += ["--target", made / "sums-test", *QUICK, *words]
    return cli.run([str(word) for word in asked])


def verdicts(out):
    document = json.loads((out / "report.json").read_text())
    return {one["control"]: one for one in document["comparisons"]}


def test_a_good_subset_wins_and_what_is_matched_to_it_comes_close(made, tmp_path):
    out = tmp_path / "good"
    assert validated(made, out, "of-sums", "--arms", "uniform,cost,matched",
                     "--group-by", "topic") == 0  # fmt: skip
    found = verdicts(out)
    assert found["uniform"]["verdict"] == "better"
    assert found["uniform"]["gain"]["t"]["low"] > 0
    assert found["uniform"]["effective_data"]["value"] > 1
    # Matched by topic and length, a sample is as good as the selection.
    assert found["matched"]["gain"]["mean"] < 0.5 * found["uniform"]["gain"]["mean"]
    arms = {row["arm"]: row for row in json.loads((out / "report.json").read_text())["arms"]}
    assert arms["cost"]["tokens"] > arms["uniform"]["tokens"] == arms["subset"]["tokens"]
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 2 and "the subset is better than uniform" in page


def test_other_selections_are_arms_beside(made, tmp_path, capsys):
    out = tmp_path / "beside"
    words = ("--arms", "uniform", "--seeds", "2", "--beside", f"law={made / 'of-law'}")
    assert validated(made, out, "of-sums", *words) == 0
    found = verdicts(out)
    assert found.keys() == {"uniform", "law"}
    assert found["law"]["gain"]["mean"] > found["uniform"]["gain"]["mean"] > 0
    names = {path.stem for path in (out / "trainings").glob("law-*.json")}
    assert names == {"law-100K-s0", "law-100K-s1"}
    assert validated(made, out, "of-sums", *words[:-1], f"law={made / 'of-sums'}") == 2
    assert "another study" in capsys.readouterr().err
    for wrong in ("uniform=x", "A b=x", "law"):
        assert validated(made, tmp_path / "no", "of-sums", "--beside", wrong) == 2
        assert "--beside" in capsys.readouterr().err


def test_a_subset_of_the_wrong_topic_is_reported_worse(made, tmp_path):
    out = tmp_path / "bad"
    assert validated(made, out, "of-law", "--arms", "uniform") == 0
    assert verdicts(out)["uniform"]["verdict"] == "worse"


def test_a_uniform_sample_is_no_different_from_another(made, tmp_path):
    spec = Spec("uniform", (str(made / "raw"),), "300docs", str(tmp_path / "any"), seed=5)
    select(spec)
    assert validated(made, tmp_path / "out", tmp_path / "any", "--arms", "uniform,uniform-2") == 0
    assert {one["verdict"] for one in verdicts(tmp_path / "out").values()} == {"no difference"}


def test_a_finished_study_trains_nothing_again_and_its_rows_are_runs(made, tmp_path, capsys):
    out = tmp_path / "twice"
    questions = [
        {"prompt": "The total of the apples", "choices": ["equals seven", "statute"], "answer": 0}
    ]
    asked = tmp_path / "questions.jsonl"
    asked.write_text("\n".join(json.dumps(one) for one in questions))
    words = ("--arms", "uniform,full", "--seeds", "2", "--choices", asked, "--json")
    assert validated(made, out, "of-sums", *words) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["comparisons"][0]["choices"]["gain"] > 0
    assert 0 < first["arms"][0]["correct_prob"] < 1
    stamps = {path: path.stat().st_mtime_ns for path in (out / "trainings").iterdir()}
    assert validated(made, out, "of-sums", *words) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert {path: path.stat().st_mtime_ns for path in (out / "trainings").iterdir()} == stamps
    runs = read(out / "runs.csv")
    assert len(runs) == 6 and runs.conventions.loss == "bits/byte"
    assert runs.conventions.params == "non-embedding"
    assert validated(made, out, "of-law", *words) == 2  # another subset, the same folder
    assert "another study" in capsys.readouterr().err
    with storage.lock(str(out)):
        assert validated(made, out, "of-sums", *words) == 75  # another process trains here


@pytest.mark.slow
def test_a_study_by_two_processes_says_what_one_says(made, tmp_path):
    words = ("--arms", "uniform", "--seeds", "1", "--activation-sparsity")
    assert validated(made, tmp_path / "one", "of-sums", *words) == 0
    asked = ["validate", "--subset", made / "of-sums", "--raw", made / "raw", *QUICK, *words]
    asked += ["--target", made / "sums-test", "--out", tmp_path / "two", "--shard"]
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [str(word) for word in [*start, "-m", "assay.api", *asked]]
    done = subprocess.run(words, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("written:") == 1 and "returned a view" not in done.stderr
    one, two = (verdicts(tmp_path / name)["uniform"] for name in ("one", "two"))
    assert two["gain"]["mean"] == pytest.approx(one["gain"]["mean"], abs=5e-3)
    assert not list((tmp_path / "two").rglob("*.checkpoint"))


def test_each_arm_has_the_learning_rate_that_is_best_on_other_documents(made, tmp_path, capsys):
    out = tmp_path / "tuned"
    words = ("--arms", "uniform", "--seeds", "1", "--tokens", "3000", "--json")
    assert validated(made, out, "of-sums", *words, "--learning-rates", "0.0001,1") == 0
    document = json.loads(capsys.readouterr().out)
    assert len(list((out / "trainings").glob("*.json"))) == 4
    for one in document["learning_rates"]:
        tried = {t["factor"]: t["tuning_bits_per_byte"] for t in one["tried"]}
        assert one["best"] == 1.0 and tried[1.0] < tried[0.0001] - 1
    assert [row["learning_rate"] for row in document["arms"]] == [0.02, 0.02]
    assert document["cost"]["trainings"] == 4
    assert any("widen --learning-rates" in one for one in document["warnings"])


def test_experts_leave_rows_that_laws_of_mixtures_read(made, tmp_path):
    out = tmp_path / "experts"
    words = ("--arms", "uniform", "--seeds", "1", "--tokens", "3000", "--experts", "6x2")
    assert validated(made, out, "of-sums", *words) == 0
    runs = read(out / "runs.csv")
    assert (runs.columns["active_params"] < 0.5 * runs.columns["params"]).all()
    assert runs.columns["activation"] == pytest.approx(1 / 3)
    assert runs.columns["experts"].tolist() == [6, 6]
    for law in ("joint-moe", "clark", "abnar", "krajewski"):
        assert set(find(law).inputs) <= set(runs.columns), law


def test_activation_sparsity_is_a_column_that_its_law_predicts(made, tmp_path, capsys):
    out = tmp_path / "sparse"
    words = ("--arms", "uniform", "--seeds", "1", "--tokens", "3000", "--activation-sparsity")
    assert validated(made, out, "of-sums", *words) == 0
    assert "of the neurons are needed" in capsys.readouterr().out
    runs = read(out / "runs.csv")
    assert ((runs.columns["activation"] > 0) & (runs.columns["activation"] < 1)).all()
    assert find("sparsing-silu").predicts in runs.columns
    assert validated(made, tmp_path / "no", "of-sums", *words, "--experts", "4x2") == 2
    assert "dense models" in capsys.readouterr().err


def test_an_extrapolation_names_its_control_and_says_when_it_is_far():
    sizes, arms = ("100K", "1M"), ("subset", "uniform", "cost")

    def record(flops, loss):
        return SimpleNamespace(content={"flops": flops}, bits_per_byte=loss)

    found = {
        (arm, size): [record(flops, loss + (arm == "uniform"))]
        for arm in arms
        for size, flops, loss in (("100K", 1e12, 3.0), ("1M", 1e13, 2.5))
    }
    asked = SimpleNamespace(sizes=sizes, at_params=1e9, at_tokens=0)
    study = SimpleNamespace(spec=asked, arms=arms)
    (one,) = results.extrapolation(study, found)
    assert one["control"] == "uniform" and one["gain"] > 0
    assert one["factor"] == pytest.approx(6 * 1e9 * 2e10 / 1e13) and one["factor"] > results.FAR
    assert "gain over uniform of" in words.extrapolated(one)


def test_documents_to_tune_on_are_not_in_the_answer():
    pieces = [(bytes([number]), number // 2) for number in range(40)]
    tuning, kept = apart(pieces)
    assert not {owner for _, owner in tuning} & {owner for _, owner in kept}
    assert sorted(tuning + kept) == pieces and len(tuning) == 14


def test_tokens_are_learned_once_for_a_study(made, tmp_path, capsys):
    pytest.importorskip("tokenizers")
    out = tmp_path / "learned"
    words = ("--arms", "uniform", "--seeds", "1", "--tokens", "4000", "--json")
    assert validated(made, out, "of-sums", *words, "--tokenizer", "bpe:300") == 0
    first = json.loads(capsys.readouterr().out)
    assert first["arms"][0]["tokens"] == 4096 and 1 < first["arms"][0]["bits_per_byte"] < 6
    learned = (out / "tokenizer.json").read_bytes()
    words = ("--arms", "uniform", "--seeds", "1", "--tokens", "4000", "--json")
    assert validated(made, out, "of-sums", *words, "--tokenizer", "bpe:300") == 0
    assert json.loads(capsys.readouterr().out) == first
    assert (out / "tokenizer.json").read_bytes() == learned
    assert validated(made, out, "of-sums", *words) == 2  # bytes are other tokens
    assert "tokenizer was 'bpe:300'" in capsys.readouterr().err


def test_what_cannot_be_carried_out_is_said_in_a_line(made, tmp_path, capsys):
    def refused(code, word, *words, subset="of-sums"):
        assert validated(made, tmp_path / "no", subset, *words) == code
        told = capsys.readouterr().err
        assert word in told and "Traceback" not in told and "bug" not in told, told

    refused(2, "no GPU", "--device", "cuda")
    refused(2, "the ladder is", "--sizes", "3M")
    refused(2, "no arm", "--arms", "random")
    refused(2, "above 0", "--learning-rates", "0.5,fast")
    refused(3, "smaller --batch or --sequence", "--batch", "4000", "--arms", "uniform")
    refused(2, "bpe:4096", "--tokenizer", "bpe:lots")
    refused(3, "manifest", subset="nowhere")
    refused(2, "local folder", "--out", "s3://bucket/proof")
    refused(2, "one size has no trend", "--at-params", "1e9")
    refused(2, "start several with torchrun", "--shard")
    for flag, value in (
        ("--micro-batch", "-1"), ("--batch", "-3"), ("--tokens", "-5"), ("--threads", "-1"),
        ("--learning-rate", "nan"), ("--target-bytes", "0"), ("--at-params", "inf"),
    ):  # fmt: skip
        refused(2, f"{flag} {float(value) if flag in ('--tokens', '--at-params') else value}:",
                flag, value)  # fmt: skip
    refused(2, "is for a GPU", "--flex")
    (tmp_path / "bad.jsonl").write_text('{"prompt": "Why?", "choices": ["a"], "answer": 3}')
    refused(2, "none of 1 choices", "--choices", tmp_path / "bad.jsonl")


def test_an_empty_subset_is_refused_and_it_is_said_why(made, tmp_path, capsys):
    content = dict(manifest.read(str(made / "of-sums")).content)
    content |= {"parts": [], "spent": {**content["spent"], "documents": 0}}
    (tmp_path / "none").mkdir()
    content["digest"] = manifest.digest(content)
    (tmp_path / "none" / "manifest.json").write_text(json.dumps(content))
    assert validated(made, tmp_path / "out", tmp_path / "none") == 3
    told = capsys.readouterr().err
    assert "holds no document" in told and "larger budget" in told and "Traceback" not in told


def test_trainings_that_cannot_go_on_are_said_in_a_line(made, tmp_path, capsys, monkeypatch):
    words = ("--arms", "uniform", "--seeds", "1")
    assert validated(made, tmp_path / "nan", "of-sums", *words, "--learning-rate", "1e30") == 1
    told = capsys.readouterr().err
    assert "100K model is nan in step" in told and "smaller --learning-rate" in told
    monkeypatch.setattr(needs, "free_memory", lambda: 0.2e9)
    assert validated(made, tmp_path / "memory", "of-sums", *words) == 75
    told = capsys.readouterr().err
    assert "0.2 GB free" in told and "--micro-batch" in told and "Traceback" not in told


def test_a_target_that_stands_in_the_corpus_is_refused(made, tmp_path, capsys):
    asked = ["validate", "--subset", made / "of-sums", "--raw", made / "raw", "--out", tmp_path]
    asked += ["--target", made / "of-sums" / "part-00000.parquet", *QUICK, "--arms", "uniform"]
    assert cli.run([str(word) for word in asked]) == 3
    assert "13 words in a row" in capsys.readouterr().err


def test_a_target_that_stands_there_in_part_is_left_out_in_part(made, tmp_path, capsys):
    held = pq.read_table(made / "sums-test" / "shard-000.parquet", columns=["text"])
    known = pq.read_table(made / "of-sums" / "part-00000.parquet", columns=["text"])
    held = held.slice(0, 60)
    pq.write_table(pa.concat_tables([held, known.slice(0, 20)]), tmp_path / "mixed.parquet")
    asked = ["validate", "--subset", made / "of-sums", "--raw", made / "raw"]
    asked += ["--out", tmp_path / "out", "--target", tmp_path / "mixed.parquet", *QUICK]
    asked += ["--arms", "uniform", "--seeds", "1", "--json"]
    assert cli.run([str(word) for word in asked]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["target"]["leaking"] >= 3
    assert any("left out" in one for one in document["warnings"])


def test_trainings_are_kept_in_mlflow_too(made, tmp_path, monkeypatch, capsys):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "false")
    words = ("--arms", "uniform", "--mlflow", str(tmp_path / "no"))
    assert validated(made, tmp_path / "not", "of-sums", *words) == 2
    assert "--mlflow" in capsys.readouterr().err
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = str(tmp_path / "tracking")
    words = ("--arms", "uniform", "--seeds", "1", "--mlflow", store)
    assert validated(made, tmp_path / "out", "of-sums", *words) == 0
    mlflow.set_tracking_uri(store)
    experiment = mlflow.get_experiment_by_name("assay-validate")
    runs = mlflow.MlflowClient().search_runs([experiment.experiment_id])
    assert {run.data.params["arm"] for run in runs} == {"subset", "uniform"}
    assert all(run.data.metrics["bits_per_byte"] > 0 for run in runs)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_on_real_text_with_a_hard_target(tmp_path, capsys):
    """The pool's textbook domain is hard to tell apart: 1M models, three seeds."""
    shared = Path(os.environ.get("ASSAY_SHARED", ROOT.parent / "shared")) / "data" / "pool"
    if not shared.exists():
        pytest.skip("the pool is not in this checkout; set ASSAY_SHARED to its folder")
    held = pq.read_table(shared / "targets" / "heldout_textbook.parquet")
    for part in ("train", "test"):
        some = held.filter(pc.equal(held["split"], part)).drop_columns(["split"])
        pq.write_table(some, tmp_path / f"{part}.parquet")
    raw = tuple(sorted(str(path) for path in shared.glob("*.parquet")))
    near = {"t": (str(tmp_path / "train.parquet"),)}
    far = {"t": (str(shared / "targets" / "heldout_wiki_zh.parquet"),)}
    select(Spec("dsir", raw, "2MB", str(tmp_path / "good"), near))
    select(Spec("dsir", raw, "2MB", str(tmp_path / "wrong"), far))
    select(Spec("uniform", raw, "2MB", str(tmp_path / "any"), seed=77))
    found = {}
    for subset in ("good", "wrong", "any"):
        words = ["validate", "--subset", tmp_path / subset, "--out", tmp_path / f"of-{subset}"]
        words += ["--raw", *raw, "--target", tmp_path / "test.parquet", "--sizes", "1M"]
        words += ["--arms", "uniform", "--tokens", "200000", "--sequence", "256"]
        words += ["--target-bytes", "60000", "--device", "cpu", "--group-by", "domain"]
        assert cli.run([str(word) for word in words]) == 0
        found[subset] = verdicts(tmp_path / f"of-{subset}")["uniform"]["verdict"]
    assert found == {"good": "better", "wrong": "worse", "any": "no difference"}
