"""Run by Alembic, with a connection at hand: jobs/database.py calls it, nobody else.

Only tables of ours are compared: the queue keeps its own in the same database.
"""

from typing import Any

from alembic import context

attributes = context.config.attributes
metadata = attributes.get("metadata")


def ours(thing: Any, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:
    return kind != "table" or metadata is None or name in metadata.tables


context.configure(
    connection=attributes["connection"],
    target_metadata=metadata,
    include_object=ours,
    version_table="assay_version",
    render_as_batch=True,  # SQLite changes a table by writing it anew
)
with context.begin_transaction():
    context.run_migrations()
