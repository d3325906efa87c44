"""Was this database restored from a backup? Then numbers it has forgotten are passed over, never given again.

Since the backup each subscription got at most one number an event, so at most as many as there are events from
the restored positions to the end of the log, and as many as earlier restorations had passed over unknown to it.
What follows is read again and gets new numbers: the endpoints know the copies, we no longer do.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from services import logs, metrics
from services.clock import Clock
from services.database import Connection, Database
from services.event_log_witness import Sighting
from services.notifier import tables as t
from services.notifier.consume import positions
from services.notifier.consume.positions import FROM_OLDEST, Kept

log = logs.get(__name__)

CLIENT = "vbpr"
"""Who did it, in the audit trail."""


def forgotten(kept: Mapping[int, Kept], seen: Mapping[int, Sighting], passed_over: int) -> int:
    """Return the most numbers that a subscription may have been given and this database not know of; 0: it is not behind.

    `passed_over` is what this database knows of earlier restorations. A sighting from before one of those says
    nothing any more: it was counted in then.
    """
    unknown = max((sighting.passed_over for sighting in seen.values()), default=0) - passed_over
    ahead = any(
        sighting.passed_over == passed_over and (sighting.reached or 0) > _at(kept.get(partition), sighting)
        for partition, sighting in seen.items()
        if partition not in kept or kept[partition].next_position != FROM_OLDEST
    )
    if unknown <= 0 and not ahead:
        return 0
    events = sum(
        max(0, max(sighting.end, sighting.reached or 0) - _at(kept.get(partition), sighting))
        for partition, sighting in seen.items()
    )
    return max(0, unknown) + events + 1


def _at(kept: Kept | None, sighting: Sighting) -> int:
    return sighting.oldest if kept is None or kept.next_position == FROM_OLDEST else kept.next_position


async def known_restorations(connection: Connection, log_name: str) -> int:
    """Return how many numbers this database knows to have been passed over."""
    total = sa.select(sa.func.coalesce(sa.func.sum(t.restoration.c.skipped), 0))
    return int((await connection.execute(total.where(t.restoration.c.log == log_name))).scalar_one())


async def pass_over(
    database: Database, clock: Clock, log_name: str, seen: Mapping[int, Sighting]
) -> tuple[int, bool]:
    """Move every subscription's numbers past those this database may have forgotten, if it is behind.

    Returns what it knows to have been passed over, and whether anything was just now.
    """
    async with database.read() as connection:
        known = await known_restorations(connection, log_name)
        if not forgotten(await positions.load(connection, log_name), seen, known):
            return known, False
    async with database.write() as connection:
        # Nobody numbers anything of this log while its positions are locked.
        kept = await positions.load(connection, log_name, lock=True)
        known = await known_restorations(connection, log_name)
        count = forgotten(kept, seen, known)
        if not count:
            return known, False
        # A dead letter that was taken in after all got numbers without moving a position.
        dead = (await connection.execute(sa.select(sa.func.count()).select_from(t.dead_letter))).scalar_one()
        await _move(connection, log_name, count + dead, clock.now())
    metrics.RESTORATIONS.inc()
    log.error("database_was_restored", log=log_name, numbers_passed_over=count + dead)
    return known + count + dead, True


async def _move(connection: Connection, log_name: str, count: int, now: datetime) -> None:
    counter, lane = t.counter, t.lane
    for table in (counter, lane):
        name = table.c.subscription_id
        await connection.execute(sa.select(name).order_by(name).with_for_update())
    await connection.execute(sa.insert(t.restoration).values(log=log_name, at=now, skipped=count))
    gaps = sa.select(
        counter.c.subscription_id,
        counter.c.last_number + 1,
        counter.c.last_number + count,
        sa.literal(now, t.passed_over.c.at.type),
    )
    columns = ["subscription_id", "first_number", "last_number", "at"]
    await connection.execute(sa.insert(t.passed_over).from_select(columns, gaps))
    await connection.execute(sa.update(counter).values(last_number=counter.c.last_number + count))
    # A lane that owes something comes to the gap when that is settled; the others stand behind it at once.
    idle = lane.c.next_number > lane.c.last_number
    await connection.execute(
        sa.update(lane).values(
            last_number=lane.c.last_number + count,
            next_number=sa.case((idle, lane.c.next_number + count), else_=lane.c.next_number),
        )
    )
    await connection.execute(
        sa.insert(t.audit).values(
            at=now,
            client=CLIENT,
            action="numbers-pass-over",
            subject=log_name,
            reason=f"the database is behind what was read of the log: it was restored, so {count} numbers of"
            " every subscription are passed over",
        )
    )
