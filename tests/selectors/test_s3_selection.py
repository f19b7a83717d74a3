"""A selection from object storage into object storage, against a real S3 server on loopback."""

import subprocess
import sys

import pytest

from assay.selectors import manifest, selection
from assay.selectors.errors import Stopped
from assay.selectors.past import reopen, replay
from assay.selectors.selection import Means
from assay.selectors.spec import Spec


@pytest.fixture
def asked(s3, corpus, target):
    for path in [*corpus.glob("*.parquet"), *target.glob("*.parquet")]:
        s3.upload_file(str(path), "bucket", f"{path.parent.name[:6]}/{path.name}")

    def asking(
        raw="s3://bucket/corpus/", wanted="s3://bucket/target/*.parquet", out="s3://bucket/o"
    ):
        return Spec("dsir", (raw,), "25%", out, {"sums": (wanted,)}, group_by="topic")

    return asking


def stored(s3, prefix):
    found = s3.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])
    keys = [entry["Key"] for entry in found]
    return {key: s3.get_object(Bucket="bucket", Key=key)["Body"].read() for key in keys}


def test_the_parts_are_those_of_a_local_run(asked, s3, corpus, target, tmp_path):
    remote = selection.select(asked())
    local = selection.select(asked(str(corpus), str(target), str(tmp_path / "o")))
    assert remote.content["parts"] == local.content["parts"]
    part = (tmp_path / "o" / "part-00000.parquet").read_bytes()
    assert stored(s3, "o/part")["o/part-00000.parquet"] == part
    assert manifest.verify(manifest.read("s3://bucket/o")) == []
    assert remote.request["inputs"]["raw"][0]["hash"].startswith("etag:")


def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(asked, s3, monkeypatch):
    from assay.selectors import shards

    monkeypatch.setattr(shards, "UNIT_BYTES", 9000)
    whole = selection.select(asked())

    def stopping(function, items):
        for number, item in enumerate(items):
            if number == 5:
                raise Stopped("asked")
            yield function(item)

    for _ in range(3):
        with pytest.raises(Stopped):
            selection.select(asked(out="s3://bucket/p"), Means(map=stopping))
    again = selection.select(asked(out="s3://bucket/p"))
    assert again.digest == whole.digest
    parts = [stored(s3, f"{folder}/part").values() for folder in "op"]
    assert list(parts[0]) == list(parts[1])


def test_a_remote_selection_can_be_replayed_and_opened(asked, tmp_path):
    made = selection.select(asked())
    assert replay(made, str(tmp_path / "again"), Means()).digest == made.digest
    assert len(reopen("s3://bucket/o").files) == 4


def test_a_process_that_is_killed_leaves_nothing_that_looks_finished(asked, s3):
    program = (
        "import sys, os, signal\n"
        "from assay.selectors import selection, manifest\n"
        "def die(*words): os.kill(os.getpid(), signal.SIGKILL)\n"
        "manifest.finish = die\n"
        "from assay.api import cli\n"
        "cli.main(sys.argv[1:])\n"
    )
    words = ["--raw", "s3://bucket/corpus/", "--target", "s3://bucket/target/", "--budget", "25%"]
    command = [sys.executable, "-c", program, "select", "dsir", *words, "--out", "s3://bucket/q"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -9
    assert manifest.find("s3://bucket/q") is None
    assert "q/part-00000.parquet" in stored(s3, "q/")
    spec = Spec("dsir", (words[1],), "25%", "s3://bucket/q", {"target": (words[3],)})
    assert manifest.verify(selection.select(spec)) == []
