"""Databases for tests: SQLite in a file, and the machine's own PostgreSQL binaries."""

import glob
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
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
        options = f"-p {self.port} -h 127.0.0.1 -k {folder} -c fsync=off -c max_connections=200"
        log = folder / "log"
        self._run("pg_ctl", "-D", folder / "data", "-l", log, "-o", options, "-w", "start")

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


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/home/assay.db"
    return request.getfixturevalue("postgres").fresh()
