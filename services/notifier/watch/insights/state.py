"""What has become of one number? It follows from the lane's cursor; no row is ever updated to say it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from services.notifier import tables as t
from services.notifier.model import LaneState
from services.notifier.watch.insights.views import DeliveryState

UNSETTLED = (DeliveryState.OWED, DeliveryState.RETRYING, DeliveryState.PARKED)


def joined() -> sa.Join:
    """Return notifications with their event, and with their lane and the reason they were given up, if any."""
    n, lane, lost = t.notification.c, t.lane.c, t.given_up.c
    return (
        t.notification.join(t.event, t.event.c.seq == n.event_seq)
        .outerjoin(t.lane, lane.subscription_id == n.subscription_id)
        .outerjoin(t.given_up, sa.and_(lost.subscription_id == n.subscription_id, lost.number == n.number))
    )


def state_of_number() -> sa.ColumnElement[str]:
    """Return the state of a row of `joined`."""
    lane = t.lane.c
    number = t.notification.c.number
    return sa.case(
        (t.given_up.c.superseded_by.is_not(None), DeliveryState.SKIPPED.value),
        (t.given_up.c.number.is_not(None), DeliveryState.GIVEN_UP.value),
        # A deleted subscription has no lane: what was not delivered by then was given up.
        (sa.or_(lane.subscription_id.is_(None), number < lane.next_number), DeliveryState.DELIVERED.value),
        (lane.state == LaneState.PARKED.value, DeliveryState.PARKED.value),
        (sa.and_(_tried_before(), number <= _head_ends()), DeliveryState.RETRYING.value),
        else_=DeliveryState.OWED.value,
    )


def in_state(state: DeliveryState) -> sa.ColumnElement[bool]:
    """Return the condition for rows of `joined` in a state, said so that the lane's cursor narrows it first."""
    exactly: sa.ColumnElement[bool] = state_of_number() == state.value
    here = t.notification.c.subscription_id
    if state in UNSETTLED:
        # Few lanes are behind, and their cursors are narrow rows: start from them, not from all that was ever owed.
        behind = sa.select(t.lane.c.subscription_id).where(t.lane.c.next_number <= t.lane.c.last_number)
        if state is DeliveryState.PARKED:
            behind = behind.where(t.lane.c.state == LaneState.PARKED.value)
        elif state is DeliveryState.RETRYING:
            behind = behind.where(_tried_before())
        return sa.and_(
            here.in_(behind.correlate(None)), t.notification.c.number >= t.lane.c.next_number, exactly
        )
    if state in {DeliveryState.GIVEN_UP, DeliveryState.SKIPPED}:
        return sa.and_(
            here.in_(sa.select(t.given_up.c.subscription_id).correlate(None)),
            t.given_up.c.number.is_not(None),
            exactly,
        )
    return exactly


def _tried_before() -> sa.ColumnElement[bool]:
    lane = t.lane.c
    failed = sa.or_(lane.retry > 0, lane.refusals > 0)
    return sa.and_(lane.state == LaneState.OPEN.value, failed, lane.plan_last >= lane.next_number)


def _head_ends() -> sa.ColumnElement[Any]:
    """Return the last number of the batch at the lane's head, as its plan fixed it."""
    lane = t.lane.c
    settled = (lane.next_number - lane.plan_first) // sa.func.nullif(lane.plan_size, 0)
    end = lane.plan_first + (settled + 1) * lane.plan_size - 1
    return sa.case((end < lane.plan_last, end), else_=lane.plan_last)
