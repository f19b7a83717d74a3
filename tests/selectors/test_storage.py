"""Objects by URI: listed, read, written at once or not at all, on disks and object stores."""

import errno
import hashlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.selectors import storage
from assay.selectors.errors import (
    AlreadyThere,
    AssayError,
    BadRequest,
    Busy,
    NotFound,
    NothingToRead,
    StorageError,
)
from assay.selectors.stores.clients import opened

HOSTILE = [
    "plain.parquet",
    "with space & ünïcode 数据 🙂.parquet",
    'quote\'s "double" [x] {y} #1 100%.parquet',
    "cafe\u0301.parquet",
    "café.parquet",
    "-dash.parquet",
    "star*and?.parquet",
    "year=2024/lang=en/part.parquet",
    "UPPER.PARQUET",
    "n" * 240 + ".parquet",
]


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def short(found, folder):
    return [one.uri.removeprefix(f"{folder}/") for one in found]


@pytest.fixture(params=["local", "memory", "s3"])
def home(request, tmp_path):
    """A folder in each kind of storage."""
    if request.param == "local":
        return str(tmp_path)
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}/folder"
    request.getfixturevalue("s3")
    return "s3://bucket/folder"


# Listing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_taken_literally_whatever_is_in_it(tmp_path, name):
    put(tmp_path, name)
    assert short(storage.listing([f"{tmp_path}/{name}"]), tmp_path) == [name]
    assert storage.read_bytes(f"{tmp_path}/{name}") == name.encode()


def test_a_literal_name_beats_the_glob_that_it_looks_like(tmp_path):
    put(tmp_path, "part-[1].parquet", "part-1.parquet")
    found = storage.listing([f"{tmp_path}/part-[1].parquet"])
    assert short(found, tmp_path) == ["part-[1].parquet"]


def test_a_folder_gives_its_readable_files_sorted(home):
    for name in ("b.parquet", "a.jsonl.gz", "sub/C.CSV", "README.md", "_SUCCESS", ".hid.parquet"):
        storage.write_bytes(storage.join(home, name), b"x")
    storage.write_bytes(storage.join(home, "_temporary/0/x.parquet"), b"x")
    assert short(storage.listing([home]), home) == ["a.jsonl.gz", "b.parquet", "sub/C.CSV"]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.parquet", ["a.parquet", "b.parquet"]),
        ("?.parquet", ["a.parquet", "b.parquet"]),
        ("[!a].parquet", ["b.parquet"]),
        ("**/*.parquet", ["a.parquet", "b.parquet", "x/c.parquet", "x/y/d.parquet"]),
        ("**", ["a.parquet", "b.parquet", "x/c.parquet", "x/y/d.parquet"]),
        ("x/*", ["x/c.parquet", "x/y/d.parquet"]),
        ("*/y/d.p*", ["x/y/d.parquet"]),
        ("_*/*.parquet", ["_x/e.parquet"]),
    ],
)
def test_globs_mean_the_same_everywhere(home, glob, expected):
    for name in ("a.parquet", "b.parquet", "x/c.parquet", "x/y/d.parquet", "_x/e.parquet"):
        storage.write_bytes(storage.join(home, name), b"x")
    storage.write_bytes(storage.join(home, "notes.txt"), b"x")
    assert short(storage.listing([storage.join(home, glob)]), home) == expected


def test_the_same_object_is_listed_once_however_it_is_spelled(tmp_path, monkeypatch):
    put(tmp_path, "a b.parquet")
    monkeypatch.chdir(tmp_path)
    spellings = ["a b.parquet", "./a b.parquet", str(tmp_path), "*.parquet"]
    spellings += [f"file://{tmp_path}/a%20b.parquet", f"{tmp_path}/../{tmp_path.name}/a b.parquet"]
    assert short(storage.listing(spellings), tmp_path) == ["a b.parquet"]


