"""Lists of one owner's jobs in one state, without a walk over the others"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "assay_jobs_of_owner_by_status", "assay_jobs", ["owner", "kind", "status", "id"]
    )


def downgrade() -> None:
    op.drop_index("assay_jobs_of_owner_by_status", "assay_jobs")
