"""Due lanes leased, their plan fixed in the same statement, and what their batches carry.

A claimed lane's `due_at` is when its lease runs out, so a lane whose holder died is simply due again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import sqlalchemy as sa

from services.clock import Clock
from services.database import Connection, Database, UtcDateTime
from services.notifier import tables as t
from services.notifier.model import Batch, Channel, LaneState, Owed, Resend, Status
from services.notifier.record.lane import AHEAD, Lane
from services.notifier.send.gaps import at_gap, step_over
from services.notifier.send.resends import load_resends, owed_of

WINDOW = 64
"""Most notifications of one lane loaded at a time; a longer plan goes on under the next claim."""


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


async def claim(database: Database, clock: Clock, room: Room, *, lease: float) -> list[Claimed]:
    """Lease the lanes that have been due longest, as far as there is room for them."""
    claim_id = clock.uuid7()
    leased_at = clock.monotonic()
    async with database.write() as connection:
        lanes: list[Lane] = []
        for failed, at_most in ((False, room.fresh), (True, room.retries)):
            if at_most > 0:
                statement = _claim(
                    database, clock, room, failed=failed, at_most=at_most, lease=lease, claim_id=claim_id
                )
                lanes += [_lane(row, claim_id) for row in await connection.execute(statement)]
        lanes, too_many = _share(lanes, room.at)
        if too_many:
            await _put_back(connection, database, clock, too_many)
        if not lanes:
            return []
        # In the same transaction: what cannot be loaded is not leased either, and is due at once again.
        claimed = await _load(connection, lanes, leased_at)
        again = await load_resends(connection, lanes)
    if gaps := [each.lane for each in claimed if at_gap(each.lane, each.batches)]:
        await step_over(database, clock, gaps)
        claimed = [each for each in claimed if each.lane not in gaps]
    if not again:
        return claimed
    return [replace(each, resends=again.get(each.lane.subscription, ())) for each in claimed]


def _share(lanes: list[Lane], room_at: Callable[[str], int]) -> tuple[list[Lane], list[Lane]]:
    """Keep as many lanes of each endpoint as it has room for."""
    taken: Counter[str] = Counter()
    kept: list[Lane] = []
    back: list[Lane] = []
    for lane in lanes:
        taken[lane.endpoint] += 1
        (kept if taken[lane.endpoint] <= room_at(lane.endpoint) else back).append(lane)
    return kept, back


async def _put_back(connection: Connection, database: Database, clock: Clock, lanes: Sequence[Lane]) -> None:
    await connection.execute(
        sa.update(t.lane)
        .where(t.lane.c.subscription_id.in_([lane.subscription for lane in lanes]))
        .values(claim_id=None, due_at=database.now(clock))
    )


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


def _claim(
    database: Database, clock: Clock, room: Room, *, failed: bool, at_most: int, lease: float, claim_id: str
) -> sa.Update | sa.sql.dml.ReturningUpdate[Any]:
    lane = t.lane
    due = (
        sa.select(lane.c.subscription_id)
        .where(lane.c.due_at <= database.now(clock), (lane.c.retry > 0) if failed else (lane.c.retry == 0))
        .order_by(lane.c.due_at)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    if room.full:
        due = due.where(lane.c.endpoint.not_in(room.full))
    goes_on = lane.c.plan_last >= lane.c.next_number
    furthest = lane.c.next_number + lane.c.batch_size * AHEAD - 1
    planned = sa.case((lane.c.last_number < furthest, lane.c.last_number), else_=furthest)
    return (
        sa.update(lane)
        .where(lane.c.subscription_id.in_(due))
        .values(
            claim_id=claim_id,
            due_at=database.after(clock, lease),
            plan_first=sa.case((goes_on, lane.c.plan_first), else_=lane.c.next_number),
            plan_last=sa.case((goes_on, lane.c.plan_last), else_=planned),
            plan_size=sa.case((goes_on, lane.c.plan_size), else_=lane.c.batch_size),
        )
        .returning(*lane.c, (lane.c.resend_due_at <= database.now(clock)).label("resends"))
    )


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


_ROWS = """
    SELECT s.id AS subscription_id, s.kind, s.status, s.endpoint, s.mime, s.content, s.criteria, s.headers,
           s.timeout, s.version AS subscription_version, n.number, e.report_id, e.version, e.type, e.interaction,
           e.accepted_at, e.body
    FROM {wanted} JOIN subscription s ON s.id = w.id
    LEFT JOIN {owed}
    LEFT JOIN event e ON e.seq = n.event_seq
    ORDER BY s.id, n.number
