"""What Alembic runs: on a connection that is handed in, for the tables that are handed in."""

from typing import Any

from alembic import context


def ours(thing: Any, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:
    """The tables of the workflows lie in the same database and are not ours to change."""
    table = name if kind == "table" else getattr(getattr(thing, "table", None), "name", "")
    return bool(table) and str(table).startswith("assay_")


def run() -> None:
    given = context.config.attributes
    context.configure(
        connection=given["connection"],
        target_metadata=given["metadata"],
        include_object=ours,
        compare_type=True,
        render_as_batch=given["connection"].dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


run()
