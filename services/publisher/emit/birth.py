"""Where the outbox itself is the log, when does an event get its place there? As it is stored, in one transaction.

The row of the log's head stays locked until that transaction ends, so places become visible in their order. The
relay has nothing to do then but for what waits already: it goes first, and whatever comes meanwhile waits as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from services import metrics
from services.database import Connection
from services.event_log import Place
from services.event_log_outbox import Appended, OutboxSink, Placed


class AtBirth:
    """Gives places to events that are about to be stored."""

    def __init__(self, sink: OutboxSink, appended: Appended) -> None:
        """Take the log, and what its reader waits for."""
        self._sink = sink
        self._appended = appended

    async def places(self, transaction: Connection, count: int) -> Sequence[Place]:
        """Return the next places in the log."""
        return await self._sink.next(transaction, count)

    def committed(self, placed: Sequence[Placed]) -> None:
        """Hand the reader what has come into the log."""
        metrics.EMITTED.inc(len(placed))
        self._appended.hand(placed)
