"""Which lanes have a client, and at which process? Said in the lane itself, so that any notifier may have the client.

A lane is bound to one connection, the newest: binding it takes it from whoever had it, and from whoever is sending
for it. Nobody else sends for a lane that is bound; when its connection goes it is `unbound`, owes what it owes, and
is due for nothing. A process that has said nothing for `SILENCE` seconds is dead, and its lanes are unbound too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from services.clock import Clock
from services.database import Connection, Database, UtcDateTime
from services.notifier import tables as t
from services.notifier.model import Channel, LaneState, Status
from services.notifier.record.lane import greeted_with, idle_until
from services.notifier.send.endpoints import WEBSOCKET
from services.notifier.send.loading import channel_of
from services.notifier.websocket.tokens import Grant, shown

SILENCE: Final = 30.0
"""Seconds after which a process that has websockets, and has not said that it lives, does not."""

_s, _lane, _holder = t.subscription.c, t.lane.c, t.holder.c
_ids: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)

_BINDABLE = (
    sa.select(
        _s.id.label("subscription_id"), _s.kind, _s.status, _s.channel, _s.endpoint, _s.mime, _s.content, _s.criteria,
        _s.headers, _s.timeout, _s.heartbeat, _s.latest_only, _s.ends_at, _s.version.label("subscription_version"),
        _lane.next_number, _lane.last_number, _lane.plan_last,
    )
    .join(t.lane, _lane.subscription_id == _s.id)
    .where(
        _s.id.in_(_ids),
        _s.client == sa.bindparam("client"),
        _s.channel == "websocket",
        _s.status == Status.ACTIVE,
        sa.not_(_s.deleted),
        sa.or_(_s.ends_at.is_(None), _s.ends_at > sa.bindparam("now", type_=_s.ends_at.type)),
    )
    .order_by(_s.id)
)  # fmt: skip
_LOCK = (
    sa.select(t.lane).where(_lane.subscription_id.in_(_ids)).order_by(_lane.subscription_id).with_for_update()
)
_OPEN = (
    sa.update(t.lane)
    .where(_lane.subscription_id == sa.bindparam("of"))
    .values(
        state=LaneState.OPEN,
        holder=sa.bindparam("by"),
        endpoint=sa.bindparam("at"),
        due_at=sa.bindparam("due", type_=UtcDateTime()),
        binding_since=sa.bindparam("since", type_=UtcDateTime()),
        claim_id=None,
        retry=0,
    )
)
_UNBIND = sa.update(t.lane).where(_lane.subscription_id.in_(_ids), _lane.holder.is_not(None))


@dataclass(frozen=True, slots=True)
class Bindable:
    """A Subscription that a token binds."""

    channel: Channel
    events: int
    """What its handshake counts."""


async def bindable(database: Database, clock: Clock, text: str) -> tuple[Grant | None, Sequence[Bindable]]:
    """Return what a token is good for, and those of its Subscriptions that can be bound to now; they may have changed since."""
    async with database.read() as connection:
        grant = await shown(connection, database, clock, text)
        if grant is None:
            return None, ()
        return grant, [
            Bindable(
                channel_of(row),
                greeted_with(
                    next_number=row.next_number, last_number=row.last_number, plan_last=row.plan_last
                ),
            )
            for row in await _bindable(connection, clock, grant)
        ]


async def _bindable(connection: Connection, clock: Clock, grant: Grant) -> Sequence[Any]:
    named = {"ids": sorted(grant.subscriptions), "client": grant.client, "now": clock.now()}
    return (await connection.execute(_BINDABLE, named)).all()


async def bind(
    database: Database, clock: Clock, holder: str, endpoint: str, grant: Grant, greeted: Mapping[str, int]
) -> set[str]:
    """Bind these Subscriptions' lanes to a connection; return those that still could be.

    `greeted` says how many milliseconds the handshake of each took. What is owed is due from here on. A lane that
    is bound to this very connection stays as it is: what is being sent goes on.
    """
    if not greeted:
        return set()
    async with database.write() as connection:
        await alive(connection, database, clock, holder)
        lanes = (await connection.execute(_LOCK, {"ids": sorted(greeted)})).all()
        # Under the lanes' locks: nobody turns one of them off meanwhile.
        rows = {row.subscription_id: row for row in await _bindable(connection, clock, grant)}
        now = (await connection.execute(sa.select(database.now(clock)))).scalar_one()
        moves = [
            {
                "of": lane.subscription_id,
                "by": holder,
                "at": endpoint,
                "since": now,
                "due": now
                if lane.next_number <= lane.last_number
                else idle_until(now, lane.resend_due_at, rows[lane.subscription_id].heartbeat),
            }
            for lane in lanes
            if lane.subscription_id in rows and (lane.endpoint, lane.state) != (endpoint, LaneState.OPEN)
        ]
        if moves:
            await connection.execute(_OPEN, moves)
        kept = [lane.subscription_id for lane in lanes if lane.subscription_id in rows]
        if kept:
            await connection.execute(
                sa.insert(t.attempt),
                [
                    {
                        "subscription_id": of,
                        "webhook_id": f"{of}_handshake-{rows[of].subscription_version}",
                        "first_number": 0,
                        "last_number": 0,
                        "at": now,
                        "milliseconds": greeted[of],
                        "outcome": "delivered",
                        "said": "a client was bound",
                    }
                    for of in kept
                ],
            )
    return set(kept)


async def unbind(database: Database, clock: Clock, holder: str, bound: Mapping[str, Collection[str]]) -> None:
    """Take these lanes, by connection, from it; those that others have by now stay with them."""
    wanted = {of: endpoint for endpoint, subscriptions in bound.items() for of in subscriptions}
    if not wanted:
        return
    async with database.write() as connection:
        lanes = await connection.execute(_LOCK, {"ids": sorted(wanted)})
        mine = [
            row.subscription_id
            for row in lanes
            if (row.holder, row.endpoint) == (holder, wanted[row.subscription_id])
        ]
        await _unbind(connection, database, clock, mine)


async def _unbind(
    connection: Connection, database: Database, clock: Clock, subscriptions: Sequence[str], **more: Any
) -> None:
    """Unbind lanes that are locked. Who is sending for one goes on holding it, and records what was sent."""
    if not subscriptions:
        return
    now = database.now(clock)
    state = sa.case((_lane.state == LaneState.OPEN, LaneState.UNBOUND.value), else_=_lane.state)
    values = {"state": state, "holder": None, "endpoint": WEBSOCKET, "due_at": None, "binding_since": now}
    await connection.execute(_UNBIND.values(values | more), {"ids": list(subscriptions)})


async def held(database: Database, holder: str) -> dict[str, str]:
    """Return the connections that this process's lanes are bound to, by Subscription."""
    statement = sa.select(_lane.subscription_id, _lane.endpoint).where(_lane.holder == holder)
    async with database.read() as connection:
        return {row.subscription_id: row.endpoint for row in await connection.execute(statement)}


