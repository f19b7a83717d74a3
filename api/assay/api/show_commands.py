"""`assay methods` and `assay doctor`: what is there, and whether it works."""

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import click

from assay.api import display
from assay.jobs.executors import cores
from assay.selectors import catalog, storage
from assay.selectors.errors import AssayError

PACKAGES = ("assay", "numpy", "pyarrow", "polars", "obstore", "pydantic")


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def methods(name: str | None, as_json: bool) -> None:
    """List the methods of selection and their settings."""
    found = [catalog.describe(name)] if name else catalog.methods()
    if as_json:
        shown = [asdict(one) | {"schema": _schema(one.name)} for one in found]
        print(json.dumps(shown, indent=1, default=str))
        return
    print("\n\n".join(_told(one) for one in found))


@click.command()
@click.argument("uris", nargs=-1, metavar="[URI]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def doctor(uris: tuple[str, ...], as_json: bool) -> None:
    """Check this installation, and whether URIs can be read."""
    checks = [*_checks(), *(_storage(uri) for uri in uris)]
    if as_json:
        print(json.dumps([{"check": n, "ok": ok, "found": found} for n, ok, found in checks]))
    else:
        print("\n".join(f"{'ok ' if ok else 'BAD'} {n}: {found}" for n, ok, found in checks))
    if not all(ok for _, ok, _ in checks):
        raise click.exceptions.Exit(1)


def _schema(name: str) -> dict[str, Any] | None:
    try:
        return catalog.schema(name)
    except AssayError:
        return None


def _told(method: catalog.Method) -> str:
    rows = [[f"  {s.name}", _short(s.default), s.about] for s in method.settings]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = [f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}".rstrip() for row in rows]
    return "\n".join([f"{method.name}: {method.about} ({method.package})", *lines])


def _short(value: Any) -> str:
    return "-" if value is None else json.dumps(value)


def _checks() -> Iterator[tuple[str, bool, str]]:
    supported = sys.version_info[:2] >= (3, 11)
    yield "python", supported, platform.python_version()
    for name in PACKAGES:
        yield name, True, version(name)
    yield _kernels()
    for name in catalog.names():
        yield _method(name)
    yield "processors", True, f"{cores()} usable"
    yield "disk", True, f"{display.size(shutil.disk_usage(os.getcwd()).free)} free here"


def _kernels() -> tuple[str, bool, str]:
    from assay.native import kernels

    known = kernels.list_ngrams(b"Alice went", "reference", 2, 10_000)
    right = [(n, s) for n, _, s in known][::2] == [(b"alice", 6720), (b"alice went", 114)]
    right = right or {(b"alice", 6720), (b"alice went", 114)} <= {(n, s) for n, _, s in known}
    return "kernels", right, f"features {', '.join(kernels.FEATURES.values())}"


def _method(name: str) -> tuple[str, bool, str]:
    try:
        return f"method {name}", True, catalog.describe(name).package
    except AssayError as problem:
        return f"method {name}", False, str(problem)


def _storage(uri: str) -> tuple[str, bool, str]:
    try:
        found = storage.listing([uri])
    except AssayError as problem:
        return uri, False, str(problem)
    total = sum(one.size for one in found)
    return uri, True, f"{len(found)} shards, {display.size(total)}"
