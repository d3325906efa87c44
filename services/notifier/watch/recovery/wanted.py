"""Which notifications does a filter find? A read: counting what an act would touch changes nothing.

Only settled numbers are found, delivered or given up: the others are still owed and go by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson
import sqlalchemy as sa

from schemas.outcome import FhirError
from schemas.search.grammar import parse_filter
from schemas.search.predicate import compile_terms
from services.database import Database
from services.notifier import tables as t
from services.notifier.model import Status
from services.notifier.watch.insights.deliveries import carried
from services.notifier.watch.recovery.trail import RecoveryRefusedError


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter over notifications; every condition given has to hold, `None` is any."""

    subscription: str | None = None
    first: int | None = None
    last: int | None = None
    """Event numbers, both ends included."""
    contract: str | None = None
    """`Measure.url`; a `|version` is ignored."""
    period: str | None = None
    """What the report's period has to be, as a FHIR search says it: `2026`, `ge2026-04-01`."""
    since: datetime | None = None
    until: datetime | None = None
    """When the number was delivered or given up: from `since` on, before `until`."""
    state: Literal["delivered", "given_up"] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a filter finds."""

    numbers: Mapping[str, Sequence[int]]
    """By subscription, those that can be sent again; in order."""
    owed: int
    """Numbers that are still owed: they go by themselves."""
    off: int
    """Numbers of subscriptions that are off or deleted: nothing is sent to those."""

    @property
    def count(self) -> int:
        """How many can be sent again."""
        return sum(map(len, self.numbers.values()))


async def find(database: Database, wanted: Wanted) -> Found:
    """Return what the filter finds.

    Raises:
        RecoveryRefusedError: the period is not what a FHIR search takes.
    """
    holds = _period(wanted.period)
    numbers: dict[str, list[int]] = {}
    passed = {"owed": 0, "off": 0}
    async with database.read() as connection:
        async for row in connection.stream(_statement(wanted)):
            if holds is not None and not holds(row):
                continue
            if row.standing == "settled":
                numbers.setdefault(row.subscription_id, []).append(row.number)
            else:
                passed[row.standing] += 1
    return Found(numbers, **passed)


def _period(text: str | None) -> Callable[[Any], bool] | None:
    if text is None:
        return None
    try:
        terms = parse_filter(f"period={text}", base_url="", expression="period")
    except FhirError as wrong:
        said = "; ".join(issue.diagnostics for issue in wrong.issues)
        raise RecoveryRefusedError(f"That period cannot be asked for: {said}.") from None
    predicate = compile_terms(terms)
    return lambda row: predicate(orjson.loads(row.facets), row.accepted_at)


def _statement(wanted: Wanted) -> sa.Select[Any]:
    n, e, s, lane, lost = t.notification.c, t.event.c, t.subscription.c, t.lane.c, t.given_up.c
    columns: list[sa.ColumnElement[Any]] = [n.subscription_id, n.number, _standing().label("standing")]
    if wanted.period is not None:
        columns += [e.facets, e.accepted_at]
    return (
        sa.select(*columns)
        .select_from(
            t.notification.join(t.event, e.seq == n.event_seq)
            .join(t.subscription, s.id == n.subscription_id)
            .outerjoin(t.lane, lane.subscription_id == n.subscription_id)
            .outerjoin(
                t.given_up, sa.and_(lost.subscription_id == n.subscription_id, lost.number == n.number)
            )
        )
        .where(*_conditions(wanted))
        .order_by(n.subscription_id, n.number)
    )


def _standing() -> sa.ColumnElement[str]:
    lane, s = t.lane.c, t.subscription.c
    gone = sa.or_(lane.subscription_id.is_(None), s.status == Status.OFF.value)
    return sa.case(
        (gone, "off"),
        (t.notification.c.number >= lane.next_number, "owed"),
        else_="settled",
    )


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    n, lost = t.notification.c, t.given_up.c
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.subscription is not None:
        conditions.append(n.subscription_id == wanted.subscription)
    if wanted.first is not None:
        conditions.append(n.number >= wanted.first)
    if wanted.last is not None:
        conditions.append(n.number <= wanted.last)
    if wanted.contract is not None:
        conditions.append(t.event.c.contract == wanted.contract.partition("|")[0])
    if wanted.state == "given_up":
        # What was skipped as superseded is what its subscriber did not want: it is not lost.
        conditions += [lost.number.is_not(None), lost.superseded_by.is_(None)]
    elif wanted.state == "delivered":
        conditions.append(lost.number.is_(None))
    if wanted.since is not None or wanted.until is not None:
        conditions.append(_settled_between(wanted.since, wanted.until))
    return conditions


def _settled_between(since: datetime | None, until: datetime | None) -> sa.ColumnElement[bool]:
    n, lost, tried = t.notification.c, t.given_up.c, t.attempt.c

    def within(at: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        bounds = [at >= since] if since is not None else []
        return sa.and_(*bounds, *([at < until] if until is not None else []))

    delivered = sa.select(tried.id).where(
        tried.subscription_id == n.subscription_id,
        *carried(n.number),
        tried.outcome == "delivered",
        within(tried.at),
    )
    return sa.or_(
        sa.and_(lost.number.is_not(None), lost.superseded_by.is_(None), within(lost.at)),
        sa.and_(lost.number.is_(None), sa.exists(delivered)),
    )
