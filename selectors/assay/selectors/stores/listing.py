"""What files, folders and globs stand for: the readable data there, and nothing of ours."""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from assay.selectors.errors import AssayError, NotFound, NothingToRead
from assay.selectors.formats.names import KNOWN, is_plain_json, promised
from assay.selectors.stores.failures import told
from assay.selectors.stores.kinds import kind_of
from assay.selectors.stores.places import Place, Stored, last, place_of

OUR_FOLDERS = {"scores", "quarantine", "state", "fit"}  # beside a manifest: ours, not data


def expanded(uri: str) -> list[Stored]:
    """The objects that a file, a folder or a glob stands for."""
    place = place_of(uri)
    with told(uri, "listing"):
        single = kind_of(place).single(place)
        if single:
            return [single]
        found = _inside(place, _matcher(place)) if _is_glob(place) else _inside(place, None)
    if found:
        return found
    raise _nothing(uri, place)


def _is_glob(place: Place) -> bool:
    if place.local and os.path.lexists(place.key):
        return False
    return any(sign in place.key for sign in "*?[")


def _inside(place: Place, pattern: re.Pattern[str] | None) -> list[Stored]:
    root = place.at(_fixed_part(place.key)) if pattern else place
    seen = {stored.uri[len(root.uri) :].lstrip("/"): stored for stored in kind_of(root).walk(root)}
    if pattern:
        seen = {name: stored for name, stored in seen.items() if _matches(pattern, name)}
    shown = _hidden_but_asked_for(place.key) if pattern else frozenset()
    kept = {name for name in seen if _is_shown(name, shown)}
    return [seen[name] for name in _data_among(kept)]


def _fixed_part(key: str) -> str:
    parts = key.split("/")
    fixed = itertools.takewhile(lambda part: not any(sign in part for sign in "*?["), parts)
    return "/".join(fixed) or ("/" if key.startswith("/") else "")


def _matcher(place: Place) -> re.Pattern[str]:
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
    parts = {_folder(name) for name in names if _PART.fullmatch(last(name))}
    return parts & {_folder(name) for name in names if last(name) == "manifest.json"}


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


def _nothing(uri: str, place: Place) -> AssayError:
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
