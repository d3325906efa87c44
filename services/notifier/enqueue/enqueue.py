"""One batch taken in: all of it, once, with gap-free numbers; or nothing.

The position is moved under a fence: only from where this reader had it. A reader that was frozen, kicked out or
is a copy finds it moved and commits nothing. Locks: positions, then counters, then lanes, each in id order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from schemas.event import headers
from services.clock import Clock
from services.database import Connection, Database
from services.event_log import Record
from services.notifier import tables as t
from services.notifier.enqueue.seen import Standing, remember, standings
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
    refused: tuple[Matched, ...] = ()
    """Events too old to be known from copies: not numbered, and to be listed by the caller."""


TOO_OLD = (
    "accepted before the oldest event id that is kept: it may have been taken in before, so it gets no number"
)


class StalePositionError(Exception):
    """The position is not where this reader had it: another notifier has read on."""


async def enqueue(
    database: Database, clock: Clock, log_name: str, at: Mapping[int, int | None], batch: Sequence[Matched]
) -> Enqueued:
    """Commit a batch of records, in the order they were read.

    Raises:
        StalePositionError: nothing was committed; the positions have to be loaded again.
    """
    last = {matched.record.partition: matched.record for matched in batch}
    async with database.write() as connection:
        await _move(connection, log_name, at, last)
        taken = await take_in(connection, database, clock, batch)
        poison = [matched for matched in batch if matched.record.event is None]
        dead = await _bury(connection, clock, log_name, [*poison, *taken.refused])
    after = {partition: record.position + 1 for partition, record in last.items()}
    return replace(taken, positions=after, dead_letters=dead)


async def take_in(
    connection: Connection, database: Database, clock: Clock, batch: Sequence[Matched]
) -> Enqueued:
    """Keep the events of a batch that are new and number what each fires, whatever place they were read at."""
    events = [(matched, matched.record.event) for matched in batch if matched.record.event is not None]
    found = await standings(connection, [event for _, event in events])
    sorted_out = list(zip(events, found, strict=True))
    fresh = [matched for (matched, _), standing in sorted_out if standing is Standing.NEW]
    refused = tuple(matched for (matched, _), standing in sorted_out if standing is Standing.UNKNOWABLE)
    seqs = await _keep_events(connection, clock, fresh)
    owed = await _number(connection, fresh, seqs)
    await _owe(connection, database, clock, owed)
    if owed:
        await announce(connection)
    repeated = len(events) - len(fresh) - len(refused)
    return Enqueued({}, len(fresh), repeated, 0, len(owed), refused)


async def _move(
    connection: Connection, log_name: str, at: Mapping[int, int | None], last: Mapping[int, Record]
) -> None:
    position = t.position
    for partition, record in sorted(last.items()):
        known = at.get(partition)
        goes_on = {
            "next_position": record.position + 1,
            "last_event": None if record.event is None else record.event.id,
        }
        if known is None:
            row = {"log": log_name, "partition": partition, **goes_on}
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
            .values(goes_on)
        )
        if moved.rowcount != 1:
            raise StalePositionError


async def _keep_events(connection: Connection, clock: Clock, fresh: Sequence[Matched]) -> dict[str, int]:
    if not fresh:
        return {}
    now = clock.now()
    rows = [_event_row(matched.record) | {"received_at": now} for matched in fresh]
    # In their order, one after the other: within a contract `seq` is the order of acceptance. Returning `seq`
    # from here would cost a statement a row on SQLite.
    await connection.execute(sa.insert(t.event), rows)
    await remember(
        connection, [matched.record.event for matched in fresh if matched.record.event is not None]
    )
    ids = [row["event_id"] for row in rows]
    kept = await connection.execute(
        sa.select(t.event.c.event_id, t.event.c.seq).where(t.event.c.event_id.in_(ids))
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
    connection: Connection, fresh: Sequence[Matched], seqs: Mapping[str, int]
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
    connection: Connection, database: Database, clock: Clock, owed: Sequence[dict[str, Any]]
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
    # An idle lane is due now, and so is one that only waits to send something again. One that waits for a retry
    # of what it owes, or is leased, keeps the time it has.
    owes_nothing = sa.and_(lane.c.claim_id.is_(None), lane.c.next_number > lane.c.last_number)
    idle = sa.and_(lane.c.state == LaneState.OPEN, sa.or_(lane.c.due_at.is_(None), owes_nothing))
    await connection.execute(
        sa.update(lane)
        .where(lane.c.subscription_id == sa.bindparam("of"))
        .values(
            last_number=sa.bindparam("to_number"),
            due_at=sa.case((idle, database.now(clock)), else_=lane.c.due_at),
        ),
        moves,
    )


async def _bury(connection: Connection, clock: Clock, log_name: str, letters: Sequence[Matched]) -> int:
    """List what is not taken in: records that are no event, and events too old to be known from copies."""
    rows = [_letter(matched.record) | {"log": log_name, "at": clock.now()} for matched in letters]
    if rows:
        await connection.execute(sa.insert(t.dead_letter), rows)
    return len(rows)


def _letter(record: Record) -> dict[str, Any]:
    event = record.event
    raw = record.raw_headers if event is None else headers(event)
    return {
        "partition": record.partition,
        "position": record.position,
        "reason": record.poison or ("not an event" if event is None else TOO_OLD),
        "headers": orjson.dumps([[name, value.decode("utf-8", "replace")] for name, value in raw]).decode(),
        "value": record.raw_value if event is None else event.body,
    }


def _chunks(ids: Sequence[str], size: int = 10_000) -> list[Sequence[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
