"""Results as plain JSON values: what commands print, jobs store and HTTP answers."""

from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from math import isfinite
from typing import Any, cast

import numpy as np

SIMPLE = (str, int, bool, type(None))


def plain(value: Any) -> Any:
    """Dataclasses as objects, arrays as lists; what JSON cannot say, such as infinity, as null."""
    kind = type(value)
    if kind in SIMPLE:
        return value
    if kind is float:
        return value if isfinite(value) else None
    if names := _names(cast(Hashable, kind)):
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    number = float(value)
    return number if isfinite(number) else None


@cache
def _names(kind: Hashable) -> tuple[str, ...]:
    """Of the fields of a dataclass; none of anything else."""
    return tuple(f.name for f in fields(kind)) if is_dataclass(kind) else ()


def rounded(value: float | None, digits: int = 4) -> str:
    """For people: 0.00163, 90,276, 73.2B, 1.6e-05."""
    if value is None:
        return "-"
    size = abs(value)
    for unit, word in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if unit <= size < 1e15:
            scaled = value / unit
            return f"{scaled:.0f}{word}" if abs(scaled) >= 100 else f"{scaled:.{digits}g}{word}"
    if 1e3 <= size < 1e6:
        return f"{value:,.0f}"
    if 1e-4 <= size < 1e3 or size == 0:
        return f"{value:.{digits}g}"
    return f"{value:.{max(0, digits - 2)}e}"


def table(rows: list[list[str]], indent: str = "  ") -> str:
    """Columns as wide as their widest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
