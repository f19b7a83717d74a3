"""What the REST API has to work with, and the process that runs it."""

import gc
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property

import structlog
import uvicorn
from fastapi import FastAPI

from assay.api.rates import Rate, rate_of
from assay.api.settings import Service
from assay.api.together import Together
from assay.jobs import access, store
from assay.jobs.access import Caller
from assay.jobs.database import Database
from assay.jobs.executors import Pool, pool
from assay.jobs.queue_of_jobs import Queue
from assay.jobs.roots import Roots
from assay.selectors.errors import BadSetting
from assay.selectors.progress import Silence
from assay.selectors.selection import Means

log = structlog.get_logger("assay.api")
KNOWN_FOR = 1.0  # seconds that a caller is known without a look at the database
MOST_KNOWN = 10_000
MOST_SHOWN = 1_000  # documents of jobs
LARGEST_SHOWN = 65_536  # bytes of one


@dataclass(frozen=True, slots=True)
class Shown:
    """A job's document as it was last answered."""

    version: int
    content: bytes
    headers: dict[str, str]


@dataclass
class Serving:
    """The parts behind the routes."""

    settings: Service
    database: Database
    queue: Queue
    roots: Roots
    pepper: bytes
    rate: Rate
    leaving: threading.Event = field(default_factory=threading.Event)
    known: dict[str, tuple[float, Caller]] = field(default_factory=dict)
    asking: set[str] = field(default_factory=set)  # keys that are being looked up again
    revoked: int = 0  # how many keys were revoked here
    shown: dict[str, Shown] = field(default_factory=dict)

    @cached_property
    def versions(self) -> Together[str, tuple[str, str, int]]:
        """Owner, kind and version of a job, as they stand now."""
        return Together(lambda jobs: store.versions(self.database, jobs))

    def known_caller(self, text: str) -> Caller | None:
        """Who holds a key that was looked up just now. None asks this one to look it up.

        When the look-up is due one request does it; for another second the others go on with what
        was known, or all would wait for the database at the same moment.
        """
        found, now = self.known.get(text), time.monotonic()
        if found is None or now > found[0] + KNOWN_FOR:
            return None
        if now < found[0] or text in self.asking:
            return found[1]
        self.asking.add(text)
        return None

    def caller(self, text: str) -> Caller | None:
        """Who holds a key, by the database."""
        begun, revoked = time.monotonic(), self.revoked
        try:
            seen = access.caller(self.database, self.pepper, text)
        finally:
            self.asking.discard(text)
        if seen is None:
            self.known.pop(text, None)
            return None
        if len(self.known) > MOST_KNOWN:
            self.known.clear()
        if revoked == self.revoked:  # else it may be the one that was revoked meanwhile
            self.known[text] = (begun + KNOWN_FOR, seen)
        return seen

    def show(self, job: str, shown: Shown) -> None:
        """Keep a document for the next who asks; its version tells whether it still holds."""
        if len(shown.content) > LARGEST_SHOWN:
            self.shown.pop(job, None)
            return
        if len(self.shown) >= MOST_SHOWN:
            self.shown.clear()
        self.shown[job] = shown

    def forget(self, key: str) -> None:
        """A key that was just revoked is known no longer."""
        self.revoked += 1
        for text, (_, caller) in list(self.known.items()):
            if caller.key == key:
                self.known.pop(text, None)

    @property
    def means(self) -> Callable[[], AbstractContextManager[Pool]]:
        """Workers for what is answered at once: one thread, the request's own."""
        return lambda: pool("threads", 1)

    def quiet(self, mapped: Pool) -> Means:
        return Means(mapped, Silence(), 1, "threads")


def assembled(settings: Service, database: Database, roots: Roots) -> Serving:
    pepper = access.secret(settings.home, settings.secret)
    rate = rate_of(settings.rate)
    return Serving(settings, database, Queue(database), roots, pepper, rate)


def bound(host: str, port: int) -> socket.socket:
    """The door that the service will answer at; 0 is any port that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((host, port))
    except OSError as cause:
        door.close()
        raise BadSetting(
            f"the service cannot listen at {host} port {port}: {cause.strerror or cause}: name "
            f"another --port or --host"
        ) from cause
    return door


def answer(app: FastAPI, serving: Serving, door: socket.socket) -> None:
    """Answer requests until the process is told to end."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False,
        timeout_graceful_shutdown=5, h11_max_incomplete_event_size=32_768,
    )  # fmt: skip
    Server(config, serving).run([door])


class Server(uvicorn.Server):
    """Says when it listens; tells open streams that the end is near, so they do not hold it up."""

    def __init__(self, config: uvicorn.Config, serving: Serving) -> None:
        super().__init__(config)
        self.serving = serving

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What was imported stays: looking through it stopped all answers for 150 to 200 ms every
        # two seconds (measured here, with benchmarks/service_load.py).
        gc.collect()
        gc.freeze()
        for door in sockets or []:
            host, port = door.getsockname()[:2]
            where = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            log.info("listening", url=where)
        if not self.serving.roots.roots:
            said = "no storage root is named, so no selection can be submitted"
            log.warning(said, mend="set ASSAY_STORAGE_ROOTS or give --root")

    def handle_exit(self, sig: int, frame: object) -> None:
        self.serving.leaving.set()
        super().handle_exit(sig, frame)  # type: ignore[arg-type]
