"""What the REST API has to work with, and the process that runs it."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import uvicorn
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from assay.api.settings import Service
from assay.jobs import access
from assay.jobs.access import Caller
from assay.jobs.database import Database
from assay.jobs.executors import Pool, pool
from assay.jobs.queue_of_jobs import Queue
from assay.jobs.roots import Roots
from assay.selectors.errors import BadSetting
from assay.selectors.progress import Silence
from assay.selectors.selection import Means

KNOWN_FOR = 1.0  # seconds that a caller is known without a look at the database
MOST_KNOWN = 10_000
MOST_SHOWN = 1_000  # documents of jobs: a few kB each


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
    rate: RateLimitItem
    limiter: FixedWindowRateLimiter
    leaving: threading.Event = field(default_factory=threading.Event)
    known: dict[str, tuple[float, Caller]] = field(default_factory=dict)
    shown: dict[str, Shown] = field(default_factory=dict)

    def caller(self, text: str, look: bool = True) -> Caller | None:
        """Who holds a key; a revoked one is refused within a second by every process."""
        now = time.monotonic()
        found = self.known.get(text)
        if found and now < found[0]:
            return found[1]
        if not look:
            return None
        seen = access.caller(self.database, self.pepper, text)
        if seen is None:
            self.known.pop(text, None)
            return None
        if len(self.known) > MOST_KNOWN:
            self.known.clear()
        self.known[text] = (now + KNOWN_FOR, seen)
        return seen

    def show(self, job: str, shown: Shown) -> None:
        """Keep a document for the next who asks; its version tells whether it still holds."""
        if len(self.shown) >= MOST_SHOWN:
            self.shown.clear()
        self.shown[job] = shown

    def forget(self, key: str) -> None:
        """A key that was just revoked is known no longer."""
        for text, (_, caller) in list(self.known.items()):
            if caller.key == key:
                self.known.pop(text, None)

    def allowed(self, caller: Caller) -> bool:
        """Whether a key may ask once more now."""
        return bool(self.limiter.hit(self.rate, caller.key))

    def wait(self, caller: Caller) -> int:
        """Seconds until it may."""
        reset = self.limiter.get_window_stats(self.rate, caller.key).reset_time
        return max(1, int(reset - time.time()) + 1)

    @property
    def means(self) -> Callable[[], AbstractContextManager[Pool]]:
        """Workers for what is answered at once: one thread, the request's own."""
        return lambda: pool("threads", 1)

    def quiet(self, mapped: Pool) -> Means:
        return Means(mapped, Silence(), 1, "threads")


def assembled(settings: Service, database: Database, roots: Roots) -> Serving:
    try:
        rate = parse(settings.rate)
    except ValueError as cause:
        raise BadSetting(f"ASSAY_RATE={settings.rate!r}: write it as 600/minute") from cause
    pepper = access.secret(settings.home, settings.secret)
    limiter = FixedWindowRateLimiter(MemoryStorage())
    return Serving(settings, database, Queue(database), roots, pepper, rate, limiter)


def run(settings: Service, database: Database, roots: Roots, host: str, port: int) -> None:
    """Answer requests until the process is told to end."""
    from assay.api.app import create_app

    serving = assembled(settings, database, roots)
    config = uvicorn.Config(
        create_app(serving), host=host, port=port, log_config=None, access_log=False,
        server_header=False, timeout_graceful_shutdown=5, h11_max_incomplete_event_size=32_768,
    )  # fmt: skip
    server = Server(config, serving)
    server.run()


class Server(uvicorn.Server):
    """Tells open streams that the end is near, so that they do not hold it up."""

    def __init__(self, config: uvicorn.Config, serving: Serving) -> None:
        super().__init__(config)
        self.serving = serving

    def handle_exit(self, sig: int, frame: object) -> None:
        self.serving.leaving.set()
        super().handle_exit(sig, frame)  # type: ignore[arg-type]
