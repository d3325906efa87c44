"""What outlives events and backups: ids, the floor below which they are gone, and numbers passed over.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

from services.database import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_WAITING = sa.text("status IN ('error', 'off') AND NOT deleted")


def upgrade() -> None:
    op.create_table(
        "seen_event",
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("accepted_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.execute("INSERT INTO seen_event (event_id, accepted_at) SELECT event_id, accepted_at FROM event")
    op.create_index(op.f("ix_seen_event_accepted_at"), "seen_event", ["accepted_at"], unique=False)
    op.create_table(
        "id_floor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("accepted_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute("INSERT INTO id_floor (id, accepted_at) VALUES (1, NULL)")
    op.create_table(
        "restoration",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("log", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("skipped", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "passed_over",
        sa.Column("subscription_id", sa.String(length=64), nullable=False),
        sa.Column("first_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "first_number"),
    )
    op.add_column("position", sa.Column("last_event", sa.String(length=36), nullable=True))
    op.create_index(op.f("ix_dead_letter_at"), "dead_letter", ["at"], unique=False)
    op.add_column("subscription", sa.Column("status_since", UtcDateTime(), nullable=True))
    op.execute("UPDATE subscription SET status_since = last_updated")
    with op.batch_alter_table("subscription") as subscription:
        subscription.alter_column("status_since", existing_type=UtcDateTime(), nullable=False)
    op.create_index(
        "subscription_waiting",
        "subscription",
        ["status", "status_since", "id"],
        unique=False,
        postgresql_where=_WAITING,
        sqlite_where=_WAITING,
    )