async def alive(connection: Connection, database: Database, clock: Clock, holder: str) -> None:
    """Say that this process lives, and has websockets."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    new = insert(t.holder).values(id=holder, alive_until=database.after(clock, SILENCE))
    again = new.on_conflict_do_update(index_elements=["id"], set_={"alive_until": new.excluded.alive_until})
    await connection.execute(again)


async def stay_alive(database: Database, clock: Clock, holder: str) -> None:
    """Do the same in a transaction of its own."""
    async with database.write() as connection:
        await alive(connection, database, clock, holder)


async def bury(database: Database, clock: Clock, holder: str) -> bool:
    """Unbind what dead processes held; tell whether any but this one is left."""
    now = database.now(clock)
    async with database.read() as connection:
        found = await connection.execute(sa.select(_holder.id, (_holder.alive_until <= now).label("dead")))
        others = {row.id: bool(row.dead) for row in found if row.id != holder}
    for name in sorted(name for name, dead in others.items() if dead):
        async with database.write() as connection:
            still = sa.delete(t.holder).where(_holder.id == name, _holder.alive_until <= now)
            if (await connection.execute(still)).rowcount:
                await _free(connection, database, clock, name)
    return not all(others.values())


async def leave(database: Database, clock: Clock, holder: str) -> None:
    """Unbind everything this process held, for it ends."""
    async with database.write() as connection:
        await connection.execute(sa.delete(t.holder).where(_holder.id == holder))
        await _free(connection, database, clock, holder, claims=False)


async def _free(
    connection: Connection, database: Database, clock: Clock, holder: str, *, claims: bool = True
) -> None:
    statement = sa.select(_lane.subscription_id).where(_lane.holder == holder)
    rows = await connection.execute(statement.order_by(_lane.subscription_id).with_for_update())
    # Nobody records any more for a process that is dead, and one that only froze must not.
    more: dict[str, Any] = {"claim_id": None} if claims else {}
    await _unbind(connection, database, clock, list(rows.scalars()), **more)
