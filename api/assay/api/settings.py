"""The environment, read here and nowhere else: ASSAY_* gives defaults for options."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
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
SERVICE = {
    "ASSAY_HOME": str,
    "ASSAY_DATABASE_URL": str,
    "ASSAY_SECRET": str,
}
OTHER = {"ASSAY_DEBUG": str, "ASSAY_SHARED": str}  # tracebacks; where tests find more data
LEAST_SECRET = 32  # characters


@dataclass(frozen=True)
class Service:
    """Where the service keeps what it knows, and the secret that its keys hang on."""

    database_url: str
    secret: str


def spec_defaults(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Fields of a selection that the environment sets."""
    return _read(SPEC, environment)


def means_defaults(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Workers and engine, as far as the environment sets them."""
    return _read(MEANS, environment)


def service(environment: Mapping[str, str] = os.environ) -> Service:
    """By default a folder in the user's home holds all of it; PostgreSQL needs a secret of its own,
    since several machines must share it."""
    given = _read(SERVICE, environment)
    home = Path(given.get("home") or Path.home() / ".assay")
    url = given.get("database_url") or f"sqlite:///{home / 'assay.db'}"
    secret = given.get("secret")
    if not secret and not url.startswith("sqlite"):
        raise BadSetting(
            "ASSAY_SECRET is not set: give the same 32 or more random characters to every process "
            "of the service, such as those of `openssl rand -hex 32`"
        )
    secret = secret or _own_secret(home / "secret")
    if len(secret) < LEAST_SECRET:
        raise BadSetting(f"ASSAY_SECRET has {len(secret)} characters: {LEAST_SECRET} is the least")
    return Service(url, secret)


def _own_secret(path: Path) -> str:
    """The secret of a service on one machine: made once, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="utf-8").strip()
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(secrets.token_hex(32))
    return path.read_text(encoding="utf-8")


def debugging(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether tracebacks are wanted."""
    return bool(environment.get("ASSAY_DEBUG"))


def on_a_shell_that_reserves_select(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `select` is a reserved word where the user types."""
    return os.path.basename(environment.get("SHELL", "")) in ("bash", "ksh", "mksh", "zsh")


def _read(known: Mapping[str, type], environment: Mapping[str, str]) -> dict[str, Any]:
    names = [*SPEC, *MEANS, *SERVICE, *OTHER]
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
