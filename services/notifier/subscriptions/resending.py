"""A subscriber asks for events again: which numbers, and what it is told of them.

Only settled numbers are sent again, delivered or given up: what is owed goes by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from schemas.outcome import Issue, refuse
from services.clock import Clock
from services.database import Database
from services.notifier import tables as t
from services.notifier.model import Status
from services.notifier.watch.recovery.resend import resend, said
from services.notifier.watch.recovery.trail import Order
from services.notifier.watch.recovery.wanted import Found
from services.principal import Principal

MOST: Final = 10_000
"""Numbers asked for again in one call."""

_n, _lane, _e = t.notification.c, t.lane.c, t.event.c


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers and times."""

    first: int
    last: int
    """Included, as the first is."""
    since: datetime | None = None
    before: datetime | None = None
    """Right after the instant, or the day, that was given as the last."""

    def check(self) -> None:
        """Refuse a range that ends before it begins.

        Raises:
            FhirError: 400.
        """
        if self.first > self.last:
            raise refuse(
                400, "value", f"eventsSinceNumber {self.first} is above eventsUntilNumber {self.last}"
            )
        if self.since is not None and self.before is not None and self.since >= self.before:
            raise refuse(400, "value", "eventsSinceInstant is later than eventsUntilInstant")


async def send_again(
    database: Database, clock: Clock, subscription: Any, wanted: Range, principal: Principal
) -> list[Issue]:
    """Have the range's settled numbers sent again; return what the subscriber is told.

    Raises:
        FhirError: 409, the Subscription is off.
    """
    of, status = subscription.id, subscription.status
    if status == Status.OFF:
        raise refuse(409, "conflict", f"Subscription/{of} is off; set its status to requested first")
    async with database.read() as connection:
        next_number, last_number = (
            await connection.execute(
                sa.select(_lane.next_number, _lane.last_number).where(_lane.subscription_id == of)
            )
        ).one()
        found = [row.number for row in await connection.execute(_settled(of, wanted, next_number))]
    numbers, more = found[:MOST], len(found) > MOST
    order = Order(principal.client, "asked for with $resend")
    await resend(database, clock, Found({of: numbers} if numbers else {}, 0, 0), order)
    return _told(numbers, wanted, next_number, status, owes=next_number <= last_number, more=more)


def _settled(of: str, wanted: Range, next_number: int) -> sa.Select[tuple[int]]:
    statement = (
        sa.select(_n.number)
        .join(t.event, _e.seq == _n.event_seq)
        .where(
            _n.subscription_id == of,
            _n.number.between(wanted.first, min(wanted.last, next_number - 1)),
        )
    )
    if wanted.since is not None:
        statement = statement.where(_e.accepted_at >= wanted.since)
    if wanted.before is not None:
        statement = statement.where(_e.accepted_at < wanted.before)
    return statement.order_by(_n.number).limit(MOST + 1)


def _told(
    numbers: list[int], wanted: Range, next_number: int, status: str, *, owes: bool, more: bool
) -> list[Issue]:
    when = "" if status == Status.ACTIVE else f", once the Subscription is active: it is {status}"
    issues = [
        _note(f"{said(numbers)} will be sent again{when}" if numbers else "there is nothing to send again")
    ]
    if more:
        issues.append(_note(f"at most {MOST} at a time; ask again from number {numbers[-1] + 1} on"))
    if owes and wanted.last >= next_number:
        issues.append(_note(f"numbers from {next_number} on are not delivered yet and come by themselves"))
    asked = range(wanted.first, min(wanted.last, next_number - 1) + 1)
    timed = wanted.since is not None or wanted.before is not None
    if not more and not timed and (gone := len(asked) - len(numbers)) > 0:
        issues.append(
            Issue(
                "warning",
                "not-found",
                f"{gone} of the numbers asked for are no longer kept; $events names them",
            )
        )
    return issues


def _note(text: str) -> Issue:
    return Issue("information", "informational", text)
