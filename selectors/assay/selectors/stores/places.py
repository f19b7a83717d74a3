"""Addresses, and what is found under them."""

import os
import re
from dataclasses import dataclass
from urllib.parse import unquote

from assay.selectors.errors import BadRequest

SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "memory": "memory"}


@dataclass(frozen=True, slots=True)
class Stored:
    """One object: where it is, how large it is, and a tag that changes when it does."""

    uri: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Place:
    """An address, taken apart."""

    scheme: str  # "" for a local path
    bucket: str
    key: str  # an absolute path, or a key without slashes at its ends

    @property
    def local(self) -> bool:
        return not self.scheme

    @property
    def uri(self) -> str:
        return self.key if self.local else f"{self.scheme}://{self.bucket}/{self.key}".rstrip("/")

    def at(self, key: str) -> "Place":
        return Place(self.scheme, self.bucket, key)


def place_of(uri: str) -> Place:
    scheme, found, rest = uri.partition("://")
    if not found or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return Place("", "", _local_path(uri))
    if scheme.lower() == "file":
        return Place("", "", _local_path(unquote(rest.removeprefix("localhost"))))
    if scheme.lower() not in SCHEMES:
        raise BadRequest(
            f"{uri}: addresses that start with {scheme}:// cannot be read. "
            f"Known are local paths, file://, {', '.join(f'{name}://' for name in SCHEMES)}."
        )
    bucket, _, key = rest.partition("/")
    return Place(SCHEMES[scheme.lower()], bucket, key.strip("/"))


def _local_path(path: str) -> str:
    if not path:
        raise BadRequest("An empty path: name a file, a folder, a glob or an s3:// address.")
    return os.path.abspath(path)


def last(key: str) -> str:
    """The name at the end of a key."""
    return key.rsplit("/", 1)[-1]