"""
_ROWS_POSTGRESQL = sa.text(
    _ROWS.format(
        wanted="unnest(CAST(:ids AS text[]), CAST(:firsts AS bigint[]), CAST(:lasts AS bigint[]))"
        " AS w(id, first, last)",
        # The limit changes nothing but the planner's mind: it expects so many rows of each lane that it would go
        # through every event there is.
        owed="LATERAL (SELECT number, event_seq FROM notification WHERE subscription_id = w.id"
        " AND number BETWEEN w.first AND w.last ORDER BY number LIMIT w.last - w.first + 1) n ON true",
    )
)
_ROWS_SQLITE = sa.text(
    _ROWS.format(
        wanted="(SELECT value ->> 0 AS id, value ->> 1 AS first, value ->> 2 AS last FROM json_each(:wanted)) AS w",
        owed="notification n ON n.subscription_id = w.id AND n.number BETWEEN w.first AND w.last",
    )
).columns(accepted_at=UtcDateTime())


async def _load(connection: Connection, lanes: list[Lane], leased_at: float) -> list[Claimed]:
    wanted = [_window(lane) for lane in lanes]
    if connection.dialect.name == "sqlite":
        rows = await connection.execute(_ROWS_SQLITE, {"wanted": orjson.dumps(wanted).decode()})
    else:
        ids, firsts, lasts = (list(column) for column in zip(*wanted, strict=True))
        rows = await connection.execute(_ROWS_POSTGRESQL, {"ids": ids, "firsts": firsts, "lasts": lasts})
    channels: dict[str, Channel] = {}
    owed: dict[str, dict[int, Owed]] = {}
    for row in rows:
        if row.subscription_id not in channels:
            channels[row.subscription_id] = channel_of(row)
            owed[row.subscription_id] = {}
        if row.number is not None:
            owed[row.subscription_id][row.number] = owed_of(row)
    # A lane whose subscription is gone was deleted between the claim and here: nothing is owed any more.
    return [
        Claimed(lane, channels[lane.subscription], leased_at, _batches(lane, owed[lane.subscription]))
        for lane in lanes
        if lane.subscription in channels
    ]


def _window(lane: Lane) -> tuple[str, int, int]:
    if lane.state is LaneState.HANDSHAKE:
        return lane.subscription, 0, -1
    last = lane.next_number - 1
    for _, batch_last in lane.batches():
        if batch_last - lane.next_number + 1 > WINDOW and last >= lane.next_number:
            break
        last = batch_last
    return lane.subscription, lane.next_number, last


def _batches(lane: Lane, owed: dict[int, Owed]) -> list[Batch]:
    out = []
    for first, last in lane.batches():
        numbers = range(first, last + 1)
        if not all(number in owed for number in numbers):
            break
        out.append(Batch(lane.subscription, [owed[number] for number in numbers]))
    return out


def channel_of(row: Any) -> Channel:
    """Return the channel from a row of `subscription` (its version as `subscription_version`)."""
    headers = tuple(
        (name.strip(), value.strip())
        for name, _, value in (header.partition(":") for header in orjson.loads(row.headers))
    )
    return Channel(
        subscription=row.subscription_id,
        kind=row.kind,
        status=Status(row.status),
        endpoint=row.endpoint,
        mime=row.mime,
        content=row.content,
        topic=row.criteria if row.kind == "topic" else None,
        headers=headers,
        timeout=row.timeout,
        version=row.subscription_version,
    )
