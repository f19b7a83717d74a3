"""Objects by URI: local files, S3, GCS, Azure and memory, behind the same few verbs.

A local path is taken literally before anything else: a name with brackets, spaces or a hash is a
name. What is written appears at once and whole, or not at all. This is the only file that knows
obstore; every failure leaves it as one of our own errors, with the address and a remedy.
"""

import errno
import fcntl
import hashlib
import io
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import PurePosixPath
from typing import IO, Any, cast
from urllib.parse import unquote, urlsplit

import obstore
import obstore.exceptions as remote_errors
import pyarrow as pa
from obstore.store import AzureStore, GCSStore, MemoryStore, ObjectStore, S3Store

from assay.selectors.errors import (
    AlreadyThere,
    AssayError,
    BadRequest,
    Busy,
    NotFound,
    NothingToRead,
    StorageError,
)
from assay.selectors.formats.names import KNOWN, is_plain_json, promised

SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "memory": "memory"}
OUR_FOLDERS = {"scores", "quarantine", "state", "fit"}  # beside a manifest: ours, not data
CHUNK = 1 << 20  # bytes per read when streaming
PART = 8 << 20  # bytes per part of a multipart upload
# Bounded so that an endpoint which does not answer is reported within 15 seconds.
PATIENCE = {
    "connect_timeout": timedelta(seconds=3),
    "read_timeout": timedelta(seconds=10),  # without a single byte
    "timeout": timedelta(seconds=300),  # for a whole part
}
RETRIES = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=8),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=2),
        "base": 2.0,
    },
}


# What is there ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """One object: where it is, how large it is, and a tag that changes when it does."""

    uri: str
    size: int
    etag: str


def listing(uris: Sequence[str]) -> list[Stored]:
    """The objects that files, folders and globs stand for: sorted, each once."""
    found = {stored.uri: stored for uri in uris for stored in _expanded(uri)}
    return [found[uri] for uri in sorted(found)]


def stat(uri: str) -> Stored:
    """The object itself."""
    place = _place(uri)
    with _told(uri, "reading"):
        if place.local:
            return _local_stored(place.key)
        return _remote_stored(place, obstore.head(_store(place), place.key))


def exists(uri: str) -> bool:
    """Whether an object of this name is there; a folder is none."""
    place = _place(uri)
    if place.local:
        return os.path.isfile(place.key)
    try:
        stat(uri)
    except NotFound:
        return False
    return True


def names(folder: str) -> list[str]:
    """Names of the objects directly in a folder, sorted, hidden ones left out."""
    place = _place(folder)
    with _told(folder, "listing"):
        if place.local:
            return sorted(_local_names(place.key))
        inside = obstore.list_with_delimiter(_store(place), prefix=place.key or None)
        found = [_last(one["path"]) for one in inside["objects"]]
        return sorted(name for name in found if name[0] != ".")


def join(base: str, *parts: str) -> str:
    """The address of something inside a folder."""
    root = _place(base).uri
    return "/".join([root.rstrip("/") if root != "/" else "", *parts])


# Reading ---------------------------------------------------------------------------------


def open_input(uri: str) -> Any:
    """A file that pyarrow reads: a native one for a local path, ranges of the object otherwise."""
    place = _place(uri)
    with _told(uri, "reading"):
        if place.local:
            return pa.OSFile(place.key, "rb")
        return pa.PythonFile(_RemoteFile(place, stat(uri).size), mode="r")


def open_stream(uri: str) -> IO[bytes]:
    """A buffered binary file, to be read from its beginning to its end."""
    place = _place(uri)
    with _told(uri, "reading"):
        if place.local:
            return open(place.key, "rb", buffering=CHUNK)
        return cast(
            IO[bytes],
            io.BufferedReader(_RemoteFile(place, stat(uri).size), buffer_size=8 * CHUNK),
        )


def is_local(uri: str) -> bool:
    """Whether reading it costs no request."""
    return _place(uri).local


def read_bytes(uri: str) -> bytes:
    """The whole object."""
    place = _place(uri)
    with _told(uri, "reading"):
        if place.local:
            with open(place.key, "rb") as file:
                return file.read()
        return bytes(obstore.get(_store(place), place.key).bytes())


def fingerprint(uri: str, size: int) -> str:
    """What names the content: its SHA-256, or the tag that a remote store gives it."""
    place = _place(uri)
    if place.scheme in ("", "memory"):
        return f"sha256:{sha256(uri)}"
    stored = stat(uri)
    return f"etag:{stored.etag.strip(chr(34))}" if stored.etag else f"size:{size}"


