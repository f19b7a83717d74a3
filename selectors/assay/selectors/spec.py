"""What is asked of a selection: a value that can be written in a file."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePath
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from assay.selectors import budget, catalog, storage
from assay.selectors.errors import BadBudget, BadRequest, BadSetting, UnknownName
from assay.selectors.selector import Selector
from assay.selectors.shards import Reading
from assay.selectors.stages import EVERYTHING, Stage, chain

Uris = tuple[str, ...]
OF_A_STAGE = ("keep", "least")  # beside the settings of its method
LONGEST_NAME = 100  # characters of a target's name: file systems take 255 bytes of a file's


@dataclass(frozen=True)
class Spec:
    """A selection to be made. Where it is written (`out`) is no part of what it is."""

    method: str
    raw: Uris
    budget: str
    out: str
    target: Mapping[str, Uris] = field(default_factory=dict)  # name -> URIs
    settings: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[Mapping[str, Any], ...] = ()  # {"method": ..., "settings": {...}, ...}, in turn
    scores: Mapping[str, str] = field(
        default_factory=dict
    )  # name -> folder of an earlier selection
    seed: int = 0
    text_column: str = "text"
    id_column: str | None = None  # None: "id" where there is one, else a hash of the text
    group_by: str | None = None
    max_bad_rows: int | None = None

    @property
    def reading(self) -> Reading:
        return Reading(self.text_column, self.id_column, self.group_by)


def checked(spec: Spec) -> Spec:
    """The spec, if it can be carried out, with every default of the method filled in."""
    if not spec.raw:
        raise BadRequest("nothing to select from: name the raw corpus with --raw URI")
    if not spec.out:
        raise BadRequest("nowhere to write: name the output with --out URI")
    budget.parse(spec.budget)
    if spec.max_bad_rows is not None and spec.max_bad_rows < 0:
        raise BadSetting(f"max_bad_rows is {spec.max_bad_rows}: ask for 0 or more")
    for name in spec.target:
        if len(name) > LONGEST_NAME:
            raise BadSetting(
                f"a target's name has {len(name)} characters ({name[:20]}...): it becomes part of "
                f"file names; {LONGEST_NAME} is the most"
            )
    values = {f.name: getattr(spec, f.name) for f in fields(spec)}
    settings = catalog.settings_of(catalog.build(spec.method, spec.settings))
    stages = tuple(_filled(stage) for stage in spec.stages)
    return Spec(**values | {"settings": settings, "stages": stages})


def selector_of(
    method: str, settings: Mapping[str, Any], stages: Sequence[Mapping[str, Any]] = ()
) -> Selector:
    """The selector that was asked for: a method, after the stages that rule documents out."""
    last = catalog.build(method, settings)
    if not stages:
        return last
    return chain([_built(stage) for stage in stages], last)


def _built(stage: Mapping[str, Any]) -> Stage:
    selector = catalog.build(stage["method"], stage["settings"])
    keep = budget.parse(stage["keep"]) if "keep" in stage else EVERYTHING
    return Stage(stage["method"], selector, keep, stage.get("least"))


def _filled(stage: Mapping[str, Any]) -> dict[str, Any]:
    """A stage with every default of its method."""
    if "method" not in stage or set(stage) - {"method", "settings", *OF_A_STAGE}:
        raise BadSetting(
            f"a stage is {{method: NAME, settings: {{...}}, keep: AMOUNT, least: SCORE}}, of which "
            f"the method must be there; found {dict(stage)!r}"
        )
    name = str(stage["method"])
    settings = catalog.settings_of(catalog.build(name, stage.get("settings") or {}))
    return {"method": name, "settings": settings} | _limits(name, stage)


def _limits(name: str, stage: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage leaves of that which its method does not rule out, where it is asked for."""
    found: dict[str, Any] = {}
    if "keep" in stage:
        try:
            found["keep"] = str(budget.parse(str(stage["keep"])))
        except BadBudget as cause:
            raise BadBudget(f"the stage {name}: keep: {cause}") from cause
    if "least" in stage:
        found["least"] = _score(name, stage["least"])
    return found


