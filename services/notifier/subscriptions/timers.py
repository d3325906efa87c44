"""What does time alone make of a Subscription? A month in `error` turns it `off`; a season `off`, and the rest is given up.

Each move is one transaction with its audit row. Locks: counter, lane, subscription, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from services import logs
from services.clock import Clock
from services.database import Connection, Database
from services.notifier import tables as t
from services.notifier.model import LaneState, Status

log = logs.get(__name__)

AT_ONCE: Final = 100
"""Subscriptions looked at in one round."""

NUMBERS_AT_ONCE: Final = 5_000
"""Most numbers given up in one transaction."""

CLIENT: Final = "vbpr"
"""Who did it, in the audit trail."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a Subscription may stay as it is."""

    in_error: timedelta | None
    """Then it is turned `off`; `None`: never."""
    when_off: timedelta | None
    """Then what it is owed is given up; `None`: never."""

    @classmethod
    def of_days(cls, in_error: int, when_off: int) -> Patience:
        """Return it from the settings, where 0 means never."""
        return cls(
            timedelta(days=in_error) if in_error else None, timedelta(days=when_off) if when_off else None
        )


class StatusTimers:
    """The loop step that moves what has stayed too long; any number may run."""

    def __init__(self, database: Database, clock: Clock, patience: Patience) -> None:
        """Judge by the clock's days: a database's own time and ours differ by less than matters."""
        self._database = database
        self._clock = clock
        self._patience = patience

    async def step(self) -> bool:
        """Move some of those whose time is up; tell whether there may be more."""
        turned_off = await self._turn_off()
        expired = await self._expire()
        return turned_off == AT_ONCE or expired

    async def _turn_off(self) -> int:
        if self._patience.in_error is None:
            return 0
        since = self._clock.now() - self._patience.in_error
        late = await self._late(_waiting(Status.ERROR, since))
        for subscription in late:
            async with self._database.write() as connection:
                if await _locked(connection, subscription, Status.ERROR, since) is not None:
                    await _off(connection, subscription, self._clock.now(), self._patience.in_error.days)
        return len(late)

    async def _expire(self) -> bool:
        """Give up what is owed, a part at a time; tell whether there may be more."""
        if self._patience.when_off is None:
            return False
        since = self._clock.now() - self._patience.when_off
        owing = _waiting(Status.OFF, since).join(t.lane, t.lane.c.subscription_id == t.subscription.c.id)
        late = await self._late(owing.where(t.lane.c.next_number <= t.lane.c.last_number))
        for subscription in late:
            async with self._database.write() as connection:
                lane = await _locked(connection, subscription, Status.OFF, since)
                if lane is not None and lane.next_number <= lane.last_number:
                    await _give_up(connection, lane, self._clock.now(), self._patience.when_off.days)
        return bool(late)

    async def _late(self, statement: sa.Select[Any]) -> Sequence[str]:
        async with self._database.read() as connection:
            return list((await connection.execute(statement)).scalars())


def _waiting(status: Status, since: datetime) -> sa.Select[Any]:
    """Return the statement for Subscriptions that have been in a status since before that time."""
    s = t.subscription.c
    # The literals are those of the index that covers just these.
    return (
        sa.select(s.id)
        .where(
            s.status == sa.literal_column(f"'{status.value}'"),
            sa.text("status IN ('error', 'off') AND NOT deleted"),
            s.status_since < since,
        )
        .order_by(s.status_since, s.id)
        .limit(AT_ONCE)
    )


async def _locked(connection: Connection, subscription: str, status: Status, since: datetime) -> Any:
    """Return the lane with everything of the Subscription locked, `None` when it has moved on meanwhile."""
    counter, lane, s = t.counter.c, t.lane.c, t.subscription.c
    await connection.execute(
        sa.select(counter.subscription_id).where(counter.subscription_id == subscription).with_for_update()
    )
    row = (
        await connection.execute(
            sa.select(t.lane).where(lane.subscription_id == subscription).with_for_update()
        )
    ).one_or_none()
    still = sa.select(s.id).where(s.id == subscription, s.status == status, s.status_since < since)
    found = (await connection.execute(still.with_for_update())).one_or_none()
    return None if found is None else row


async def _off(connection: Connection, subscription: str, now: datetime, days: int) -> None:
    said = f"turned off after {days} days in error"
    s, counter, lane = t.subscription, t.counter, t.lane
    await connection.execute(
        sa.update(counter).where(counter.c.subscription_id == subscription).values(numbering=False)
    )
    await connection.execute(
        sa.update(lane)
        .where(lane.c.subscription_id == subscription)
        .values(state=LaneState.HELD, due_at=None, claim_id=None)
    )
    await connection.execute(
        sa.update(s)
        .where(s.c.id == subscription)
        .values(
            status=Status.OFF,
            status_since=now,
            error=sa.func.coalesce(sa.literal(f"{said}: ") + s.c.error, said),
            version=s.c.version + 1,
            last_updated=now,
        )
    )
    await _audit(connection, subscription, now, "subscription-off", said)
    log.info("subscription_off", subscription=subscription, days=days)


async def _give_up(connection: Connection, row: Any, now: datetime, days: int) -> None:
    first, last = row.next_number, min(row.last_number, row.next_number + NUMBERS_AT_ONCE - 1)
    subscription = row.subscription_id
    owed = t.notification.c
    reason = f"expired: the subscription was off for {days} days"
    expired = sa.select(
        owed.subscription_id, owed.number, sa.literal(reason), sa.literal(now, t.given_up.c.at.type)
    ).where(owed.subscription_id == subscription, owed.number.between(first, last))
    await connection.execute(
        sa.insert(t.given_up).from_select(["subscription_id", "number", "reason", "at"], expired)
    )
    await connection.execute(sa.delete(t.resend).where(t.resend.c.subscription_id == subscription))
    lane = t.lane
    await connection.execute(
        sa.update(lane)
        .where(lane.c.subscription_id == subscription)
        .values(
            next_number=last + 1, plan_first=last + 1, plan_last=last, retry=0, refusals=0,
            resend_due_at=None, resend_retry=0,
        )
    )  # fmt: skip
    what = f"numbers {first} to {last}" if last > first else f"number {first}"
    await _audit(connection, subscription, now, "delivery-expire", f"{what}: {reason}")
    log.warning("deliveries_expired", subscription=subscription, first=first, last=last)


async def _audit(connection: Connection, subscription: str, now: datetime, action: str, reason: str) -> None:
    await connection.execute(
        sa.insert(t.audit).values(
            at=now, client=CLIENT, action=action, subject=f"Subscription/{subscription}", reason=reason
        )
    )
