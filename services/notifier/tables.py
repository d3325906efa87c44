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
    sa.Column("status_since", UtcDateTime, nullable=False),
    sa.Column("criteria", sa.Text, nullable=False),  # search string, or the topic's canonical
    sa.Column("filters", sa.Text, nullable=False),  # JSON array of filter strings; topic only
    sa.Column("channel", sa.String(16), nullable=False, server_default="rest-hook"),  # or websocket
    sa.Column("endpoint", sa.Text, nullable=False),  # empty: websocket
    sa.Column("mime", sa.Text),  # NULL: classic without payload
    sa.Column("content", sa.String(16)),  # empty, id-only, full-resource; topic only
    sa.Column("headers", sa.Text, nullable=False),  # JSON array of "Name: value"; may hold secrets
    sa.Column("timeout", sa.Integer),  # seconds the subscriber asked for
    sa.Column("heartbeat", sa.Integer),  # seconds of silence before a heartbeat; NULL: none
    sa.Column("latest_only", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("ends_at", UtcDateTime),  # NULL: it goes on
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
sa.Index("subscription_waiting", subscription.c.status, subscription.c.status_since, subscription.c.id,
         postgresql_where=sa.text("status IN ('error', 'off') AND NOT deleted"),
         sqlite_where=sa.text("status IN ('error', 'off') AND NOT deleted"))  # fmt: skip
_ENDING = "ends_at IS NOT NULL AND NOT deleted AND status <> 'off'"
sa.Index("subscription_ending", subscription.c.ends_at, subscription.c.id,
         postgresql_where=sa.text(_ENDING), sqlite_where=sa.text(_ENDING))  # fmt: skip

subscription_version = sa.Table(
    "subscription_version",
    metadata,
    sa.Column("subscription_id", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("resource", sa.LargeBinary, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False, index=True),
)
"""Every version of every Subscription, the current one too; written by whoever moves `subscription.version`."""

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
    sa.Column("endpoint", sa.Text, nullable=False),  # what lanes share: scheme, host and port, or a websocket
    sa.Column("state", sa.String(16), nullable=False),  # handshake, open, parked, held, unbound
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
    sa.Column("resend_retry", sa.Integer, nullable=False, server_default="0"),  # failed resends in a row
    sa.Column("resend_due_at", UtcDateTime),  # NULL: nothing to send again
    sa.Column("holder", sa.String(36)),  # process whose websocket it is bound to; NULL: anybody sends for it
    sa.Column("binding_since", UtcDateTime),  # since when a client is bound, or none is; NULL: no websocket
)
"""One row a subscription: the cursor, the lease and the plan.

The plan fixes batches before their first POST: [plan_first + k*plan_size, …] up to plan_last. It stays as it
is until its last number is settled, so a retry, a kill or another notifier sends the very same batches.

Sending again has a wait of its own, so that a resend that fails holds up nothing that is owed: an open lane is
due when it owes something, or at `resend_due_at`.

The lane of a websocket is sent for by the process that has its client's connection, its `holder`, and by nobody
else. While no client is bound it has no holder and is `unbound`."""
sa.Index("lane_due_fresh", lane.c.due_at, postgresql_where=sa.text("retry = 0 AND due_at IS NOT NULL"),
         sqlite_where=sa.text("retry = 0 AND due_at IS NOT NULL"))  # fmt: skip
sa.Index("lane_due_retry", lane.c.due_at, postgresql_where=sa.text("retry > 0 AND due_at IS NOT NULL"),
         sqlite_where=sa.text("retry > 0 AND due_at IS NOT NULL"))  # fmt: skip
sa.Index("lane_held_by", lane.c.holder, lane.c.due_at, postgresql_where=sa.text("holder IS NOT NULL"),
         sqlite_where=sa.text("holder IS NOT NULL"))  # fmt: skip
sa.Index("lane_unbound", lane.c.binding_since, lane.c.subscription_id,
         postgresql_where=sa.text("state = 'unbound'"), sqlite_where=sa.text("state = 'unbound'"))  # fmt: skip

holder = sa.Table(
    "holder",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("alive_until", UtcDateTime, nullable=False),
)
"""Processes that have websockets. One that has not said for so long that it lives holds nothing any more."""

binding_token = sa.Table(
    "binding_token",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),  # SHA-256: the token itself is its client's alone
    sa.Column("client", sa.Text, nullable=False),  # principal it was given to
    sa.Column("subscriptions", sa.Text, nullable=False),  # JSON array of ids
    sa.Column("expires_at", UtcDateTime, nullable=False, index=True),
)
"""What a client shows on a websocket to be bound to its Subscriptions, at whichever notifier it has reached."""

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
    sa.Column("series", sa.Text),  # reports that follow one another (`match.series`); NULL: none
    sa.Column("supersedes", sa.String(64)),  # id of another report whose place it takes; NULL: none
    sa.Index("event_contract", "contract", "seq"),
    sa.Index("event_series", "series", "seq"),
    sa.Index("event_report", "report_id", "version"),
)
"""Every event read, whoever it matched: previews, catch-up and thresholds run over it."""

seen_event = sa.Table(
    "seen_event",
    metadata,
    sa.Column("event_id", sa.String(36), primary_key=True),
    sa.Column("accepted_at", UtcDateTime, nullable=False, index=True),
)
"""The id of every event taken in: what a second copy is known by, long after the event itself is gone.

By the time of acceptance, which a copy carries too: so what `id_floor` says does not depend on two clocks."""

id_floor = sa.Table(
    "id_floor",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("accepted_at", UtcDateTime),  # NULL: every id ever seen is kept
)
"""One row. The ids of events accepted before this time may be gone: such an event is refused, never numbered."""

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
    sa.Column("superseded_by", sa.BigInteger),  # skipped: the number that told of a later version; else NULL
)
"""Numbers that were settled without being delivered, and why."""

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

resend = sa.Table(
    "resend",
    metadata,
    sa.Column("subscription_id", sa.String(64), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("requested_at", UtcDateTime, nullable=False),
    sa.Column("client", sa.Text, nullable=False),  # who asked
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Index("resend_next", "subscription_id", "tries", "number"),
)
"""Settled numbers that an operator wants sent again. The lane's cursor has passed them and never goes back;
a row lives from the request until its number was taken, refused for good or cancelled."""

position = sa.Table(
    "position",
    metadata,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("next_position", sa.BigInteger, nullable=False),  # -1: from the oldest record on
    sa.Column("last_event", sa.String(36)),  # id of the event before it; NULL: none, or not an event
)
"""Where to read on. Moved by enqueue, together with the effect of what was read, or by an operator.

`last_event` is what the log has to hold right before: another log under the same name is known by it."""

restoration = sa.Table(
    "restoration",
    metadata,
    sa.Column("id", _Id, primary_key=True, autoincrement=True),
    sa.Column("log", sa.Text, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("skipped", sa.BigInteger, nullable=False),
)
"""Each time this database was found behind what its readers had reached, and how many numbers were passed over."""

passed_over = sa.Table(
    "passed_over",
    metadata,
    sa.Column("subscription_id", sa.String(64), primary_key=True),
    sa.Column("first_number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("last_number", sa.BigInteger, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)
"""Numbers that were never given here, because they may have been given before a restoration: nothing is owed for them."""

dead_letter = sa.Table(
    "dead_letter",
    metadata,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("headers", sa.Text, nullable=False),
    sa.Column("value", sa.LargeBinary),
    sa.Column("at", UtcDateTime, nullable=False, index=True),
)
"""Records that are no event we understand, kept whole; and events too old to be known from their copies."""

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
