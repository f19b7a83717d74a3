"""The environment, read here and nowhere else: ASSAY_* gives defaults for options."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
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
    "ASSAY_STORAGE_ROOTS": str,
    "ASSAY_SECRET": str,
    "ASSAY_RATE": str,
    "ASSAY_MAX_BODY": int,
    "ASSAY_JOBS": int,
    "ASSAY_LOG_LEVEL": str,
    "ASSAY_OTEL": str,
}
LEVELS = ("debug", "info", "warning", "error")
CLIENT = {"ASSAY_SERVER": str, "ASSAY_API_KEY": str}
RATER = {"ASSAY_RATER_URL": str, "ASSAY_RATER_KEY": str}
# torch's threads spin for milliseconds when they have nothing to do, in the way of those of our own
# kernels. Measured here on two processors, 1M model: 0.88 to 1.02 times the speed of a plain
# decoder with libgomp's own count, 1.02 to 1.12 with this one.
THREADS = {"GOMP_SPINCOUNT": "10000"}
OTHER = {"ASSAY_DEBUG": str, "ASSAY_SHARED": str}  # tracebacks; where tests find more data


@dataclass(frozen=True)
class Service:
    """How the service runs: docs/service.md says what each is for."""

    home: str
    database_url: str
    roots: tuple[str, ...] = ()
    secret: str = ""  # "": kept in a file of `home`
    rate: str = "1200/minute"  # requests of one key
    max_body: int = 1_000_000  # bytes
    jobs: int = 2  # that one worker carries out at once
    workers: int = 1  # threads of each
    log_level: str = "info"
    otel: bool = False


def for_threads() -> None:
    """To be called before torch is imported; what the caller set stays."""
    for name, value in THREADS.items():
        os.environ.setdefault(name, value)


def service(environment: Mapping[str, str] = os.environ) -> Service:
    """The service's settings, from the environment alone."""
    given = _read(SERVICE, environment)
    home = os.path.abspath(given.get("home") or os.path.expanduser("~/.local/share/assay"))
    roots = tuple(
        root.strip() for root in given.pop("storage_roots", "").split(",") if root.strip()
    )
    given["otel"] = given.get("otel", "").lower() in ("1", "true", "yes")
    given |= {"home": home, "roots": roots}
    given.setdefault("database_url", f"sqlite:///{home}/assay.db")
    if workers := means_defaults(environment).get("workers"):
        given["workers"] = workers
    if given.get("log_level", "info").lower() not in LEVELS:
        raise BadSetting(
            f"the environment sets ASSAY_LOG_LEVEL={given['log_level']}: known are "
            f"{', '.join(LEVELS)}"
        )
    for name in ("jobs", "max_body", "workers"):
        if given.get(name, 1) < 1:
            raise BadSetting(f"the environment sets ASSAY_{name.upper()}={given[name]}: 1 or more")
    return Service(**given)


def client(environment: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """The server and the key of `assay jobs`; empty where the environment names none."""
    given = _read(CLIENT, environment)
    return given.get("server", ""), given.get("api_key", "")


def rater(environment: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """The endpoint and the key of `assay rate`; empty where the environment names none."""
    given = _read(RATER, environment)
    return given.get("rater_url", ""), given.get("rater_key", "")


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
    names = [*SPEC, *MEANS, *SERVICE, *CLIENT, *RATER, *OTHER]
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