def sha256(uri: str) -> str:
    """The hash of the content, in hex."""
    with open_stream(uri) as file, _told(uri, "reading"):
        return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()


# Writing ---------------------------------------------------------------------------------


def prepare(folder: str) -> None:
    """Make the folder, and find out now rather than hours later whether we may write there."""
    place = _place(folder)
    with _told(folder, "writing"):
        if place.local:
            os.makedirs(place.key, exist_ok=True)
            _try_to_write(place.key)
            return
        probe = join(folder, ".assay-may-write")
    write_bytes(probe, b"")
    delete(probe)


def write_bytes(uri: str, data: bytes) -> None:
    """Put the object there, in place of an older one; nobody ever sees half of it."""
    place = _place(uri)
    with _told(uri, "writing"):
        if not place.local:
            obstore.put(_store(place), place.key, data)
            return
        with _beside(uri, place.key) as temporary:
            _write_down(temporary, data)
            os.replace(temporary, place.key)


def create_bytes(uri: str, data: bytes) -> None:
    """Put the object there unless something is there already: one writer of many wins."""
    place = _place(uri)
    with _told(uri, "writing"):
        if not place.local:
            obstore.put(_store(place), place.key, data, mode="create")
            return
        with _beside(uri, place.key) as temporary:
            _write_down(temporary, data)
            os.link(temporary, place.key)


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
        with _told(self._uri, "writing"):
            self._write(view)
        self._hash.update(view)
        self.size += len(view)
        return len(view)

    def tell(self) -> int:
        return self.size


@contextmanager
def writing(uri: str) -> Iterator[Sink]:
    """A sink whose content appears under `uri` when the block ends well, and never otherwise."""
    place = _place(uri)
    with _local_writing(uri, place) if place.local else _remote_writing(uri, place) as sink:
        yield sink


@contextmanager
def _local_writing(uri: str, place: "_Place") -> Iterator[Sink]:
    with _beside(uri, place.key) as temporary:
        with _told(uri, "writing"):
            file = open(temporary, "wb", buffering=CHUNK)  # noqa: SIM115
        try:
            yield Sink(uri, file.write)
            with _told(uri, "writing"):
                file.flush()
                os.fsync(file.fileno())
                os.replace(temporary, place.key)
        finally:
            _close(file)


def _close(file: IO[bytes]) -> None:
    """What could not be written was reported already; closing tries again in vain."""
    with suppress(OSError):
        file.close()


@contextmanager
def _remote_writing(uri: str, place: "_Place") -> Iterator[Sink]:
    with _told(uri, "writing"):
        upload = obstore.open_writer(_store(place), place.key, buffer_size=PART, max_concurrency=2)
    try:
        yield Sink(uri, lambda view: upload.write(bytes(view)))
    except BaseException as cause:
        # Parts that were sent are given up, or they would lie there unseen and be paid for.
        with suppress(Exception):
            upload.__exit__(type(cause), cause, cause.__traceback__)
        raise
    with _told(uri, "writing"):
        upload.close()


def delete(uri: str) -> None:
    """Take the object away; it is well if it was not there."""
    place = _place(uri)
    with _told(uri, "deleting"):
        try:
            if place.local:
                os.unlink(place.key)
            else:
                obstore.delete(_store(place), place.key)
        except FileNotFoundError:
            return


def delete_all(prefix: str) -> None:
    """Take away a folder with all that is in it."""
    place = _place(prefix)
    with _told(prefix, "deleting"):
        if place.local:
            if os.path.isdir(place.key):
                shutil.rmtree(place.key)
            return
        for page in obstore.list(_store(place), prefix=place.key or None):
            obstore.delete(_store(place), [found["path"] for found in page])


def sweep(folder: str) -> None:
    """Take away what writers that were killed left beside their targets; hold the lock for it."""
    place = _place(folder)
    if not place.local:
        return
    with _told(folder, "deleting"):
        for root, _, files in os.walk(place.key):
            for name in files:
                if _TEMPORARY.fullmatch(name):
                    os.unlink(os.path.join(root, name))


