"""Objects by URI: local files, S3, GCS, Azure and memory, behind the same few verbs.

A local path is taken literally before anything else: a name with brackets, spaces or a hash is a
name. What is written appears at once and whole, or not at all. Every failure leaves here as one of
our own errors, with the address and a remedy. What is behind the verbs lies in stores/.
"""

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, cast

from assay.selectors.errors import NotFound
from assay.selectors.stores import local
from assay.selectors.stores.failures import told
from assay.selectors.stores.kinds import kind_of
from assay.selectors.stores.listing import expanded
from assay.selectors.stores.places import Stored, place_of

# What is there ---------------------------------------------------------------------------


def listing(uris: Sequence[str]) -> list[Stored]:
    """The objects that files, folders and globs stand for: sorted, each once."""
    found = {stored.uri: stored for uri in uris for stored in expanded(uri)}
    return [found[uri] for uri in sorted(found)]


def stat(uri: str) -> Stored:
    """The object itself."""
    place = place_of(uri)
    with told(uri, "reading"):
        return kind_of(place).stat(place)


def exists(uri: str) -> bool:
    """Whether an object of this name is there; a folder is none."""
    place = place_of(uri)
    if place.local:
        return os.path.isfile(place.key)
    try:
        stat(uri)
    except NotFound:
        return False
    return True


def names(folder: str) -> list[str]:
    """Names of the objects directly in a folder, sorted, hidden ones left out."""
    place = place_of(folder)
    with told(folder, "listing"):
        return sorted(kind_of(place).names(place))


def join(base: str, *parts: str) -> str:
    """The address of something inside a folder."""
    root = place_of(base).uri
    return "/".join([root.rstrip("/") if root != "/" else "", *parts])


# Reading ---------------------------------------------------------------------------------


def open_input(uri: str) -> Any:
    """A file that pyarrow reads: a native one for a local path, ranges of the object otherwise."""
    place = place_of(uri)
    with told(uri, "reading"):
        return kind_of(place).open_input(place)


def open_stream(uri: str) -> IO[bytes]:
    """A buffered binary file, to be read from its beginning to its end."""
    place = place_of(uri)
    with told(uri, "reading"):
        return kind_of(place).open_stream(place)


def is_local(uri: str) -> bool:
    """Whether reading it costs no request."""
    return place_of(uri).local


def read_bytes(uri: str) -> bytes:
    """The whole object."""
    place = place_of(uri)
    with told(uri, "reading"):
        return kind_of(place).read(place)


def fingerprint(uri: str, size: int) -> str:
    """What names the content: its SHA-256, or the tag that a remote store gives it."""
    place = place_of(uri)
    if place.scheme in ("", "memory"):
        return f"sha256:{sha256(uri)}"
    stored = stat(uri)
    return f"etag:{stored.etag.strip(chr(34))}" if stored.etag else f"size:{size}"


def sha256(uri: str) -> str:
    """The hash of the content, in hex."""
    with open_stream(uri) as file, told(uri, "reading"):
        return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()


# Writing ---------------------------------------------------------------------------------


def prepare(folder: str) -> None:
    """Make the folder, and find out now rather than hours later whether we may write there."""
    place = place_of(folder)
    if place.local:
        with told(folder, "writing"):
            local.prepare(place)
        return
    probe = join(folder, ".assay-may-write")
    write_bytes(probe, b"")
    delete(probe)


def write_bytes(uri: str, data: bytes) -> None:
    """Put the object there, in place of an older one; nobody ever sees half of it."""
    place = place_of(uri)
    with told(uri, "writing"):
        kind_of(place).put(place, data)


def create_bytes(uri: str, data: bytes) -> None:
    """Put the object there unless something is there already: one writer of many wins."""
    place = place_of(uri)
    with told(uri, "writing"):
        kind_of(place).create(place, data)


class Sink(io.RawIOBase):
    """A file to write to, which knows the size and the SHA-256 of what went through."""

    def __init__(self, uri: str, write: Callable[[Any], Any]) -> None:
        super().__init__()
        self._uri = uri
        self._write = write
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        with told(self._uri, "writing"):
            self._write(view)
        self._hash.update(view)
        self.size += len(view)
        return len(view)

    def tell(self) -> int:
        return self.size


@contextmanager
def writing(uri: str) -> Iterator[Sink]:
    """A sink whose content appears under `uri` when the block ends well, and never otherwise."""
    place = place_of(uri)
    with kind_of(place).writing(uri, place) as write:
        yield Sink(uri, write)


# Deleting --------------------------------------------------------------------------------


def delete(uri: str) -> None:
    """Take the object away; it is well if it was not there."""
    place = place_of(uri)
    with told(uri, "deleting"), suppress(FileNotFoundError):
        kind_of(place).delete(place)


def delete_all(prefix: str) -> None:
    """Take away a folder with all that is in it."""
    place = place_of(prefix)
    with told(prefix, "deleting"):
        kind_of(place).delete_all(place)


def sweep(folder: str) -> None:
    """Take away what writers that were killed left beside their targets; hold the lock for it."""
    place = place_of(folder)
    if place.local:
        with told(folder, "deleting"):
            local.sweep(place)


# Locking ---------------------------------------------------------------------------------


@contextmanager
def lock(folder: str) -> Iterator[None]:
    """Keep other processes from writing here; a killed one lets go by itself.

    Object stores have no locks: there, two writers of the same selection write the same bytes, and
    the manifest is created only once.
    """
    place = place_of(folder)
    if not place.local:
        yield
        return
    with local.lock(folder, place):
        yield
