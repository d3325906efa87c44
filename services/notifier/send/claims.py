"""Due lanes leased, their plans fixed in the same transaction, and what their batches carry.

A claimed lane's `due_at` is when its lease runs out, so a lane whose holder died is simply due again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import sqlalchemy as sa

from services.clock import Clock
from services.database import Connection, Database
from services.notifier import tables as t
from services.notifier.hot import Hot, hot, listed, moment
from services.notifier.model import Batch, Channel, LaneState, Resend
from services.notifier.record.lane import AHEAD, LONG, Lane
from services.notifier.send.endpoints import WEBSOCKET
from services.notifier.send.events import Events
from services.notifier.send.gaps import at_gap, step_over
from services.notifier.send.latest import keep_skipped
from services.notifier.send.loading import AtHand, load
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
    bound: int = 0
    """Lanes whose client has a websocket of this process; none but its own are leased."""
    holder: str = ""
    """The process, as it is named in those lanes."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms lanes are leased; the same for every claim of a process."""

    lease: float
    """Seconds."""
    bundle_bytes: int
    """Most bytes of a notification Bundle that carries more than one report."""
    events: Events = field(default_factory=Events)


async def claim(database: Database, clock: Clock, room: Room, terms: Terms) -> list[Claimed]:
    """Lease the lanes that have been due longest, as far as there is room for them, in one transaction."""
    async with database.write() as connection:
        return await claim_in(connection, database, clock, room, terms)


_NOTHING: AtHand = {}


async def claim_in(
    connection: Connection,
    database: Database,
    clock: Clock,
    room: Room,
    terms: Terms,
    at_hand: AtHand = _NOTHING,
) -> list[Claimed]:
    """Do the same inside a transaction. It waits for no lock, so it may follow any other.

    In the same transaction as loading: what cannot be loaded is not leased either, and is due at once again.
    """
    claim_id, leased_at, now = clock.uuid7(), clock.monotonic(), moment(database, clock)
    wanted = {
        "fresh": max(0, room.fresh),
        "retries": max(0, room.retries),
        "full": listed(connection, room.full),
    }
    due = _DUE
    if room.bound > 0:
        due, wanted = _DUE_AND_BOUND, wanted | {"bound": room.bound, "holder": room.holder}
    rows = (await connection.execute(due.of(connection), now | wanted)).all()
    if not rows:
        return []
    lanes = _planned([(_lane(row, claim_id), row.batch_size) for row in rows], room)
    loaded = await load(connection, lanes, terms.events, at_hand, most_bytes=terms.bundle_bytes)
    again = await load_resends(connection, lanes)
    claimed = [
        Claimed(each.lane, each.channel, leased_at, each.batches, again.get(name, ()))
        for name, each in loaded.items()
    ]
    passed = [each.passed for each in loaded.values() if each.passed is not None]
    await keep_skipped(connection, database, clock, passed)
    await _lease(connection, database, clock, [each.lane for each in claimed], claim_id, terms.lease)
    if gaps := [each.lane for each in claimed if at_gap(each.lane, each.batches)]:
        await step_over(connection, database, clock, gaps)
        claimed = [each for each in claimed if each.lane not in gaps]
    return claimed


def _planned(due: Sequence[tuple[Lane, int]], room: Room) -> list[Lane]:
    """Return the lanes that there is room for, with their plans; `due` has the batch size of each."""
    # First attempts before retries, where an endpoint has not room for both.
    ordered = sorted(due, key=lambda each: each[0].retry > 0)
    taken: Counter[str] = Counter()
    kept = []
    for lane, batch_size in ordered:
        taken[lane.endpoint] += 1
        if taken[lane.endpoint] <= room.at(lane.endpoint):
            kept.append((lane, batch_size))
    others_wait = bool(room.full) or len(kept) < len(due) or len(due) >= room.fresh
    batches = AHEAD if others_wait else LONG
    return [lane.planned(batch_size, batches) for lane, batch_size in kept]


async def _lease(
    connection: Connection,
    database: Database,
    clock: Clock,
    lanes: Sequence[Lane],
    claim_id: str,
    lease: float,
) -> None:
    plans = [(lane.subscription, lane.plan_first, lane.plan_last, lane.plan_size) for lane in lanes]
    columns = ("ids", "firsts", "lasts", "sizes")
    values: dict[str, Any] = (
        {"plans": orjson.dumps(plans).decode()}
        if connection.dialect.name == "sqlite"
        else {name: [plan[place] for plan in plans] for place, name in enumerate(columns)}
    )
    terms = {"claim": claim_id, "lease": lease}
    await connection.execute(_LEASE.of(connection), moment(database, clock) | terms | values)


