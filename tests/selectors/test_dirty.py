"""Every file of the dirty collection: what is read, quarantined, or refused, and how."""

import re
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.selectors import quarantine, shards
from assay.selectors.errors import AssayError, BadInput, BadShard, MissingColumn
from assay.selectors.shards import Reading


@dataclass
class Good:
    rows: int
    bad: dict = field(default_factory=dict)


@dataclass
class Refused:
    error: type
    words: str


NULL, BYTES = "the text is null", "the text is not valid UTF-8"
LINES = {
    "the line is not JSON": 2,
    "the line is not a JSON object": 1,
    "the text is missing": 1,
    "the text is not a string": 1,
    "the text is null": 1,
    "the line is not valid UTF-8": 1,
    "a lone surrogate: half of a character": 1,
}
RAGGED = {
    "the row has more fields than the header": 1,
    "the row has fewer fields than the header": 1,
    "a quote is opened and never closed": 1,
}

EXPECTED = {
    "nulls.parquet": Good(400, {NULL: 58}),
    "all_null_text.parquet": Good(50, {NULL: 50}),
    "empty_and_tiny.parquet": Good(200),
    "one_50mib_document.parquet": Good(5),
    "binary_invalid_utf8.parquet": Good(60, {BYTES: 23}),
    "binary_valid_utf8.parquet": Good(60),
    "large_string.parquet": Good(200),
    "string_view.parquet": Good(200),
    "dictionary_columns.parquet": Good(300),
    "missing_text_column.parquet": Refused(MissingColumn, "no column 'text'.*id, source, domain"),
    "text_named_content.parquet": Refused(MissingColumn, "Use --text-column content"),
    "text_is_int.parquet": Refused(MissingColumn, "'text' holds numbers .int64."),
    "int_id.parquet": Good(100),
    "no_id_column.parquet": Good(300),
    "case_and_order.parquet": Refused(MissingColumn, "Use --text-column TEXT"),
    "nested_columns.parquet": Good(300),
    "text_nested_in_struct.parquet": Refused(MissingColumn, r"Use --text-column doc\.text"),
    "zero_rows.parquet": Good(0),
    "zero_rows_zero_row_groups.parquet": Good(0),
    "truncated_half.parquet": Refused(BadShard, "truncated.*no PAR1.*Copy it again"),
    "truncated_last_byte.parquet": Refused(BadShard, "truncated.*no PAR1.*Copy it again"),
    "wrong_magic_head.parquet": Good(300),
    "corrupt_page.parquet": Refused(BadShard, "row group 0, column 'id': damaged.*Copy the file"),
    "zero_bytes.parquet": Refused(BadShard, "zero bytes"),
    "actually_jsonl.parquet": Refused(BadShard, r"looks like JSON lines: rename it to \.jsonl"),
    "duplicate_ids.parquet": Good(300),
    "duplicate_ids_across_a.parquet": Good(100),
    "duplicate_ids_across_b.parquet": Good(100),
    "exact_and_near_duplicates.parquet": Good(150),
    "codec_none.parquet": Good(300),
    "codec_snappy.parquet": Good(300),
    "codec_gzip.parquet": Good(300),
    "codec_lz4.parquet": Good(300),
    "codec_brotli.parquet": Good(300),
    "codec_zstd.parquet": Good(300),
    "codec_mixed_by_column.parquet": Good(300),
    "format_v1_no_dictionary.parquet": Good(300),
    "data_page_v2_tiny_pages.parquet": Good(300),
    "delta_byte_array.parquet": Good(300),
    "one_row_per_row_group.parquet": Good(200),
    "good.jsonl": Good(300),
    "good.jsonl.gz": Good(300),
    "good.jsonl.zst": Good(300),
    "good_streamed.jsonl.zst": Good(300),
    "multi_member.jsonl.gz": Good(300),
    "truncated.jsonl.gz": Refused(BadShard, "truncated: the gzip stream breaks off"),
    "bad_lines.jsonl": Good(299, LINES),  # of 300 lines one is blank
    "crlf_bom.jsonl": Good(300),
    "array_not_lines.json": Refused(BadShard, r"array of JSON, not lines.*jq -c '\.\[\]'"),
    "good.csv": Good(200),
    "semicolon_no_header.csv": Refused(BadShard, "no header.*separated by semicolons"),
    "good.csv.gz": Good(200),
    "ragged.csv": Good(3, RAGGED),
    "good.tsv": Good(100),
    "plain.txt": Refused(BadInput, r"Readable are \.parquet.*Plain text"),
    "good.arrow": Good(300),
    "good.arrows": Good(300),
    "compressed_zstd.feather": Good(300),
    "truncated.arrow": Refused(BadShard, "truncated.*footer is lost"),
    "directory.parquet": Good(100),
    "path names/with spaces & ünïcode/数据 🙂.parquet": Good(50),
    'path names/quote\'s "double" [x] {y} #1 100%.parquet': Good(50),
    "path names/" + "n" * 200 + ".parquet": Good(10),
    "path names/cafe\u0301.parquet": Good(10),
    "path names/café.parquet": Good(10),
    "path names/-leading-dash.parquet": Good(10),
    "path names/.hidden.parquet": Good(10),
    "path names/year=2024": Good(20),
    "path names/UPPER.PARQUET": Good(10),
    "path names": Good(160),
}


