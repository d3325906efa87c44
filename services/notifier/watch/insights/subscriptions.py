"""Who is told, what is each owed, since when, and what keeps it? A read of one narrow row a lane."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.clock import Clock
from services.database import Database
from services.notifier import tables as t
from services.notifier.model import LaneState
from services.notifier.watch.insights.views import Overview, SubscriptionView, Totals


async def overview(
    database: Database, clock: Clock, *, at_most: int | None = None, deleted: bool = False
) -> Overview:
    """Return totals and the subscriptions, those that fail first, then those that owe most.

    `at_most` bounds the list, not the totals; `deleted` lists deleted ones too.
    """
    async with database.read() as connection:
        as_of = (await connection.execute(sa.select(database.now(clock)))).scalar_one()
        totals = Totals(**(await connection.execute(_totals())).one()._mapping)  # noqa: SLF001  # the Row's public mapping
        rows = await connection.execute(_listed(deleted=deleted).limit(at_most))
        return Overview(as_of, totals, [_view(row) for row in rows])


async def now(database: Database, clock: Clock) -> datetime:
    """Return the time by which due times are judged: PostgreSQL's own, else the clock's."""
    async with database.read() as connection:
        return (await connection.execute(sa.select(database.now(clock)))).scalar_one()


async def subscription(database: Database, logical_id: str) -> SubscriptionView | None:
    """Return one subscription, deleted or not; `None` when there never was one."""
    async with database.read() as connection:
        row = (await connection.execute(_selected().where(t.subscription.c.id == logical_id))).one_or_none()
    return None if row is None else _view(row)


def _lost(*, skipped: bool) -> sa.ScalarSelect[int]:
    """Return how many numbers of a subscription were skipped, or given up for another reason."""
    told_instead = t.given_up.c.superseded_by
    return (
        sa.select(sa.func.count())
        .where(
            t.given_up.c.subscription_id == t.subscription.c.id,
            told_instead.is_not(None) if skipped else told_instead.is_(None),
        )
        .correlate(t.subscription)
        .scalar_subquery()
    )


_numbered = (
    # Deleting a subscription takes its lane; the notifications stay.
    sa.select(sa.func.max(t.notification.c.number))
    .where(t.notification.c.subscription_id == t.subscription.c.id)
    .correlate(t.subscription)
    .scalar_subquery()
)
_owed = sa.func.coalesce(t.lane.c.last_number - t.lane.c.next_number + 1, 0)


def _selected() -> sa.Select[Any]:
    s, lane, head = t.subscription, t.lane, t.notification
    return (
        sa.select(
            s.c.id, s.c.kind, s.c.status, s.c.criteria, s.c.channel, s.c.endpoint, s.c.client, s.c.deleted,
            lane.c.state, lane.c.due_at, lane.c.claim_id, lane.c.retry, lane.c.refusals,
            lane.c.failing_since, lane.c.failure, lane.c.said, lane.c.binding_since,
            sa.case((s.c.deleted, sa.func.coalesce(_numbered, 0)), else_=lane.c.last_number).label("events"),
            _owed.label("owed"), _lost(skipped=False).label("given_up"), _lost(skipped=True).label("skipped"),
            t.event.c.accepted_at,
        )
        .select_from(s)
        .outerjoin(lane, lane.c.subscription_id == s.c.id)
        .outerjoin(
            head,
            sa.and_(
                head.c.subscription_id == s.c.id,
                head.c.number == lane.c.next_number,
                lane.c.next_number <= lane.c.last_number,
            ),
        )
        .outerjoin(t.event, t.event.c.seq == head.c.event_seq)
    )  # fmt: skip


def _listed(*, deleted: bool) -> sa.Select[Any]:
    failing_first = sa.case((t.lane.c.failing_since.is_(None), 1), else_=0)
    statement = _selected().order_by(failing_first, _owed.desc(), t.subscription.c.id)
    return statement if deleted else statement.where(sa.not_(t.subscription.c.deleted))


def _totals() -> sa.Select[Any]:
    lane, lost = t.lane, t.given_up

    def total(of: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        # PostgreSQL's sum of a bigint is numeric; these are counts.
        return sa.cast(sa.func.coalesce(sa.func.sum(of), 0), sa.BigInteger)

    of_lanes = sa.select(
        sa.func.count().label("subscriptions"),
        total(lane.c.last_number).label("events"),
        total(_owed).label("owed"),
        sa.func.count(lane.c.failing_since).label("failing"),
    ).subquery()

    def not_delivered(of: sa.ColumnElement[Any]) -> sa.ScalarSelect[int]:
        here = lost.join(lane, lane.c.subscription_id == lost.c.subscription_id)
        return sa.select(sa.func.count(of)).select_from(here).scalar_subquery()

    skipped = not_delivered(lost.c.superseded_by)
    every = not_delivered(lost.c.number)
    return sa.select(
        of_lanes.c.subscriptions,
        of_lanes.c.events,
        of_lanes.c.owed,
        (of_lanes.c.events - of_lanes.c.owed - every).label("delivered"),
        (every - skipped).label("given_up"),
        skipped.label("skipped"),
        of_lanes.c.failing,
        sa.select(sa.func.count()).select_from(t.dead_letter).scalar_subquery().label("dead_letters"),
    )


def _view(row: Any) -> SubscriptionView:
    sending = row.claim_id is not None and row.state != LaneState.UNBOUND
    return SubscriptionView(
        id=row.id,
        kind=row.kind,
        status="deleted" if row.deleted else row.status,
        criteria=row.criteria,
        endpoint=row.endpoint or row.channel,
        client=row.client,
        events=row.events,
        owed=row.owed,
        delivered=row.events - row.owed - row.given_up - row.skipped,
        given_up=row.given_up,
        skipped=row.skipped,
        oldest_owed_since=row.accepted_at,
        lane=row.state,
        tries=(row.retry or 0) + (row.refusals or 0),
        failing_since=row.failing_since,
        failure=row.failure,
        last_failure=row.said,
        next_due=None if sending else row.due_at,
        sending=sending,
        channel=row.channel,
        binding_since=row.binding_since,
    )
