"""The notifier's tables. Rows that change with every delivery (`lane`, `counter`) are narrow and few."""

from __future__ import annotations

import sqlalchemy as sa

from services.database import UtcDateTime

metadata = sa.MetaData()

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

subscription = sa.Table(
    "subscription",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(8), nullable=False),  # classic, topic
    sa.Column("status", sa.String(16), nullable=False),  # requested, active, error, off
    sa.Column("criteria", sa.Text, nullable=False),  # search string, or the topic's canonical
    sa.Column("filters", sa.Text, nullable=False),  # JSON array of filter strings; topic only
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("mime", sa.Text),  # NULL: classic without payload
    sa.Column("content", sa.String(16)),  # empty, id-only, full-resource; topic only
    sa.Column("headers", sa.Text, nullable=False),  # JSON array of "Name: value"; may hold secrets
    sa.Column("timeout", sa.Integer),  # seconds the subscriber asked for
    sa.Column("client", sa.Text, nullable=False),  # principal that created it
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("organisations", sa.Text, nullable=False),  # JSON array; what the principal stands for
    sa.Column("error", sa.Text),
    sa.Column("resource", sa.LargeBinary, nullable=False),  # as sent, without what the server manages
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("last_updated", UtcDateTime, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False, index=True),  # of its last change
    sa.Column("deleted", sa.Boolean, nullable=False),
)

revision = sa.Table(
    "revision",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
"""One row. Every write to a Subscription increments it in its own transaction, so that a notifier which
compares it after reading a batch knows of every Subscription answered before the batch was accepted."""

counter = sa.Table(
    "counter",
    metadata,
    sa.Column("subscription_id", sa.String(64), primary_key=True),
    sa.Column("last_number", sa.BigInteger, nullable=False),
    sa.Column("numbering", sa.Boolean, nullable=False),  # false while the subscription is off
)
"""Event numbers given so far; locked by enqueue only, in id order."""

lane = sa.Table(
    "lane",
    metadata,
    sa.Column("subscription_id", sa.String(64), primary_key=True),
    sa.Column("endpoint", sa.Text, nullable=False),  # scheme, host and port: what lanes share
    sa.Column("state", sa.String(16), nullable=False),  # handshake, open, parked, held
    sa.Column("next_number", sa.BigInteger, nullable=False),
    sa.Column("last_number", sa.BigInteger, nullable=False),
    sa.Column("batch_size", sa.Integer, nullable=False),  # most events in one Bundle; 1 for classic
    sa.Column("due_at", UtcDateTime),  # NULL: nothing to do; while claimed: when the lease runs out
    sa.Column("claim_id", sa.String(36)),
    sa.Column("plan_first", sa.BigInteger, nullable=False),
    sa.Column("plan_last", sa.BigInteger, nullable=False),
    sa.Column("plan_size", sa.Integer, nullable=False),
    sa.Column("retry", sa.Integer, nullable=False),  # failed tries of the head, endpoint's fault
    sa.Column("refusals", sa.Integer, nullable=False),  # failed tries of the head, message's fault
    sa.Column("failing_since", UtcDateTime),
    sa.Column("failure", sa.String(24)),
    sa.Column("said", sa.Text),  # the last failure in words
)
"""One row a subscription: the cursor, the lease and the plan.

The plan fixes batches before their first POST: [plan_first + k*plan_size, …] up to plan_last. It stays as it
is until its last number is settled, so a retry, a kill or another notifier sends the very same batches."""
sa.Index("lane_due_fresh", lane.c.due_at, postgresql_where=sa.text("retry = 0 AND due_at IS NOT NULL"),
         sqlite_where=sa.text("retry = 0 AND due_at IS NOT NULL"))  # fmt: skip
sa.Index("lane_due_retry", lane.c.due_at, postgresql_where=sa.text("retry > 0 AND due_at IS NOT NULL"),
         sqlite_where=sa.text("retry > 0 AND due_at IS NOT NULL"))  # fmt: skip

event = sa.Table(
    "event",
    metadata,
    sa.Column("seq", _Id, primary_key=True, autoincrement=True),
    sa.Column("event_id", sa.String(36), nullable=False, unique=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("report_id", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("contract", sa.Text, nullable=False),
    sa.Column("interaction", sa.String(8), nullable=False),
    sa.Column("accepted_at", UtcDateTime, nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Column("log_partition", sa.Integer, nullable=False),
    sa.Column("log_position", sa.BigInteger, nullable=False),
    sa.Column("facets", sa.Text, nullable=False),
    sa.Column("previous_facets", sa.Text),
    sa.Column("traceparent", sa.Text),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("event_contract", "contract", "seq"),
    sa.Index("event_report", "report_id", "version"),
)
"""Every event read, whoever it matched: previews, catch-up and thresholds run over it."""

notification = sa.Table(
    "notification",
    metadata,
    sa.Column("subscription_id", sa.String(64), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("event_seq", sa.BigInteger, nullable=False),
    sa.Index("notification_event", "event_seq"),
)
"""What a subscription is owed for an event, under its number. Never updated: the lane's cursor says the rest."""

given_up = sa.Table(
    "given_up",
    metadata,
    sa.Column("subscription_id", sa.String(64), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)

attempt = sa.Table(
    "attempt",
    metadata,
    sa.Column("id", _Id, primary_key=True, autoincrement=True),
    sa.Column("subscription_id", sa.String(64), nullable=False),
    sa.Column("webhook_id", sa.Text, nullable=False),
    sa.Column("first_number", sa.BigInteger, nullable=False),  # 0 for a handshake
    sa.Column("last_number", sa.BigInteger, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("milliseconds", sa.Integer, nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),  # delivered, retry, split, given_up, parked, off
    sa.Column("failure", sa.String(24)),
    sa.Column("status", sa.Integer),
    sa.Column("said", sa.Text),
    sa.Index("attempt_lane", "subscription_id", "first_number", "id"),
)

position = sa.Table(
    "position",
    metadata,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("next_position", sa.BigInteger, nullable=False),
)
"""Where to read on. Moved by enqueue only, together with the effect of what was read."""

dead_letter = sa.Table(
    "dead_letter",
    metadata,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("headers", sa.Text, nullable=False),
    sa.Column("value", sa.LargeBinary),
    sa.Column("at", UtcDateTime, nullable=False),
)
"""Records that are no event we understand, kept whole."""

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", _Id, primary_key=True, autoincrement=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("client", sa.Text, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
)
