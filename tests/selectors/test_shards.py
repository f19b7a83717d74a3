"""A corpus in shards: the same documents however it is cut, and clear words where it is broken."""

import gzip
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selectors import quarantine, shards, storage
from assay.selectors.errors import (
    BadInput,
    BadShard,
    ChangedInput,
    MissingColumn,
    NothingToRead,
)
from assay.selectors.quarantine import BadRow
from assay.selectors.shards import Reading


def survey(*uris, **reading):
    return shards.survey([str(uri) for uri in uris], Reading(**reading))


def reads(corpus, **reading):
    for shard in corpus.shards:
        for unit in shard.units:
            yield from shards.batches(shard, unit, Reading(**reading))


def documents(corpus, **reading):
    return [
        row
        for read in reads(corpus, **reading)
        for row in zip(
            read.batch.id.to_pylist(),
            read.batch.text.to_pylist(),
            read.batch.key.tolist(),
            strict=True,
        )
    ]


def bad_rows(corpus, **reading):
    return [bad for read in reads(corpus, **reading) for bad in read.bad]


def taken(corpus, wanted):
    (shard,) = corpus.shards
    rows = np.array(sorted(wanted), np.int64)
    pieces = [piece for unit in shard.units for piece in shards.tables(shard, unit, rows)]
    return pa.Table.from_batches(pieces, shard.schema)


@pytest.fixture
def small_units(monkeypatch):
    monkeypatch.setattr(shards, "UNIT_BYTES", 2000)


# The same whatever the cut -------------------------------------------------------------------

texts = st.lists(st.text(max_size=40) | st.none(), max_size=60)


