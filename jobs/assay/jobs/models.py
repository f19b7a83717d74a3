"""The tables. Ours begin with `assay_`, since the durable workflows keep theirs beside them.

Times are seconds since 1970 in UTC. A job's row is the truth about it: workers and the API change
it only by updates that name the state they expect.
"""

from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Boolean, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = dict[str, Any]


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        Json: JSON,
        list[Any]: JSON,
        str: String(200),
        float: Float(53),
        int: BigInteger,
        bool: Boolean,
    }


class Job(Base):
    """A selection, a fit or a validation: what was asked, how far it is, what came out."""

    __tablename__ = "assay_jobs"
    __table_args__ = (
        Index("assay_jobs_of_owner", "owner", "kind", "id"),
        Index("assay_jobs_by_status", "status"),
        Index("assay_jobs_of_owner_by_status", "owner", "kind", "status", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    owner: Mapped[str]
    status: Mapped[str] = mapped_column(String(20))
    attempt: Mapped[int] = mapped_column(Integer)  # 1, and one more with each resume
    version: Mapped[int]  # grows with every change
    events: Mapped[int]  # how many there are
    created_at: Mapped[float]
    queued_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    worker: Mapped[str | None]
    request: Mapped[Json]
    labels: Mapped[Json]  # the user's metadata
    stage: Mapped[str]
    units_total: Mapped[int]
    units_done: Mapped[int]
    bytes_total: Mapped[int]
    bytes_done: Mapped[int]
    rows_done: Mapped[int]
    bad_rows: Mapped[int]
    result: Mapped[Json | None]
    error: Mapped[Json | None]
    warnings: Mapped[list[Any]]
    claim: Mapped[str | None] = mapped_column(String(64))  # of the output folder: selection.py


class Event(Base):
    """Something that happened to a job; numbered from 1 without a gap."""

    __tablename__ = "assay_events"

    job: Mapped[str] = mapped_column(
        String(40), ForeignKey("assay_jobs.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    created_at: Mapped[float]
    level: Mapped[str] = mapped_column(String(10))
    type: Mapped[str] = mapped_column(String(20))
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[Json]


class Submission(Base):
    """An Idempotency-Key that was seen, and the answer that it led to."""

    __tablename__ = "assay_submissions"

    owner: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[float] = mapped_column(index=True)
    made: Mapped[str | None] = mapped_column(String(40))  # the id of what it made


class Key(Base):
    """A bearer key: all that is kept of it is a keyed hash behind a prefix."""

    __tablename__ = "assay_keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    prefix: Mapped[str] = mapped_column(String(16), unique=True)
    hash: Mapped[str] = mapped_column(String(64))
    name: Mapped[str]
    owner: Mapped[str] = mapped_column(index=True)
    scopes: Mapped[list[Any]]
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    used_at: Mapped[float | None]
    revoked_at: Mapped[float | None]


class Target(Base):
    """A named target corpus."""

    __tablename__ = "assay_targets"
    __table_args__ = (Index("assay_targets_of_owner", "owner", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str]
    name: Mapped[str]
    uris: Mapped[list[Any]]
    text_column: Mapped[str]
    created_at: Mapped[float]
    shards: Mapped[int]
    rows: Mapped[int]
    bytes: Mapped[int]
    hash: Mapped[str]


class Worker(Base):
    """A process that carries out jobs, and when it was last heard of."""

    __tablename__ = "assay_workers"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    host: Mapped[str]
    machine: Mapped[str]  # the boot and the process namespace: where its number means something
    process: Mapped[int]
    born: Mapped[str] = mapped_column(String(40))  # the process's start, since numbers come again
    state: Mapped[str] = mapped_column(String(10))
    started_at: Mapped[float]
    heard_at: Mapped[float]
    reaper: Mapped[str | None] = mapped_column(String(40))
    reaped_at: Mapped[float | None]