@contextmanager
def lock(folder: str) -> Iterator[None]:
    """Keep other processes from writing here; a killed one lets go by itself.

    Object stores have no locks: there, two writers of the same selection write the same bytes, and
    the manifest is created only once.
    """
    place = _place(folder)
    if not place.local:
        yield
        return
    with _told(folder, "locking"):
        file = os.open(os.path.join(place.key, ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _hold(file, folder)
        yield
    finally:
        os.close(file)


def _hold(file: int, folder: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        holder = os.pread(file, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise Busy(
            f"{folder}: process {holder} is writing here now. "
            "Wait for it, stop it, or choose another output folder."
        ) from cause
    os.ftruncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)


# Addresses -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    scheme: str  # "" for a local path
    bucket: str
    key: str  # an absolute path, or a key without slashes at its ends

    @property
    def local(self) -> bool:
        return not self.scheme

    @property
    def uri(self) -> str:
        return self.key if self.local else f"{self.scheme}://{self.bucket}/{self.key}".rstrip("/")

    def at(self, key: str) -> "_Place":
        return _Place(self.scheme, self.bucket, key)


def _place(uri: str) -> _Place:
    scheme, found, rest = uri.partition("://")
    if not found or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return _Place("", "", _local_path(uri))
    if scheme.lower() == "file":
        return _Place("", "", _local_path(unquote(rest.removeprefix("localhost"))))
    if scheme.lower() not in SCHEMES:
        raise BadRequest(
            f"{uri}: addresses that start with {scheme}:// cannot be read. "
            f"Known are local paths, file://, {', '.join(f'{name}://' for name in SCHEMES)}."
        )
    bucket, _, key = rest.partition("/")
    return _Place(SCHEMES[scheme.lower()], bucket, key.strip("/"))


def _local_path(path: str) -> str:
    if not path:
        raise BadRequest("An empty path: name a file, a folder, a glob or an s3:// address.")
    return os.path.abspath(path)


def _last(key: str) -> str:
    return key.rsplit("/", 1)[-1]


def _store(place: _Place) -> ObjectStore:
    if place.scheme != "memory" and not place.bucket:
        raise BadRequest(f"{place.scheme}://: name a bucket, as in {place.scheme}://bucket/folder.")
    return _opened_store(place.scheme, place.bucket, _may_be_plain())


def _may_be_plain() -> bool:
    """Whether S3 may be spoken to without TLS: a server on this machine, or AWS_ALLOW_HTTP.

    obstore reads its settings from the environment by itself, but forgets AWS_ALLOW_HTTP where
    other client options are given, and does not tell what it found: so this looks there too.
    """
    if os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("true", "1"):
        return True
    known = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    endpoint = urlsplit(known or "")
    return endpoint.scheme == "http" and endpoint.hostname in ("localhost", "127.0.0.1", "::1")


@cache
def _opened_store(scheme: str, bucket: str, plain: bool) -> ObjectStore:
    retry = cast(Any, RETRIES)
    if scheme == "s3":
        options = PATIENCE | ({"allow_http": True} if plain else {})
        return S3Store(bucket, client_options=cast(Any, options), retry_config=retry)
    if scheme == "gs":
        return GCSStore(bucket, client_options=cast(Any, PATIENCE), retry_config=retry)
    if scheme == "az":
        return AzureStore(bucket, client_options=cast(Any, PATIENCE), retry_config=retry)
    return _memory(bucket)


@cache
def _memory(bucket: str) -> ObjectStore:
    """Lives as long as the process."""
    return MemoryStore()


# Expanding -------------------------------------------------------------------------------


def _expanded(uri: str) -> list[Stored]:
    place = _place(uri)
    with _told(uri, "listing"):
        single = _single(place)
        if single:
            return [single]
        found = _inside(place, _matcher(place)) if _is_glob(place) else _inside(place, None)
    if found:
        return found
    raise _nothing(uri, place)


def _single(place: _Place) -> Stored | None:
    if place.local:
        return _local_stored(place.key) if os.path.isfile(place.key) else None
    if not place.key:
        return None
    try:
        return _remote_stored(place, obstore.head(_store(place), place.key))
    except FileNotFoundError:
        return None


def _is_glob(place: _Place) -> bool:
    if place.local and os.path.lexists(place.key):
        return False
    return any(sign in place.key for sign in "*?[")


def _inside(place: _Place, pattern: re.Pattern[str] | None) -> list[Stored]:
    root = place.at(_fixed_part(place.key)) if pattern else place
    seen = {stored.uri[len(root.uri) :].lstrip("/"): stored for stored in _walk(root)}
    if pattern:
        seen = {name: stored for name, stored in seen.items() if _matches(pattern, name)}
    shown = _hidden_but_asked_for(place.key) if pattern else frozenset()
    kept = {name for name in seen if _is_shown(name, shown)}
    return [seen[name] for name in _data_among(kept)]


def _fixed_part(key: str) -> str:
    parts = key.split("/")
    fixed = itertools.takewhile(lambda part: not any(sign in part for sign in "*?["), parts)
    return "/".join(fixed) or ("/" if key.startswith("/") else "")


def _matcher(place: _Place) -> re.Pattern[str]:
    pattern = place.key[len(_fixed_part(place.key)) :].lstrip("/")
    return re.compile("".join(_glob_pieces(pattern)))


def _glob_pieces(pattern: str) -> Iterator[str]:
    for piece in re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL):
        if piece == "**/":
            yield "(?:[^/]+/)*"
        elif piece == "**":
            yield ".*"
        elif piece == "*":
            yield "[^/]*"
        elif piece == "?":
            yield "[^/]"
        elif len(piece) > 1:
            yield "[" + re.sub(r"^!", "^", piece[1:-1].replace("\\", "\\\\")) + "]"
        else:
            yield re.escape(piece)


def _matches(pattern: re.Pattern[str], name: str) -> bool:
    """A glob may name a file, or a folder that the file is in."""
    parts = name.split("/")
    return any(pattern.fullmatch("/".join(parts[:n])) for n in range(1, len(parts) + 1))


def _hidden_but_asked_for(pattern: str) -> frozenset[str]:
    return frozenset(part[0] for part in pattern.split("/") if part[:1] in ("_", "."))


def _is_shown(name: str, asked_for: frozenset[str]) -> bool:
    return all(part[0] not in "._" or part[0] in asked_for for part in name.split("/"))


def _data_among(names: set[str]) -> list[str]:
    """The readable ones; where a selection was written, its chosen rows only."""
    ours = _selections(names)
    readable = [name for name in names if promised(name) and not _is_beside_chosen(name, ours)]
    data = [name for name in readable if not is_plain_json(name)]
    return data or readable


def _selections(names: set[str]) -> set[str]:
    """Folders that hold a manifest and parts."""
    parts = {_folder(name) for name in names if _PART.fullmatch(_last(name))}
    return parts & {_folder(name) for name in names if _last(name) == "manifest.json"}


_PART = re.compile(r"part-\d+\.parquet")


def _is_beside_chosen(name: str, selections: set[str]) -> bool:
    """Scores, reports and the like of a selection: not data."""
    for above in PurePosixPath(name).parents:
        if ("" if str(above) == "." else str(above)) in selections:
            inside = PurePosixPath(name).relative_to(above).parts
            if inside[0] in OUR_FOLDERS or (len(inside) == 1 and not _PART.fullmatch(inside[0])):
                return True
    return False


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _walk(root: _Place) -> Iterator[Stored]:
    if root.local:
        yield from (_local_stored(path) for path in _local_files(root.key))
        return
    for page in obstore.list(_store(root), prefix=root.key or None):
        for found in page:
            yield _remote_stored(root.at(found["path"]), found)


def _local_files(folder: str) -> Iterator[str]:
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


def _local_names(folder: str) -> list[str]:
    if not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.is_file() and entry.name[0] != "."]


def _local_stored(path: str) -> Stored:
    known = os.stat(path)
    return Stored(path, known.st_size, f"{known.st_mtime_ns:x}-{known.st_size:x}")


def _remote_stored(place: _Place, meta: Any) -> Stored:
    return Stored(place.uri, meta["size"], meta["e_tag"] or "")


def _nothing(uri: str, place: _Place) -> AssayError:
    if _is_glob(place):
        return NothingToRead(f"{uri}: no readable file matches. Readable are {KNOWN}.")
    if place.local and not os.path.lexists(place.key):
        return NotFound(f"{uri}: there is no such file or folder.{_nearby(place.key)}")
    if place.local and os.path.islink(place.key) and not os.path.exists(place.key):
        return NotFound(f"{uri}: a link to {os.readlink(place.key)}, which is not there.")
    if place.local and not os.path.isdir(place.key):
        return NothingToRead(f"{uri}: neither a file nor a folder: write the data to a file first.")
    if place.local:
        return NothingToRead(f"{uri}: no readable file in this folder. Readable are {KNOWN}.")
    return NotFound(
        f"{uri}: no object of this name, and no readable one below it. Readable are {KNOWN}."
    )


def _nearby(path: str) -> str:
    above = path
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    return f" The nearest folder that exists is {above}."


# Local files -----------------------------------------------------------------------------

_TEMPORARY = re.compile(r"\..*\.tmp-\d+-\d+")
_serial = itertools.count()


@contextmanager
def _beside(uri: str, path: str) -> Iterator[str]:
    """A temporary name in the same folder; what is left under it is taken away."""
    folder, name = os.path.split(path)
    with _told(uri, "writing"):
        os.makedirs(folder, exist_ok=True)
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


def _try_to_write(folder: str) -> None:
    with _beside(folder, os.path.join(folder, "may-write")) as temporary:
        _write_down(temporary, b"")


# Remote objects --------------------------------------------------------------------------


class _RemoteFile(io.RawIOBase):
    """An object read by ranges."""

    def __init__(self, place: _Place, size: int) -> None:
        super().__init__()
        self._place = place
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def size(self) -> int:
        return self._size

    def read(self, size: int = -1, /) -> bytes:
        left = max(self._size - self._at, 0)
        length = left if size is None or size < 0 else min(size, left)
        if not length:
            return b""
        with _told(self._place.uri, "reading"):
            store, key = _store(self._place), self._place.key
            data = bytes(obstore.get_range(store, key, start=self._at, length=length))
        self._at += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


# Failures --------------------------------------------------------------------------------


@contextmanager
def _told(uri: str, doing: str) -> Iterator[None]:
    """Say every failure of storage in our own words; failures of others pass through."""
    try:
        yield
    except AssayError:
        raise
    except OSError as cause:
        raise _local_failure(uri, doing, cause) from cause
    except remote_errors.BaseError as cause:
        raise _remote_failure(uri, doing, cause) from cause


def _local_failure(uri: str, doing: str, cause: OSError) -> AssayError:
    if isinstance(cause, FileNotFoundError) and doing == "writing" and _place(uri).local:
        return StorageError(f"{uri}: this folder cannot be made. Name a place that can be written.")
    if isinstance(cause, FileNotFoundError):
        return _not_there(uri, cause)
    if isinstance(cause, FileExistsError):
        return AlreadyThere(f"{uri}: something is already stored under this address.")
    if isinstance(cause, PermissionError) or cause.errno == errno.EROFS:
        return StorageError(
            f"{uri}: no permission while {doing} {_path_of(cause, uri)}. "
            "Change its owner or mode, or name another place."
        )
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"{uri}: disk full while {doing}{_room(uri)}. Free space there or choose an output "
            "folder on another disk, then run the same command again: it resumes."
        )
    return StorageError(f"{uri}: {doing} failed: {cause.strerror or cause}.")


