"""The environment, read here and nowhere else: ASSAY_* gives defaults for options."""

import os
from collections.abc import Mapping
from typing import Any

from assay.selectors.catalog import hint
from assay.selectors.errors import BadSetting, UnknownName

PREFIX = "ASSAY_"
SPEC = {
    "ASSAY_METHOD": str,
    "ASSAY_RAW": str,
    "ASSAY_TARGET": str,
    "ASSAY_BUDGET": str,
    "ASSAY_OUT": str,
    "ASSAY_SEED": int,
    "ASSAY_TEXT_COLUMN": str,
    "ASSAY_ID_COLUMN": str,
    "ASSAY_GROUP_BY": str,
    "ASSAY_MAX_BAD_ROWS": int,
}
MEANS = {"ASSAY_WORKERS": int, "ASSAY_ENGINE": str}
OTHER = {"ASSAY_DEBUG": str, "ASSAY_SHARED": str}  # tracebacks; where tests find more data


def spec_defaults(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Fields of a selection that the environment sets."""
    return _read(SPEC, environment)


def means_defaults(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Workers and engine, as far as the environment sets them."""
    return _read(MEANS, environment)


def debugging(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether tracebacks are wanted."""
    return bool(environment.get("ASSAY_DEBUG"))


def on_a_shell_that_reserves_select(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `select` is a reserved word where the user types."""
    return os.path.basename(environment.get("SHELL", "")) in ("bash", "ksh", "mksh", "zsh")


def _read(known: Mapping[str, type], environment: Mapping[str, str]) -> dict[str, Any]:
    names = [*SPEC, *MEANS, *OTHER]
    for name in environment:
        if name.startswith(PREFIX) and name not in names:
            raise UnknownName(
                f"the environment sets {name}, which means nothing{hint(name, names)}"
            )
    set_here = {name: environment[name] for name in known if environment.get(name)}
    return {_field(name): _typed(name, known[name], text) for name, text in set_here.items()}


def _field(name: str) -> str:
    return name.removeprefix(PREFIX).lower()


def _typed(name: str, kind: type, text: str) -> Any:
    try:
        return kind(text)
    except ValueError as cause:
        raise BadSetting(
            f"the environment sets {name}={text!r}: a whole number is asked for"
        ) from cause
