"""The tables of the service. Times are whole seconds since 1970, UTC.

All names begin with assay_: the queue keeps tables of its own in the same database.
"""

from typing import Any, ClassVar

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = dict[str, Any]


class Table(DeclarativeBase):
    """What all tables have in common."""

    type_annotation_map: ClassVar = {Json: JSON, list[str]: JSON}


class Key(Table):
    """A key that opens the service; of the secret only a keyed hash is kept."""

    __tablename__ = "assay_keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    prefix: Mapped[str] = mapped_column(String(16), unique=True)  # to look it up by; no secret
    digest: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(100))
    owner: Mapped[str] = mapped_column(String(100))
    scopes: Mapped[list[str]]
    created_at: Mapped[int]
    expires_at: Mapped[int | None]
    last_used_at: Mapped[int | None]
    revoked_at: Mapped[int | None]


class Job(Table):
    """Something to be done, and how far it is."""

    __tablename__ = "assay_jobs"
    __table_args__ = (
        Index("assay_jobs_by_owner", "owner", "id"),
        Index("assay_jobs_by_status", "status", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    owner: Mapped[str] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(20))
    request: Mapped[Json]
    output: Mapped[str] = mapped_column(Text)
    note: Mapped[Json]  # what the caller wants to remember: `metadata` in the API
    created_at: Mapped[int]
    started_at: Mapped[int | None]
    finished_at: Mapped[int | None]
    cancel_asked_at: Mapped[int | None]
    progress: Mapped[Json]
    result: Mapped[Json | None]
    error: Mapped[Json | None]
    attempts: Mapped[int]
    worker: Mapped[str | None] = mapped_column(String(100))


class Event(Table):
    """Something that happened to a job."""

    __tablename__ = "assay_events"
    __table_args__ = (Index("assay_events_by_job", "job", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job: Mapped[str] = mapped_column(String(40), ForeignKey("assay_jobs.id", ondelete="CASCADE"))
    created_at: Mapped[int]
    level: Mapped[str] = mapped_column(String(10))
    type: Mapped[str] = mapped_column(String(20))
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[Json]


class Submission(Table):
    """An Idempotency-Key that an owner has used, and for what."""

    __tablename__ = "assay_idempotency"

    owner: Mapped[str] = mapped_column(String(100), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    payload: Mapped[str] = mapped_column(String(64))  # SHA-256 of the request
    job: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[int]


class Worker(Table):
    """A process that does jobs, as long as it says so."""

    __tablename__ = "assay_workers"

    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    version: Mapped[str] = mapped_column(String(50))
    started_at: Mapped[int]
    seen_at: Mapped[int]
