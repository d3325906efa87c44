"""Further places in the log for events that an operator has emitted again.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "outbox_copy",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("number", number, nullable=False),
        sa.Column("place_partition", sa.Integer(), nullable=True),
        sa.Column("place_position", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["number"], ["outbox.number"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("outbox_copy_number", "outbox_copy", ["number"], unique=False)
    op.create_index("outbox_copy_place", "outbox_copy", ["place_partition", "place_position"], unique=False)
    op.create_index(
        "outbox_copy_unplaced",
        "outbox_copy",
        ["number"],
        unique=True,
        postgresql_where=sa.text("place_position IS NULL"),
        sqlite_where=sa.text("place_position IS NULL"),
    )
