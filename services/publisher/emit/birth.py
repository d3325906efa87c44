"""Where the outbox itself is the log, when does an event get its place there? As it is stored, in one transaction.

The row of the log's head stays locked until that transaction ends, so places become visible in their order. The
relay has nothing to do then but for what waits already: it goes first, whatever comes later.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from services import metrics
from services.database import Connection
from services.event_log import Place
from services.event_log_outbox import Appended, OutboxSink, Placed
from services.publisher.store.tables import outbox

_waiting = sa.select(outbox.c.number).where(outbox.c.place_position.is_(None)).limit(1)


class AtBirth:
    """Gives places to events that are about to be stored."""

    def __init__(self, sink: OutboxSink, appended: Appended) -> None:
        """Take the log, and what its reader waits for."""
        self._sink = sink
        self._appended = appended

    async def places(self, transaction: Connection, count: int) -> Sequence[Place] | None:
        """Return the next places in the log; `None` when events wait for the relay, and these have to as well."""
        if (await transaction.execute(_waiting)).first() is not None:
            return None
        return await self._sink.next(transaction, count)

    def committed(self, placed: Sequence[Placed]) -> None:
        """Hand the reader what has come into the log."""
        metrics.EMITTED.inc(len(placed))
        self._appended.hand(placed)
