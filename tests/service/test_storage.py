"""Selections of the service on an object store, and storage roots that cannot be used."""

import os
import subprocess
import sys

import pytest

from assay.selectors import manifest


@pytest.fixture
def remote(s3, service, rows_of, shards_of):
    """The service with a bucket as its storage root, and a corpus in it."""
    for path in shards_of(service.folder / "raw", rows_of(120), 3, 20).glob("*.parquet"):
        s3.upload_file(str(path), "bucket", f"root/raw/{path.name}")
    service.environment["ASSAY_STORAGE_ROOTS"] = "s3://bucket/root"
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        service.environment[name] = os.environ[name]
    return service


def test_a_worker_killed_on_an_object_store_loses_nothing(remote, s3):
    asked = {"raw": ["s3://bucket/root/raw/"], "settings": {"pause": 0.3}}
    first = remote.start("worker")
    job = remote.submit("s3://bucket/root/out", **asked)
    remote.until(lambda: remote.recorded(job) >= 1)
    first.kill()
    first.wait()
    remote.start("worker")
    assert remote.over(job).status == "succeeded", remote.job(job).error
    made = manifest.read("s3://bucket/root/out")
    assert manifest.verify(made) == [] and made.digest == remote.job(job).result["digest"]


def test_a_job_outside_of_the_roots_fails_with_a_word_on_it(remote):
    remote.start("worker")
    job = remote.submit("s3://bucket/root/out", raw=["s3://bucket/elsewhere/"])
    over = remote.over(job)
    assert over.status == "failed" and over.error["code"] == "outside"


@pytest.mark.parametrize(
    "words, said",
    [
        (["--root", "relative"], "from / on"),
        (["--root", "/no/such/folder"], "make it first"),
        (["--root", "ftp://x/y"], "ftp"),
        (["--port", "1", "--host", "203.0.113.1"], "cannot listen"),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_begins(service, words, said):
    asked = [sys.executable, "-m", "assay.api", "serve", "--port", "0", *words]
    done = subprocess.run(
        asked, env=service.environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode in (2, 5) and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not service.live()
