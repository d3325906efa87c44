"""What operators asked to have sent again, and when each lane may send it.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

from services.database import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "resend",
        sa.Column("subscription_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "number"),
    )
    op.create_index("resend_next", "resend", ["subscription_id", "tries", "number"], unique=False)
    op.add_column("lane", sa.Column("resend_retry", sa.Integer(), server_default="0", nullable=False))
    op.add_column("lane", sa.Column("resend_due_at", UtcDateTime(), nullable=True))
