"""A small corpus of made-up text, in shards, for every test that needs one."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

# The same examples each time, and as long as a busy machine takes.
settings.register_profile("assay", deadline=None, derandomize=True)
settings.load_profile("assay")

TOPICS = {
    "sums": "add take sum number seven twelve apples left share total equals dollars each how many",
    "law": "section shall court act statute party agreement pursuant provision clause thereof",
    "sea": "wave ship harbour sail wind salt captain tide storm deck anchor gull mist northern",
    "food": "boil salt pepper onion flour butter stir minutes bake oven dough sauce simmer plate",
}

COMMON = "the of and a to in is was it for"


def document(topic: str, number: int, words: int) -> str:
    """A text of one topic, the same for the same number."""
    chance = random.Random(f"{topic} {number}")
    vocabulary = [*TOPICS[topic].split(), *COMMON.split()]
    return " ".join(chance.choice(vocabulary) for _ in range(words)).capitalize() + "."


def rows(count: int) -> list[dict[str, object]]:
    """Documents of all topics in turn, of many lengths, with a column that must ride along."""
    topics = list(TOPICS)
    return [
        {
            "id": f"doc-{number:05d}",
            "text": document(topics[number % 4], number, 5 + (number * 7) % 120),
            "topic": topics[number % 4],
            "extra": {"a": number, "b": [number, None]},
        }
        for number in range(count)
    ]


def write_shards(folder: Path, documents: list[dict[str, object]], shards: int, group: int) -> Path:
    """The documents in order, over some shards, in row groups of a size."""
    folder.mkdir(parents=True, exist_ok=True)
    each = -(-len(documents) // shards)
    for number in range(shards):
        some = documents[number * each : (number + 1) * each]
        schema = pa.Table.from_pylist(documents).schema
        table = pa.Table.from_pylist(some, schema=schema)
        pq.write_table(table, folder / f"shard-{number:03d}.parquet", row_group_size=group)
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """800 documents in four shards."""
    return write_shards(tmp_path_factory.mktemp("corpus"), rows(800), shards=4, group=37)


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 documents of one topic, none of them in the corpus."""
    made = [{"id": f"t{n}", "text": document("sums", 10_000 + n, 60)} for n in range(60)]
    return write_shards(tmp_path_factory.mktemp("target"), made, shards=1, group=1000)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what the person who runs it has set."""
    import os

    for name in list(os.environ):
        if name.startswith("ASSAY_") and name != "ASSAY_SHARED":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def rows_of():
    return rows


@pytest.fixture(scope="session")
def shards_of():
    return write_shards


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
