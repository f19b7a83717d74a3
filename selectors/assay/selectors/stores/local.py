"""Local files: what is written appears at once and whole, or not at all."""

import fcntl
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import pyarrow as pa

from assay.selectors.errors import Busy
from assay.selectors.stores.failures import told
from assay.selectors.stores.places import Place, Stored

CHUNK = 1 << 20  # bytes per read or write when streaming
TEMPORARY = re.compile(r"\..*\.tmp-\d+-\d+")
_serial = itertools.count()


# What is there ---------------------------------------------------------------------------


def stat(place: Place) -> Stored:
    return _stored(place.key)


def single(place: Place) -> Stored | None:
    """The file of this name; a folder is none."""
    return _stored(place.key) if os.path.isfile(place.key) else None


def walk(root: Place) -> Iterator[Stored]:
    """The files in a folder, however deep."""
    yield from (_stored(path) for path in _files(root.key))


def names(folder: Place) -> list[str]:
    if not os.path.isdir(folder.key):
        return []
    with os.scandir(folder.key) as entries:
        return [entry.name for entry in entries if entry.is_file() and entry.name[0] != "."]


def _stored(path: str) -> Stored:
    known = os.stat(path)
    return Stored(path, known.st_size, f"{known.st_mtime_ns:x}-{known.st_size:x}")


def _files(folder: str) -> Iterator[str]:
    walked: set[tuple[int, int]] = set()  # a link may lead back to where we came from
    for root, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        known = os.stat(root)
        if (known.st_dev, known.st_ino) in walked:
            folders.clear()
            continue
        walked.add((known.st_dev, known.st_ino))
        yield from (os.path.join(root, name) for name in files)


def _raise(failure: OSError) -> None:
    if not isinstance(failure, FileNotFoundError):
        raise failure


# Reading ---------------------------------------------------------------------------------


def open_input(place: Place) -> Any:
    return pa.OSFile(place.key, "rb")


def open_stream(place: Place) -> IO[bytes]:
    return open(place.key, "rb", buffering=CHUNK)


def read(place: Place) -> bytes:
    with open(place.key, "rb") as file:
        return file.read()


# Writing ---------------------------------------------------------------------------------


def prepare(folder: Place) -> None:
    """Make the folder, and try whether we may write there."""
    os.makedirs(folder.key, exist_ok=True)
    with _beside(os.path.join(folder.key, "may-write")) as temporary:
        _write_down(temporary, b"")


def put(place: Place, data: bytes) -> None:
    _make_folder_of(place.key)
    with _beside(place.key) as temporary:
        _write_down(temporary, data)
        os.replace(temporary, place.key)


def create(place: Place, data: bytes) -> None:
    _make_folder_of(place.key)
    with _beside(place.key) as temporary:
        _write_down(temporary, data)
        os.link(temporary, place.key)


@contextmanager
def writing(uri: str, place: Place) -> Iterator[Callable[[Any], Any]]:
    """What writes to a file that appears when the block ends well."""
    with told(uri, "writing"):
        _make_folder_of(place.key)
    with _beside(place.key) as temporary:
        with told(uri, "writing"):
            file = open(temporary, "wb", buffering=CHUNK)  # noqa: SIM115
        try:
            yield file.write
            with told(uri, "writing"):
                file.flush()
                os.fsync(file.fileno())
                os.replace(temporary, place.key)
        finally:
            _close(file)


def _close(file: IO[bytes]) -> None:
    """What could not be written was reported already; closing tries again in vain."""
    with suppress(OSError):
        file.close()


def _make_folder_of(path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)


@contextmanager
def _beside(path: str) -> Iterator[str]:
    """A temporary name in the same folder; what is left under it is taken away."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name[:60]}.tmp-{os.getpid()}-{next(_serial)}")
    try:
        yield temporary
        _settle(folder)
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)


def _write_down(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _settle(folder: str) -> None:
    """Make a rename survive a power cut."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


# Deleting --------------------------------------------------------------------------------


def delete(place: Place) -> None:
    os.unlink(place.key)


def delete_all(prefix: Place) -> None:
    if os.path.isdir(prefix.key):
        shutil.rmtree(prefix.key)


def sweep(folder: Place) -> None:
    """Take away what writers that were killed left."""
    for root, _, files in os.walk(folder.key):
        for name in files:
            if TEMPORARY.fullmatch(name):
                os.unlink(os.path.join(root, name))


# Locking ---------------------------------------------------------------------------------


@contextmanager
def lock(uri: str, folder: Place) -> Iterator[None]:
    """Keep other processes from writing here; a killed one lets go by itself."""
    with told(uri, "locking"):
        file = os.open(os.path.join(folder.key, ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _hold(file, uri)
        yield
    finally:
        os.close(file)


def _hold(file: int, uri: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        holder = os.pread(file, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise Busy(
            f"{uri}: process {holder} is writing here now. "
            "Wait for it, stop it, or choose another output folder."
        ) from cause
    os.ftruncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