def _not_there(uri: str, cause: OSError) -> AssayError:
    if "NoSuchBucket" in str(cause):
        bucket = _place(uri).bucket
        return StorageError(
            f"{uri}: there is no bucket {bucket!r} at this endpoint. Create it, or check its name "
            "and AWS_ENDPOINT_URL."
        )
    return NotFound(f"{uri}: nothing is stored there. Check the address.")


def _path_of(cause: OSError, uri: str) -> str:
    return str(cause.filename or uri)


def _room(uri: str) -> str:
    place = _place(uri)
    if not place.local:
        return ""
    folder = place.key
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return f" ({shutil.disk_usage(folder).free / 1e9:.2f} GB free at {folder})"


def _remote_failure(uri: str, doing: str, cause: Exception) -> AssayError:
    text = str(cause)
    if isinstance(cause, remote_errors.AlreadyExistsError | remote_errors.PreconditionError):
        return AlreadyThere(f"{uri}: something is already stored under this address.")
    if isinstance(cause, remote_errors.NotFoundError) or "NoSuchBucket" in text:
        return _not_there(uri, cast(OSError, cause))
    if "Account must be specified" in text:
        return StorageError(f"{uri}: whose container is it? Set AZURE_STORAGE_ACCOUNT_NAME.")
    if _is_refusal(cause, text):
        return StorageError(
            f"{uri}: the store refused {doing}: {_gist(text)}. Check the credentials in the "
            "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION; "
            "GOOGLE_APPLICATION_CREDENTIALS; AZURE_STORAGE_ACCOUNT_NAME) and their rights."
        )
    return StorageError(
        f"{uri}: {doing} failed: {_gist(text)}. Check that the endpoint can be reached "
        "(AWS_ENDPOINT_URL, AWS_REGION; plain http beyond this machine needs AWS_ALLOW_HTTP=true)."
    )


def _is_refusal(cause: Exception, text: str) -> bool:
    kinds = remote_errors.PermissionDeniedError | remote_errors.UnauthenticatedError
    signs = ("AccessDenied", "InvalidAccessKey", "SignatureDoesNotMatch", "credential", "169.254")
    return isinstance(cause, kinds | PermissionError) or any(sign in text for sign in signs)


def _gist(text: str) -> str:
    """The part of a long report before its debugging output."""
    return " ".join(text.split("Debug source:")[0].split())[:300].rstrip(". ")
