"""`assay migrate`, `assay keys`, `assay serve`, `assay worker`: running the service."""

import json
import time
from typing import TYPE_CHECKING, Any

import click

from assay.api import display, settings
from assay.selectors.errors import BadRequest

if TYPE_CHECKING:
    from assay.jobs.database import Database
    from assay.jobs.models import Key

DAY = 86_400.0
DATABASE = click.option(
    "--database", metavar="URL", help="[default: ASSAY_DATABASE_URL, else SQLite in ASSAY_HOME]"
)


def need_packages() -> None:
    """A word on what to install, instead of an ImportError."""
    try:
        import alembic  # noqa: F401
        import dbos  # noqa: F401
        import fastapi  # noqa: F401
    except ImportError as cause:
        raise BadRequest(
            f"the service needs more packages ({cause.name}): pip install 'assay[serve]'"
        ) from cause


def opened(url: str | None) -> "Database":
    """The database that is named, with today's tables; an empty one gets them."""
    need_packages()
    from assay.jobs import database as databases

    found = databases.database(url or settings.service().database_url)
    if found.sqlite:  # no set-up: an embedded database makes itself
        databases.migrate(found)
    databases.check_migrated(found)
    return found


@click.command()
@DATABASE
@click.option("--to", default="head", show_default=True, metavar="REVISION", help="base: none.")
def migrate(database: str | None, to: str) -> None:
    """Create the service's tables, or bring them to this version."""
    need_packages()
    from assay.jobs import database as databases

    found = databases.database(database or settings.service().database_url)
    before, after = databases.migrate(found, to)
    where = found.url.render_as_string(hide_password=True)
    click.echo(f"{where}: revision {before or 'none'} -> {after or 'none'}", err=True)


@click.group()
def keys() -> None:
    """Make, list and revoke the keys of the service."""


@keys.command("create")
@DATABASE
@click.option("--owner", required=True, help="Whose jobs it sees: keys of one owner share them.")
@click.option("--scope", "scopes", multiple=True, metavar="read|submit|admin", required=True)
@click.option("--name", default="", help="What it is for.")
@click.option("--days", type=click.FloatRange(0, 36_500, min_open=True), help="[default: for ever]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def create_key(
    database: str | None,
    owner: str,
    scopes: tuple[str, ...],
    name: str,
    days: float | None,
    as_json: bool,
) -> None:
    """Make a key. It is shown this once: what is kept cannot be turned back into it."""
    found = opened(database)
    from assay.jobs import access

    pepper = access.secret(settings.service().home, settings.service().secret)
    expires = None if days is None else time.time() + days * DAY
    made = access.create(found, pepper, owner, scopes, name, expires)
    if as_json:
        click.echo(json.dumps({**key_document(made.key), "key": made.text}))
        return
    click.echo(made.text)
    click.echo(f"{made.key.id}: shown this once; keep it where nobody else reads", err=True)


@keys.command("list")
@DATABASE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def list_keys(database: str | None, as_json: bool) -> None:
    """List the keys, without their text."""
    found = opened(database)
    from assay.jobs import access

    documents = [key_document(key) for key in access.listed(found, limit=10_000)]
    if as_json:
        click.echo(json.dumps(documents))
        return
    rows = [["id", "owner", "scopes", "name", "status", "last used"]]
    rows += [
        [k["id"], k["owner"], ",".join(k["scopes"]), k["name"], k["status"], _when(k["used_at"])]
        for k in documents
    ]
    click.echo(display.table(rows))


@keys.command("revoke")
@DATABASE
@click.argument("key")
def revoke_key(database: str | None, key: str) -> None:
    """Make the key KEY (its id) of no use."""
    found = opened(database)
    from assay.jobs import access

    click.echo(f"{access.revoke(found, key).id}: revoked", err=True)


def key_document(key: "Key") -> dict[str, Any]:
    """A key as everybody may see it."""
    from assay.jobs import access

    dead = "revoked" if key.revoked_at is not None else "expired"
    return {
        "id": key.id,
        "object": "key",
        "name": key.name,
        "owner": key.owner,
        "scopes": key.scopes,
        "status": "active" if access.usable(key, time.time()) else dead,
        "created_at": _seconds(key.created_at),
        "expires_at": _seconds(key.expires_at),
        "used_at": _seconds(key.used_at),
        "revoked_at": _seconds(key.revoked_at),
    }


def _seconds(when: float | None) -> int | None:
    return None if when is None else int(when)


def _when(seconds: int | None) -> str:
    return "never" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
