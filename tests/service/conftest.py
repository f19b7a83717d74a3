"""Databases for tests: SQLite in a file, and the machine's own PostgreSQL binaries."""

import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest

PLACES = [os.environ.get("PG_BIN", ""), *sorted(glob.glob("/usr/lib/postgresql/*/bin"))[::-1]]


def binaries() -> Path | None:
    for place in PLACES:
        if place and (Path(place) / "initdb").exists():
            return Path(place)
    found = shutil.which("initdb")
    return Path(found).parent if found else None


class Postgres:
    """A server of its own on loopback; as root it runs as the user postgres: it refuses root."""

    def __init__(self, folder: Path) -> None:
        self.bin = binaries()
        if self.bin is None:
            word = "no PostgreSQL binaries (apt-get install postgresql, or PG_BIN=folder)"
            if os.environ.get("REQUIRE_POSTGRES") == "1":
                pytest.fail(f"{word}, and REQUIRE_POSTGRES=1 asks for them")
            pytest.skip(f"NOT TESTED ON POSTGRESQL: {word}")
        self.folder = folder
        self.port = _free_port()
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(folder, self.user)
        self._run("initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "--no-sync")
        self.start()

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -c fsync=off"
        words = ["-l", self.folder / "log", "-o", f"{options} -c max_connections=200", "-w"]
        self._run("pg_ctl", "-D", self.folder / "data", *words, "start")

    def fresh(self) -> str:
        """The URL of a new, empty database."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", name)
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")

    def _run(self, program: str, *words: object) -> None:
        done = subprocess.run(
            [str(self.bin / program), *map(str, words)], user=self.user, cwd="/",
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stderr}"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="session")
def postgres():
    folder = Path(tempfile.mkdtemp(prefix="assay-pg-"))
    server = Postgres(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_postgres():
    """A server that a test may stop."""
    folder = Path(tempfile.mkdtemp(prefix="assay-pg-"))
    server = Postgres(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/home/assay.db"
    return request.getfixturevalue("postgres").fresh()


# The service as processes --------------------------------------------------------------------

WATCHED = '''
"""Scores documents by their length, and writes down what it scores."""
import os, time
from dataclasses import dataclass
import numpy as np
from assay.selectors.choice import top


@dataclass(frozen=True)
class Lengths:
    pause: float
    names: tuple = ("score",)

    def score(self, batch):
        time.sleep(self.pause)
        if log := os.environ.get("WATCHED_LOG"):
            with open(log, "a") as out:
                out.write(f"{time.time()} {os.getpid()} {batch.shard}\\n")
        return np.array([len(text.as_py()) for text in batch.text], float)


@dataclass(frozen=True)
class Watched:
    """Documents by length, slowly."""

    pause: float = 0.05

    def fit(self, fold):
        return Lengths(self.pause)

    def choose(self, budget, fold):
        return top(budget, fold)
'''


def plug_in(folder):
    """A folder for PYTHONPATH in which the method `watched` is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "watched.py").write_text(WATCHED)
    info = folder / "watched-0.1.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: watched\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[assay.selectors]\nwatched = watched:Watched\n")
    return folder


class Service:
    """Processes of the service on one database, and what a test needs to look at them."""

    def __init__(self, folder, url):
        from assay.jobs import database
        from assay.jobs.queue_of_jobs import Queue

        self.folder, self.url = folder, url
        self.log, self.stderr = folder / "scored.log", folder / "stderr.log"
        self.log.touch()
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(plug_in(folder / "plugins")),
            "WATCHED_LOG": str(self.log),
            "ASSAY_HOME": str(folder / "home"),
            "ASSAY_DATABASE_URL": url,
            "ASSAY_STORAGE_ROOTS": str(folder),
            "ASSAY_RATE": "100000/minute",
        }
        self.database = database.database(url)
        database.migrate(self.database)
        self.queue = Queue(self.database)
        self.queue.prepare()
        self.processes = []
        self.port = _free_port()

    def assay(self, *words):
        return subprocess.run(
            [sys.executable, "-m", "assay.api", *map(str, words)],
            env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def start(self, *words, wait=True):
        known = self.live()
        with self.stderr.open("a") as out:
            made = subprocess.Popen(
                [sys.executable, "-m", "assay.api", *map(str, words)],
                env=self.environment, stdout=out, stderr=out,
            )  # fmt: skip
        self.processes.append(made)
        if wait:
            self.until(lambda: self.live() - known, process=made)
        return made

    def live(self):
        from assay.jobs import roster

        return {worker.id for worker in roster.live(self.database)}

    def submit(self, out, **more):
        from assay.jobs import store

        where = out if "://" in out else str(self.folder / out)
        asked = {"method": "watched", "budget": "10%", "out": where}
        return store.submit(
            self.database, self.queue.enqueue, "selection", "ada", asked | more, {}
        ).id

    def job(self, name):
        from assay.jobs import store

        return store.find(self.database, name)

    def until(self, done, seconds=90, process=None):
        end = time.monotonic() + seconds
        while not (found := done()):
            assert time.monotonic() < end, self.stderr.read_text()[-3000:]
            if process is not None:
                assert process.poll() is None, self.stderr.read_text()[-3000:]
            time.sleep(0.02)
        return found

    def over(self, name, seconds=90):
        from assay.jobs.store import OVER

        return self.until(lambda: (f := self.job(name)).status in OVER and f, seconds)

    def scored(self):
        """(when, which process, which shard) of every batch that was scored."""
        lines = self.log.read_text().splitlines()
        return [(float(w), int(p), int(s)) for w, p, s in (line.split() for line in lines)]

    def recorded(self, job):
        """How many shards' results stand in the database."""
        from sqlalchemy import text

        table = "operation_outputs" if self.database.sqlite else "dbos.operation_outputs"
        asked = f"SELECT count(*) FROM {table} WHERE workflow_uuid = :w AND function_name = 'score'"
        with self.database.session() as session:
            return session.execute(text(asked), {"w": f"{job}/1"}).scalar()

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
        self.database.close()


@pytest.fixture
def service(database_url, tmp_path):
    made = Service(tmp_path, database_url)
    yield made
    made.close()


@pytest.fixture(scope="session")
def make_service():
    @contextmanager
    def make(folder, url):
        made = Service(folder, url)
        try:
            yield made
        finally:
            made.close()

    return make