def test_a_hidden_file_is_read_when_it_is_named(tmp_path):
    put(tmp_path, ".hidden.parquet")
    assert len(storage.listing([f"{tmp_path}/.hidden.parquet"])) == 1
    with pytest.raises(NothingToRead, match=r"no readable file in this folder.*\.parquet"):
        storage.listing([str(tmp_path)])


def test_links_count_as_paths_of_their_own_and_circles_end(tmp_path):
    put(tmp_path, "real/a.parquet")
    (tmp_path / "link.parquet").symlink_to(tmp_path / "real/a.parquet")
    (tmp_path / "real/up").symlink_to(tmp_path)
    found = short(storage.listing([str(tmp_path)]), tmp_path)
    assert found == ["link.parquet", "real/a.parquet"]


def test_a_dangling_link_is_reported(tmp_path):
    (tmp_path / "gone.parquet").symlink_to("nowhere.parquet")
    with pytest.raises(NotFound, match="nowhere"):
        storage.listing([f"{tmp_path}/gone.parquet"])


def test_a_finished_selection_gives_its_chosen_rows_only(home):
    for name in (
        "part-00000.parquet",
        "scores/00000-00000.parquet",
        "quarantine/00000-00000.jsonl",
        "state/x.parquet",
        "manifest.json",
        "report.json",
        "examples.jsonl",
    ):
        storage.write_bytes(storage.join(home, "out", name), b"x")
    storage.write_bytes(storage.join(home, "scores/mine.parquet"), b"x")
    assert short(storage.listing([home]), home) == ["out/part-00000.parquet", "scores/mine.parquet"]


def test_a_description_in_json_beside_data_is_no_data(tmp_path):
    put(tmp_path, "dataset_info.json", "a.parquet")
    assert short(storage.listing([str(tmp_path)]), tmp_path) == ["a.parquet"]
    (tmp_path / "a.parquet").unlink()
    assert short(storage.listing([str(tmp_path)]), tmp_path) == ["dataset_info.json"]


def test_missing_things_are_named_with_what_is_there(tmp_path):
    with pytest.raises(NotFound, match=f"nearest folder that exists is {tmp_path}"):
        storage.listing([f"{tmp_path}/no/such.parquet"])
    with pytest.raises(NothingToRead, match=r"no readable file matches"):
        storage.listing([f"{tmp_path}/*.parquet"])
    with pytest.raises(BadRequest, match=r"ftp://.*s3://"):
        storage.listing(["ftp://host/file.parquet"])
    with pytest.raises(BadRequest, match="name a bucket"):
        storage.listing(["s3://"])
    with pytest.raises(BadRequest, match="empty path"):
        storage.listing([""])


# Reading and writing -------------------------------------------------------------------------


def test_what_is_written_is_read(home):
    uri = storage.join(home, "deep", "er", "a b#c%20[é].bin")
    assert not storage.exists(uri)
    storage.write_bytes(uri, b"one")
    storage.write_bytes(uri, b"two")
    assert storage.exists(uri)
    assert storage.read_bytes(uri) == b"two"
    assert storage.stat(uri).size == 3
    assert storage.names(storage.join(home, "deep", "er")) == ["a b#c%20[é].bin"]
    storage.delete(uri)
    storage.delete(uri)
    assert not storage.exists(uri)
    with pytest.raises(NotFound):
        storage.read_bytes(uri)


def test_only_the_first_creates(home):
    uri = storage.join(home, "manifest.json")
    storage.create_bytes(uri, b"first")
    with pytest.raises(AlreadyThere, match=r"manifest\.json"):
        storage.create_bytes(uri, b"second")
    assert storage.read_bytes(uri) == b"first"
    assert storage.names(home) == ["manifest.json"]


