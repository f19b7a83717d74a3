"""`assay serve` and `assay worker`: the service's processes."""

import os
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from assay.api import settings
from assay.api.service_commands import DATABASE, opened
from assay.selectors.errors import BadSetting

if TYPE_CHECKING:
    from assay.api.settings import Service
    from assay.jobs.database import Database
    from assay.jobs.roots import Roots

ROOTS = click.option(
    "--root", "roots", multiple=True, metavar="URI", help="[default: ASSAY_STORAGE_ROOTS]"
)
JOBS = click.option("--jobs", type=click.IntRange(1), help="At once, in one worker. [default: 2]")


@click.command()
@DATABASE
@ROOTS
@JOBS
def worker(database: str | None, roots: tuple[str, ...], jobs: int | None) -> None:
    """Carry out jobs of the service, beside the worker that `assay serve` runs.

    Needs the same database and the same storage as the others, on this or another machine.
    """
    asked = service(database, roots, jobs)
    found = opened(asked.database_url)
    from assay.api import logs
    from assay.jobs import worker as workers

    logs.set_up(asked.log_level)
    places = checked_roots(asked, found)
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    running = workers.start(found, places, asked.jobs, asked.workers)
    end.wait()
    running.leave()
    os._exit(0)  # threads of jobs may wait for an hour; what they hold is handed over


@click.command()
@DATABASE
@ROOTS
@JOBS
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True)
@click.option("--no-worker", is_flag=True, help="Only answer requests; `assay worker` works.")
def serve(host: str, port: int, no_worker: bool, **given: Any) -> None:
    """Run the REST API and one worker in this process."""
    asked = service(given["database"], given["roots"], given["jobs"])
    found = opened(asked.database_url)
    from assay.api import logs, serving
    from assay.api.app import create_app
    from assay.jobs import worker as workers
    from assay.jobs.queue_of_jobs import Queue

    logs.set_up(asked.log_level)
    places = checked_roots(asked, found)
    parts = serving.assembled(asked, found, places)
    app = create_app(parts)
    door = serving.bound(host, port)  # before the worker: what is refused has begun nothing
    if no_worker:
        Queue(found).prepare()
        running = None
    else:
        running = workers.start(found, places, asked.jobs, asked.workers)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises again what it was told
        signal.signal(number, lambda *_: None)
    serving.answer(app, parts, door)
    if running:
        running.leave()
    os._exit(0)


def service(database: str | None, roots: tuple[str, ...], jobs: int | None) -> "Service":
    """Flags over the environment."""
    found = settings.service()
    named: dict[str, Any] = {"database_url": database, "roots": roots, "jobs": jobs}
    return replace(found, **{name: value for name, value in named.items() if value})


def checked_roots(asked: "Service", found: "Database") -> "Roots":
    """The storage roots, each tried: a store that breaks its promises is found out now."""
    from assay.jobs.roots import Roots
    from assay.selectors import probe

    for root in asked.roots:
        _check_root(root)
        probe.check_conditional_create(root)
    private = [asked.home]
    if found.sqlite:
        private += [f"{found.url.database}{end}" for end in ("", "-wal", "-shm", "-journal")]
    return Roots(asked.roots, tuple(os.path.realpath(path) for path in private))


def _check_root(root: str) -> None:
    if "://" in root:
        return
    if not os.path.isabs(root):
        raise BadSetting(f"the storage root {root!r}: write its whole path, from / on")
    if not os.path.isdir(root):
        raise BadSetting(f"the storage root {root}: there is no such folder: make it first")
