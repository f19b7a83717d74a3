"""Where jobs wait: the durable queue, in the same database as their rows.

With worker.py and workflows.py the only file that knows DBOS. Its version of the application is
pinned here: it goes into every queued job, and workers only take jobs of their own version. It
grows when the steps of a workflow change, and never by itself.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from dbos import DBOSClient, DBOSPortableJSONSerializer
from dbos._sys_db import SystemDatabase
from sqlalchemy.orm import Session

from assay.jobs.database import Database
from assay.jobs.models import Job

NAME = "assay"
VERSION = "assay-1"
POLLING = 0.25  # seconds between two looks at the queue


@dataclass(frozen=True)
class Queue:
    """Puts jobs in line and gives them to others; carries out none."""

    database: Database

    @cached_property
    def client(self) -> DBOSClient:
        return DBOSClient(
            system_database_engine=self.database.engine,
            serializer=DBOSPortableJSONSerializer(),
            application_name=NAME,
        )

    def prepare(self) -> None:
        """Make the queue's own tables, or bring them to this version."""
        place = "sqlite:///engine" if self.database.sqlite else "postgresql://engine/engine"
        made = SystemDatabase.create(
            system_database_url=place,
            engine_kwargs={},
            engine=self.database.engine,
            schema="dbos",
            serializer=DBOSPortableJSONSerializer(),
            executor_id=None,
            use_listen_notify=not self.database.sqlite,
        )
        made.run_migrations()

    def open(self, jobs: int) -> None:
        """`jobs`: how many a worker carries out at once."""
        self.client.register_queue(NAME, worker_concurrency=jobs, polling_interval_sec=POLLING)

    def enqueue(self, session: Session, job: Job) -> None:
        """In the caller's transaction: with the row, or not at all."""
        self.client.enqueue_in_transaction(
            session,
            {
                "queue_name": NAME,
                "workflow_name": job.kind,
                "workflow_id": f"{job.id}/{job.attempt}",
                "app_version": VERSION,
            },
            job.id,
            job.attempt,
        )

    def withdraw(self, job: Job) -> None:
        """A job that is cancelled before it began leaves the line."""
        self.client.cancel_workflow(f"{job.id}/{job.attempt}")

    def hand_over(self, dead: str) -> list[str]:
        """What a dead worker held goes back in line; only what was running, nothing cancelled."""
        held = self.client.list_workflows(
            status="PENDING", executor_id=dead, load_input=False, load_output=False
        )
        for workflow in held:
            self.again(workflow.workflow_id)
        return [workflow.workflow_id for workflow in held]

    def states(self, workflows: Collection[str]) -> dict[str, str]:
        """What the library thinks of some workflows: PENDING, ENQUEUED, SUCCESS, ERROR, ..."""
        if not workflows:
            return {}
        found = self.client.list_workflows(
            workflow_ids=list(workflows), load_input=False, load_output=False
        )
        return {one.workflow_id: str(one.status) for one in found}

    def again(self, workflow: str) -> None:
        """Put a workflow that nobody is at back in line."""
        self.client.resume_workflow(workflow, queue_name=NAME)
