"""What may be sent again in a lane's turn: a few settled numbers, those that failed least often first.

Few, because first copies wait for them: a lane sends one request at a time. Those that failed least first, so
that one that is never taken keeps no other back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from services.database import Connection, UtcDateTime
from services.notifier.hot import hot, listed
from services.notifier.model import Batch, Event, Owed, Resend
from services.notifier.record.lane import AHEAD, Lane

AT_ONCE = 8
"""Most numbers sent again in one turn; fewer after many that are owed, for these are recorded together."""

_FEW = "FROM resend WHERE subscription_id = w.id ORDER BY tries, number LIMIT :most"
_NEXT = hot(
    """
    SELECT r.subscription_id, r.number, r.tries, e.event_id, e.report_id, e.version, e.interaction, e.accepted_at, e.body
    FROM {next_ones}
    JOIN notification n ON n.subscription_id = r.subscription_id AND n.number = r.number
    JOIN event e ON e.seq = n.event_seq
    ORDER BY r.subscription_id, r.tries, r.number
    """,
    [
        sa.column("subscription_id"),
        sa.column("number"),
        sa.column("tries"),
        sa.column("event_id"),
        sa.column("report_id"),
        sa.column("version"),
        sa.column("interaction"),
        sa.column("accepted_at", UtcDateTime()),
        sa.column("body"),
    ],
    sqlite={
        "next_ones": "(SELECT value AS id FROM json_each(:ids)) w"
        f" JOIN resend r ON r.subscription_id = w.id AND r.number IN (SELECT number {_FEW})"
    },
    postgresql={
        "next_ones": "unnest(CAST(:ids AS text[])) AS w(id) CROSS JOIN LATERAL"
        f" (SELECT subscription_id, number, tries {_FEW}) r"
    },
)


async def load_resends(connection: Connection, lanes: Sequence[Lane]) -> dict[str, list[Resend]]:
    """Return what these lanes may send again now, by subscription; asks nothing when no lane may."""
    wanted = [lane.subscription for lane in lanes if lane.resend_retry is not None]
    if not wanted:
        return {}
    named = {"ids": listed(connection, wanted), "most": AT_ONCE}
    rows = await connection.execute(_NEXT.of(connection), named)
    found: dict[str, list[Resend]] = {}
    for row in rows:
        again = Resend(Batch(row.subscription_id, [owed_of(row)]), row.tries)
        found.setdefault(row.subscription_id, []).append(again)
    # Those left out are fetched all the same: both at once, much owed and something to send again, is rare.
    return {
        each.subscription: found[each.subscription][: _most(each)]
        for each in lanes
        if each.subscription in found
    }


def _most(lane: Lane) -> int:
    """Return how many may follow what is owed in one turn: as far as AHEAD has room, and one at least.

    None at all would say that nothing of what was asked for is kept. Where there is no room for the one it is not sent,
    but left to the next turn.
    """
    owed = lane.last_number - lane.next_number + 1
    return min(AT_ONCE, max(1, AHEAD - owed))


def owed_of(row: Any) -> Owed:
    """Return the notification from a row of `notification` and `event`."""
    event = Event(
        row.event_id,
        row.report_id,
        row.version,
        row.interaction,
        row.accepted_at,
        len(row.body),
        row.body,
    )
    return Owed(row.number, event)
