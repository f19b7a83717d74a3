"""How many bytes a text takes compressed: alone, behind another, with a dictionary at hand.

Python's zlib, lz4 and zstandard let other threads run while they work. Their overhead over the
bare C calls is below a hundredth, measured here on texts of 2.5 kB: docs/compression.md.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import lz4
import lz4.frame
import zstandard

from assay.selectors.errors import BadSetting

Data = bytes | memoryview
GZIP = 31  # zlib's name for a window of 32 kB with gzip's header and trailer


class Compressor(Protocol):
    """Sizes with the container's header and trailer, which are part of ZIP-FIT's definition."""

    @property
    def versions(self) -> dict[str, str]: ...

    def sizes(self, text: Data, followed_by: Sequence[bytes], /) -> tuple[int, list[int]]:
        """The text alone, and the text with each of the others behind it."""
        ...


def named(name: str, level: int | None) -> Compressor:
    """The compressor of a name; without a level, at the one that is usual."""
    if name == "gzip":
        return Gzip(_within("gzip", 6 if level is None else level, 1, 9))
    if name == "lz4":
        return Lz4(_within("lz4", 0 if level is None else level, -16, 16))
    return Zstd(_within("zstd", 3 if level is None else level, -22, 22))


def _within(name: str, level: int, lowest: int, highest: int) -> int:
    if name == "gzip" and level == 0:
        raise BadSetting(
            "gzip at level 0 stores and does not compress: a score would be a function of the "
            "lengths alone; give a level from 1 to 9"
        )
    if not lowest <= level <= highest:
        raise BadSetting(f"{name} has levels {lowest} to {highest}; found {level}")
    return level


@dataclass(frozen=True)
class Gzip:
    """As gzip.compress counts. The text is compressed once; its state is copied for each of the
    others, which gives the same bytes and spares the larger half of the work."""

    level: int

    @property
    def versions(self) -> dict[str, str]:
        return {"zlib": zlib.ZLIB_RUNTIME_VERSION}

    def sizes(self, text: Data, followed_by: Sequence[bytes]) -> tuple[int, list[int]]:
        begun = zlib.compressobj(self.level, zlib.DEFLATED, GZIP)
        out = len(begun.compress(text))
        both = [out + self._rest(begun.copy(), other) for other in followed_by]
        return out + len(begun.flush()), both

    def _rest(self, begun: "zlib._Compress", other: bytes) -> int:
        return len(begun.compress(other)) + len(begun.flush())


@dataclass(frozen=True)
class Lz4:
    """As lz4.frame.compress counts."""

    level: int

    @property
    def versions(self) -> dict[str, str]:
        return {"lz4": lz4.library_version_string()}

    def sizes(self, text: Data, followed_by: Sequence[bytes]) -> tuple[int, list[int]]:
        return self._size(text), [self._size(b"".join((text, other))) for other in followed_by]

    def _size(self, text: Data) -> int:
        return len(lz4.frame.compress(text, compression_level=self.level))


@dataclass(frozen=True)
class Zstd:
    """As zstandard.ZstdCompressor(level).compress counts."""

    level: int

    @property
    def versions(self) -> dict[str, str]:
        return ZSTD_VERSION

    def sizes(self, text: Data, followed_by: Sequence[bytes]) -> tuple[int, list[int]]:
        size = zstandard.ZstdCompressor(level=self.level).compress  # one for each thread
        return len(size(text)), [len(size(b"".join((text, other)))) for other in followed_by]


# Dictionaries ------------------------------------------------------------------------

ZSTD_VERSION = {"zstd": ".".join(str(number) for number in zstandard.ZSTD_VERSION)}


def sizes_with(content: bytes, level: int, texts: Sequence[Data]) -> list[int]:
    """What each text takes where a dictionary of this content is at hand; b"" is none.

    No frame names its length, its dictionary or a checksum: what is left is the text.
    """
    known = digested(content, level) if content else None
    made = zstandard.ZstdCompressor(
        level=level,
        dict_data=known,
        write_checksum=False,
        write_content_size=False,
        write_dict_id=False,
    )
    return [len(made.compress(text)) for text in texts]


@lru_cache(maxsize=8)  # a process scores with two of them; to digest a megabyte takes 20 ms
def digested(content: bytes, level: int) -> zstandard.ZstdCompressionDict:
    """A dictionary of plain text with its tables made; threads may share it."""
    made = zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    made.precompute_compress(level=level)
    return made
