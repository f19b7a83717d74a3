"""Objects in a store: read by ranges, sent in parts, there when they are complete."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, cast

import pyarrow as pa

from assay.selectors.stores.clients import store, upload
from assay.selectors.stores.failures import told
from assay.selectors.stores.places import Place, Stored, last

CHUNK = 8 << 20  # bytes per request when streaming


# What is there ---------------------------------------------------------------------------


def stat(place: Place) -> Stored:
    return _stored(place, store(place).head(place.key))


def single(place: Place) -> Stored | None:
    """The object of this name."""
    if not place.key:
        return None
    try:
        return stat(place)
    except FileNotFoundError:
        return None


def walk(root: Place) -> Iterator[Stored]:
    """The objects whose keys begin with this one."""
    for page in store(root).list(prefix=root.key or None):
        for found in page:
            yield _stored(root.at(found["path"]), found)


def names(folder: Place) -> list[str]:
    inside = store(folder).list_with_delimiter(prefix=folder.key or None)
    found = [last(one["path"]) for one in inside["objects"]]
    return [name for name in found if name[0] != "."]


def _stored(place: Place, meta: Any) -> Stored:
    return Stored(place.uri, meta["size"], meta["e_tag"] or "")


# Reading ---------------------------------------------------------------------------------


def open_input(place: Place) -> Any:
    return pa.PythonFile(Ranges(place, stat(place).size), mode="r")


def open_stream(place: Place) -> IO[bytes]:
    whole = Ranges(place, stat(place).size)
    return cast(IO[bytes], io.BufferedReader(whole, buffer_size=CHUNK))


def read(place: Place) -> bytes:
    return bytes(store(place).get(place.key).bytes())


class Ranges(io.RawIOBase):
    """An object read by ranges."""

    def __init__(self, place: Place, size: int) -> None:
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
        with told(self._place.uri, "reading"):
            found = store(self._place).get_range(self._place.key, start=self._at, length=length)
            data = bytes(found)
        self._at += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


# Writing ---------------------------------------------------------------------------------


def put(place: Place, data: bytes) -> None:
    store(place).put(place.key, data)


def create(place: Place, data: bytes) -> None:
    store(place).put(place.key, data, mode="create")


@contextmanager
def writing(uri: str, place: Place) -> Iterator[Callable[[Any], Any]]:
    """What writes to an object that appears when the block ends well."""
    with told(uri, "writing"):
        sent = upload(place)
    try:
        yield lambda view: sent.write(bytes(view))
    except BaseException as cause:
        # Parts that were sent are given up, or they would lie there unseen and be paid for.
        with suppress(Exception):
            sent.__exit__(type(cause), cause, cause.__traceback__)
        raise
    with told(uri, "writing"):
        sent.close()


# Deleting --------------------------------------------------------------------------------


def delete(place: Place) -> None:
    store(place).delete(place.key)


def delete_all(prefix: Place) -> None:
    for page in store(prefix).list(prefix=prefix.key or None):
        store(prefix).delete([found["path"] for found in page])
