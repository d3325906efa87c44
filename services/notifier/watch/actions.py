"""What an operator can do about a lane: have it tried now. Who did it and why is kept with it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from services.clock import Clock
from services.database import Connection, Database
from services.notifier import tables as t
from services.notifier.model import LaneState

REASON_LENGTH = 500


class RetryRefusedError(Exception):
    """The lane cannot be made due; the message is a sentence that says why and what would help."""


async def retry(database: Database, clock: Clock, subscription: str, *, actor: str, reason: str) -> str:
    """Make a lane due now, with an audit row in the same transaction; return what happens next, in a sentence.

    The lane keeps its state and its plan, so the very same batch goes out again. If it fails, the schedule goes
    on where it was: a try that was asked for uses up none of it. A parked lane's head is tried once.

    Raises:
        RetryRefusedError: there is no such lane, it owes nothing, or only its client can wake it.
    """
    if not (reason := reason.strip()):
        raise RetryRefusedError("A retry needs a reason: it is kept in the audit trail.")
    async with database.write() as connection:
        now, row = await _locked(connection, database, clock, subscription)
        said = _admit(row, subscription)
        await connection.execute(_DUE.where(t.lane.c.subscription_id == subscription).values(due_at=now))
        await connection.execute(
            sa.insert(t.audit).values(
                at=now,
                client=actor,
                action="delivery-retry",
                subject=f"Subscription/{subscription}",
                reason=reason[:REASON_LENGTH],
            )
        )
    return said


async def would_retry(database: Database, clock: Clock, subscription: str) -> str:
    """Return what `retry` would have happen next, in a sentence; nothing is changed.

    Raises:
        RetryRefusedError: as `retry` says.
    """
    async with database.read() as connection:
        _, row = await _looked_at(connection, database, clock, subscription)
        return _admit(row, subscription)


_DUE = sa.update(t.lane).values(
    # A head that has failed stays one that has, so that it waits with the other retries.
    retry=sa.case((t.lane.c.retry > 1, t.lane.c.retry - 1), else_=t.lane.c.retry),
    refusals=sa.case((t.lane.c.refusals > 0, t.lane.c.refusals - 1), else_=0),
)


async def _locked(
    connection: Connection, database: Database, clock: Clock, subscription: str
) -> tuple[Any, Any]:
    """Return the time and the lane's row, locked: nobody claims or records it until this commits."""
    lane = t.lane
    await connection.execute(
        sa.select(lane.c.subscription_id).where(lane.c.subscription_id == subscription).with_for_update()
    )
    return await _looked_at(connection, database, clock, subscription)


async def _looked_at(
    connection: Connection, database: Database, clock: Clock, subscription: str
) -> tuple[Any, Any]:
    now = (await connection.execute(sa.select(database.now(clock)))).scalar_one()
    lane, s = t.lane, t.subscription
    found = await connection.execute(
        sa.select(
            s.c.status, s.c.deleted, lane.c.state, lane.c.next_number, lane.c.last_number,
            (lane.c.claim_id.is_not(None) & (lane.c.due_at > now)).label("leased"),
        )
        .select_from(s.outerjoin(lane, lane.c.subscription_id == s.c.id))
        .where(s.c.id == subscription)
    )  # fmt: skip
    return now, found.one_or_none()


def _admit(row: Any, subscription: str) -> str:
    name = f"Subscription/{subscription}"
    if row is None:
        raise RetryRefusedError(f"There is no {name}.")
    if row.deleted:
        raise RetryRefusedError(f"{name} was deleted: what it was owed is given up.")
    if row.state == LaneState.HELD:
        raise RetryRefusedError(
            f"{name} is {row.status}, so nothing is sent to it: its client must set it to requested."
        )
    if row.state == LaneState.UNBOUND:
        raise RetryRefusedError(
            f"No client is bound to {name}: what it is owed goes out, in order, as soon as one binds."
        )
    if row.leased:
        # Its due time is when the lease runs out: to move it would let a second notifier send beside the first.
        raise RetryRefusedError(f"{name} is being tried right now: look again in a moment.")
    if row.state == LaneState.HANDSHAKE:
        return f"The handshake with {name} is tried now."
    owed = row.last_number - row.next_number + 1
    if owed == 0:
        raise RetryRefusedError(f"{name} owes nothing: there is nothing to try.")
    return f"{name} is tried now from number {row.next_number} on; {owed} owed."
