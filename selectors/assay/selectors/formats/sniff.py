"""Guesses what a file holds that is not what its name says, for the message about it."""

import json

MAGIC = {
    b"PAR1": "Parquet",
    b"PARE": "encrypted Parquet",
    b"ARROW1": "Arrow IPC",
    b"FEA1": "Feather version 1",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "a zip archive",
    b"\x89PNG": "a picture",
    b"Obj\x01": "Avro",
    b"ORC": "ORC",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"version https://git-lfs": "a Git LFS pointer: fetch the file itself with `git lfs pull`",
}
RENAMES = {
    "JSON lines": ".jsonl",
    "gzip": ".jsonl.gz",
    "zstd": ".jsonl.zst",
    "Parquet": ".parquet",
    "Arrow IPC": ".arrow",
}


def looks_like(head: bytes) -> str:
    """A few words on what the first bytes look like; "" if nothing comes to mind."""
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    for magic, name in MAGIC.items():
        if head.startswith(magic):
            return name
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] == b"{" and _is_json(start.split(b"\n", 1)[0]):
        return "JSON lines"
    if start[:2] in (b"[{", b"[\n", b"[ ", b"[]"):
        return "a JSON array"
    if start[:1] == b"<":
        return "HTML or XML, perhaps an error page that was saved as data"
    return ""


def advice(head: bytes) -> str:
    """What the file looks like and what to call it, as the end of a message."""
    guess = looks_like(head)
    if not guess:
        return ""
    ending = RENAMES.get(guess)
    return f" It looks like {guess}{f': rename it to {ending}' if ending else ''}."


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return line[:2] == b'{"'  # cut short, or a line longer than what we were shown
