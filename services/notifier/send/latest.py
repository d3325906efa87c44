"""What of a backlog is not worth sending any more? For subscriptions that want the latest only.

A number is skipped when a later one that the subscription is owed too tells of a version that supersedes its own:
of the same report, or of the one that took its place. That is decided when a new plan is made, before anything of it
is sent, so batches that are fixed never change; nothing is skipped that the newest owed version does not stand for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import sqlalchemy as sa

from services.clock import Clock
from services.database import Connection, Database
from services.notifier import tables as t
from services.notifier.record.lane import Lane

WINDOW: Final = 500
"""Owed numbers that are looked at when a plan is made: what supersedes the first of them may stand so far behind."""


class Told(NamedTuple):
    """An owed number and the report it tells of."""

    number: int
    report_id: str
    supersedes: str | None
    """Another report, whose place this one took."""


@dataclass(frozen=True, slots=True)
class Latest:
    """A lane with a new plan that nothing supersedes."""

    lane: Lane
    skipped: Mapping[int, int]
    """Numbers that the lane's cursor has passed for it, and by which number each is superseded."""


def superseded(told: Sequence[Told]) -> dict[int, int]:
    """Return, of owed numbers in order, those that a later one supersedes, each with the last that stands for it."""
    stands_for: dict[str, int] = {}
    out: dict[int, int] = {}
    for each in reversed(told):
        by = stands_for.get(each.report_id)
        if by is not None:
            out[each.number] = by
        stands_for.setdefault(each.report_id, each.number)
        if each.supersedes is not None:
            stands_for.setdefault(each.supersedes, stands_for[each.report_id])
    return out


def plan(lane: Lane, told: Sequence[Told]) -> Latest:
    """Return the lane past what is superseded at its head, with one batch up to the next number that is.

    Of a number that is not there nothing is known: the plan ends before it, or is that number alone.
    """
    gone = superseded(told)
    there = {each.number for each in told}
    first = lane.next_number
    while first in gone:
        first += 1
    last = first
    while last - first + 1 < lane.plan_size and last + 1 in there and last + 1 not in gone:
        last += 1
    planned = lane._replace(next_number=first, plan_first=first, plan_last=last)
    return Latest(planned, {number: gone[number] for number in range(lane.next_number, first)})


_BACKLOG = (
    sa.select(t.notification.c.number, t.event.c.report_id, t.event.c.supersedes)
    .join(t.event, t.event.c.seq == t.notification.c.event_seq)
    .where(
        t.notification.c.subscription_id == sa.bindparam("of"),
        t.notification.c.number.between(sa.bindparam("first"), sa.bindparam("last")),
    )
    .order_by(t.notification.c.number)
)
_SKIPPED = (
    sa.select(t.given_up.c.number)
    .where(
        t.given_up.c.subscription_id == sa.bindparam("of"),
        t.given_up.c.number.between(sa.bindparam("first"), sa.bindparam("last")),
        t.given_up.c.superseded_by.is_not(None),
    )
    .order_by(t.given_up.c.number.desc())
)


async def latest(connection: Connection, lane: Lane) -> Latest:
    """Return a lane without what is superseded at its head; a plan that is not new stays as it is."""
    if not lane.new_plan or not lane.batches():
        return Latest(lane, {})
    end = min(lane.last_number, lane.next_number + WINDOW - 1)
    named = {"of": lane.subscription, "first": lane.next_number, "last": end}
    return plan(lane, [Told(*row) for row in await connection.execute(_BACKLOG, named)])


async def skipped_before(connection: Connection, found: Latest) -> int:
    """Return how many numbers right before the lane's first owed one were skipped: the same on every try."""
    end = found.lane.next_number - 1 - len(found.skipped)
    named = {"of": found.lane.subscription, "first": end - WINDOW + 1, "last": end}
    count = len(found.skipped)
    for (number,) in await connection.execute(_SKIPPED, named):
        if number != found.lane.next_number - 1 - count:
            break
        count += 1
    return count


_KEEP = sa.insert(t.given_up)
_PASS = (
    sa.update(t.lane)
    .where(t.lane.c.subscription_id == sa.bindparam("of"))
    .values(next_number=sa.bindparam("to_number"))
)


async def keep_skipped(
    connection: Connection, database: Database, clock: Clock, found: Sequence[Latest]
) -> None:
    """Write down what these lanes have passed, and move their cursors; their rows are locked by whoever leases them."""
    some = [each for each in found if each.skipped]
    if not some:
        return
    now = (await connection.execute(sa.select(database.now(clock)))).scalar_one()
    await connection.execute(
        _KEEP,
        [
            {
                "subscription_id": each.lane.subscription,
                "number": number,
                "reason": f"skipped: number {by} tells of a later version, and the latest alone is wanted",
                "at": now,
                "superseded_by": by,
            }
            for each in some
            for number, by in each.skipped.items()
        ],
    )
    await connection.execute(
        _PASS, [{"of": each.lane.subscription, "to_number": each.lane.next_number} for each in some]
    )
