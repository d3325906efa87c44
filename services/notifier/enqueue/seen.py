"""Was this event taken in before? Ids outlive events, and where they end the answer is a refusal.

Emission is at least once, so any event may come again, years later if an operator emits a range anew. An event
accepted before the floor whose id is not kept may be new or may be a copy: to number it could be a second number.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum, auto

import sqlalchemy as sa

from schemas.event import ReportEvent
from services.database import Connection, UtcDateTime
from services.notifier import tables as t
from services.notifier.hot import hot, listed


class Standing(Enum):
    """What is known of an event that was read."""

    NEW = auto()
    REPEATED = auto()
    """It was taken in before, or stands earlier in the same batch."""
    UNKNOWABLE = auto()
    """It is older than the ids that are kept."""


async def standings(connection: Connection, events: Sequence[ReportEvent]) -> list[Standing]:
    """Return how each of these events stands, in their order."""
    if not events:
        return []
    seen, floor = await _known(connection, [event.id for event in events])
    found = []
    for event in events:
        if event.id in seen:
            found.append(Standing.REPEATED)
        elif floor is not None and event.time < floor:
            found.append(Standing.UNKNOWABLE)
        else:
            seen.add(event.id)
            found.append(Standing.NEW)
    return found


_SEEN = sa.insert(t.seen_event)
# One statement, hence one snapshot: ids read before the floor moved, and the floor after, would let a copy in.
_KNOWN = hot(
    """
    SELECT floor.accepted_at, kept.event_id FROM id_floor AS floor
    LEFT JOIN seen_event AS kept ON kept.event_id {ids}
    """,
    [sa.column("accepted_at", UtcDateTime()), sa.column("event_id")],
)


async def remember(connection: Connection, events: Sequence[ReportEvent]) -> None:
    """Keep the ids of these events, in the transaction that numbers them."""
    rows = [{"event_id": event.id, "accepted_at": event.time} for event in events]
    await connection.execute(_SEEN, rows)


async def _known(connection: Connection, ids: Sequence[str]) -> tuple[set[str], datetime | None]:
    rows = (await connection.execute(_KNOWN.of(connection), {"ids": listed(connection, ids)})).all()
    return {row.event_id for row in rows if row.event_id is not None}, rows[0].accepted_at
