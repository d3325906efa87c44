"""Lanes that have come to numbers that were passed over: nothing is owed for those, and the lane goes on behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from services.clock import Clock
from services.database import Connection, Database
from services.notifier import tables as t
from services.notifier.model import LaneState
from services.notifier.record.lane import Lane, idle_until


def at_gap(lane: Lane, batches: Sequence[object]) -> bool:
    """Tell whether a claimed lane owes something of which nothing could be loaded."""
    return lane.state is not LaneState.HANDSHAKE and not batches and bool(lane.batches())


async def step_over(connection: Connection, database: Database, clock: Clock, lanes: Sequence[Lane]) -> None:
    """Move these lanes over the gaps they stand at, or end their plan right before; they are due again at once.

    One that owes nothing behind its gap is due for what is sent again, or for its heartbeat.
    """
    gap, lane = t.passed_over.c, t.lane
    names = [each.subscription for each in lanes]
    rows = await connection.execute(
        sa.select(t.passed_over).where(gap.subscription_id.in_(names)).order_by(gap.first_number)
    )
    gaps: dict[str, list[Any]] = {}
    for row in rows:
        gaps.setdefault(row.subscription_id, []).append(row)
    held = await _held(connection, database, clock, names)
    for each in sorted(lanes, key=lambda one: one.subscription):
        moved = _moved(each, gaps.get(each.subscription, []))
        if moved is None:
            continue
        row = held[each.subscription]
        owes = row.last_number >= moved.get("next_number", each.next_number)
        heartbeat = row.heartbeat if each.state is LaneState.OPEN else None
        await connection.execute(
            sa.update(lane)
            .where(lane.c.subscription_id == each.subscription, lane.c.claim_id == each.claim)
            .values(
                **moved,
                claim_id=None,
                due_at=row.now if owes else idle_until(row.now, row.resend_due_at, heartbeat),
            )
        )


async def _held(
    connection: Connection, database: Database, clock: Clock, names: Sequence[str]
) -> dict[str, Any]:
    """Return what these lanes' rows say, which the claim that is being made holds, and how often they beat."""
    lane, s = t.lane.c, t.subscription.c
    now = database.now(clock).label("now")
    statement = (
        sa.select(now, lane.subscription_id, lane.last_number, lane.resend_due_at, s.heartbeat)
        .join(t.subscription, s.id == lane.subscription_id)
        .where(lane.subscription_id.in_(names))
    )
    return {row.subscription_id: row for row in await connection.execute(statement)}


def _moved(lane: Lane, gaps: Sequence[Any]) -> dict[str, int] | None:
    """Return the lane's new cursor and plan, `None` when no gap explains why nothing was loaded."""
    _, head_ends = lane.batches()[0]
    for gap in gaps:
        if gap.first_number <= lane.next_number <= gap.last_number:
            behind = gap.last_number + 1
            return {"next_number": behind, "plan_first": behind, "plan_last": gap.last_number}
        if lane.next_number < gap.first_number <= head_ends:
            return {"plan_first": lane.next_number, "plan_last": gap.first_number - 1}
    return None
