"""The rows as Prometheus gauges: what is owed, how old it is, how many subscriptions, what could not be read.

Sums over `lane`, one narrow row a subscription, so the cost does not grow with what is owed.
"""

from __future__ import annotations

import sqlalchemy as sa

from services import metrics
from services.clock import Clock
from services.database import Database
from services.notifier import tables as t
from services.notifier.model import LaneState, Status

_OWING = t.lane.c.next_number <= t.lane.c.last_number
_RETRYING = sa.and_(t.lane.c.state == LaneState.OPEN.value, sa.or_(t.lane.c.retry > 0, t.lane.c.refusals > 0))
_STATE = sa.case((_RETRYING, "retrying"), else_=t.lane.c.state).label("state")
OWED_STATES = ("open", "retrying", "parked", "handshake", "held", "unbound")
"""Values of the label `state`: what the lane that owes does."""

_OWED = (
    sa.select(_STATE, sa.func.sum(t.lane.c.last_number - t.lane.c.next_number + 1))
    .where(_OWING)
    .group_by(_STATE)
)
_OLDEST = (
    # The lowest owed number of a lane is its oldest: one look-up a lane that owes.
    sa.select(sa.func.min(t.event.c.accepted_at))
    .select_from(
        t.lane.join(
            t.notification,
            sa.and_(
                t.notification.c.subscription_id == t.lane.c.subscription_id,
                t.notification.c.number == t.lane.c.next_number,
            ),
        ).join(t.event, t.event.c.seq == t.notification.c.event_seq)
    )
    # What waits for a client to bind is late by nobody's fault; `vbpr_notifications_owed` says how much it is.
    .where(_OWING, t.lane.c.state != LaneState.UNBOUND.value)
)
_STATUSES = (
    sa.select(t.subscription.c.status, sa.func.count())
    .where(sa.not_(t.subscription.c.deleted))
    .group_by(t.subscription.c.status)
)
_DEAD = sa.select(sa.func.count()).select_from(t.dead_letter)


class Gauges:
    """Keeps the gauges of one process as the rows are."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Take the notifier's database."""
        self._database = database
        self._clock = clock

    async def step(self) -> bool:
        """Set every gauge; returns False, there is never more to do at once."""
        async with self._database.read() as connection:
            now = (await connection.execute(sa.select(self._database.now(self._clock)))).scalar_one()
            owed = {row[0]: int(row[1]) for row in await connection.execute(_OWED)}
            oldest = (await connection.execute(_OLDEST)).scalar()
            statuses = {row[0]: row[1] for row in await connection.execute(_STATUSES)}
            dead = (await connection.execute(_DEAD)).scalar_one()
        # A state that nothing is in any more has to be said too: a gauge keeps its last value.
        for state in OWED_STATES:
            metrics.OWED.labels(state).set(owed.get(state, 0))
        for status in Status:
            metrics.SUBSCRIPTIONS.labels(status.value).set(statuses.get(status.value, 0))
        metrics.OLDEST_OWED.set(0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()))
        metrics.DEAD_LETTERS.set(dead)
        return False
