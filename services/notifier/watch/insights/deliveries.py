"""What was delivered to whom, what was not, and why? One row a subscription and number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from services.database import Database
from services.notifier import tables as t
from services.notifier.subscriptions.channels import MOST_BATCH
from services.notifier.watch.insights.state import UNSETTLED, in_state, joined, state_of_number
from services.notifier.watch.insights.views import (
    AttemptView,
    DeliveryState,
    DeliveryStory,
    DeliveryView,
    EventView,
)

Order = Literal["newest", "lane"]
"""Newest event first; or by subscription and number, as they are sent."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries are asked for; `None` is any."""

    subscription: str | None = None
    state: DeliveryState | None = None
    contract: str | None = None
    order: Order = "newest"
    at_most: int = 50


async def deliveries(database: Database, wanted: Wanted) -> Sequence[DeliveryView]:
    """Return the deliveries asked for."""
    conditions = []
    if wanted.subscription is not None:
        conditions.append(t.notification.c.subscription_id == wanted.subscription)
    if wanted.contract is not None:
        conditions.append(t.event.c.contract == wanted.contract)
    if wanted.state is not None:
        conditions.append(in_state(wanted.state))
    async with database.read() as connection:
        rows = await connection.execute(_page(conditions, wanted.order, wanted.at_most))
        return [_delivery(row) for row in rows]


async def of_events(database: Database, seqs: Sequence[int], at_most: int) -> dict[int, list[DeliveryView]]:
    """Return the deliveries of these events, `event.seq` → deliveries by subscription."""
    found: dict[int, list[DeliveryView]] = {seq: [] for seq in seqs}
    async with database.read() as connection:
        rows = await connection.execute(_page([t.notification.c.event_seq.in_(seqs)], "newest", at_most))
        for row in rows:
            found[row.seq].append(_delivery(row))
    return found


async def delivery(database: Database, subscription: str, number: int) -> DeliveryStory | None:
    """Return everything that happened to one number; `None` when there is no such delivery."""
    here = [t.notification.c.subscription_id == subscription, t.notification.c.number == number]
    async with database.read() as connection:
        row = (await connection.execute(_page(here, "lane", 1))).one_or_none()
        if row is None:
            return None
        tried = await connection.execute(
            sa.select(t.attempt)
            .where(t.attempt.c.subscription_id == subscription, *carried(sa.literal(number)))
            .order_by(t.attempt.c.id)
        )
        return DeliveryStory(_delivery(row), event_view(row), [_attempt(each) for each in tried])


async def attempts(database: Database, subscription: str, at_most: int) -> Sequence[AttemptView]:
    """Return the last tries of one subscription, handshakes too, newest first."""
    tried = t.attempt
    statement = sa.select(tried).where(tried.c.subscription_id == subscription)
    async with database.read() as connection:
        rows = await connection.execute(statement.order_by(tried.c.id.desc()).limit(at_most))
        return [_attempt(row) for row in rows]


def event_view(row: Any) -> EventView:
    """Return the event from a row with the columns of `event` (its body not among them)."""
    return EventView(
        event_id=row.event_id,
        event_type=row.type,
        report=f"MeasureReport/{row.report_id}",
        version=row.version,
        contract=row.contract,
        interaction=row.interaction,
        accepted=row.accepted_at,
        consumed=row.received_at,
        partition=row.log_partition,
        position=row.log_position,
    )


EVENT_COLUMNS = tuple(
    t.event.c[name]
    for name in (
        "seq", "event_id", "type", "report_id", "version", "contract", "interaction", "accepted_at", "received_at",
        "log_partition", "log_position",
    )
)  # fmt: skip
"""What is shown of an event: never its bytes or facets."""


def _page(conditions: Sequence[sa.ColumnElement[bool]], order: Order, at_most: int) -> sa.Select[Any]:
    page = (
        sa.select(
            t.notification.c.subscription_id, t.notification.c.number, *EVENT_COLUMNS,
            state_of_number().label("state"), t.given_up.c.reason,
            # While a lane is leased, its due time is when the lease runs out.
            sa.case((t.lane.c.claim_id.is_(None), t.lane.c.due_at)).label("due_at"),
        )
        .select_from(joined())
        .where(*conditions)
        .order_by(*_order(order, t.notification.c.event_seq, t.notification.c.subscription_id, t.notification.c.number))
        .limit(at_most)
        .cte("page")
    )  # fmt: skip
    tried = _tried(page)
    failed = t.attempt.alias("failed")
    return (
        sa.select(page, tried.c.first_tried, tried.c.last_tried, tried.c.tries, failed.c.said)
        .select_from(
            page.outerjoin(
                tried,
                sa.and_(tried.c.subscription_id == page.c.subscription_id, tried.c.number == page.c.number),
            ).outerjoin(failed, failed.c.id == tried.c.last_failure)
        )
        .order_by(*_order(order, page.c.seq, page.c.subscription_id, page.c.number))
    )


def _order(
    order: Order,
    seq: sa.ColumnElement[Any],
    subscription: sa.ColumnElement[Any],
    number: sa.ColumnElement[Any],
) -> tuple[sa.ColumnElement[Any], ...]:
    return (seq.desc(), subscription) if order == "newest" else (subscription, number)


def _tried(page: sa.CTE) -> sa.Subquery:
    tried = t.attempt
    failure_id = sa.case((tried.c.outcome != "delivered", tried.c.id))
    return (
        sa.select(
            page.c.subscription_id, page.c.number,
            sa.func.min(tried.c.at).label("first_tried"), sa.func.max(tried.c.at).label("last_tried"),
            sa.func.count().label("tries"), sa.func.max(failure_id).label("last_failure"),
        )
        .select_from(page.join(tried, sa.and_(tried.c.subscription_id == page.c.subscription_id, *carried(page.c.number))))
        .group_by(page.c.subscription_id, page.c.number)
        .subquery("tried")
    )  # fmt: skip


def carried(number: sa.ColumnElement[Any]) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions for attempts whose batch carried a number; no batch is wider than `MOST_BATCH`."""
    first, last = t.attempt.c.first_number, t.attempt.c.last_number
    return first > number - MOST_BATCH, first <= number, last >= number


def _delivery(row: Any) -> DeliveryView:
    state = DeliveryState(row.state)
    return DeliveryView(
        subscription=row.subscription_id,
        number=row.number,
        state=state,
        event_type=row.type,
        report=f"MeasureReport/{row.report_id}",
        version=row.version,
        contract=row.contract,
        accepted=row.accepted_at,
        first_tried=row.first_tried,
        last_tried=row.last_tried,
        tries=row.tries or 0,
        last_failure=row.reason or row.said,
        next_due=row.due_at if state in UNSETTLED else None,
    )


def _attempt(row: Any) -> AttemptView:
    return AttemptView(
        at=row.at,
        webhook_id=row.webhook_id,
        first_number=row.first_number,
        last_number=row.last_number,
        milliseconds=row.milliseconds,
        outcome=row.outcome,
        status=row.status,
        failure=row.failure,
        said=row.said,
    )
