"""The head of a lane given up, so that what stands behind it goes on.

Whoever is sending for the lane loses its claim: its answer is not recorded, so a number is never both given up
and counted as delivered. Nobody else starts before that lease would have run out, so a lane still sends one
request at a time. The batches behind the head stay as they were fixed; a head batch of which only the first
numbers are skipped makes a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from services.clock import Clock
from services.database import Connection, Database
from services.notifier import tables as t
from services.notifier.model import LaneState, Status
from services.notifier.record.lane import idle_until
from services.notifier.send.notices import announce
from services.notifier.subscriptions.statuses import Cause, move
from services.notifier.subscriptions.versions import keep
from services.notifier.watch.recovery.resend import said
from services.notifier.watch.recovery.trail import Order, RecoveryRefusedError, note


@dataclass(frozen=True, slots=True)
class Skipped:
    """What a skip gives up, or would."""

    subscription: str
    first: int
    last: int
    owed: int
    """Numbers that stay owed behind it."""
    sending: bool
    """A notifier is on the lane now: it goes on when that one's lease has run out."""
    failure: str | None
    """Why the head was not taken last time, in words."""


async def skip(
    database: Database, clock: Clock, subscription: str, order: Order | None, *, through: int | None = None
) -> Skipped:
    """Give up the head of a lane, or everything up to the number `through`; without an order, only say what that is.

    Raises:
        RecoveryRefusedError: there is no such lane, it owes nothing, or `through` is not owed.
    """
    async with database.write() if order is not None else database.read() as connection:
        row = await _lane(connection, database, clock, subscription, lock=order is not None)
        skipped = decide(row, subscription, through)
        if order is None:
            return skipped
        await _give_up(connection, skipped, row.now, order)
        await connection.execute(
            sa.update(t.lane)
            .where(t.lane.c.subscription_id == subscription)
            .values(_moved(row, skipped, clock))
        )
        if row.state == LaneState.PARKED and row.kind == "classic":
            await _activate(connection, subscription, row.now)
        what = said(range(skipped.first, skipped.last + 1))
        await note(connection, order.entry(row.now, "delivery-skip", f"Subscription/{subscription}", what))
        await announce(connection)
    return skipped


def decide(row: Any, subscription: str, through: int | None) -> Skipped:
    """Return what a skip gives up of a lane's row.

    Raises:
        RecoveryRefusedError: as `skip` says.
    """
    name = f"Subscription/{subscription}"
    if row is None:
        raise RecoveryRefusedError(f"There is no {name}, or it was deleted.")
    first, end = row.next_number, row.last_number
    if first > end:
        raise RecoveryRefusedError(f"{name} owes nothing: there is nothing to skip.")
    last = first if through is None else through
    if not first <= last <= end:
        raise RecoveryRefusedError(f"{name} owes {first} to {end}: {last} is not among them.")
    return Skipped(subscription, first, last, end - last, bool(row.leased), row.said)


def _moved(row: Any, skipped: Skipped, clock: Clock) -> dict[str, Any]:
    """Return what becomes of the lane."""
    values: dict[str, Any] = {"next_number": skipped.last + 1, "refusals": 0}
    state = row.state
    if state == LaneState.PARKED and row.kind == "classic":
        # What it stood for is gone: the next one finds out for itself whether the endpoint works.
        state = values["state"] = LaneState.OPEN
    if state == LaneState.OPEN:
        values["retry"] = 0
    if row.leased:
        # A claim that nobody holds, until the lease of whoever is sending now has run out.
        values["claim_id"] = clock.uuid7()
    elif state == LaneState.OPEN:
        values["claim_id"] = None
        values["due_at"] = row.now if skipped.owed else idle_until(row.now, row.resend_due_at, row.heartbeat)
    return values


async def _lane(
    connection: Connection, database: Database, clock: Clock, subscription: str, *, lock: bool
) -> Any:
    lane, s = t.lane, t.subscription
    if lock:
        here = sa.select(lane.c.subscription_id).where(lane.c.subscription_id == subscription)
        await connection.execute(here.with_for_update())
    now = database.now(clock)
    found = await connection.execute(
        sa.select(
            now.label("now"), s.c.kind, s.c.heartbeat, lane.c.state, lane.c.next_number, lane.c.last_number, lane.c.said,
            lane.c.resend_due_at, (lane.c.claim_id.is_not(None) & (lane.c.due_at > now)).label("leased"),
        )
        .join(s, s.c.id == lane.c.subscription_id)
        .where(lane.c.subscription_id == subscription)
    )  # fmt: skip
    return found.one_or_none()


async def _give_up(connection: Connection, skipped: Skipped, now: Any, order: Order) -> None:
    owed = t.notification.c
    reason = f"skipped by an operator: {order.reason.strip()}"
    numbers = sa.select(
        owed.subscription_id, owed.number, sa.literal(reason), sa.literal(now, t.given_up.c.at.type)
    ).where(owed.subscription_id == skipped.subscription, owed.number.between(skipped.first, skipped.last))
    await connection.execute(
        sa.insert(t.given_up).from_select(["subscription_id", "number", "reason", "at"], numbers)
    )


async def _activate(connection: Connection, subscription: str, now: Any) -> None:
    s = t.subscription
    to = move("classic", Status.ERROR, Cause.WELL_AGAIN).status
    moved = await connection.execute(
        sa.update(s)
        .where(s.c.id == subscription, s.c.status == Status.ERROR)
        .values(status=to, status_since=now, error=None, version=s.c.version + 1, last_updated=now)
    )
    if moved.rowcount:
        await keep(connection, [subscription])
