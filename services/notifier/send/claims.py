"""Due lanes leased, their plan fixed in the same statement, and what their batches carry.

A claimed lane's `due_at` is when its lease runs out, so a lane whose holder died is simply due again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from services.clock import Clock
from services.database import Connection, Database
from services.notifier import tables as t
from services.notifier.hot import hot, listed, moment
from services.notifier.model import Batch, Channel, LaneState, Resend
from services.notifier.record.lane import AHEAD, Lane
from services.notifier.send.bodies import Bodies
from services.notifier.send.gaps import at_gap, step_over
from services.notifier.send.loading import load
from services.notifier.send.resends import load_resends


@dataclass(frozen=True, slots=True)
class Claimed:
    """A leased lane with what it needs to be sent; no batch when its turn is a handshake."""

    lane: Lane
    channel: Channel
    leased_at: float
    """Before the lease was asked for, on the process's monotonic clock: never later than its true start."""
    batches: Sequence[Batch] = field(default=())
    resends: Sequence[Resend] = field(default=())
    """What may be sent again once the batches are through."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be claimed now."""

    fresh: int
    """Lanes that have not failed."""
    retries: int
    """Lanes that have; counted apart, so that first attempts never wait behind retries."""
    full: Sequence[str]
    """Endpoints that have no room for another lane."""
    at: Callable[[str], int]
    """Room of one endpoint."""


async def claim(
    database: Database, clock: Clock, room: Room, *, lease: float, bodies: Bodies | None = None
) -> list[Claimed]:
    """Lease the lanes that have been due longest, as far as there is room for them, in one transaction."""
    async with database.write() as connection:
        return await claim_in(connection, database, clock, room, lease=lease, bodies=bodies or Bodies())


async def claim_in(
    connection: Connection, database: Database, clock: Clock, room: Room, *, lease: float, bodies: Bodies
) -> list[Claimed]:
    """Do the same inside a transaction. It waits for no lock, so it may follow any other.

    In the same transaction as loading: what cannot be loaded is not leased either, and is due at once again.
    """
    claim_id, leased_at, now = clock.uuid7(), clock.monotonic(), moment(database, clock)
    wanted = {
        "claim": claim_id,
        "lease": lease,
        "fresh": max(0, room.fresh),
        "retries": max(0, room.retries),
        "full": listed(connection, room.full),
    }
    rows = await connection.execute(_CLAIM.of(connection), now | wanted)
    # First attempts before retries, where an endpoint has not room for both.
    found = sorted((_lane(row, claim_id) for row in rows), key=lambda lane: lane.retry > 0)
    lanes, too_many = _share(found, room.at)
    if too_many:
        put_back = {"ids": listed(connection, [lane.subscription for lane in too_many])}
        await connection.execute(_PUT_BACK.of(connection), now | put_back)
    if not lanes:
        return []
    loaded = await load(connection, lanes, bodies)
    again = await load_resends(connection, lanes)
    claimed = [
        Claimed(
            lane,
            loaded[lane.subscription].channel,
            leased_at,
            loaded[lane.subscription].batches,
            again.get(lane.subscription, ()),
        )
        for lane in lanes
        if lane.subscription in loaded
    ]
    if gaps := [each.lane for each in claimed if at_gap(each.lane, each.batches)]:
        await step_over(connection, database, clock, gaps)
        claimed = [each for each in claimed if each.lane not in gaps]
    return claimed


def _share(lanes: list[Lane], room_at: Callable[[str], int]) -> tuple[list[Lane], list[Lane]]:
    """Keep as many lanes of each endpoint as it has room for."""
    taken: Counter[str] = Counter()
    kept: list[Lane] = []
    back: list[Lane] = []
    for lane in lanes:
        taken[lane.endpoint] += 1
        (kept if taken[lane.endpoint] <= room_at(lane.endpoint) else back).append(lane)
    return kept, back


async def extend(database: Database, clock: Clock, claimed: Sequence[Claimed], *, lease: float) -> set[str]:
    """Begin the leases of these lanes anew; return the subscriptions whose claim still held."""
    lane = t.lane
    holds = sa.tuple_(lane.c.subscription_id, lane.c.claim_id).in_(
        [(each.lane.subscription, each.lane.claim) for each in claimed]
    )
    async with database.write() as connection:
        rows = await connection.execute(
            sa.update(lane)
            .where(holds)
            .values(due_at=database.after(clock, lease))
            .returning(lane.c.subscription_id)
        )
        return set(rows.scalars())


async def release_all(database: Database, clock: Clock) -> None:
    """End every lease; for a process that knows that it is the only one."""
    lane = t.lane
    async with database.write() as connection:
        await connection.execute(
            sa.update(lane)
            .where(lane.c.claim_id.is_not(None))
            .values(claim_id=None, due_at=database.now(clock))
        )


_DUE = """
    SELECT subscription_id FROM lane
    WHERE due_at <= {{now}} AND retry {retry} AND endpoint {{not_full}} ORDER BY due_at LIMIT :{most}
"""
_FRESH = _DUE.format(retry="= 0", most="fresh")
_RETRIES = _DUE.format(retry="> 0", most="retries")
_CLAIM = hot(
    f"""
    UPDATE lane SET
        claim_id = :claim,
        due_at = {{lease_ends}},
        plan_first = CASE WHEN plan_last >= next_number THEN plan_first ELSE next_number END,
        plan_last = CASE WHEN plan_last >= next_number THEN plan_last
                         WHEN last_number < next_number + batch_size * {AHEAD} THEN last_number
                         ELSE next_number + batch_size * {AHEAD} - 1 END,
        plan_size = CASE WHEN plan_last >= next_number THEN plan_size ELSE batch_size END
    WHERE subscription_id {{due}}
    RETURNING subscription_id, endpoint, state, next_number, last_number, batch_size, plan_first, plan_last,
              plan_size, retry, refusals, resend_retry, COALESCE(resend_due_at <= {{now}}, false) AS resends
    """,
    sqlite={
        "lease_ends": ":now + CAST(:lease * 1000000 AS INTEGER)",
        "due": f"IN (SELECT * FROM ({_FRESH}) UNION ALL SELECT * FROM ({_RETRIES}))",
    },
    postgresql={
        # Not from when the transaction began: what knows when the lease runs out was asked the time since.
        "lease_ends": "clock_timestamp() + CAST(:lease AS double precision) * interval '1 second'",
        # Arrays are made once, whatever the plan: a subquery that is evaluated again leases more than its limit.
        "due": f"= ANY(ARRAY({_FRESH} FOR UPDATE SKIP LOCKED) || ARRAY({_RETRIES} FOR UPDATE SKIP LOCKED))",
    },
)
_PUT_BACK = hot("UPDATE lane SET claim_id = NULL, due_at = {now} WHERE subscription_id {ids}")


def _lane(row: Any, claim_id: str) -> Lane:
    again = row.resends and row.state == LaneState.OPEN
    return Lane(
        subscription=row.subscription_id,
        endpoint=row.endpoint,
        claim=claim_id,
        state=LaneState(row.state),
        next_number=row.next_number,
        last_number=row.last_number,
        plan_first=row.plan_first,
        plan_last=row.plan_last,
        plan_size=row.plan_size,
        retry=row.retry,
        refusals=row.refusals,
        resend_retry=row.resend_retry if again else None,
    )
