"""The tables: migrating makes those of the models, and going back and forth loses no row."""

import time

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select, text

from assay.jobs.database import check_migrated, database, migrate, revisions
from assay.jobs.errors import BadDatabase, NotMigrated
from assay.jobs.models import Base, Event, Job, Key, Submission, Target, Worker


@pytest.fixture
def found(database_url):
    made = database(database_url)
    yield made
    made.close()


def ours(thing, name, kind, reflected, compared):
    table = name if kind == "table" else thing.table.name
    return table.startswith("assay_")


def test_migrating_and_the_models_agree(found):
    migrate(found)
    with found.engine.connect() as connection:
        options = {"include_object": ours, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_tables_of_others_are_left_alone(found):
    with found.session() as session:
        session.execute(text("CREATE TABLE workflow_status (id INTEGER)"))
    migrate(found)
    migrate(found, "base")
    assert "workflow_status" in inspect(found.engine).get_table_names()
    assert "assay_jobs" not in inspect(found.engine).get_table_names()


def rows():
    now = time.time()
    job = Job(
        id="sel_1", kind="selection", owner="ada", status="running", attempt=1, version=3,
        events=1, created_at=now, queued_at=now, started_at=now, finished_at=None, worker="w",
        request={"method": "dsir", "word": "é"}, labels={"a": "b"}, stage="scoring", units_total=9,
        units_done=2**40, bytes_total=1, bytes_done=1, rows_done=1, bad_rows=0, result=None,
        error={"code": "x"}, warnings=["w"],
    )  # fmt: skip
    yield job
    yield Event(
        job="sel_1", number=1, created_at=now, level="info", type="status", message="m", data={}
    )
    yield Submission(owner="ada", key="k", fingerprint="f" * 64, created_at=now, made="sel_1")
    yield Key(
        id="key_1", prefix="p", hash="h", name="n", owner="ada", scopes=["read"], created_at=now,
        expires_at=None, used_at=None, revoked_at=None,
    )  # fmt: skip
    yield Target(
        id="tgt_1", owner="ada", name="n", uris=["u"], text_column="text", created_at=now, shards=1,
        rows=1, bytes=1, hash="h",
    )  # fmt: skip
    yield Worker(
        id="w", host="h", machine="m", process=1, born="b", state="live", started_at=now,
        heard_at=now, reaper=None, reaped_at=None,
    )  # fmt: skip


def content(found):
    tables = Base.metadata.sorted_tables
    with found.session() as session:
        return {t.name: [dict(r) for r in session.execute(select(t)).mappings()] for t in tables}


def test_a_filled_database_goes_down_and_up_without_loss(found):
    migrate(found)
    with found.session() as session:
        for row in rows():
            session.add(row)
            session.flush()
    before = content(found)
    assert all(before.values())
    for earlier in reversed(revisions()[:-1]):
        assert migrate(found, earlier)[1] == earlier
        assert content(found) == before
    migrate(found)
    assert content(found) == before


def test_an_old_database_is_refused_with_the_remedy(found):
    with pytest.raises(NotMigrated, match="assay migrate"):
        check_migrated(found)
    migrate(found, "0001")
    with pytest.raises(NotMigrated, match="0001"):
        check_migrated(found)
    migrate(found)
    check_migrated(found)


def test_sqlite_is_in_wal_mode(tmp_path):
    found = database(f"sqlite:///{tmp_path}/a.db")
    with found.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "sqlite://", "sqlite:///:memory:"])
def test_other_urls_are_refused(url):
    with pytest.raises(BadDatabase, match="sqlite:///FILE"):
        database(url)


def test_a_server_that_does_not_answer_is_named_without_its_password():
    with pytest.raises(BadDatabase) as told:
        migrate(database("postgresql://ada:secret@127.0.0.1:1/x"))
    assert "127.0.0.1" in str(told.value) and "secret" not in str(told.value)
