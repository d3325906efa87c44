"""What does a server do of taking in a batch in one round trip? As much as follows from what is known already.

A lone report waits for every round trip, so on PostgreSQL the statements that SQLite is given one by one are parts of
a few. Locks are taken in the same order: positions, counters, lanes, each by id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from services.database import Connection
from services.event_log import Record
from services.notifier.enqueue.seen import Known, known_of
from services.notifier.model import LaneState

IDLE: Final = (
    f"""state = '{LaneState.OPEN}' AND (due_at IS NULL OR (claim_id IS NULL AND next_number > last_number))"""
)
"""Of a lane that is owed more: it is due now. So is one that only waits to send something again; one that waits for a
retry of what it owes, or is leased, keeps the time it has."""

_MOVE: Final = sa.text("""
    WITH moved AS (
        UPDATE position SET next_position = w.after, last_event = w.event
        FROM unnest(CAST(:partitions AS int[]), CAST(:known AS bigint[]), CAST(:afters AS bigint[]),
                    CAST(:events AS text[])) AS w(of, known, after, event)
        WHERE log = :of_log AND partition = w.of AND next_position = w.known
        RETURNING 1)
    SELECT (SELECT count(*) FROM moved) AS moved, floor.accepted_at, kept.event_id
    FROM id_floor AS floor LEFT JOIN seen_event AS kept ON kept.event_id = ANY(CAST(:ids AS text[]))
""")


async def move(
    connection: Connection,
    log_name: str,
    at: Mapping[int, int | None],
    last: Mapping[int, Record],
    ids: Sequence[str],
) -> Known | None:
    """Move positions behind these records, and return what is known of these events; `None` if one had been moved.

    What is known is as of before the positions were locked: who had them meanwhile has moved them, and who takes in
    events otherwise keeps their ids, which nobody can keep twice.
    """
    ends = sorted(last.items())
    named = {
        "of_log": log_name,
        "partitions": [partition for partition, _ in ends],
        "known": [at[partition] for partition, _ in ends],
        "afters": [record.position + 1 for _, record in ends],
        "events": [None if record.event is None else record.event.id for _, record in ends],
        "ids": ids,
    }
    rows = (await connection.execute(_MOVE, named)).all()
    return known_of(rows) if rows[0].moved == len(ends) else None


_COLUMNS: Final = {
    "event_id": "text",
    "type": "text",
    "source": "text",
    "report_id": "text",
    "version": "int",
    "contract": "text",
    "interaction": "text",
    "accepted_at": "timestamptz",
    "received_at": "timestamptz",
    "log_partition": "int",
    "log_position": "bigint",
    "facets": "text",
    "previous_facets": "text",
    "traceparent": "text",
    "body": "bytea",
    "series": "text",
    "supersedes": "text",
}
_NAMES: Final = ", ".join(_COLUMNS)
# In their order: within a contract `seq` is the order of acceptance.
_KEEP: Final = sa.text(f"""
    WITH kept AS (
        INSERT INTO event ({_NAMES}) SELECT {_NAMES}
        FROM unnest({", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _COLUMNS.items())})
            WITH ORDINALITY AS w({_NAMES}, place)
        ORDER BY place RETURNING seq, event_id),
    remembered AS (
        INSERT INTO seen_event (event_id, accepted_at)
        SELECT * FROM unnest(CAST(:event_id AS text[]), CAST(:accepted_at AS timestamptz[]))),
    held AS (
        SELECT subscription_id, last_number FROM counter
        WHERE subscription_id = ANY(CAST(:wanted AS text[])) AND numbering
        ORDER BY subscription_id FOR UPDATE)
    SELECT event_id AS name, seq AS number, false AS counted FROM kept
    UNION ALL SELECT subscription_id, last_number, true FROM held
""")


async def keep(
    connection: Connection, rows: Sequence[Mapping[str, Any]], wanted: Sequence[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Keep events and their ids, and lock the counters of these subscriptions.

    Return `seq` by event, and by subscription the last number given; one that is off or gone has none.
    """
    columns = {name: [row[name] for row in rows] for name in _COLUMNS}
    found: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for row in await connection.execute(_KEEP, {**columns, "wanted": wanted}):
        found[row.counted][row.name] = row.number
    return found


# Lanes are locked in their order before any is moved: who records holds several as well.
_OWE: Final = sa.text(f"""
    WITH owed AS (
        INSERT INTO notification (subscription_id, number, event_seq)
        SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS bigint[]), CAST(:seqs AS bigint[]))),
    moves AS (SELECT * FROM unnest(CAST(:moved AS text[]), CAST(:lasts AS bigint[])) AS m(id, number)),
    counted AS (UPDATE counter SET last_number = moves.number FROM moves WHERE subscription_id = moves.id),
    held AS (
        SELECT subscription_id AS id FROM lane WHERE subscription_id = ANY(CAST(:moved AS text[]))
        ORDER BY subscription_id FOR UPDATE)
    UPDATE lane SET last_number = moves.number, due_at = CASE WHEN {IDLE} THEN now() ELSE due_at END
    FROM held JOIN moves ON moves.id = held.id WHERE lane.subscription_id = held.id
""")


async def owe(connection: Connection, rows: Sequence[Mapping[str, Any]], last: Mapping[str, int]) -> None:
    """Have subscriptions owe these notifications, up to their last numbers, and make their idle lanes due."""
    named = {
        "ids": [row["subscription_id"] for row in rows],
        "numbers": [row["number"] for row in rows],
        "seqs": [row["event_seq"] for row in rows],
        "moved": list(last),
        "lasts": list(last.values()),
    }
    await connection.execute(_OWE, named)
