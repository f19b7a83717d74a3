"""What output folder a job has made its own, so that deleting its outputs deletes no others"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    columns = sa.inspect(op.get_bind()).get_columns("assay_jobs")
    if "claim" not in {column["name"] for column in columns}:
        op.add_column("assay_jobs", sa.Column("claim", sa.String(64), nullable=True))


def downgrade() -> None:
    """The column stays: who does not know it is not disturbed, and what is in it is not lost."""
