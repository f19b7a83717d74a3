"""Corpora to read: real hostile files where they are at hand, small ones made on the spot."""

import copy
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.native import kernels
from assay.selectors.records import Batch


@pytest.fixture(scope="session")
def dirty():
    """The folder of files that a reader meets in practice."""
    beside = Path(__file__).parents[2].parent / "shared"
    folder = Path(os.environ.get("ASSAY_SHARED", beside)) / "data" / "dirty"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set ASSAY_SHARED to the folder with the shared data")
    return folder


@pytest.fixture
def shelf(tmp_path):
    """Writes small Parquet files."""

    def put(name, columns, **how):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        pq.write_table(table, path, **how)
        return str(path)

    return put


@pytest.fixture(scope="session")
def s3_server():
    """A real S3 server on loopback."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """A client of an S3 with one empty bucket, `bucket`; assay finds it through the environment."""
    boto3 = pytest.importorskip("boto3")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ALLOW_HTTP", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    forget_stores()
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    client.create_bucket(Bucket="bucket")
    yield client
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="bucket"):
        for found in page.get("Contents", []):
            client.delete_object(Bucket="bucket", Key=found["Key"])
    forget_stores()


def forget_stores():
    from assay.selectors.stores.clients import opened

    opened.cache_clear()


class Memory:
    """Texts in memory: a batch of them, and the fold of a selection over them."""

    @staticmethod
    def batch(texts, first=0):
        ids = pa.array([str(first + n) for n in range(len(texts))], pa.string())
        rows = np.arange(len(texts))
        return Batch(pa.array(texts, pa.string()), ids, kernels.fingerprint(ids), rows, 0)

    @classmethod
    def fold(cls, raw=(), target=(), seed=0):
        return MemoryFold({"raw": cls.batch(raw), "target": cls.batch(target)}, seed)


@dataclass
class MemoryFold:
    streams: dict
    seed: int
    targets: tuple = ("target",)

    def __call__(self, stream, empty):
        total = copy.deepcopy(empty)
        total.add(self.streams[stream])
        return total


@pytest.fixture
def memory():
    return Memory
