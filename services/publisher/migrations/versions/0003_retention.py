"""Where the log of one machine begins: what lies before has been removed.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "log_head", sa.Column("oldest_position", sa.BigInteger(), server_default="0", nullable=False)
    )