@settings(max_examples=40, deadline=None)
@given(texts, st.integers(1, 70), st.sampled_from([1, 7, 1024]), st.integers(1, 4))
def test_documents_do_not_depend_on_row_groups_batches_or_shards(
    tmp_path_factory, rows, group, batch, pieces
):
    folder = tmp_path_factory.mktemp("cut")
    table = pa.table({"id": [f"d{n}" for n in range(len(rows))], "text": pa.array(rows, "string")})
    whole, parts = folder / "whole.parquet", folder / "parts"
    pq.write_table(table, whole)
    parts.mkdir()
    each = -(-len(rows) // pieces) or 1
    for piece in range(pieces):
        some = table.slice(piece * each, each)
        pq.write_table(some, parts / f"{piece}.parquet", row_group_size=group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("assay.selectors.formats.parquet.BATCH_ROWS", batch)
        patch.setattr(shards, "UNIT_BYTES", 300)
        cut = survey(parts)
        in_parts, bad_in_parts = documents(cut), bad_rows(cut)
    assert in_parts == documents(survey(whole))
    assert [text for _, text, _ in in_parts] == [text for text in rows if text is not None]
    assert len(bad_in_parts) == rows.count(None)
    assert cut.rows == len(rows)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(1, 50))
def test_the_wanted_rows_come_back_unchanged(tmp_path_factory, data, group):
    path = tmp_path_factory.mktemp("wanted") / "x.parquet"
    table = pa.table(
        {
            "text": [f"text {n}" for n in range(50)],
            "tags": [[str(n)] * (n % 3) for n in range(50)],
            "view": pa.array([f"view {n}" for n in range(50)], pa.string_view()),
            "kind": pa.array([f"k{n % 4}" for n in range(50)]).dictionary_encode(),
        }
    )
    pq.write_table(table, path, row_group_size=group)
    wanted = sorted(data.draw(st.sets(st.integers(0, 49))))
    got = taken(survey(path), wanted)
    assert got.schema.equals(pq.read_schema(path))
    rows = table.to_pylist()
    assert got.to_pylist() == [rows[row] for row in wanted]


def test_units_are_consecutive_row_groups_of_bounded_size(shelf, small_units):
    path = shelf("x.parquet", {"text": [f"{n:0100d}" for n in range(200)]}, row_group_size=5)
    (shard,) = survey(path).shards
    assert len(shard.units) > 5
    assert [unit.number for unit in shard.units] == list(range(len(shard.units)))
    assert sum((unit.row_groups for unit in shard.units), ()) == tuple(range(40))
    assert np.cumsum([0, *(unit.rows for unit in shard.units)]).tolist() == [
        *(unit.first_row for unit in shard.units),
        200,
    ]
    assert all(unit.bytes <= 2000 or len(unit.row_groups) == 1 for unit in shard.units)


def test_rows_count_what_was_left_out(shelf):
    path = shelf("x.parquet", {"text": ["a", None, "b", None, "c"]})
    (read,) = reads(survey(path))
    assert read.batch.row.tolist() == [0, 2, 4]
    assert [(bad.shard, bad.row, bad.reason) for bad in read.bad] == [
        (0, 1, "the text is null"),
        (0, 3, "the text is null"),
    ]


def test_a_corpus_travels_to_other_processes(shelf):
    corpus = survey(shelf("x.parquet", {"text": ["a"], "n": [1]}))
    assert pickle.loads(pickle.dumps(corpus)) == corpus


def test_any_map_in_order_will_do(shelf, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    for number in range(5):
        shelf(f"{number}.parquet", {"text": [str(number)]})
    plain = survey(tmp_path)
    seen = []
    with ThreadPoolExecutor(3) as pool:
        threaded = shards.survey([str(tmp_path)], Reading(), pool.map, seen.append)
        assert shards.fingerprints(plain, pool.map) == shards.fingerprints(plain)
    assert threaded == plain
    assert seen == list(plain.shards)
    assert [shard.index for shard in plain.shards] == [0, 1, 2, 3, 4]


def test_a_shard_that_changes_under_our_hands_is_noticed(shelf):
    corpus = survey(shelf("x.parquet", {"text": ["a"]}))
    shelf("x.parquet", {"text": ["a", "b"]})
    with pytest.raises(ChangedInput, match=r"x\.parquet.*--fresh"):
        documents(corpus)


# Ids and sources -----------------------------------------------------------------------------


def test_ids_come_from_the_column_or_else_from_the_text(shelf):
    given_ids = survey(shelf("a.parquet", {"text": ["x", "y"], "id": ["one", None]}))
    hashed = survey(shelf("b.parquet", {"text": ["x", "y"]}))
    (one, _, _), (null, _, _) = documents(given_ids)
    ids = [id_ for id_, _, _ in documents(hashed)]
    assert one == "one"
    assert null == ids[1]
    assert all(len(id_) == 32 and int(id_, 16) >= 0 for id_ in ids)
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (pa.array([7, -1]), ["7", "-1"]),
        (pa.array([2**63], pa.uint64()), [str(2**63)]),
        (pa.array([b"abc", b"\xff\x00"]), ["abc", "ff00"]),
        (pa.array([b"\xff" * 4], pa.binary(4)), ["ffffffff"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array(["a"], pa.large_string()), ["a"]),
        (pa.array(["a"], pa.string_view()), ["a"]),
        (pa.array([True]), ["true"]),
        (pa.array([10**12], pa.timestamp("ms")), ["2001-09-09 01:46:40.000"]),
    ],
)
def test_ids_of_any_plain_type_become_words(shelf, ids, words):
    corpus = survey(shelf("x.parquet", {"text": ["x"] * len(ids), "id": ids}))
    (read,) = reads(corpus)
    assert read.batch.id.type == pa.string()
    assert read.batch.id.to_pylist() == words


def test_a_named_column_must_be_there(shelf):
    path = shelf("x.parquet", {"text": ["a"], "uid": ["u"], "tags": [["t"]]})
    with pytest.raises(MissingColumn, match=r"no column 'guid'.*Use --id-column uid"):
        survey(path, id_column="guid")
    with pytest.raises(MissingColumn, match=r"'tags' holds list.*cannot serve as --group-by"):
        survey(path, group_by="tags")
    assert documents(survey(path, id_column="uid"), id_column="uid")[0][0] == "u"


def test_the_group_comes_along(shelf):
    path = shelf("x.parquet", {"text": ["a", None, "b"], "site": ["s", "t", None]})
    (read,) = reads(survey(path, group_by="site"), group_by="site")
    assert read.batch.source.to_pylist() == ["s", ""]


def test_a_target_names_its_documents(shelf):
    corpus = survey(shelf("x.parquet", {"text": ["a"]}))
    (read,) = shards.batches(corpus.shards[0], corpus.units[0], Reading(), target="code")
    assert read.batch.target == "code"


def test_a_dotted_name_is_a_column_first_and_a_path_second(shelf):
    both = {"doc.text": ["flat"], "doc": [{"text": "deep", "more": {"body": "deeper"}}]}
    path = shelf("x.parquet", both)
    (row,) = documents(survey(path, text_column="doc.more.body"), text_column="doc.more.body")
    assert row[1] == "deeper"
    path = shelf("y.parquet", {"doc": [{"text": "deep"}, None]})
    corpus = survey(path, text_column="doc.text")
    assert [row[1] for row in documents(corpus, text_column="doc.text")] == ["deep"]
    assert len(bad_rows(corpus, text_column="doc.text")) == 1


# Bytes that are no text ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_bytes_are_text_if_they_are_utf8(shelf, kind):
    texts_ = pa.array(["héllo".encode(), b"\xff\xfe", b"", None, b"\xed\xa0\x80"], kind)
    corpus = survey(shelf("x.parquet", {"text": texts_}))
    assert [text for _, text, _ in documents(corpus)] == ["héllo", ""]
    assert quarantine.reasons(bad_rows(corpus)) == {
        "the text is not valid UTF-8": 2,
        "the text is null": 1,
    }
    assert bad_rows(corpus)[0].excerpt == r"\xff\xfe"


def test_a_string_column_that_lies_is_found_out(shelf):
    lying = pa.array([b"good", b"\xff"]).view(pa.string())
    corpus = survey(shelf("x.parquet", {"text": lying}))
    assert [text for _, text, _ in documents(corpus)] == ["good"]
    assert len(bad_rows(corpus)) == 1


# Broken Parquet ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "zero bytes"),
        (b"PAR1" + b"x" * 100, "truncated.*no PAR1"),
        (b"PAR1" + b"\0" * 50 + b"\xff\xff\xff\x7fPAR1", "footer cannot be read"),
        (b"\0" * 100, "nothing but zero bytes"),
        (b'{"text": "a"}\n', r"JSON lines: rename it to \.jsonl"),
        (b"<html>403</html>", "error page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (gzip.compress(b"x"), "gzip"),
    ],
)
def test_what_is_no_parquet_is_refused_in_words(tmp_path, content, words):
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    with pytest.raises(BadShard, match=words) as caught:
        survey(path)
    assert str(path) in str(caught.value)


