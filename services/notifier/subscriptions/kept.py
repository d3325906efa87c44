"""What does a Subscription stand at, and which of its events are kept? Reads for `$status` and `$events`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from services.database import Connection
from services.notifier import tables as t
from services.notifier.model import Failure, Owed
from services.notifier.render.queries import Standing
from services.notifier.send.loading import channel_of
from services.notifier.send.resends import owed_of
from services.principal import Principal

MOST_STANDINGS: Final = 1000
"""Subscriptions in one answer."""

MOST_EVENTS: Final = 500
"""Events in one answer."""

MOST_BYTES: Final = 16 * 1024 * 1024
"""Report bytes in one answer; the first event goes in whatever its size."""

_s, _lane, _counter = t.subscription.c, t.lane.c, t.counter.c
_n, _e, _gap, _lost = t.notification.c, t.event.c, t.passed_over.c, t.given_up.c

_STANDING = (
    sa.select(
        _s.id.label("subscription_id"), _s.kind, _s.status, _s.channel, _s.endpoint, _s.mime, _s.content, _s.criteria,
        _s.headers, _s.timeout, _s.heartbeat, _s.latest_only, _s.ends_at, _s.version.label("subscription_version"), _s.error,
        _counter.last_number, _lane.failure, _lane.said,
    )
    .join(t.counter, _counter.subscription_id == _s.id)
    .join(t.lane, _lane.subscription_id == _s.id)
    .where(sa.not_(_s.deleted))
    .order_by(_s.id)
)  # fmt: skip
_ONE = _STANDING.where(_s.id == sa.bindparam("id"))

_NUMBERS = (
    sa.select(_n.number, sa.func.length(_e.body).label("bytes"))
    .join(t.event, _e.seq == _n.event_seq)
    .where(
        _n.subscription_id == sa.bindparam("of"),
        _n.number.between(sa.bindparam("first"), sa.bindparam("last")),
    )
    .order_by(_n.number)
    .limit(MOST_EVENTS)
)
_EVENTS = (
    sa.select(_n.number, _e.event_id, _e.report_id, _e.version, _e.interaction, _e.accepted_at, _e.body)
    .join(t.event, _e.seq == _n.event_seq)
    .where(
        _n.subscription_id == sa.bindparam("of"),
        _n.number.between(sa.bindparam("first"), sa.bindparam("last")),
    )
    .order_by(_n.number)
)
_SKIPPED = (
    sa.select(_lost.number)
    .where(
        _lost.subscription_id == sa.bindparam("of"),
        _lost.number.between(sa.bindparam("first"), sa.bindparam("last")),
        _lost.superseded_by.is_not(None),
    )
    .order_by(_lost.number)
)
_GAPS = (
    sa.select(_gap.first_number, _gap.last_number)
    .where(_gap.subscription_id == sa.bindparam("of"))
    .order_by(_gap.first_number)
)


@dataclass(frozen=True, slots=True)
class KeptEvents:
    """The events of a range of numbers, as far as they are kept and fit into one answer."""

    owed: Sequence[Owed]
    remarks: Sequence[str]
    """A sentence for each run of numbers asked for that are not there, or were skipped instead of sent, and for where
    the answer was cut."""


async def standings(
    connection: Connection, principal: Principal, ids: Collection[str], statuses: Collection[str]
) -> tuple[list[Standing], bool]:
    """Return the Subscriptions the principal may see, of these ids and in these statuses; none named is any.

    They are the first by id, as many as go into one answer, and whether there are more.
    """
    statement = _STANDING
    if principal.role != "operator":
        statement = statement.where(_s.client == principal.client)
    if ids:
        statement = statement.where(_s.id.in_(ids))
    if statuses:
        statement = statement.where(_s.status.in_(statuses))
    found = [_standing(row) for row in await connection.execute(statement.limit(MOST_STANDINGS + 1))]
    return found[:MOST_STANDINGS], len(found) > MOST_STANDINGS


async def standing(connection: Connection, logical_id: str) -> Standing:
    """Return one that is known to be there."""
    return _standing((await connection.execute(_ONE, {"id": logical_id})).one())


async def kept_events(connection: Connection, of: Standing, since: int, until: int) -> KeptEvents:
    """Return the events with numbers `since` to `until`, both included."""
    subscription = of.channel.subscription
    last = min(until, of.events)
    named = {"of": subscription, "first": since, "last": last}
    rows = (await connection.execute(_NUMBERS, named)).all()
    fitting = _fitting(rows)
    # What lies behind the last one that fits is cut off, not missing.
    end = fitting[-1] if len(rows) == MOST_EVENTS or len(fitting) < len(rows) else last
    remarks = _absent(fitting, since, end, (await connection.execute(_GAPS, {"of": subscription})).all())
    if of.channel.latest_only:
        passed = await connection.execute(_SKIPPED, {"of": subscription, "first": since, "last": end})
        remarks += _passed([row.number for row in passed])
    if end < last:
        remarks.append(f"events {end + 1} to {last} did not fit; ask again with eventsSinceNumber={end + 1}")
    if not fitting:
        return KeptEvents([], remarks)
    found = await connection.execute(_EVENTS, {**named, "last": fitting[-1]})
    return KeptEvents([owed_of(row) for row in found], remarks)


def _passed(numbers: Sequence[int]) -> list[str]:
    """Return a sentence for each run of numbers that were skipped."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [
        f"{_named(run[0], run[-1], 'was', 'were')} skipped: later versions were told of instead (latest-only)"
        for run in runs
    ]


def _named(low: int, high: int, one: str, more: str) -> str:
    return f"event {low} {one}" if low == high else f"events {low} to {high} {more}"


def _fitting(rows: Sequence[Any]) -> list[int]:
    size, numbers = 0, list[int]()
    for row in rows:
        size += row.bytes
        if numbers and size > MOST_BYTES:
            break
        numbers.append(row.number)
    return numbers


def _absent(there: Sequence[int], first: int, last: int, gaps: Sequence[Any]) -> list[str]:
    said = []
    before = max(first, 1) - 1
    for number in (*there, last + 1):
        if number > before + 1:
            low, high = before + 1, number - 1
            what = _named(low, high, "is", "are")
            never = any(gap.first_number <= low and high <= gap.last_number for gap in gaps)
            why = "not known: a restored database skipped these numbers" if never else "no longer kept"
            said.append(f"{what} {why}")
        before = number
    return said


def _standing(row: Any) -> Standing:
    failure = None if row.failure is None else Failure(row.failure)
    return Standing(channel_of(row), row.last_number, failure, row.error or row.said)
