"""Databases to work on: SQLite in a file, and PostgreSQL that the tests start themselves."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from assay.jobs import database

SECRET = "0123456789abcdef" * 4


@pytest.fixture(scope="session")
def postgres():
    """The address of a PostgreSQL server on a socket, started from the machine's own programs."""
    programs = found()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("CI must not skip PostgreSQL: install the package postgresql")
        pytest.skip("no PostgreSQL programs here: install the package postgresql")
    folder = Path(tempfile.mkdtemp(prefix="assay-pg-", dir="/tmp"))
    who = unprivileged(folder)
    try:
        start(programs, folder, who)
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        subprocess.run(
            [programs / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop"],
            user=who, capture_output=True, check=False,
        )  # fmt: skip
        shutil.rmtree(folder, ignore_errors=True)


def found():
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    there = shutil.which("initdb")
    places += [Path(there).parent] if there else []
    return next((place for place in places if (place / "initdb").exists()), None)


def unprivileged(folder):
    """PostgreSQL will not run as root."""
    if os.getuid() != 0:
        return None
    person = pwd.getpwnam("postgres")
    os.chown(folder, person.pw_uid, person.pw_gid)
    return "postgres"


def start(programs, folder, who):
    words = [programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-N"]
    subprocess.run(words, user=who, check=True, capture_output=True, cwd=folder)
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    words = [programs / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log"]
    words += ["-o", options, "start"]
    subprocess.run(words, user=who, check=True, stdout=subprocess.DEVNULL, cwd=folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'assay.db'}"
    server = request.getfixturevalue("postgres")
    name = f"test_{time.time_ns()}"
    with database.connect(server).connect() as connection:
        plain = connection.execution_options(isolation_level="AUTOCOMMIT")
        plain.exec_driver_sql(f"create database {name}")
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def empty(url):
    engine = database.connect(url)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(empty):
    database.migrate(empty)
    return empty
