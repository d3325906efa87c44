"""Reading on from the oldest record kept, once an operator accepts that the log is not what it was.

Safe for what was taken in before: it is known by its id and gets no second number. What the log has lost meanwhile
is lost to us: the publisher can emit it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from services.clock import Clock
from services.database import Database
from services.notifier import tables as t
from services.notifier.consume.positions import FROM_OLDEST
from services.notifier.watch.recovery.trail import Order, RecoveryRefusedError, note


@dataclass(frozen=True, slots=True)
class Accepted:
    """A partition that is read from its oldest record on, or would be."""

    log: str
    partition: int
    was: int
    """Where it was to be read on."""


async def accept(
    database: Database, clock: Clock, partitions: Sequence[int], order: Order | None
) -> Sequence[Accepted]:
    """Have these partitions read from their oldest record on; without an order, only say which they are.

    Dead letters of theirs are listed under the log's former name, for the same places may come again.

    Raises:
        RecoveryRefusedError: one of them was never read.
    """
    at = t.position.c
    here = sa.select(at.log, at.partition, at.next_position).where(at.partition.in_(partitions))
    here = here.order_by(at.log, at.partition)
    async with database.write() if order is not None else database.read() as connection:
        rows = await connection.execute(here.with_for_update() if order is not None else here)
        found = [Accepted(*row) for row in rows]
        if missing := set(partitions) - {each.partition for each in found}:
            raise RecoveryRefusedError(
                f"Partition {min(missing)} was never read: there is nothing to accept."
            )
        if order is None:
            return found
        now, dead = clock.now(), t.dead_letter
        for each in found:
            await connection.execute(
                sa.update(t.position)
                .where(at.log == each.log, at.partition == each.partition)
                .values(next_position=FROM_OLDEST, last_event=None)
            )
            former = f"{each.log} until {now:%Y-%m-%dT%H:%M:%SZ}"
            await connection.execute(
                sa.update(dead)
                .where(dead.c.log == each.log, dead.c.partition == each.partition)
                .values(log=former)
            )
            what = f"from the oldest record on, instead of {each.was}"
            await note(connection, order.entry(now, "position-accept", f"{each.log}/{each.partition}", what))
    return found
