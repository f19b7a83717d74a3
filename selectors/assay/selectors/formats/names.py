"""Which format a name promises, and how it is compressed."""

from dataclasses import dataclass

ENDINGS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".arrow": "ipc",
    ".arrows": "ipc",
    ".feather": "ipc",
    ".ipc": "ipc",
    ".csv": "csv",
    ".tsv": "tsv",
}
PACKINGS = {".gz": "gzip", ".zst": "zstd"}
PACKED = ("jsonl", "csv", "tsv")  # the others compress inside
KNOWN = (
    ".parquet .pq, .jsonl .ndjson .json, .csv .tsv (also .gz, .zst), .arrow .arrows .feather .ipc"
)


@dataclass(frozen=True, slots=True)
class Name:
    """What the ending of a name says."""

    format: str  # "parquet", "jsonl", "ipc", "csv" or "tsv"
    packing: str = ""  # "gzip", "zstd" or ""


def promised(uri: str) -> Name | None:
    """The format that the name promises, whatever its case; None if it promises nothing we read."""
    stem, packing = _unpacked(uri.lower())
    for ending, kind in ENDINGS.items():
        if stem.endswith(ending) and (not packing or kind in PACKED):
            return Name(kind, packing)
    return None


def is_plain_json(uri: str) -> bool:
    """Whether the name is that of a .json file, which beside data is mostly a description of it."""
    return uri.lower().endswith(".json")


def _unpacked(name: str) -> tuple[str, str]:
    for ending, packing in PACKINGS.items():
        if name.endswith(ending):
            return name.removesuffix(ending), packing
    return name, ""
