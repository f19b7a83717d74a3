"""The database's shape: up, down, and the same as the models'."""

import threading

import pytest
from sqlalchemy import inspect, select

from assay.jobs import database, names
from assay.jobs.database import reading, writing
from assay.jobs.errors import DatabaseNotReady
from assay.jobs.models import Event, Job, Table


def job(number=0, **more):
    values = {
        "id": names.make("sel"), "kind": "selection", "owner": "me", "status": "queued",
        "request": {"n": number, "deep": {"list": [1, None, "ü"]}}, "output": "o", "note": {},
        "created_at": 1, "progress": {}, "attempts": 0,
    }  # fmt: skip
    return Job(**values | more)


def test_the_migrations_make_what_the_models_say(engine):
    assert database.differences(engine) == []
    assert {*Table.metadata.tables} <= {*inspect(engine).get_table_names()}
    assert database.revision(engine) == database.newest()
    database.check(engine)


def test_down_and_up_again_on_a_database_in_use(engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("create table queue_of_others (n integer)")
        connection.exec_driver_sql("insert into queue_of_others values (7)")
    with writing(engine) as session:
        session.add(job())
    assert database.migrate(engine, "base") == ""
    assert {*inspect(engine).get_table_names()} & {*Table.metadata.tables} == set()
    database.migrate(engine)
    assert database.differences(engine) == []  # a table of others is none of our business
    with engine.begin() as connection:
        assert connection.exec_driver_sql("select n from queue_of_others").scalar() == 7


def test_migrating_twice_changes_nothing_and_keeps_rows(engine):
    with writing(engine) as session:
        session.add(job(3))
    assert database.migrate(engine) == database.newest()
    with reading(engine) as session:
        row = session.scalar(select(Job))
    assert row.request == {"n": 3, "deep": {"list": [1, None, "ü"]}}


def test_an_empty_database_is_told_from_one_that_is_ready(empty):
    with pytest.raises(DatabaseNotReady, match=r"is empty, .* needs 0001: run `assay migrate`"):
        database.check(empty)


def test_all_of_a_transaction_happens_or_nothing(engine):
    with pytest.raises(RuntimeError), writing(engine) as session:
        session.add(job())
        session.flush()
        raise RuntimeError
    with reading(engine) as session:
        assert session.scalars(select(Job)).all() == []


def test_events_go_with_their_job(engine):
    one = job()
    with writing(engine) as session:
        session.add(one)
        session.flush()
        session.add(Event(job=one.id, created_at=1, level="info", type="m", message="x", data={}))
    with writing(engine) as session:
        session.delete(session.get(Job, one.id))
    with reading(engine) as session:
        assert session.scalars(select(Event)).all() == []


def test_many_writers_do_not_lock_each_other_out(engine):
    troubles = []

    def write(number):
        try:
            for _ in range(10):
                with writing(engine) as session:
                    counted = len(session.scalars(select(Job.id)).all())
                    session.add(job(counted))
        except Exception as trouble:
            troubles.append(trouble)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    with reading(engine) as session:
        assert len(session.scalars(select(Job.id)).all()) == 80


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("nonsense", "is no address of a database"),
        ("mysql://root@localhost/x", "mysql is not supported"),
        ("postgresql://nobody@127.0.0.1:1/x", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_said(wrong, said):
    with pytest.raises(DatabaseNotReady, match=said):
        database.revision(database.connect(wrong))


def test_a_password_is_not_shown():
    engine = database.connect("postgresql://me:hunter2@127.0.0.1:1/x")
    with pytest.raises(DatabaseNotReady) as told:
        database.check(engine)
    assert "hunter2" not in str(told.value)


def test_names_sort_by_time_and_do_not_repeat():
    made = [names.make("sel") for _ in range(1000)]
    assert len(set(made)) == 1000 and all(len(name) == len("sel_") + 26 for name in made)
    assert [name[:10] for name in made] == sorted(name[:10] for name in made)
