"""`assay jobs`: selections on a server."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from assay.api import display, settings
from assay.api.service_commands import need_packages
from assay.selectors import spec
from assay.selectors.errors import BadRequest

if TYPE_CHECKING:
    from assay.api.client import Client, Job

JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")


@click.group()
@click.option("--server", metavar="URL", help="[default: ASSAY_SERVER]")
@click.pass_context
def jobs(context: click.Context, server: str | None) -> None:
    """Submit, watch and stop selections on a server. The key is read from ASSAY_API_KEY."""
    context.obj = lambda: connected(server)


def connected(server: str | None) -> "Client":
    need_packages()
    from assay.api.client import Client

    known, key = settings.client()
    where = server or known
    if not where:
        raise BadRequest("no server is named: give --server URL or set ASSAY_SERVER")
    if not key:
        raise BadRequest("no key is named: set ASSAY_API_KEY (`assay keys create` makes one)")
    if not where.startswith(("http://", "https://")):
        raise BadRequest(f"the server {where!r}: write its address, as in http://127.0.0.1:8765")
    return Client(where.rstrip("/"), key)


Connect = Callable[[], "Client"]


@jobs.command("submit")
@click.argument("file", metavar="SPEC")
@JSON
@click.pass_obj
def submit(connect: Connect, file: str, as_json: bool) -> None:
    """Queue the selection in a spec file, as `assay select -c SPEC` would make it."""
    asked = spec.read_file(file)
    with connect() as server:
        shown(server.submit_selection(asked), as_json)


@jobs.command("ls")
@click.option("--status")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@JSON
@click.pass_obj
def ls(connect: Connect, status: str | None, limit: int, as_json: bool) -> None:
    """List selections, newest first."""
    with connect() as server:
        found = [job for _, job in zip(range(limit), server.selections(status), strict=False)]
    if as_json:
        click.echo(json.dumps(found))
        return
    rows = [["id", "status", "method", "shards", "out"]]
    rows += [[j["id"], j["status"], _method(j), _shards(j), _out(j)] for j in found]
    click.echo(display.table(rows))


@jobs.command("show")
@click.argument("job")
@JSON
@click.pass_obj
def show(connect: Connect, job: str, as_json: bool) -> None:
    """Show the selection JOB."""
    with connect() as server:
        shown(server.selection(job), as_json)


@jobs.command("watch")
@click.argument("job")
@click.pass_obj
def watch(connect: Connect, job: str) -> int:
    """Print what happens to the selection JOB until it is over; 0 if it succeeds."""
    with connect() as server:
        for event in server.events(job):
            click.echo(f"{event['id']:>5} {event['level']:<5} {event['message']}")
        return 0 if server.selection(job)["status"] == "succeeded" else 1


@jobs.command("cancel")
@click.argument("job")
@JSON
@click.pass_obj
def cancel(connect: Connect, job: str, as_json: bool) -> None:
    """Stop the selection JOB between two shards."""
    with connect() as server:
        shown(server.cancel(job), as_json)


@jobs.command("resume")
@click.argument("job")
@JSON
@click.pass_obj
def resume(connect: Connect, job: str, as_json: bool) -> None:
    """Go on with the selection JOB from what it left."""
    with connect() as server:
        shown(server.resume(job), as_json)


def shown(job: "Job", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(job))
        return
    lines = [f"{job['id']}: {job['status']}, {_method(job)}, {_shards(job)} shards -> {_out(job)}"]
    if job["error"]:
        lines.append(f"{job['error']['code']}: {job['error']['message']}")
    if job["result"]:
        lines.append(f"digest {job['result'].get('digest')}")
    click.echo("\n".join([*lines, *(f"warning: {warning}" for warning in job["warnings"])]))


def _method(job: "Job") -> str:
    return str(job["request"].get("method", ""))


def _out(job: "Job") -> str:
    return str(job["request"].get("out", ""))


def _shards(job: "Job") -> str:
    found: dict[str, Any] = job["progress"]["shards"]
    return f"{found['completed']}/{found['total']}"
