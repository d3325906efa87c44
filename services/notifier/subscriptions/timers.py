"""What does time alone make of a Subscription? Its `end` comes; a month in `error`, or without a client, turns it `off`.

After a season `off`, or at its end, what it is owed is given up. The end is looked for at its very moment; the
matching and the sending look at it themselves, so that nothing is told after it however late this is.

Each move is one transaction with its audit row. Locks: counter, lane, subscription, as everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from services import logs
from services.clock import Clock
from services.database import Connection, Database
from services.notifier import tables as t
from services.notifier.model import LaneState, Status, manner_of
from services.notifier.subscriptions.statuses import Cause, move
from services.notifier.subscriptions.versions import keep
from services.wakeup import Wakeup

log = logs.get(__name__)

AT_ONCE: Final = 100
"""Subscriptions looked at in one round."""

IDLE: Final = 10.0
"""Seconds between two rounds, unless an `end` comes before or a Subscription that has one is written."""

_SPACED: Final = 0.05
"""Fewest seconds between two rounds that are for an `end`: many that end one after the other are moved together."""

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
    unbound: timedelta | None = None
    """Then one on a websocket that no client was bound to is turned `off`; `None`: never."""

    @classmethod
    def of_days(cls, in_error: int, when_off: int, unbound: int = 0) -> Patience:
        """Return it from the settings, where 0 means never."""
        return cls(*(timedelta(days=days) if days else None for days in (in_error, when_off, unbound)))


class StatusTimers:
    """The loop step that moves what has stayed too long; any number may run."""

    def __init__(
        self, database: Database, clock: Clock, patience: Patience, wake: Wakeup | None = None
    ) -> None:
        """Judge by the clock's days: a database's own time and ours differ by less than matters.

        `wake` is set when the next `end` comes.
        """
        self._database = database
        self._clock = clock
        self._patience = patience
        self._wake = wake or Wakeup()
        self._alarm: asyncio.TimerHandle | None = None

    async def step(self) -> bool:
        """Move some of those whose time is up; tell whether there may be more."""
        ended = await self._end()
        turned_off = await self._turn_off()
        abandoned = await self._abandon()
        expired = await self._expire()
        await self._wake_at_next_end()
        return ended or AT_ONCE in {turned_off, abandoned} or expired

    async def _end(self) -> bool:
        """Turn off what has reached its `end` and give up what it is owed; tell whether there may be more."""
        now = self._clock.now()
        late = await self._late(_ENDED, {"now": now})
        for subscription in late:
            async with self._database.write() as connection:
                if await _locked(connection, _STILL_ENDED, {"of": subscription, "now": now}) is not None:
                    await _off(connection, subscription, now, Cause.ENDED, "it has reached its end")
        owing = await self._late(_ENDED_OWING, {"now": now})
        for subscription in owing:
            async with self._database.write() as connection:
                lane = await _locked(connection, _STILL_OVER, {"of": subscription, "now": now})
                if lane is not None and lane.next_number <= lane.last_number:
                    await _give_up(connection, lane, now, "the subscription has reached its end")
        return len(late) == AT_ONCE or bool(owing)

    async def _wake_at_next_end(self) -> None:
        coming = await self._late(_NEXT_END, {})
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if coming:
            seconds = max((coming[0] - self._clock.now()).total_seconds(), _SPACED)
            self._alarm = asyncio.get_running_loop().call_later(seconds, self._wake.set)

    async def _turn_off(self) -> int:
        if self._patience.in_error is None:
            return 0
        since = self._clock.now() - self._patience.in_error
        said = f"turned off after {self._patience.in_error.days} days in error"
        late = await self._late(_IN_ERROR, {"since": since})
        for subscription in late:
            named = {"of": subscription, "status": Status.ERROR, "since": since}
            async with self._database.write() as connection:
                if await _locked(connection, _STILL_WAITING, named) is not None:
                    await _off(connection, subscription, self._clock.now(), Cause.TOO_LONG, said)
        return len(late)

    async def _abandon(self) -> int:
        if self._patience.unbound is None:
            return 0
        since = self._clock.now() - self._patience.unbound
        said = f"turned off after {self._patience.unbound.days} days without a client"
        late = await self._late(_UNBOUND, {"since": since})
        for subscription in late:
            async with self._database.write() as connection:
                named = {"of": subscription, "since": since}
                if await _locked(connection, _STILL_UNBOUND, named) is not None:
                    await _off(connection, subscription, self._clock.now(), Cause.ABANDONED, said)
        return len(late)

    async def _expire(self) -> bool:
        """Give up what is owed, a part at a time; tell whether there may be more."""
        if self._patience.when_off is None:
            return False
        since = self._clock.now() - self._patience.when_off
        reason = f"expired: the subscription was off for {self._patience.when_off.days} days"
        late = await self._late(_OFF_OWING, {"since": since})
        for subscription in late:
            named = {"of": subscription, "status": Status.OFF, "since": since}
            async with self._database.write() as connection:
                lane = await _locked(connection, _STILL_WAITING, named)
                if lane is not None and lane.next_number <= lane.last_number:
                    await _give_up(connection, lane, self._clock.now(), reason)
        return bool(late)

    async def _late(self, statement: sa.Select[Any], named: Mapping[str, Any]) -> Sequence[Any]:
        async with self._database.read() as connection:
            return list((await connection.execute(statement, named)).scalars())


_s, _lane = t.subscription.c, t.lane.c
_since = sa.bindparam("since", type_=_s.status_since.type)
_now = sa.bindparam("now", type_=_s.ends_at.type)
_OWES = t.subscription.join(
    t.lane, sa.and_(_lane.subscription_id == _s.id, _lane.next_number <= _lane.last_number)
)


def _waiting(status: Status) -> sa.Select[Any]:
    """Return the statement for Subscriptions that have been in a status since before `since`."""
    # The literals are those of the index that covers just these.
    return (
        sa.select(_s.id)
        .where(
            _s.status == sa.literal_column(f"'{status.value}'"),
            sa.text("status IN ('error', 'off') AND NOT deleted"),
            _s.status_since < _since,
        )
        .order_by(_s.status_since, _s.id)
        .limit(AT_ONCE)
    )


_IN_ERROR = _waiting(Status.ERROR)
_UNBOUND = (
    sa.select(_lane.subscription_id)
    .where(sa.text(f"state = '{LaneState.UNBOUND}'"), _lane.binding_since < _since)
    .order_by(_lane.binding_since, _lane.subscription_id)
    .limit(AT_ONCE)
)
_OFF_OWING = _waiting(Status.OFF).select_from(_OWES)
_ENDING = sa.text("ends_at IS NOT NULL AND NOT deleted AND status <> 'off'")
_NEXT_END = sa.select(_s.ends_at).where(_ENDING).order_by(_s.ends_at, _s.id).limit(1)
_ENDED = sa.select(_s.id).where(_ENDING, _s.ends_at <= _now).order_by(_s.ends_at, _s.id).limit(AT_ONCE)
_over = (_s.status == Status.OFF, _s.ends_at <= _now, sa.not_(_s.deleted))
_ENDED_OWING = sa.select(_s.id).select_from(_OWES).where(*_over).order_by(_s.id).limit(AT_ONCE)

_this = _s.id == sa.bindparam("of")
_STILL_WAITING = sa.select(_s.id).where(_this, _s.status == sa.bindparam("status"), _s.status_since < _since)
_STILL_ENDED = sa.select(_s.id).where(_this, _s.status != Status.OFF, sa.not_(_s.deleted), _s.ends_at <= _now)
_STILL_UNBOUND = (
    sa.select(_s.id)
    .join(t.lane, _lane.subscription_id == _s.id)
    .where(_this, _lane.state == LaneState.UNBOUND, _lane.binding_since < _since)
)
_STILL_OVER = sa.select(_s.id).where(_this, *_over)


async def _locked(connection: Connection, still: sa.Select[Any], named: Mapping[str, Any]) -> Any:
    """Return the lane with everything of the Subscription locked, `None` when it is no longer as `still` says."""
    subscription = {"of": named["of"]}
    await connection.execute(_LOCK_COUNTER, subscription)
    row = (await connection.execute(_LOCK_LANE, subscription)).one_or_none()
    found = (await connection.execute(still.with_for_update(), named)).one_or_none()
    return None if found is None else row


_LOCK_COUNTER = (
    sa.select(t.counter.c.subscription_id)
    .where(t.counter.c.subscription_id == sa.bindparam("of"))
    .with_for_update()
)
_LOCK_LANE = sa.select(t.lane).where(_lane.subscription_id == sa.bindparam("of")).with_for_update()


_KIND = sa.select(_s.kind, _s.channel, _s.status).where(_this)


async def _off(connection: Connection, subscription: str, now: datetime, cause: Cause, said: str) -> None:
    s, counter, lane = t.subscription, t.counter, t.lane
    row = (await connection.execute(_KIND, {"of": subscription})).one()
    to = move(manner_of(row.kind, row.channel), Status(row.status), cause)
    await connection.execute(
        sa.update(counter).where(counter.c.subscription_id == subscription).values(numbering=to.numbering)
    )
    await connection.execute(
        sa.update(lane)
        .where(lane.c.subscription_id == subscription)
        .values(state=to.lane, due_at=None, claim_id=None, holder=None, binding_since=None)
    )
    await connection.execute(
        sa.update(s)
        .where(s.c.id == subscription)
        .values(
            status=to.status,
            status_since=now,
            error=sa.func.coalesce(sa.literal(f"{said}: ") + s.c.error, said),
            version=s.c.version + 1,
            last_updated=now,
        )
    )
    await keep(connection, [subscription])
    await _audit(connection, subscription, now, "subscription-off", said)
    log.info("subscription_off", subscription=subscription, why=said)


async def _give_up(connection: Connection, row: Any, now: datetime, reason: str) -> None:
    first, last = row.next_number, min(row.last_number, row.next_number + NUMBERS_AT_ONCE - 1)
    subscription = row.subscription_id
    owed = t.notification.c
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
