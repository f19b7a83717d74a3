"""Streams of bytes out of files that may be compressed; a file cut short is an error here."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import zstandard

from assay.selectors import storage
from assay.selectors.errors import BadShard
from assay.selectors.formats import sniff
from assay.selectors.formats.names import promised

BUFFER = 1 << 20
SIP = 16 << 10  # compressed bytes at a time: a bomb of a few bytes swells to no more than 128 MB


@contextmanager
def opened(uri: str, size: int, start: int = 0) -> Iterator[IO[bytes]]:
    """The content of the file, decompressed as its name says, from byte `start` of it."""
    name = promised(uri)
    packing = name.packing if name else ""
    if packing and not size:
        raise BadShard(f"{uri}: zero bytes are not {packing}. Copy it again or leave it out.")
    with storage.open_stream(uri) as file:
        content = _unpacked(file, packing)
        if start:
            content.seek(start)
        try:
            yield content
        except EOFError as cause:
            raise BadShard(_truncated(uri, packing, file)) from cause
        except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as cause:
            raise BadShard(_damaged(uri, packing, cause)) from cause


def _unpacked(file: IO[bytes], packing: str) -> Any:
    if packing == "gzip":
        return io.BufferedReader(gzip.GzipFile(fileobj=file), BUFFER)
    if packing == "zstd":
        return io.BufferedReader(_Zstd(file), BUFFER)
    return file


class _Zstd(io.RawIOBase):
    """Frames end to end. Unlike zstandard's own reader it notices that the last one is cut off."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._frame: Any = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._ready:
            if not self._sip():
                return 0
        length = min(len(buffer), len(self._ready))
        buffer[:length] = self._ready[:length]
        self._ready = self._ready[length:]
        return length

    def _sip(self) -> bool:
        left = self._frame.unused_data if self._frame is not None and self._frame.eof else b""
        if left or (self._frame is not None and self._frame.eof):
            self._frame = None
        data = left or self._file.read(SIP)
        if not data:
            if self._frame is not None:
                raise EOFError
            return False
        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
        self._ready = memoryview(self._frame.decompress(data))
        return True


def _truncated(uri: str, packing: str, file: IO[bytes]) -> str:
    return (
        f"{uri}: truncated: the {packing} stream breaks off at the end of the file's "
        f"{file.tell():,} bytes. Copy it again or leave it out."
    )


def _damaged(uri: str, packing: str, cause: Exception) -> str:
    with storage.open_stream(uri) as file:
        head = file.read(4096)
    guess = "" if sniff.looks_like(head) == packing else sniff.advice(head)
    return f"{uri}: damaged, or not {packing}: {cause}.{guess} Copy it again or leave it out."
