"""What does a notifier keep, and for how long? Never removed, however old: what is owed, and what is to be sent again.

A settled notification goes with the report it was for: once the event has been kept for its days. The event goes
when nothing refers to it any more; its id stays behind, so that a copy is known for what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from services.database import Connection
from services.notifier import tables as t
from services.retention import AT_ONCE, Sweep, Swept, in_order_of_age
from services.settings import Settings

EVENTS_AT_ONCE: Final = 100
"""Fewer than other rows: each carries a report."""


def sweeps(settings: Settings) -> dict[str, Sweep]:
    """Return the sweeps that the settings ask for; 0 days means for ever."""
    wanted: dict[str, tuple[int, Any]] = {
        "event": (settings.keep_events_days, EventSweep),
        "seen_event": (settings.keep_event_ids_days, seen_events),
        "attempt": (settings.keep_attempts_days, lambda days: in_order_of_age(t.attempt, days)),
        "dead_letter": (settings.keep_dead_letters_days, dead_letters),
        "subscription_version": (settings.keep_subscription_versions_days, former_versions),
        "audit": (settings.keep_audit_days, lambda days: in_order_of_age(t.audit, days)),
    }
    kept = {table: make(days) for table, (days, make) in wanted.items() if days}
    return {**kept, "binding_token": binding_tokens}


class EventSweep:
    """Events and what was settled of them: walks over the events in their order, a window at a time.

    Where it stands lives in memory: a new process begins anew, and steps over what it may not remove.
    """

    def __init__(self, days: int) -> None:
        """Remove what was taken in more than `days` days ago."""
        self._keep = timedelta(days=days)
        self._after = 0

    async def __call__(self, connection: Connection, now: datetime) -> Swept:
        """Remove what may go of the next window; the window stays until all of that has gone."""
        window = (await connection.execute(_WINDOW, {"after": self._after})).all()
        past = [row.seq for row in window if row.received_at < now - self._keep]
        settled = await self._settled(connection, past)
        if settled == AT_ONCE:
            return Swept(settled, more=True)
        events = (await connection.execute(_EVENTS, {"past": past})).rowcount if past else 0
        more = len(past) == EVENTS_AT_ONCE
        self._after = past[-1] if more else 0
        return Swept(settled + events, more)

    async def _settled(self, connection: Connection, past: Sequence[int]) -> int:
        if not past:
            return 0
        gone = (await connection.execute(_SETTLED, {"past": past})).mappings().all()
        if gone:
            keys = [dict(row) for row in gone]
            # One by one, by their keys: as one statement a planner may go through the whole table for them.
            for table in (t.given_up, t.notification):
                await connection.execute(_by_key(table, "subscription_id", "number"), keys)
        return len(gone)


def _by_key(table: sa.Table, *columns: str) -> sa.Delete:
    """Return the statement that removes one row by its key, given as `of_{column}`."""
    return sa.delete(table).where(*(table.c[name] == sa.bindparam(f"of_{name}") for name in columns))


_n = t.notification.c
_WINDOW = (
    sa.select(t.event.c.seq, t.event.c.received_at)
    .where(t.event.c.seq > sa.bindparam("after"))
    .order_by(t.event.c.seq)
    .limit(EVENTS_AT_ONCE)
)
_OWED = sa.exists().where(t.lane.c.subscription_id == _n.subscription_id, t.lane.c.next_number <= _n.number)
_TO_BE_SENT_AGAIN = sa.exists().where(
    t.resend.c.subscription_id == _n.subscription_id, t.resend.c.number == _n.number
)
_SETTLED = (
    sa.select(_n.subscription_id.label("of_subscription_id"), _n.number.label("of_number"))
    .where(_n.event_seq.in_(sa.bindparam("past", expanding=True)), sa.not_(_OWED), sa.not_(_TO_BE_SENT_AGAIN))
    .order_by(_n.event_seq)  # so that the index is followed, and only as far as the limit
    .limit(AT_ONCE)
)
_EVENTS = sa.delete(t.event).where(
    t.event.c.seq.in_(sa.bindparam("past", expanding=True)),
    sa.not_(sa.exists().where(_n.event_seq == t.event.c.seq)),
)


def seen_events(days: int) -> Sweep:
    """Return the sweep of event ids: first the floor rises, then the ids below it go."""
    kept, floor = t.seen_event.c, t.id_floor.c
    cutoff = sa.bindparam("cutoff", type_=kept.accepted_at.type)
    rise = sa.update(t.id_floor).where(
        sa.or_(floor.accepted_at.is_(None), floor.accepted_at < cutoff),
        sa.exists().where(kept.accepted_at < cutoff),
    ).values(accepted_at=cutoff)  # fmt: skip
    old = t.seen_event.alias("old").c
    below = sa.select(old.event_id).where(old.accepted_at < cutoff).order_by(old.accepted_at).limit(AT_ONCE)
    delete = sa.delete(t.seen_event).where(kept.event_id.in_(below))

    async def sweep(connection: Connection, now: datetime) -> Swept:
        newest = (await connection.execute(sa.select(sa.func.max(kept.accepted_at)))).scalar()
        if newest is None:
            return Swept(0, more=False)
        # A clock of ours that jumped ahead must not raise the floor: it would refuse everything that comes.
        named = {"cutoff": min(now, newest) - timedelta(days=days)}
        await connection.execute(rise, named)
        gone = (await connection.execute(delete, named)).rowcount
        return Swept(gone, more=gone == AT_ONCE)

    return sweep


def former_versions(days: int) -> Sweep:
    """Return the sweep of versions of Subscriptions; the one a Subscription is at stays, however old."""
    former, s = t.subscription_version.c, t.subscription.c
    key = ("subscription_id", "version")
    oldest = (
        sa.select(*(former[name].label(f"of_{name}") for name in key))
        .join(t.subscription, s.id == former.subscription_id)
        .where(former.at < sa.bindparam("cutoff", type_=former.at.type), former.version < s.version)
        .order_by(former.at)
        .limit(AT_ONCE)
    )

    async def sweep(connection: Connection, now: datetime) -> Swept:
        found = (await connection.execute(oldest, {"cutoff": now - timedelta(days=days)})).mappings().all()
        if found:
            rows = [dict(row) for row in found]
            await connection.execute(_by_key(t.subscription_version, *key), rows)
        return Swept(len(found), more=len(found) == AT_ONCE)

    return sweep


async def binding_tokens(connection: Connection, now: datetime) -> Swept:
    """Remove tokens that have expired: they bind nobody any more."""
    token = t.binding_token.c
    oldest = sa.select(token.hash).where(token.expires_at < now).order_by(token.expires_at).limit(AT_ONCE)
    gone = (await connection.execute(sa.delete(t.binding_token).where(token.hash.in_(oldest)))).rowcount
    return Swept(gone, more=gone == AT_ONCE)


def dead_letters(days: int) -> Sweep:
    """Return the sweep of records that could not be read."""
    dead = t.dead_letter.c
    key = ("log", "partition", "position")
    oldest = (
        sa.select(*(dead[name].label(f"of_{name}") for name in key))
        .where(dead.at < sa.bindparam("cutoff", type_=dead.at.type))
        .order_by(dead.at)
        .limit(AT_ONCE)
    )

    async def sweep(connection: Connection, now: datetime) -> Swept:
        found = (await connection.execute(oldest, {"cutoff": now - timedelta(days=days)})).mappings().all()
        if found:
            await connection.execute(_by_key(t.dead_letter, *key), [dict(row) for row in found])
        return Swept(len(found), more=len(found) == AT_ONCE)

    return sweep
