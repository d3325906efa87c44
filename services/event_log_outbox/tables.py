"""What is the outbox, as a log? Its rows with their places, its head, and the copies of what was emitted again."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from services.database import UtcDateTime

PARTITION: Final = 0

COPIES: Final = "outbox_copy"
_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def outbox_tables(metadata: sa.MetaData) -> tuple[sa.Table, sa.Table, sa.Table]:
    """Define the outbox, its head and its copies in a service's metadata.

    `outbox.number` is given when a row is inserted, under its contract's lock: within a contract it is
    commit order, across contracts it is not, so nobody pages by it. `place_*` is given by the relay to
    committed rows only and is what readers go by. A copy is a row's further appearance in the log: asked for
    by an operator, its place given by the relay, gone when the row is.
    """
    outbox = sa.Table(
        "outbox",
        metadata,
        sa.Column("number", _Number, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.String(36), nullable=False, unique=True),
        sa.Column("event_type", sa.Text, nullable=False),
        sa.Column("contract", sa.Text, nullable=False),
        sa.Column("report_id", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body_version", sa.Integer, nullable=False),  # a deletion carries the last version's bytes
        sa.Column("interaction", sa.String(8), nullable=False),
        sa.Column("accepted_at", UtcDateTime, nullable=False),
        sa.Column("facets", sa.Text, nullable=False),
        sa.Column("previous_facets", sa.Text),
        sa.Column("traceparent", sa.Text),
        sa.Column("place_partition", sa.Integer),
        sa.Column("place_position", sa.BigInteger),
        sa.Index("outbox_report", "report_id", "version"),
        sa.Index("outbox_place", "place_partition", "place_position"),
        sqlite_autoincrement=True,  # a number is never given twice, whatever was pruned
    )
    sa.Index("outbox_unplaced", outbox.c.number, postgresql_where=outbox.c.place_position.is_(None),
             sqlite_where=outbox.c.place_position.is_(None))  # fmt: skip
    head = sa.Table(
        "log_head",
        metadata,
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next_position", sa.BigInteger, nullable=False),
        sa.Column("oldest_position", sa.BigInteger, nullable=False, server_default="0"),
    )
    copies = sa.Table(
        COPIES,
        metadata,
        sa.Column("id", _Number, primary_key=True, autoincrement=True),
        sa.Column("number", _Number, sa.ForeignKey("outbox.number", ondelete="CASCADE"), nullable=False),
        sa.Column("place_partition", sa.Integer),
        sa.Column("place_position", sa.BigInteger),
        sa.Index("outbox_copy_number", "number"),
        sa.Index("outbox_copy_place", "place_partition", "place_position"),
    )
    sa.Index("outbox_copy_unplaced", copies.c.number, unique=True,  # asked for twice, it goes once
             postgresql_where=copies.c.place_position.is_(None),
             sqlite_where=copies.c.place_position.is_(None))  # fmt: skip
    return outbox, head, copies
