"""Every version of a Subscription, when it ends, its heartbeat, and which events follow one another.

Revision ID: 0004
Revises: 0003
"""

import orjson
import sqlalchemy as sa
from alembic import op

from services.database import UtcDateTime
from services.notifier.match.series import series_of

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_AT_ONCE = 500
_ENDING = sa.text("ends_at IS NOT NULL AND NOT deleted AND status <> 'off'")


def upgrade() -> None:
    op.add_column("subscription", sa.Column("ends_at", UtcDateTime(), nullable=True))
    op.add_column("subscription", sa.Column("heartbeat", sa.Integer(), nullable=True))
    op.add_column(
        "subscription",
        sa.Column("latest_only", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.create_index(
        "subscription_ending",
        "subscription",
        ["ends_at", "id"],
        unique=False,
        postgresql_where=_ENDING,
        sqlite_where=_ENDING,
    )
    op.create_table(
        "subscription_version",
        sa.Column("subscription_id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("resource", sa.LargeBinary(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "version"),
    )
    op.create_index(op.f("ix_subscription_version_at"), "subscription_version", ["at"], unique=False)
    op.execute(
        "INSERT INTO subscription_version (subscription_id, version, status, error, resource, deleted, at)"
        " SELECT id, version, status, error, resource, deleted, last_updated FROM subscription"
    )
    op.add_column("event", sa.Column("series", sa.Text(), nullable=True))
    _fill_series()
    op.create_index("event_series", "event", ["series", "seq"], unique=False)


def _fill_series() -> None:
    connection = op.get_bind()
    after = 0
    select = sa.text("SELECT seq, facets FROM event WHERE seq > :after ORDER BY seq LIMIT :most")
    update = sa.text("UPDATE event SET series = :series WHERE seq = :seq")
    while rows := connection.execute(select, {"after": after, "most": _AT_ONCE}).all():
        after = rows[-1].seq
        found = [{"seq": row.seq, "series": series_of(orjson.loads(row.facets))} for row in rows]
        connection.execute(update, found)
