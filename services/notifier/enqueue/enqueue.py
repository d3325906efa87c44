"""One batch taken in: all of it, once, with gap-free numbers; or nothing.

The position is moved under a fence: only from where this reader had it. A reader that was frozen, kicked out or
is a copy finds it moved and commits nothing. Locks: positions, then counters, then lanes, each in id order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.clock import Clock
from services.database import Database
from services.event_log import Record
from services.notifier import tables as t
from services.notifier.model import LaneState
from services.notifier.send.notices import announce


@dataclass(frozen=True, slots=True)
class Matched:
    """A record and the subscriptions its event fires."""

    record: Record
    subscriptions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What a batch came to."""

    positions: dict[int, int]
    events: int
    repeated: int
    dead_letters: int
    notifications: int


class StalePositionError(Exception):
    """The position is not where this reader had it: another notifier has read on."""


async def enqueue(
    database: Database, clock: Clock, log_name: str, at: Mapping[int, int | None], batch: Sequence[Matched]
) -> Enqueued:
    """Commit a batch of records, in the order they were read.

    Raises:
        StalePositionError: nothing was committed; the positions have to be loaded again.
    """
    after = {matched.record.partition: matched.record.position + 1 for matched in batch}
    async with database.write() as connection:
        await _move(connection, log_name, at, after)
        fresh, repeated = await _unseen(connection, batch)
        seqs = await _keep_events(connection, clock, fresh)
        owed = await _number(connection, fresh, seqs)
        await _owe(connection, database, clock, owed)
        dead = await _bury(connection, clock, log_name, batch)
        if owed:
            await announce(connection)
    return Enqueued(after, len(fresh), repeated, dead, len(owed))


async def _move(
    connection: AsyncConnection, log_name: str, at: Mapping[int, int | None], after: Mapping[int, int]
) -> None:
    position = t.position
    for partition in sorted(after):
        known = at.get(partition)
        if known is None:
            row = {"log": log_name, "partition": partition, "next_position": after[partition]}
            try:
                await connection.execute(sa.insert(position).values(row))
            except IntegrityError:
                raise StalePositionError from None
            continue
        moved = await connection.execute(
            sa.update(position)
            .where(
                position.c.log == log_name,
                position.c.partition == partition,
                position.c.next_position == known,
            )
            .values(next_position=after[partition])
        )
        if moved.rowcount != 1:
            raise StalePositionError


async def _unseen(connection: AsyncConnection, batch: Sequence[Matched]) -> tuple[list[Matched], int]:
    """Leave out events that were taken in before, here or earlier in the batch: emission is at least once."""
    events = [matched for matched in batch if matched.record.event is not None]
    ids = [matched.record.event.id for matched in events if matched.record.event is not None]
    if not ids:
        return [], 0
    seen = set(
        (await connection.execute(sa.select(t.event.c.event_id).where(t.event.c.event_id.in_(ids)))).scalars()
    )
    fresh = []
    for matched, event_id in zip(events, ids, strict=True):
        if event_id not in seen:
            seen.add(event_id)
            fresh.append(matched)
    return fresh, len(events) - len(fresh)


async def _keep_events(connection: AsyncConnection, clock: Clock, fresh: Sequence[Matched]) -> dict[str, int]:
    if not fresh:
        return {}
    now = clock.now()
    rows = [_event_row(matched.record) | {"received_at": now} for matched in fresh]
    # In their order: within a contract `seq` is the order of acceptance.
    kept = await connection.execute(
        sa.insert(t.event).returning(t.event.c.event_id, t.event.c.seq, sort_by_parameter_order=True), rows
    )
    return {row.event_id: row.seq for row in kept}


def _event_row(record: Record) -> dict[str, Any]:
    event = record.event
    assert event is not None
    previous = event.previous_facets
    return {
        "event_id": event.id,
        "type": event.type.value,
        "source": event.source,
        "report_id": event.report_id,
        "version": event.version,
        "contract": event.contract,
        "interaction": event.interaction,
        "accepted_at": event.time,
        "log_partition": record.partition,
        "log_position": record.position,
        "facets": orjson.dumps(event.facets).decode(),
        "previous_facets": None if previous is None else orjson.dumps(previous).decode(),
        "traceparent": event.traceparent,
        "body": event.body,
    }


async def _number(
    connection: AsyncConnection, fresh: Sequence[Matched], seqs: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Give each match the next number of its subscription; one that is off or gone gets none."""
    wanted = sorted({subscription for matched in fresh for subscription in matched.subscriptions})
    last: dict[str, int] = {}
    counter = t.counter
    for ids in _chunks(wanted):
        rows = await connection.execute(
            sa.select(counter.c.subscription_id, counter.c.last_number)
            .where(counter.c.subscription_id.in_(ids), counter.c.numbering)
            .order_by(counter.c.subscription_id)
            .with_for_update()
        )
        last |= {row.subscription_id: row.last_number for row in rows}
    owed = []
    for matched in fresh:
        assert matched.record.event is not None
        for subscription in matched.subscriptions:
            if subscription in last:
                last[subscription] += 1
                owed.append(
                    {
                        "subscription_id": subscription,
                        "number": last[subscription],
                        "event_seq": seqs[matched.record.event.id],
                    }
                )
    return owed


async def _owe(
    connection: AsyncConnection, database: Database, clock: Clock, owed: Sequence[dict[str, Any]]
) -> None:
    if not owed:
        return
    await connection.execute(sa.insert(t.notification), owed)
    last = {row["subscription_id"]: row["number"] for row in owed}  # numbers rise, so the last one wins
    moves = [{"of": subscription, "to_number": number} for subscription, number in sorted(last.items())]
    counter, lane = t.counter, t.lane
    await connection.execute(
        sa.update(counter)
        .where(counter.c.subscription_id == sa.bindparam("of"))
        .values(last_number=sa.bindparam("to_number")),
        moves,
    )
    # An idle lane is due now. One that waits for a retry, or is leased, keeps the time it has.
    idle = sa.and_(lane.c.state == LaneState.OPEN, lane.c.due_at.is_(None))
    await connection.execute(
        sa.update(lane)
        .where(lane.c.subscription_id == sa.bindparam("of"))
        .values(
            last_number=sa.bindparam("to_number"),
            due_at=sa.case((idle, database.now(clock)), else_=lane.c.due_at),
        ),
        moves,
    )


async def _bury(connection: AsyncConnection, clock: Clock, log_name: str, batch: Sequence[Matched]) -> int:
    rows = [
        {
            "log": log_name,
            "partition": record.partition,
            "position": record.position,
            "reason": record.poison or "not an event",
            "headers": orjson.dumps([[name, value.decode("utf-8", "replace")] for name, value in record.raw_headers]).decode(),
            "value": record.raw_value,
            "at": clock.now(),
        }
        for record in (matched.record for matched in batch)
        if record.event is None
    ]  # fmt: skip
    if rows:
        await connection.execute(sa.insert(t.dead_letter), rows)
    return len(rows)


def _chunks(ids: Sequence[str], size: int = 10_000) -> list[Sequence[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