def read(path, reading=None):
    """The documents, the bad rows, and every second document again as rows of a table."""
    reading = reading or Reading()
    corpus = shards.survey([str(path)], reading)
    documents, bad = [], []
    for shard in corpus.shards:
        rows = []
        for unit in shard.units:
            for one in shards.batches(shard, unit, reading):
                batch = one.batch
                bad += one.bad
                rows += batch.row.tolist()
                documents += zip(batch.id.to_pylist(), batch.text.to_pylist(), strict=True)
                assert len(batch) == len(batch.key) == len(batch.row)
        wanted = np.array(rows[::2], np.int64)
        taken = [batch for unit in shard.units for batch in shards.tables(shard, unit, wanted)]
        assert sum(map(len, taken)) == len(wanted)
        assert all(batch.schema.equals(shard.schema) for batch in taken)
    return corpus, documents, bad


@pytest.mark.parametrize("name", EXPECTED)
def test_a_dirty_file_is_read_quarantined_or_refused_in_words(dirty, name):
    expected = EXPECTED[name]
    path = dirty / name
    if not path.exists():
        (path,) = [p for p in path.parent.iterdir() if p.name.startswith("nnnn")]
    if isinstance(expected, Refused):
        with pytest.raises(AssayError) as caught:
            read(path)
        assert type(caught.value) is expected.error
        assert re.search(expected.words, str(caught.value)), caught.value
        assert str(path) in str(caught.value)
        return
    if name == "path names":
        expected = Good(expected.rows) if (path / "link.parquet").is_symlink() else None
    if expected is None:
        with pytest.raises(BadShard, match=r"link\.parquet"):
            read(path)  # a copy that did not keep the link
        return
    corpus, documents, bad = read(path)
    assert corpus.rows == expected.rows
    assert quarantine.reasons(bad) == expected.bad
    assert len(documents) == expected.rows - len(bad)


def test_no_dirty_file_is_forgotten(dirty):
    known = {name.split("/")[0] for name in EXPECTED} | {"README.md"}
    assert {path.name for path in dirty.iterdir()} == known


CODECS = [name for name in EXPECTED if name.startswith("codec_")]
LINES_PACKED = [
    "good.jsonl.gz",
    "good.jsonl.zst",
    "good_streamed.jsonl.zst",
    "multi_member.jsonl.gz",
]
LINES_PLAIN = ["good.jsonl", "crlf_bom.jsonl", "good.arrow", "good.arrows"]


@pytest.mark.parametrize("name", CODECS)
def test_what_is_read_is_what_pyarrow_reads(dirty, name):
    table = pq.read_table(dirty / name, columns=["id", "text"])
    assert read(dirty / name)[1] == list(zip(*table.to_pydict().values(), strict=True))


@pytest.mark.parametrize("name", LINES_PACKED[1:])
def test_how_lines_are_packed_does_not_matter(dirty, name):
    assert read(dirty / name)[1] == read(dirty / LINES_PACKED[0])[1]


@pytest.mark.parametrize("names", [CODECS, LINES_PACKED + LINES_PLAIN, ["good.csv", "good.csv.gz"]])
def test_ids_are_the_same_in_every_container(dirty, names):
    # Only ids: in some copies of the collection the plain files were edited after packing.
    ids = [[id_ for id_, _ in read(dirty / name)[1]] for name in names]
    assert all(some == ids[0] for some in ids)


@pytest.mark.parametrize(
    ("name", "column", "rows"),
    [
        ("text_named_content.parquet", "content", 300),
        ("case_and_order.parquet", "TEXT", 50),
        ("text_nested_in_struct.parquet", "doc.text", 50),
    ],
)
def test_the_advice_about_a_column_works(dirty, name, column, rows):
    assert len(read(dirty / name, Reading(column))[1]) == rows


def test_extra_columns_ride_along_unchanged(dirty):
    path = dirty / "nested_columns.parquet"
    corpus = shards.survey([str(path)], Reading())
    shard = corpus.shards[0]
    wanted = np.array([0, 7, 8, 299], np.int64)
    got = pa.Table.from_batches(
        [batch for unit in shard.units for batch in shards.tables(shard, unit, wanted)]
    )
    assert got.equals(pq.read_table(path).take(wanted))
