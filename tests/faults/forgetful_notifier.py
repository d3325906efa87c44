"""`vbpr notifier` without one safety: it commits its position in the log before what it read has had its effect."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.cli.main import main
from services.clock import Clock
from services.database import Database
from services.notifier.consume import intake
from services.notifier.enqueue import enqueue as step
from services.notifier.enqueue.enqueue import Enqueued, Matched

_enqueue, _move = step.enqueue, step._move


async def _forget(
    database: Database, clock: Clock, log_name: str, at: Mapping[int, int | None], batch: Sequence[Matched]
) -> Enqueued:
    after = {matched.record.partition: matched.record.position + 1 for matched in batch}
    async with database.write() as connection:
        await _move(connection, log_name, at, after)
    return await _enqueue(database, clock, log_name, at, batch)


async def _stay(
    connection: AsyncConnection, log_name: str, at: Mapping[int, int | None], after: Mapping[int, int]
) -> None:
    """Move nothing: that has happened already."""


if __name__ == "__main__":
    intake.enqueue = _forget  # type: ignore[attr-defined]  # the name that the loop calls
    step._move = _stay
    sys.exit(main())  # type: ignore[func-returns-value]  # it ends by itself