async def extend(database: Database, clock: Clock, claimed: Sequence[Claimed], *, lease: float) -> set[str]:
    """Begin the leases of these lanes anew; return the subscriptions whose claim still held."""
    lane = t.lane
    holds = sa.tuple_(lane.c.subscription_id, lane.c.claim_id).in_(
        [(each.lane.subscription, each.lane.claim) for each in claimed]
    )
    async with database.write() as connection:
        rows = await connection.execute(
            sa.update(lane)
            .where(holds, lane.c.state != LaneState.UNBOUND)
            .values(due_at=database.after(clock, lease))
            .returning(lane.c.subscription_id)
        )
        return set(rows.scalars())


async def release_all(database: Database, clock: Clock) -> None:
    """End every lease, and the bindings of every websocket; for a process that knows that it is the only one."""
    lane = t.lane
    now = database.now(clock)
    unbound = {"state": LaneState.UNBOUND, "holder": None, "endpoint": WEBSOCKET, "binding_since": now}
    async with database.write() as connection:
        await connection.execute(
            sa.update(lane)
            .where(lane.c.claim_id.is_not(None))
            .values(claim_id=None, due_at=sa.case((lane.c.state != LaneState.UNBOUND, now)))
        )
        await connection.execute(
            sa.update(lane).where(lane.c.holder.is_not(None)).values(due_at=None, **unbound)
        )


_LONGEST_DUE = """
    SELECT subscription_id FROM lane
    WHERE due_at <= {{now}} AND {which} AND endpoint {{not_full}} ORDER BY due_at LIMIT :{most}
"""
_KINDS = (
    _LONGEST_DUE.format(which="retry = 0 AND holder IS NULL", most="fresh"),
    _LONGEST_DUE.format(which="retry > 0 AND holder IS NULL", most="retries"),
    _LONGEST_DUE.format(which="holder = :holder", most="bound"),
)


def _due(kinds: Sequence[str]) -> Hot:
    """Return the statement that finds, and locks, the lanes of these kinds that have been due longest."""
    return hot(
        """
        SELECT subscription_id, endpoint, state, next_number, last_number, batch_size, plan_first, plan_last,
               plan_size, retry, refusals, resend_retry, COALESCE(resend_due_at <= {now}, false) AS resends
        FROM lane WHERE subscription_id {due} {lock}
        """,
        sqlite={"due": f"IN ({' UNION ALL '.join(f'SELECT * FROM ({kind})' for kind in kinds)})"},
        postgresql={
            # Arrays are made once, whatever the plan: a subquery that is evaluated again finds more than its limit.
            "due": f"= ANY({' || '.join(f'ARRAY({kind} FOR UPDATE SKIP LOCKED)' for kind in kinds)})"
        },
    )


_DUE, _DUE_AND_BOUND = _due(_KINDS[:2]), _due(_KINDS)
_LEASE = hot(
    """
    UPDATE lane SET claim_id = :claim, due_at = {lease_ends},
        plan_first = {plan_first}, plan_last = {plan_last}, plan_size = {plan_size}
    FROM {plans} WHERE lane.subscription_id = {id}
    """,
    sqlite={
        "lease_ends": ":now + CAST(:lease * 1000000 AS INTEGER)",
        "plans": "json_each(:plans) AS w",
        "id": "w.value ->> 0",
        "plan_first": "w.value ->> 1",
        "plan_last": "w.value ->> 2",
        "plan_size": "w.value ->> 3",
    },
    postgresql={
        # Not from when the transaction began: what knows when the lease runs out was asked the time since.
        "lease_ends": "clock_timestamp() + CAST(:lease AS double precision) * interval '1 second'",
        "plans": "unnest(CAST(:ids AS text[]), CAST(:firsts AS bigint[]), CAST(:lasts AS bigint[]),"
        " CAST(:sizes AS int[])) AS w(id, first, last, size)",
        "id": "w.id",
        "plan_first": "w.first",
        "plan_last": "w.last",
        "plan_size": "w.size",
    },
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
