"""Settled notifications sent again, under their own numbers and beside what is owed.

A request is a row of its own: the lane's cursor, plan and numbers stay as they are. Locks: lane, then requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from services.clock import Clock
from services.database import Connection, Database, UtcDateTime
from services.notifier import tables as t
from services.notifier.model import LaneState
from services.notifier.record.lane import idle_until
from services.notifier.send.notices import announce
from services.notifier.watch.recovery.trail import Order, note
from services.notifier.watch.recovery.wanted import Found

_T = TypeVar("_T")

_AT_ONCE = 1_000
"""Rows or lanes that one statement touches."""


@dataclass(frozen=True, slots=True)
class PendingResends:
    """What one subscription is still to be sent again."""

    subscription: str
    numbers: int
    first: int
    last: int
    tries: int
    """Most failed tries of one of them."""
    requested: datetime
    """When the oldest was asked for."""
    next_due: datetime | None
    """When the next one may go, once what is owed is through; `None`: its lane waits for its client."""


async def resend(database: Database, clock: Clock, found: Found, order: Order) -> int:
    """Have what was found sent again; return how many numbers that is.

    They go out alone, as `{subscription}_{n}-{n}`, a few at a time after what is owed. One asked for twice goes once.
    """
    if not found.numbers:
        return 0
    async with database.write() as connection:
        now = (await connection.execute(sa.select(database.now(clock)))).scalar_one()
        lanes = await _locked(connection, sorted(found.numbers))
        rows = [
            {
                "subscription_id": subscription,
                "number": number,
                "requested_at": now,
                "client": order.actor,
                "reason": order.reason.strip(),
                "tries": 0,
            }
            for subscription in lanes
            for number in found.numbers[subscription]
        ]
        for some in _chunks(rows):
            await connection.execute(_ask(connection), some)
        for names in _chunks(lanes):
            await connection.execute(_make_due(names, now))
        entries = [
            order.entry(now, "delivery-resend", f"Subscription/{name}", said(found.numbers[name]))
            for name in lanes
        ]
        await note(connection, *entries)
        await announce(connection)
    return len(rows)


async def cancel(database: Database, clock: Clock, subscription: str | None, order: Order) -> int:
    """Take back what was to be sent again, of one subscription or of all; return how many numbers that was."""
    asked = t.resend.c.subscription_id
    of = [] if subscription is None else [asked == subscription]
    async with database.write() as connection:
        now = (await connection.execute(sa.select(database.now(clock)))).scalar_one()
        names = sorted((await connection.execute(sa.select(asked).where(*of).distinct())).scalars())
        lanes = await _locked(connection, names)
        entries = []
        for name in lanes:
            gone = await connection.execute(
                sa.delete(t.resend).where(asked == name).returning(t.resend.c.number)
            )
            taken = sorted(gone.scalars())
            entries.append(
                (len(taken), order.entry(now, "resend-cancel", f"Subscription/{name}", said(taken)))
            )
        for some in _chunks(lanes):
            await _forget(connection, some, now)
        await note(connection, *(entry for _, entry in entries))
    return sum(count for count, _ in entries)


async def pending(database: Database) -> Sequence[PendingResends]:
    """Return what is still to be sent again, by subscription."""
    asked, lane = t.resend.c, t.lane.c
    statement = (
        sa.select(
            asked.subscription_id, sa.func.count(), sa.func.min(asked.number), sa.func.max(asked.number),
            sa.func.max(asked.tries), sa.func.min(asked.requested_at),
            sa.case((lane.state == LaneState.OPEN, lane.resend_due_at)),
        )
        .join(t.lane, lane.subscription_id == asked.subscription_id)
        .group_by(asked.subscription_id, lane.state, lane.resend_due_at)
        .order_by(asked.subscription_id)
    )  # fmt: skip
    async with database.read() as connection:
        return [PendingResends(*row) for row in await connection.execute(statement)]


def said(numbers: Sequence[int]) -> str:
    """Return how the audit trail names these numbers: the ends, and how many when some are left out."""
    if not numbers:
        return "no number"
    first, last = numbers[0], numbers[-1]
    if first == last:
        return f"number {first}"
    whole = last - first + 1 == len(numbers)
    return f"numbers {first} to {last}" if whole else f"{len(numbers)} numbers from {first} to {last}"


async def _locked(connection: Connection, subscriptions: Sequence[str]) -> list[str]:
    """Lock the lanes that are still there, in id order; return their subscriptions."""
    name = t.lane.c.subscription_id
    lanes: list[str] = []
    for some in _chunks(subscriptions):
        statement = sa.select(name).where(name.in_(some)).order_by(name).with_for_update()
        lanes += (await connection.execute(statement)).scalars()
    return lanes


def _ask(connection: Connection) -> Any:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    new = insert(t.resend)
    anew = {name: new.excluded[name] for name in ("requested_at", "client", "reason", "tries")}
    return new.on_conflict_do_update(index_elements=["subscription_id", "number"], set_=anew)


def _idle() -> sa.ColumnElement[bool]:
    """Return the condition for open lanes that owe nothing and are not being sent for."""
    lane = t.lane.c
    return sa.and_(lane.state == LaneState.OPEN, lane.claim_id.is_(None), lane.next_number > lane.last_number)


_FORGET = (
    sa.update(t.lane)
    .where(t.lane.c.subscription_id == sa.bindparam("of"))
    .values(
        resend_due_at=None,
        resend_retry=0,
        due_at=sa.case((_idle(), sa.bindparam("idle_until", type_=UtcDateTime())), else_=t.lane.c.due_at),
    )
)


def _make_due(subscriptions: Sequence[str], now: datetime) -> sa.Update:
    """Let these lanes send again from now on. One that is leased, or waits for a retry, is due soon enough."""
    lane = t.lane
    return (
        sa.update(lane)
        .where(lane.c.subscription_id.in_(subscriptions))
        .values(
            resend_due_at=now,
            due_at=sa.case((_idle(), sa.literal(now, lane.c.due_at.type)), else_=lane.c.due_at),
        )
    )


async def _forget(connection: Connection, subscriptions: Sequence[str], now: datetime) -> None:
    """Let these lanes send nothing again; one that has nothing else to do waits for its heartbeat, if it has one."""
    s = t.subscription.c
    beats = await connection.execute(sa.select(s.id, s.heartbeat).where(s.id.in_(subscriptions)))
    due = [{"of": row.id, "idle_until": idle_until(now, None, row.heartbeat)} for row in beats]
    await connection.execute(_FORGET, due)


def _chunks(items: Sequence[_T]) -> list[Sequence[_T]]:
    return [items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE)]
