"""How many reports of a stage and a kind there are, without reading the others.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("report_code", "report", ["stage", "kind"])
