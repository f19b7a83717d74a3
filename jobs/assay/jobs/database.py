"""The database: where it is, and in which shape. SQLite without set-up, PostgreSQL by URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

import assay.migrations
from assay.jobs.errors import DatabaseNotReady
from assay.jobs.models import Table

BUSY = 30_000  # ms that a writer waits for another on SQLite
VERSIONS = "assay_version"
READS = "assay_reads"  # option of a connection that will not write


def connect(url: str) -> Engine:
    """An engine for sqlite:///FILE or postgresql://...; a missing SQLite file is made."""
    try:
        place = make_url(url)
    except ArgumentError as cause:
        raise DatabaseNotReady(
            f"{url!r} is no address of a database: sqlite:///assay.db, postgresql://user@host/name"
        ) from cause
    if place.get_backend_name() == "sqlite":
        return _sqlite(place)
    if place.get_backend_name() == "postgresql":
        place = place.set(drivername="postgresql+psycopg")
        return create_engine(place, pool_pre_ping=True, pool_size=10, max_overflow=20)
    raise DatabaseNotReady(
        f"{place.get_backend_name()} is not supported: sqlite:///FILE or postgresql://..."
    )


def _sqlite(place: Any) -> Engine:
    if place.database and place.database != ":memory:":
        Path(place.database).parent.mkdir(parents=True, exist_ok=True)
    try:
        engine = create_engine(place, connect_args={"timeout": BUSY / 1000})
    except NoSuchModuleError as cause:
        raise DatabaseNotReady(f"{place.drivername}: {cause}") from cause

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say when a transaction begins
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA busy_timeout={BUSY}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A reader that turns into a writer would find the database locked at once.
        reads = connection.get_execution_options().get(READS)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A transaction that may write: all of it happens, or nothing."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A transaction that reads, and never waits for a writer."""
    with Session(engine.execution_options(**{READS: True}), expire_on_commit=False) as session:
        yield session


# Shape -------------------------------------------------------------------------------


def migrate(engine: Engine, to: str = "head") -> str:
    """Bring the database to a revision ("head", "base", a number); the one it is at then."""
    with _reached(engine) as connection:
        config = _config(connection)
        down = to == "base" or _is_older(config, to, _revision(connection))
        (command.downgrade if down else command.upgrade)(config, to)
    return revision(engine)


def revision(engine: Engine) -> str:
    """The revision that a database is at; "" for an empty one."""
    with _reached(engine) as connection:
        return _revision(connection)


def newest() -> str:
    return ScriptDirectory(str(_scripts())).get_current_head() or ""


def check(engine: Engine) -> None:
    """The database has the shape that this program knows, or an error says what to do."""
    found = revision(engine)
    if found != newest():
        at = f"at revision {found}" if found else "empty"
        raise DatabaseNotReady(
            f"the database {engine.url.render_as_string()} is {at}, this program needs {newest()}: "
            f"run `assay migrate`"
        )


def differences(engine: Engine) -> list[Any]:
    """What the tables lack against the models; nothing, if all is well."""
    from alembic.autogenerate import compare_metadata

    with _reached(engine) as connection:
        options = {"include_object": _ours, "version_table": VERSIONS, "compare_type": True}
        return list(
            compare_metadata(MigrationContext.configure(connection, opts=options), Table.metadata)
        )


@contextmanager
def _reached(engine: Engine) -> Iterator[Connection]:
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as cause:
        said = str(cause.orig).strip().split("\n")[0]
        raise DatabaseNotReady(
            f"the database {engine.url.render_as_string()} cannot be used: {said}"
        ) from cause


def _revision(connection: Connection) -> str:
    options = {"version_table": VERSIONS}
    return MigrationContext.configure(connection, opts=options).get_current_revision() or ""


def _is_older(config: Config, to: str, now: str) -> bool:
    return to.isdigit() and now.isdigit() and int(to) < int(now)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_scripts()))
    config.attributes.update(connection=connection, metadata=Table.metadata)
    return config


def _scripts() -> Path:
    return Path(assay.migrations.__file__).parent


def _ours(thing: Any, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:
    return kind != "table" or name in Table.metadata.tables
