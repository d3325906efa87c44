"""Was this event taken in before? Ids outlive events, and where they end the answer is a refusal.

Emission is at least once, so any event may come again, years later if an operator emits a range anew. An event
accepted before the floor whose id is not kept may be new or may be a copy: to number it could be a second number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of some events, as of one moment: ids before the floor moved, and the floor after, would let a copy in."""

    ids: frozenset[str]
    """Of those asked for, the ones that were taken in."""
    floor: datetime | None
    """Of events accepted before this time the ids may be gone."""


async def standings(
    connection: Connection, events: Sequence[ReportEvent], known: Known | None = None
) -> list[Standing]:
    """Return how each of these events stands, in their order; asks what is known of them unless that is given."""
    if not events:
        return []
    known = known or await _known(connection, [event.id for event in events])
    seen, floor = set(known.ids), known.floor
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
# One statement, hence one snapshot.
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


async def _known(connection: Connection, ids: Sequence[str]) -> Known:
    rows = (await connection.execute(_KNOWN.of(connection), {"ids": listed(connection, ids)})).all()
    return known_of(rows)


def known_of(rows: Sequence[Any]) -> Known:
    """Return what rows say that join `id_floor` to the ids that are kept."""
    return Known(frozenset(row.event_id for row in rows if row.event_id is not None), rows[0].accepted_at)
