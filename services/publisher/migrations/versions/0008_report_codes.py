"""How many reports of a stage and a kind there are, without reading the others.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("report_code", "report", ["stage", "kind"])
