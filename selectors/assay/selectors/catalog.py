"""Name and settings -> selector. Ours and other people's are found through entry points."""

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import TypeAdapter, ValidationError

from assay.selectors.errors import BadSetting, BrokenMethod, UnknownName
from assay.selectors.selector import Selector

GROUP = "assay.selectors"


@dataclass(frozen=True)
class Setting:
    """One setting of a method, as a person reads it."""

    name: str
    type: str
    default: Any
    about: str


@dataclass(frozen=True)
class Method:
    """One method, as a person reads it."""

    name: str
    about: str
    settings: tuple[Setting, ...]
    package: str


def build(name: str, settings: Mapping[str, Any]) -> Selector:
    """The selector of this name with these settings; text values are read as their types."""
    made = _adapter(name)
    known = [field.name for field in fields(_load(name))]
    for key in settings:
        if key not in known:
            raise UnknownName(f"{name} has no setting {key!r}{hint(key, known)}")
    try:
        selector: Selector = made.validate_python(dict(settings))
    except ValidationError as cause:
        raise BadSetting(f"{name}: {_first_problem(cause)}") from cause
    except ValueError as cause:
        raise BadSetting(f"{name}: {cause}") from cause
    return selector


def settings_of(selector: Selector) -> dict[str, Any]:
    """Every setting with its value, as plain JSON values."""
    dumped: dict[str, Any] = TypeAdapter(type(selector)).dump_python(selector, mode="json")
    return dumped


def schema(name: str) -> dict[str, Any]:
    """JSON schema of a method's settings."""
    return _adapter(name).json_schema()


def names() -> list[str]:
    return sorted(_entries())


def methods() -> list[Method]:
    """Every method that is installed, in the order of their names."""
    return [_describe_anyhow(name) for name in names()]


def describe(name: str) -> Method:
    made, properties = _load(name), schema(name).get("properties", {})
    settings = tuple(
        Setting(
            name=field.name,
            type=str(getattr(field.type, "__name__", field.type)),
            default=_default(field),
            about=properties.get(field.name, {}).get("description", ""),
        )
        for field in fields(made)
    )
    about = (made.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")
    return Method(name, about, settings, _package(_entries()[name]))


def _default(setting: Field[Any]) -> Any:
    if setting.default_factory is not MISSING:
        return setting.default_factory()
    return setting.default


def _describe_anyhow(name: str) -> Method:
    """One broken plug-in does not hide the other methods."""
    try:
        return describe(name)
    except BrokenMethod as problem:
        return Method(name, str(problem), (), _package(_entries()[name]))


def hint(name: str, known: list[str]) -> str:
    """Words that help someone who has mistyped."""
    near = difflib.get_close_matches(name, known, n=1)
    listed = ", ".join(known) or "none"
    return (f": did you mean {near[0]!r}?" if near else ":") + f" known are {listed}"


@cache
def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


@cache
def _load(name: str) -> Any:
    entries = _entries()
    if name not in entries:
        raise UnknownName(f"there is no method {name!r}{hint(name, sorted(entries))}")
    try:
        return entries[name].load()
    except Exception as cause:
        place = entries[name].value
        raise BrokenMethod(f"the method {name!r} ({place}) cannot be loaded: {cause}") from cause


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_load(name))


def package(name: str) -> str:
    """Name and version of the distribution that a method comes from."""
    return _package(_entries()[name])


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    found = problem.get("input")
    return f"{where}: {problem['msg']}; found {found!r}" if where else problem["msg"]
