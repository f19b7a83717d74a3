"""Name -> law. Ours and other people's are found through entry points (pyproject.toml)."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from assay.scaling.errors import UnknownLaw
from assay.scaling.law import Law

GROUP = "assay.laws"


def find(name: str) -> Law:
    """The law of this name."""
    if name not in entries():
        close = get_close_matches(name, entries(), n=1)
        hint = f"; did you mean {close[0]}?" if close else f"; known: {', '.join(names())}"
        raise UnknownLaw(f"there is no law {name!r}{hint}")
    return load(name)


def names() -> list[str]:
    return sorted(entries())


def laws() -> list[Law]:
    """Every law that is installed, in the order of their names."""
    return [load(name) for name in names()]


@cache
def load(name: str) -> Law:
    made = entries()[name].load()
    law: Law = made() if isinstance(made, type) else made
    return law


@cache
def entries() -> Mapping[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