def test_one_of_many_creators_wins(tmp_path):
    uri, won = str(tmp_path / "once"), []

    def race(number):
        try:
            storage.create_bytes(uri, b"%d" % number)
            won.append(number)
        except AlreadyThere:
            pass

    threads = [threading.Thread(target=race, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert storage.read_bytes(uri) == b"%d" % won[0]


def test_a_sink_knows_what_went_through_it(home):
    content = [os.urandom(1 << 20) for _ in range(11)]  # several parts of an upload
    uri = storage.join(home, "big.bin")
    with storage.writing(uri) as sink:
        for piece in content:
            sink.write(piece)
        assert sink.tell() == 11 << 20
        assert not storage.exists(uri)
    whole = b"".join(content)
    assert sink.size == storage.stat(uri).size == len(whole)
    assert sink.sha256 == storage.sha256(uri) == hashlib.sha256(whole).hexdigest()
    assert storage.read_bytes(uri) == whole


def test_nothing_is_left_of_what_failed(home):
    uri = storage.join(home, "half.bin")
    storage.write_bytes(storage.join(home, "kept"), b"")
    with pytest.raises(KeyError), storage.writing(uri) as sink:
        sink.write(os.urandom(20 << 20))
        raise KeyError
    assert storage.names(home) == ["kept"]
    if not home.startswith(("s3", "memory")):
        assert os.listdir(home) == ["kept"]


def test_an_upload_that_failed_is_given_up(s3):
    with pytest.raises(KeyError), storage.writing("s3://bucket/half") as sink:
        sink.write(os.urandom(20 << 20))
        raise KeyError
    assert not s3.list_multipart_uploads(Bucket="bucket").get("Uploads")


def test_parquet_is_written_and_read_through_it(home):
    table = pa.table({"text": ["a", "b"] * 5000})
    uri = storage.join(home, "part.parquet")
    with storage.writing(uri) as sink, pq.ParquetWriter(sink, table.schema) as writer:
        writer.write_table(table)
    assert pq.read_table(storage.open_input(uri)).equals(table)


def test_a_fingerprint_follows_the_content(home):
    uri = storage.join(home, "x")
    storage.write_bytes(uri, b"one")
    first = storage.fingerprint(uri, 3)
    storage.write_bytes(uri, b"two")
    assert first.startswith("etag:" if home.startswith("s3") else "sha256:")
    assert storage.fingerprint(uri, 3) != first
    storage.write_bytes(uri, b"one")
    assert storage.fingerprint(uri, 3) == first


def test_a_folder_is_taken_away_with_all_in_it(home):
    for name in ("a", "b/c", "b/d/e"):
        storage.write_bytes(storage.join(home, "gone", name), b"x")
    storage.write_bytes(storage.join(home, "gone-not"), b"x")
    storage.delete_all(storage.join(home, "gone"))
    storage.delete_all(storage.join(home, "never was"))
    assert storage.names(storage.join(home, "gone")) == []
    assert storage.names(home) == ["gone-not"]


def test_prepare_finds_out_that_we_may_write(home):
    storage.prepare(storage.join(home, "new", "folder"))
    assert storage.names(storage.join(home, "new", "folder")) == []


def test_addresses_are_joined_plainly(tmp_path):
    assert storage.join("s3://b/x/", "y", "z") == "s3://b/x/y/z"
    assert storage.join("s3://b", "y") == "s3://b/y"
    assert storage.join("/", "y") == "/y"
    assert storage.join(f"file://{tmp_path}/a%20b", "100%") == f"{tmp_path}/a b/100%"


# Locks ---------------------------------------------------------------------------------------


def hold(folder, ready):
    with storage.lock(folder):
        ready.set()
        time.sleep(60)


def test_a_folder_has_one_writer_and_a_killed_one_lets_go(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=hold, args=(str(tmp_path), ready))
    holder.start()
    assert ready.wait(60)
    with pytest.raises(Busy, match=str(holder.pid)), storage.lock(str(tmp_path)):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with storage.lock(str(tmp_path)), pytest.raises(Busy), storage.lock(str(tmp_path)):
        pass


def test_what_a_killed_writer_left_is_swept_away(tmp_path):
    script = (
        "import os, sys; from assay.selectors import storage\n"
        "with storage.writing(sys.argv[1] + '/part') as sink:\n"
        "    sink.write(b'half'); os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert len(os.listdir(tmp_path)) == 1
    assert storage.names(str(tmp_path)) == []
    put(tmp_path, "kept.parquet", ".kept")
    storage.sweep(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [".kept", "kept.parquet"]


# Failures ------------------------------------------------------------------------------------


def failing(number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


def test_a_full_disk_says_what_to_free(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    for write in (
        lambda: storage.write_bytes(f"{tmp_path}/x", b"1"),
        lambda: storage.create_bytes(f"{tmp_path}/x", b"1"),
    ):
        with pytest.raises(StorageError, match=r"disk full.*GB free at.*Free space"):
            write()
    with pytest.raises(StorageError, match="disk full"), storage.writing(f"{tmp_path}/x") as sink:
        sink.write(b"1")
    assert os.listdir(tmp_path) == []


def test_a_device_that_is_full_is_reported_from_the_write_itself():
    sink = storage.Sink("/dev/full", failing(errno.ENOSPC))
    with pytest.raises(StorageError, match="disk full"):
        sink.write(b"1")


def test_a_failure_inside_arrow_keeps_its_words():
    table = pa.table({"text": ["a"]})
    sink = storage.Sink("s3://b/x", failing(errno.ENOSPC))
    with pytest.raises(StorageError, match="disk full"):
        pq.write_table(table, sink)


def test_an_object_that_goes_away_while_it_is_read_is_named(s3):
    with storage.writing("s3://bucket/x.parquet") as sink:
        pq.write_table(pa.table({"text": ["a"] * 10}), sink)
    source = storage.open_input("s3://bucket/x.parquet")
    storage.delete("s3://bucket/x.parquet")
    with pytest.raises(NotFound, match=r"s3://bucket/x\.parquet"):
        pq.read_table(source)


def test_a_refusal_names_the_path_and_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "makedirs", failing(errno.EACCES))
    with pytest.raises(StorageError, match=r"no permission.*owner or mode"):
        storage.prepare(f"{tmp_path}/new")


def test_an_error_of_the_caller_is_not_taken_for_one_of_the_storage(tmp_path):
    with pytest.raises(PermissionError, match="mine"), storage.writing(f"{tmp_path}/x"):
        raise PermissionError("mine")


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path):
    put(tmp_path, "file")
    with pytest.raises(AssayError, match="file"):
        storage.prepare(f"{tmp_path}/file/under")


def test_a_missing_bucket_is_named(s3):
    for ask in (
        lambda: storage.listing(["s3://no-such-bucket/x"]),
        lambda: storage.read_bytes("s3://no-such-bucket/x"),
        lambda: storage.write_bytes("s3://no-such-bucket/x", b""),
        lambda: storage.prepare("s3://no-such-bucket/x"),
    ):
        with pytest.raises(StorageError, match="no bucket 'no-such-bucket'"):
            ask()


def test_a_missing_object_is_named(s3):
    with pytest.raises(NotFound, match="s3://bucket/none"):
        storage.listing(["s3://bucket/none"])
    with pytest.raises(NotFound, match="s3://bucket/none"):
        storage.open_input("s3://bucket/none")


def test_an_endpoint_that_refuses_is_reported_soon(s3, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed}")
    opened.cache_clear()
    begun = time.monotonic()
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL"):
        storage.listing(["s3://bucket/x"])
    assert time.monotonic() - begun < 15


def test_an_endpoint_that_says_nothing_is_reported_soon(s3, monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        opened.cache_clear()
        begun = time.monotonic()
        with pytest.raises(StorageError, match="AWS_ENDPOINT_URL"):
            storage.listing(["s3://bucket/x"])
        assert time.monotonic() - begun < 15


def test_plain_http_leaves_the_machine_only_when_it_is_allowed(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://192.0.2.1")  # an address for documentation
    opened.cache_clear()
    with pytest.raises(StorageError, match="AWS_ALLOW_HTTP"):
        storage.listing(["s3://bucket/x"])
