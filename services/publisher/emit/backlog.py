"""The backlog: how much is accepted and not yet in the event log, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from services import metrics
from services.clock import Clock
from services.database import Database
from services.publisher.store.tables import outbox


@dataclass(frozen=True, slots=True)
class Backlog:
    """The outbox rows without a place."""

    pending: int
    oldest: datetime | None
    """When the oldest of them was accepted; `None` when there is none."""

    def age(self, now: datetime) -> float:
        """Return the age of the oldest in seconds, 0 when there is none."""
        return 0.0 if self.oldest is None else max(0.0, (now - self.oldest).total_seconds())


_WAITING = outbox.c.place_position.is_(None)
_COUNT = sa.select(sa.func.count()).select_from(outbox).where(_WAITING)
_FIRST = sa.select(outbox.c.accepted_at).where(_WAITING).order_by(outbox.c.number).limit(1)


async def backlog(database: Database) -> Backlog:
    """Count the rows without a place, and find the oldest."""
    async with database.read() as connection:
        pending = (await connection.execute(_COUNT)).scalar_one()
        oldest = (await connection.execute(_FIRST)).scalar() if pending else None
    return Backlog(pending, oldest)


async def measure(database: Database, clock: Clock) -> Backlog:
    """Set the outbox gauges to what is so now, and return it."""
    found = await backlog(database)
    metrics.OUTBOX_PENDING.set(found.pending)
    metrics.OUTBOX_AGE.set(found.age(clock.now()))
    return found