def test_damage_is_located(shelf):
    path = shelf(
        "x.parquet",
        {"text": [os.urandom(50).hex() for _ in range(400)], "n": list(range(400))},
        row_group_size=100,
        compression="zstd",
        use_dictionary=False,
        write_page_checksum=False,
    )
    footer = pq.ParquetFile(path).metadata
    at = footer.row_group(2).column(0).data_page_offset + 60
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(os.urandom(200))
    corpus = survey(path)
    with pytest.raises(BadShard, match="row group 2, column 'text': damaged"):
        documents(corpus)


def test_an_unreadable_file_names_a_remedy(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setattr(pa, "OSFile", refuse)
    from assay.selectors.errors import StorageError

    with pytest.raises(StorageError, match="no permission"):
        survey(path)


def test_nothing_named_is_nothing_to_read():
    with pytest.raises(NothingToRead):
        shards.survey([], Reading())


def test_an_unknown_ending_is_refused(tmp_path):
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(BadInput, match=r"x\.txt.*Readable are.*jq"):
        survey(tmp_path / "x.txt")


# JSON lines ----------------------------------------------------------------------------------


def lines(path, *rows):
    content = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"\n".join(content))
    return path


def test_rows_of_json_lines_count_lines_that_are_not_blank(tmp_path):
    path = lines(tmp_path / "x.jsonl", {"text": "a"}, b"", b"  \r", b"nonsense", {"text": "b"})
    (read,) = reads(survey(path))
    assert read.batch.row.tolist() == [0, 2]
    (bad,) = read.bad
    assert (bad.row, bad.line, bad.reason) == (1, 4, "the line is not JSON")
    assert bad.excerpt == "nonsense"


