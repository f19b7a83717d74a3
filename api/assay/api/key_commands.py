"""`assay migrate` and `assay keys`: what an operator does before the service can be used."""

import json
import re
import time
from typing import TYPE_CHECKING, Any

import click

from assay.api import display, settings
from assay.selectors.errors import BadSetting

if TYPE_CHECKING:  # only these commands wait for SQLAlchemy
    from sqlalchemy import Engine

    from assay.jobs.models import Key

UNITS = {"h": 3_600, "d": 86_400, "w": 7 * 86_400}


@click.command(short_help="Bring the service's database to this program's shape.")
@click.option("--to", default="head", metavar="REVISION", help="head, base, or a number.")
@click.option("--check", is_flag=True, help="Change nothing; fail unless it is up to date.")
def migrate(to: str, check: bool) -> None:
    """Bring the service's database to the shape that this program knows.

    The database is ASSAY_DATABASE_URL, by default SQLite in ~/.assay (ASSAY_HOME). It may hold
    data: nothing is lost on the way up.
    """
    from assay.jobs import database

    engine = database.connect(settings.service().database_url)
    shown = engine.url.render_as_string()
    if check:
        database.check(engine)
        print(f"{shown}: up to date, revision {database.newest()}")
        return
    before, now = database.revision(engine), database.migrate(engine, to)
    print(f"{shown}: revision {now or 'base'}" + ("" if before != now else ", as before"))


@click.group(short_help="Keys to the service: create, list, revoke.")
def keys() -> None:
    """Keys to the service. The first one is made here, with the scope admin."""


@keys.command()
@click.option("--name", required=True, help="What it is for.")
@click.option("--owner", default="", help="Whose jobs it sees.  [default: the name]")
@click.option(
    "--scope", "scopes", multiple=True, default=("read", "submit"), show_default=True,
    help="read, submit or admin; may be repeated.",
)  # fmt: skip
@click.option("--expires", metavar="TIME", help="In 12h, 30d, 8w.  [default: never]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def create(
    name: str, owner: str, scopes: tuple[str, ...], expires: str | None, as_json: bool
) -> None:
    """Make a key. It is shown once, now: only its hash is kept."""
    from assay.jobs import keys as known

    engine, secret = _ready()
    until = None if expires is None else int(time.time()) + _seconds(expires)
    row, text = known.create(
        engine, secret, name=name, owner=owner or name, scopes=scopes, expires_at=until
    )
    if as_json:
        print(json.dumps({**_plain(row), "key": text}, indent=1))
    else:
        print(text)
        click.echo(f"{row.id}: keep the key above, it is not shown again", err=True)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def list_keys(as_json: bool) -> None:
    """Every key, without its secret."""
    from assay.jobs import keys as known

    engine, _ = _ready()
    rows = [_plain(row) for row in known.listed(engine)]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    head = ["id", "name", "owner", "scopes", "created", "expires", "last used", "state"]
    told = [
        [
            row["id"],
            row["name"],
            row["owner"],
            ",".join(row["scopes"]),
            *(_day(row[name]) for name in ("created_at", "expires_at", "last_used_at")),
            row["state"],
        ]
        for row in rows
    ]
    print(display.table([head, *told]) if told else "no keys: `assay keys create` makes one")


@keys.command()
@click.argument("key")
def revoke(key: str) -> None:
    """Close KEY, an id such as key_01k..., for good."""
    from assay.jobs import keys as known

    engine, _ = _ready()
    row = known.revoke(engine, key)
    print(f"{row.id} ({row.name}): revoked")


def _ready() -> tuple["Engine", str]:
    from assay.jobs import database

    service = settings.service()
    engine = database.connect(service.database_url)
    database.check(engine)
    return engine, service.secret


def _plain(row: "Key") -> dict[str, Any]:
    names = ("id", "name", "owner", "scopes", "created_at", "expires_at", "last_used_at")
    return {name: getattr(row, name) for name in names} | {"state": _state(row)}


def _state(row: "Key") -> str:
    if row.revoked_at is not None:
        return "revoked"
    expired = row.expires_at is not None and row.expires_at <= time.time()
    return "expired" if expired else "active"


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d+)([hdw])", text)
    if match is None or not int(match[1]):
        raise BadSetting(f"--expires {text}: write it as 12h, 30d or 8w")
    return int(match[1]) * UNITS[match[2]]


def _day(seconds: int | None) -> str:
    return "-" if seconds is None else time.strftime("%Y-%m-%d", time.gmtime(seconds))
