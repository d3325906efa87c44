"""The publisher's first tables; `services.publisher.store.tables` says what each is for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.database import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    _what_is_stored()
    _what_is_derived()
    _what_is_emitted()


def downgrade() -> None:
    for table in (
        "facet",
        "resource_version",
        "resource",
        "report",
        "outbox",
        "log_head",
        "listing",
        "identifier",
        "generation",
        "contract",
        "audit",
    ):
        op.drop_table(table)


def _what_is_stored() -> None:
    op.create_table(
        "resource",
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("last_updated", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("type", "id"),
    )
    op.create_index("resource_content", "resource", ["owner", "type", "content_hash"], unique=False)
    op.create_table(
        "resource_version",
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("interaction", sa.String(length=8), nullable=False),
        sa.Column("last_updated", UtcDateTime(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("type", "id", "version"),
    )
    op.create_table(
        "identifier",
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
    )
    op.create_index("identifier_resource", "identifier", ["type", "id"], unique=False)
    op.create_index("identifier_value", "identifier", ["type", "value"], unique=False)
    op.create_table(
        "audit",
        sa.Column("id", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )


def _what_is_derived() -> None:
    op.create_table(
        "contract",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("measure_id", sa.String(length=64), nullable=False),
        sa.Column("payer", sa.Text(), nullable=True),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("measure_id"),
    )
    op.create_table(
        "report",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("contract", sa.Text(), nullable=True),
        sa.Column("payer", sa.Text(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("identity", sa.Text(), nullable=True),
        sa.Column("parent", sa.String(length=64), nullable=True),
        sa.Column("waits", sa.Boolean(), nullable=False),
        sa.Column("facets", sa.Text(), nullable=False),
        sa.Column("last_updated", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("report_contract", "report", ["contract", "last_updated"], unique=False)
    op.create_index("report_identity", "report", ["identity"], unique=False)
    op.create_index("report_last_updated", "report", ["last_updated", "id"], unique=False)
    op.create_index("report_parent", "report", ["parent"], unique=False)
    op.create_index(
        "report_waiting",
        "report",
        ["last_updated"],
        unique=False,
        postgresql_where=sa.text("waits"),
        sqlite_where=sa.text("waits"),
    )
    op.create_table(
        "generation",
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("report_id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("facets", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("identity"),
    )
    op.create_table(
        "listing",
        sa.Column("quality_id", sa.String(length=64), nullable=False),
        sa.Column("performance_id", sa.String(length=64), nullable=False),
        sa.Column("since", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("quality_id", "performance_id"),
    )
    op.create_table(
        "facet",
        sa.Column("report_id", sa.String(length=64), nullable=False),
        sa.Column("parameter", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=True),
        sa.Column("low", _ORDERED, nullable=True),
        sa.Column("high", _ORDERED, nullable=True),
        sa.Column("number", _ORDERED, nullable=True),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["report_id"], ["report.id"], ondelete="CASCADE"),
    )
    op.create_index("facet_date", "facet", ["parameter", "low", "high", "report_id"], unique=False)
    op.create_index("facet_report", "facet", ["report_id"], unique=False)
    op.create_index("facet_value", "facet", ["parameter", "value", "report_id"], unique=False)


def _what_is_emitted() -> None:
    op.create_table(
        "outbox",
        sa.Column("number", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("contract", sa.Text(), nullable=False),
        sa.Column("report_id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body_version", sa.Integer(), nullable=False),
        sa.Column("interaction", sa.String(length=8), nullable=False),
        sa.Column("accepted_at", UtcDateTime(), nullable=False),
        sa.Column("facets", sa.Text(), nullable=False),
        sa.Column("previous_facets", sa.Text(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("place_partition", sa.Integer(), nullable=True),
        sa.Column("place_position", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("outbox_place", "outbox", ["place_partition", "place_position"], unique=False)
    op.create_index("outbox_report", "outbox", ["report_id", "version"], unique=False)
    op.create_index(
        "outbox_unplaced",
        "outbox",
        ["number"],
        unique=False,
        postgresql_where=sa.text("place_position IS NULL"),
        sqlite_where=sa.text("place_position IS NULL"),
    )
    op.create_table(
        "log_head",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition"),
    )