def _score(name: str, value: Any) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise BadSetting(f"the stage {name}: least: {value!r} is no score: a number is asked for")
    return score


def from_mapping(values: Mapping[str, Any], where: str) -> Spec:
    """A spec from plain values, as a file or a request holds them."""
    known = [f.name for f in fields(Spec)]
    for name in map(str, values):
        if name not in known:
            raise UnknownName(f"{where}: there is no field {name!r}{catalog.hint(name, known)}")
    plain = dict(values)
    for name in ("raw", "target"):
        plain[name] = _listed(plain.get(name, ()))
    if not isinstance(plain["target"], Mapping):
        plain["target"] = named_targets(plain["target"])
    plain["stages"] = tuple(_stage(stage) for stage in plain.get("stages") or ())
    plain["scores"] = named_runs(plain.get("scores") or {}, where)
    for name in ("method", "budget", "out"):
        plain[name] = str(plain.get(name) or "")
    try:
        spec: Spec = TypeAdapter(Spec).validate_python(plain)
    except ValidationError as cause:
        problem = cause.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise BadSetting(f"{where}: {place}: {problem['msg']}") from cause
    return spec


def read_file(uri: str) -> dict[str, Any]:
    """The plain values of a spec file, YAML (.yaml, .yml, .json) or TOML (.toml)."""
    if storage.is_local(uri) and Path(uri).is_dir():
        raise BadRequest(f"{uri}: a folder, not a spec file: name the file in it")
    data = storage.read_bytes(uri)
    suffix = PurePath(uri).suffix.lower()
    try:
        found = tomllib.loads(data.decode()) if suffix == ".toml" else yaml.safe_load(data)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as cause:
        raise BadRequest(f"{uri}: not a spec in YAML or TOML: {cause}") from cause
    if not isinstance(found, dict):
        raise BadRequest(f"{uri}: a spec is a table of fields such as 'method: dsir'")
    return found


def named_targets(given: Uris) -> dict[str, Uris]:
    """--target URI ... and --target NAME=URI ...: URIs of one name are one target."""
    named: dict[str, Uris] = {}
    for entry in given:
        name, uri = _name_of(str(entry))
        named[name] = (*named.get(name, ()), uri)
    return named


def named_runs(given: Any, where: str) -> dict[str, str]:
    """--scores NAME=RUN ..., or the same as a table."""
    if isinstance(given, Mapping):
        return {str(name): str(uri) for name, uri in given.items()}
    pairs = [str(entry).partition("=") for entry in _listed(given)]
    for name, equals, uri in pairs:
        if not (name and equals and uri):
            raise BadSetting(f"{where}: scores: {name!r}: write it as --scores NAME=RUN")
    return {name: uri for name, _, uri in pairs}


def _name_of(entry: str) -> tuple[str, str]:
    name, equals, uri = entry.partition("=")
    if equals and uri and name.replace("_", "").replace("-", "").isalnum():
        return name, uri
    return "target", entry


def _stage(value: Any) -> Any:
    """`dedup`, `{dedup: {near: true}}` and `{method: dedup, settings: {near: true}}` are one, and
    so are `{lm: {keep: 50%}}` and `{method: lm, keep: 50%}`."""
    if isinstance(value, str):
        return {"method": value, "settings": {}}
    if isinstance(value, Mapping) and len(value) == 1 and "method" not in value:
        name, given = next(iter(value.items()))
        if given is not None and not isinstance(given, Mapping):
            return value  # refused by its words
        settings = dict(given or {})
        limits = {key: settings.pop(key) for key in OF_A_STAGE if key in settings}
        return {"method": name, "settings": settings} | limits
    return value


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Mapping):
        return {str(name): _listed(uris) for name, uris in value.items()}
    return tuple(value) if isinstance(value, list | tuple) else () if value is None else (value,)