def test_columns_of_json_lines_are_the_union_of_all_documents(tmp_path):
    path = lines(
        tmp_path / "x.jsonl",
        {"text": "a", "n": 1, "mixed": "07", "meta": {"x": 1}, "list": [1, 2], "none": None},
        {"text": 5, "only bad": True},
        {"text": "b", "n": 1.5, "mixed": {"k": [1]}, "meta": {"y": "z"}, "huge": 2**70, "no": {}},
    )
    corpus = survey(path)
    assert corpus.shards[0].schema == pa.schema(
        [
            ("text", pa.string()),
            ("n", pa.float64()),
            ("mixed", pa.string()),
            ("meta", pa.struct([("x", pa.int64()), ("y", pa.string())])),
            ("list", pa.list_(pa.int64())),
            ("none", pa.null()),
            ("huge", pa.string()),
            ("no", pa.string()),
        ]
    )
    first, last = taken(corpus, [0, 2]).to_pylist()
    assert (first["n"], first["mixed"], first["meta"]) == (1.0, "07", {"x": 1, "y": None})
    assert (last["mixed"], last["huge"], last["no"]) == ('{"k": [1]}', str(2**70), "{}")


def test_a_plain_file_of_lines_is_entered_in_several_places(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "UNIT_BYTES", 500)
    monkeypatch.setattr("assay.selectors.formats.json_lines.GROUP_BYTES", 300)
    rows = [{"id": n, "text": "x" * (n % 50), "ü": "é" * 9} for n in range(100)]
    mixed = [b"", b"broken", *rows[:50], b"", b"", *rows[50:], b"broken too"]
    plain = survey(lines(tmp_path / "a.jsonl", *mixed))
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    whole = survey(packed)
    assert len(plain.units) > 5
    assert len(whole.units) == 1
    assert documents(plain) == documents(whole)
    assert bad_rows(plain) == bad_rows(whole)
    assert [bad.line for bad in bad_rows(plain)] == [2, 105]
    assert taken(plain, [3, 50, 51, 100]) == taken(whole, [3, 50, 51, 100])


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("sized", [True, False])
def test_zstd_comes_in_frames_of_any_kind(tmp_path, frames, sized):
    content = b"".join(b'{"text": "%d"}\n' % n for n in range(999))
    each = -(-len(content) // frames)  # a frame may end inside a line
    packer = zstandard.ZstdCompressor(write_content_size=sized)
    pieces = [packer.compress(content[n : n + each]) for n in range(0, len(content), each)]
    path = tmp_path / "x.jsonl.zst"
    path.write_bytes(b"".join(pieces))
    assert len(documents(survey(path))) == 999
    path.write_bytes(b"".join(pieces)[:-5])
    with pytest.raises(BadShard, match="truncated: the zstd stream"):
        survey(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.jsonl.gz", b"", "zero bytes are not gzip"),
        ("x.jsonl.gz", b'{"text": "a"}\n', r"not gzip.*JSON lines: rename it to \.jsonl"),
        ("x.jsonl.zst", gzip.compress(b"{}"), "not zstd.*gzip"),
        ("x.jsonl", b'[{"text": "a"}]', r"array of JSON.*jq -c '\.\[\]'"),
        ("x.json", b'{\n  "text": "a"\n}', "over several lines.*jq -c"),
        ("x.jsonl", '{"text": "a"}'.encode("utf-16"), "UTF-16.*iconv"),
        ("x.jsonl", b"PAR1 and so on", r"not one of its 1 lines.*rename it to \.parquet"),
        ("x.jsonl", b"id,text\n1,a\n", "not one of its 2 lines is a JSON object"),
    ],
)
def test_what_is_no_json_lines_is_refused_in_words(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadShard, match=words):
        survey(tmp_path / name)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"content": "a"}, "Use --text-column content"),
        ({"text": 5}, "holds numbers"),
        ({"doc": {"text": "a"}}, r"Use --text-column doc\.text"),
    ],
)
def test_a_missing_text_in_json_lines_is_named(tmp_path, row, words):
    with pytest.raises(MissingColumn, match=words):
        survey(lines(tmp_path / "x.jsonl", row))


