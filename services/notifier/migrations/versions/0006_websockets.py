"""Websockets: which channel a Subscription has, who holds a lane's client, and the tokens that bind one.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

from services.database import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_HELD = sa.text("holder IS NOT NULL")
_UNBOUND = sa.text("state = 'unbound'")


def upgrade() -> None:
    op.add_column(
        "subscription",
        sa.Column("channel", sa.String(length=16), server_default="rest-hook", nullable=False),
    )
    op.add_column("lane", sa.Column("holder", sa.String(length=36), nullable=True))
    op.add_column("lane", sa.Column("binding_since", UtcDateTime(), nullable=True))
    op.create_index(
        "lane_held_by",
        "lane",
        ["holder", "due_at"],
        unique=False,
        postgresql_where=_HELD,
        sqlite_where=_HELD,
    )
    op.create_index(
        "lane_unbound",
        "lane",
        ["binding_since", "subscription_id"],
        unique=False,
        postgresql_where=_UNBOUND,
        sqlite_where=_UNBOUND,
    )
    op.create_table(
        "holder",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("alive_until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "binding_token",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("subscriptions", sa.Text(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_index(op.f("ix_binding_token_expires_at"), "binding_token", ["expires_at"], unique=False)
