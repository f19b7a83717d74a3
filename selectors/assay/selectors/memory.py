"""Gives freed memory back to the system between the stages of a run.

Allocators keep what was freed for later, so a stage stands on top of what the one before no longer
needs: measured here on 2.4 GB of text with two threads, 448 MB at most without, 377 MB with it.
"""

import ctypes
from functools import cache
from typing import Any

import pyarrow as pa


def give_back() -> None:
    """Return what is free, where the allocators can."""
    pa.default_memory_pool().release_unused()
    if trim := _trim():
        trim(0)


@cache
def _trim() -> Any:
    """glibc's malloc_trim, or None elsewhere."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