def test_an_empty_file_of_lines_has_no_rows(tmp_path):
    assert survey(lines(tmp_path / "x.jsonl")).rows == 0
    assert survey(lines(tmp_path / "y.jsonl", b"", b"")).rows == 0


def test_nesting_without_end_is_a_bad_row(tmp_path):
    deep = b'{"text": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    shallow = b'{"text": "a", "x": ' + b"[" * 50 + b"]" * 50 + b"}"
    corpus = survey(lines(tmp_path / "x.jsonl", deep, shallow))
    assert len(bad_rows(corpus)) == 1
    assert taken(corpus, [1]).num_rows == 1


def test_a_dictionary_is_not_a_thousand_columns(tmp_path):
    rows = [{"text": "a", "counts": {f"k{n}-{m}": m for m in range(9)}} for n in range(50)]
    corpus = survey(lines(tmp_path / "x.jsonl", *rows))
    assert corpus.shards[0].schema.field("counts").type == pa.string()
    assert json.loads(taken(corpus, [7]).to_pylist()[0]["counts"]) == rows[7]["counts"]


# CSV -----------------------------------------------------------------------------------------


def test_csv_keeps_the_strings_that_it_has(tmp_path):
    path = tmp_path / "x.CSV"
    path.write_bytes(b'\xef\xbb\xbfid,text,zip\r\n007,"a ""b"",\r\nc",01234\r\n\r\n008,,\r\n')
    corpus = survey(path)
    assert [row[:2] for row in documents(corpus)] == [("007", 'a "b",\r\nc'), ("008", "")]
    assert taken(corpus, [0]).to_pylist()[0]["zip"] == "01234"


def test_bad_rows_of_csv_are_told_apart(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b'id,text\n1,a\n2\n3,b,c\n4,\xff\n5,"x"y\n6,b\n7,"open\n8,lost\n')
    corpus = survey(path)
    assert [row[0] for row in documents(corpus)] == ["1", "6"]
    assert [(bad.row, bad.line, bad.reason) for bad in bad_rows(corpus)] == [
        (1, 3, "the row has fewer fields than the header"),
        (2, 4, "the row has more fields than the header"),
        (3, 5, "the row is not valid UTF-8"),
        (4, 6, "the row is not CSV: text after a closing quote"),
        (6, 8, "a quote is opened and never closed"),
    ]


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"a;b\n1;2\n", BadShard, "separated by semicolons"),
        (b"text,text\na,b\n", BadShard, "two columns are called 'text'"),
        (b"id,body\n1,b\n", MissingColumn, "Use --text-column body"),
    ],
)
def test_a_csv_header_must_make_sense(tmp_path, content, error, words):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(error, match=words):
        survey(tmp_path / "x.csv")


# Arrow IPC -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_arrow_files_and_streams_are_told_by_what_is_in_them(tmp_path, stream, compression):
    path = tmp_path / "x.feather"
    table = pa.table({"n": range(3000), "text": [f"t{n}" for n in range(3000)]})
    options = pa.ipc.IpcWriteOptions(compression=compression)
    opened = pa.ipc.new_stream if stream else pa.ipc.new_file
    with opened(str(path), table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=700)
    corpus = survey(path)
    assert [text for _, text, _ in documents(corpus)] == table["text"].to_pylist()
    assert taken(corpus, [0, 699, 700, 2999])["n"].to_pylist() == [0, 699, 700, 2999]
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(BadShard, match=r"x\.feather"):
        documents(survey(path))


