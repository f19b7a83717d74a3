"""One database for rows and workflows: SQLite in a file, or PostgreSQL by URL."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.orm import Session

from assay import migrations
from assay.jobs.errors import BadDatabase, NotMigrated
from assay.jobs.models import Base

LOCK = 0x0A55A7  # of PostgreSQL, while one of several processes migrates
PATIENCE = 30_000  # milliseconds that a writer of SQLite waits for another
POOL = 20


@dataclass(frozen=True)
class Database:
    """An engine, and sessions on it."""

    url: URL

    @property
    def sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @cached_property
    def engine(self) -> Engine:
        if not self.sqlite:
            return create_engine(self.url, pool_size=POOL, max_overflow=10, pool_pre_ping=True)
        _make_private(Path(self.url.database or ""))
        engine = create_engine(self.url, pool_size=POOL, max_overflow=10)
        event.listen(engine, "connect", _prepare_sqlite)
        return engine

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction, committed when the block ends well."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self.engine.dispose()


def database(url: str) -> Database:
    """sqlite:///FILE or postgresql://..."""
    try:
        found = make_url(url)
    except ArgumentError as cause:
        raise BadDatabase(
            "the database's URL cannot be read: write sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from cause
    kind = found.get_backend_name()
    if kind == "postgresql":
        return Database(found.set(drivername="postgresql+psycopg"))
    if kind == "sqlite" and found.database and found.database != ":memory:":
        return Database(found.set(database=os.path.abspath(found.database)))
    raise BadDatabase(
        f"the database's URL begins with {found.drivername}: known are sqlite:///FILE and "
        f"postgresql://USER@HOST/NAME"
    )


def _make_private(path: Path) -> None:
    """Requests and hashes of keys are for their owner's eyes alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(OSError):  # what is there already, or cannot be made, is told by SQLite
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Readers and a writer at once; writers wait in line instead of failing half-way."""
    connection.isolation_level = "IMMEDIATE"
    connection.execute(f"PRAGMA busy_timeout={PATIENCE}")
    connection.execute("PRAGMA journal_mode=WAL")
    # FULL, not NORMAL: an answered submission survives a power cut too.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


# Migrating -----------------------------------------------------------------------------------


def migrate(found: Database, to: str = "head") -> tuple[str | None, str | None]:
    """Bring the tables to a revision, forward or back; the revisions before and after."""
    with _reachable(found), found.engine.connect() as connection:
        if not found.sqlite:
            connection.execute(text(f"SELECT pg_advisory_lock({LOCK})"))
            connection.commit()
        try:
            before = revision(connection)
            config = _config(connection)
            ahead = to == "head" or before is None or _position(to) >= _position(before)
            (command.upgrade if ahead else command.downgrade)(config, to)
            connection.commit()
            return before, revision(connection)
        finally:
            if not found.sqlite:
                connection.rollback()
                connection.execute(text(f"SELECT pg_advisory_unlock({LOCK})"))
                connection.commit()


def check_migrated(found: Database) -> None:
    """NotMigrated, unless the tables are those of this version."""
    with _reachable(found), found.engine.connect() as connection:
        there = revision(connection)
    newest = _scripts().get_current_head()
    if there != newest:
        raise NotMigrated(
            f"the database is at revision {there or 'none'}, this version needs {newest}: run "
            f"`assay migrate`"
        )


def revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def revisions() -> list[str]:
    """All of them, oldest first."""
    return [script.revision for script in reversed(list(_scripts().walk_revisions()))]


@contextmanager
def _reachable(found: Database) -> Iterator[None]:
    try:
        yield
    except (OperationalError, DatabaseError) as cause:
        where = found.url.render_as_string(hide_password=True)
        raise BadDatabase(f"the database {where} does not answer: {cause.orig}") from cause


def _position(name: str) -> int:
    known = ["base", *revisions()]
    if name not in known:
        raise BadDatabase(f"there is no revision {name!r}: known are {', '.join(known)}")
    return known.index(name)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", _folder())
    config.attributes |= {"connection": connection, "metadata": Base.metadata}
    return config


def _scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", _folder())
    return ScriptDirectory.from_config(config)


def _folder() -> str:
    """Where the migrations lie: a folder with no __init__.py has a path and no file."""
    return str(next(iter(migrations.__path__)))