def test_offsets_that_point_nowhere_are_damage_and_not_a_crash(tmp_path):
    offsets = pa.py_buffer(np.array([0, 1_000_000_000, 4], np.int32))
    broken = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"abcd")])
    batch = pa.RecordBatch.from_arrays([broken], ["text"])
    path = tmp_path / "x.arrow"
    with pa.ipc.new_file(str(path), batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(BadShard, match="damaged"):
        documents(survey(path))


# Everything also from afar -------------------------------------------------------------------


def test_shards_are_read_from_an_object_store(s3, tmp_path):
    table = pa.table({"id": [str(n) for n in range(500)], "text": ["x" * n for n in range(500)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=100)
    pa.feather.write_feather(table, str(tmp_path / "b.arrow"))
    rows = "\n".join(json.dumps(row) for row in table.to_pylist())
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    for path in tmp_path.iterdir():
        s3.put_object(Bucket="bucket", Key=f"raw/{path.name}", Body=path.read_bytes())
    near, far = survey(tmp_path), survey("s3://bucket/raw/*")
    assert documents(near) == documents(far)
    assert [shard.rows for shard in far.shards] == [500, 500, 500]
    assert all(mark.startswith("etag:") for mark in shards.fingerprints(far))
    wanted = np.array([3, 250], np.int64)
    for one, other in zip(near.shards, far.shards, strict=True):
        for unit in one.units:
            assert list(shards.tables(one, unit, wanted)) == list(
                shards.tables(other, unit, wanted)
            )


# Memory --------------------------------------------------------------------------------------

MEASURE = """
import re, sys
import numpy as np
from assay.selectors import shards
from assay.selectors.shards import Reading
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
before = peak()
corpus = shards.survey([sys.argv[1]], Reading())
for shard in corpus.shards:
    for unit in shard.units:
        for read in shards.batches(shard, unit, Reading()):
            pass
        every = np.arange(unit.first_row, unit.first_row + unit.rows)
        for table in shards.tables(shard, unit, every):
            pass
print(peak() - before)
"""


def megabytes(path):
    found = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], check=True, capture_output=True, text=True
    )
    return int(found.stdout)


def test_memory_does_not_grow_with_the_row_group(tmp_path):
    texts_ = [os.urandom(5000).hex() for _ in range(2000)]
    table = pa.table({"text": texts_ * 15, "n": range(30_000)})  # 300 MB in one row group
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=30_000, use_dictionary=False)
    assert megabytes(tmp_path / "x.parquet") < 150


def test_a_long_text_that_repeats_does_not_swell(tmp_path):
    table = pa.table({"text": ["x" * 500_000] * 5000})  # 0.5 MB in the file, 2.5 GB in all
    pq.write_table(table, tmp_path / "x.parquet")
    assert megabytes(tmp_path / "x.parquet") < 150


# Quarantine ----------------------------------------------------------------------------------


def test_the_quarantine_can_be_read_again(tmp_path):
    bad = [BadRow(3, 7, "the text is null"), BadRow(3, 9, "not JSON", "\x1b[31m\n\\ud800…", 12)]
    with quarantine.writing(str(tmp_path), (3, 1), "s3://b/x y.jsonl") as rows:
        rows.extend(bad[:1])
        rows.extend(bad[1:])
    with quarantine.writing(str(tmp_path), (3, 2), "s3://b/x y.jsonl") as rows:
        rows.extend([])
    assert storage.names(str(tmp_path)) == ["00003-00001.jsonl"]
    first, second = quarantine.read(str(tmp_path))
    assert first == {
        "shard": "s3://b/x y.jsonl",
        "row": 7,
        "line": None,
        "reason": "the text is null",
        "excerpt": "",
    }
    assert second["line"] == 12


def test_an_excerpt_is_short_and_safe_to_print():
    assert quarantine.excerpt("\x1b[31mred\x00\ud800 é数") == r"\x1b[31mred\x00\ud800 é数"
    assert quarantine.excerpt(b"\xff\xfea") == r"\xff\xfea"
    assert len(quarantine.excerpt("\x00" * 10_000)) <= 200


def test_reasons_are_counted():
    bad = [BadRow(0, row, reason) for row, reason in enumerate(["b", "a", "b"])]
    assert quarantine.reasons(bad) == {"a": 1, "b": 2}
