"""Turns written down: lanes moved, attempts kept, statuses changed; one transaction for all that wait.

A turn whose claim no longer holds is dropped whole: another notifier holds the lane and will record. A lane that
is being sent for still keeps its claim, and what it has sent so far is its past from here on.
Locks are taken in one order everywhere: counter, lane, subscription, each by id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from services import logs, metrics
from services.clock import Clock
from services.database import Connection, Database, UtcDateTime
from services.notifier import tables as t
from services.notifier.hot import hot, listed, moment
from services.notifier.model import LaneState, Status
from services.notifier.record.lane import idle_until
from services.notifier.record.resends import settle_resends
from services.notifier.record.turn import Turn
from services.notifier.record.verdict import GiveUp, outcome_of
from services.notifier.subscriptions.versions import keep

log = logs.get(__name__)


async def record(database: Database, clock: Clock, turns: Sequence[Turn]) -> list[Turn]:
    """Write the turns whose claims still hold, in one transaction; return them."""
    async with database.write() as connection:
        return await record_in(connection, database, clock, turns)


async def record_in(
    connection: Connection, database: Database, clock: Clock, turns: Sequence[Turn]
) -> list[Turn]:
    """Do the same as the first thing inside a transaction: it takes locks.

    Turns of one claim are given in their order. One that was recorded before, by a transaction that was taken
    for failed, is passed over.
    """
    turns = sorted(turns, key=lambda turn: turn.lane.subscription)
    await _lock_counters(connection, [turn for turn in turns if turn.status is Status.OFF])
    now, held = await _held(connection, database, clock, turns)
    mine = [turn for turn in turns if turn.lane.claim == held.get(turn.lane.subscription, _GONE).claim]
    # Whoever binds a websocket anew takes its lane: that is no lease that ran out.
    if lost := _of_endpoints(turns) - _of_endpoints(mine):
        metrics.LEASES_LOST.inc(lost)
        log.warning("leases_lost", turns=lost)
    kept = [turn for turn in mine if not held[turn.lane.subscription].has(turn)]
    if not kept:
        return mine
    again = await settle_resends(connection, kept, now)
    await connection.execute(
        _MOVE, [_moved(turn, now, held[turn.lane.subscription].after(turn, again)) for turn in kept]
    )
    if tries := [row for turn in kept for row in _attempts(turn)]:
        await connection.execute(_ATTEMPT, tries)
    if refused := [row for turn in kept for row in _given_up(turn)]:
        await connection.execute(_GIVEN_UP, refused)
    if changed := [turn for turn in kept if turn.status is not None]:
        await connection.execute(_STATUS, [_status(turn, now) for turn in changed])
        await keep(connection, [turn.lane.subscription for turn in changed])
    if gone := [turn.lane.subscription for turn in kept if turn.status is Status.OFF]:
        await connection.execute(_STOP_NUMBERING.of(connection), {"ids": listed(connection, gone)})
    return mine


def _of_endpoints(turns: Sequence[Turn]) -> int:
    return sum(turn.channel.type == "rest-hook" for turn in turns)


@dataclass(frozen=True, slots=True)
class _Held:
    """What a lane's row says under its lock: others write these while it is leased."""

    claim: str | None
    state: str
    next_number: int
    last_number: int
    due_at: datetime | None
    resend_due_at: datetime | None

    @property
    def unbound(self) -> bool:
        """Tell whether the client of its websocket went while the turn was under way."""
        return self.state == LaneState.UNBOUND

    def has(self, turn: Turn) -> bool:
        """Tell whether a turn is this lane's past already."""
        return turn.first is not None and turn.first < self.next_number

    def after(self, turn: Turn, resends: Mapping[str, datetime | None]) -> _Held:
        """Return it with what the turn's own resends made of it."""
        name = turn.lane.subscription
        return replace(self, resend_due_at=resends[name]) if name in resends else self


_GONE = _Held(None, "", 0, 0, None, None)


_COUNTERS = hot(
    "SELECT subscription_id FROM counter WHERE subscription_id {ids} ORDER BY subscription_id {lock}"
)
_STOP_NUMBERING = hot("UPDATE counter SET numbering = false WHERE subscription_id {ids}")
_LANES = hot(
    """
    SELECT subscription_id, claim_id, state, next_number, last_number, due_at, resend_due_at, {now} AS now FROM lane
    WHERE subscription_id {ids} ORDER BY subscription_id {lock}
    """,
    [
        sa.column("subscription_id"),
        sa.column("claim_id"),
        sa.column("state"),
        sa.column("next_number"),
        sa.column("last_number"),
        sa.column("due_at", UtcDateTime()),
        sa.column("resend_due_at", UtcDateTime()),
        sa.column("now", UtcDateTime()),
    ],
)
_ATTEMPT = sa.insert(t.attempt)
_GIVEN_UP = sa.insert(t.given_up)


async def _lock_counters(connection: Connection, turns: Sequence[Turn]) -> None:
    if turns:
        ids = listed(connection, [turn.lane.subscription for turn in turns])
        await connection.execute(_COUNTERS.of(connection), {"ids": ids})


async def _held(
    connection: Connection, database: Database, clock: Clock, turns: Sequence[Turn]
) -> tuple[datetime, dict[str, _Held]]:
    ids = listed(connection, [turn.lane.subscription for turn in turns])
    rows = await connection.execute(_LANES.of(connection), moment(database, clock) | {"ids": ids})
    now = clock.now()
    held: dict[str, _Held] = {}
    for row in rows:
        now = row.now
        held[row.subscription_id] = _Held(
            row.claim_id, row.state, row.next_number, row.last_number, row.due_at, row.resend_due_at
        )
    return now, held


_PLAIN = (
    "state",
    "next_number",
    "plan_first",
    "plan_last",
    "plan_size",
    "retry",
    "refusals",
    "due_at",
    "claim_id",
)
_tried = sa.bindparam("tried", type_=sa.Boolean)
_fails = sa.bindparam("fails", type_=sa.Boolean)
_now = sa.bindparam("at", type_=UtcDateTime())

_MOVE = (
    sa.update(t.lane)
    .where(t.lane.c.subscription_id == sa.bindparam("of"))
    .values({name: sa.bindparam(f"to_{name}") for name in _PLAIN})
    .values(
        # A turn that tried nothing says nothing about the endpoint: what is known of it stays.
        failure=sa.case((_tried, sa.bindparam("to_failure", type_=sa.Text)), else_=t.lane.c.failure),
        said=sa.case((_tried, sa.bindparam("to_said", type_=sa.Text)), else_=t.lane.c.said),
        failing_since=sa.case(
            (sa.not_(_tried), t.lane.c.failing_since),
            (_fails, sa.func.coalesce(t.lane.c.failing_since, _now)),
            else_=sa.null(),
        ),
    )
)


def _due(turn: Turn, now: datetime, held: _Held) -> datetime | None:
    """Return when the lane is due again, `None` when there is nothing to do."""
    if turn.goes_on is not None:
        return held.due_at  # when the lease runs out
    if turn.asleep or held.unbound:
        return None
    if turn.wait is not None:
        return now + timedelta(seconds=turn.wait)
    if turn.lane.next_number <= held.last_number:
        # Due at once, but behind every lane that was due before: a lane that was served goes to the back.
        return now
    if turn.lane.state is not LaneState.OPEN:
        return None
    # Any notification begins the silence anew: this turn sent one, or a heartbeat.
    return idle_until(now, held.resend_due_at, turn.channel.heartbeat)


def _moved(turn: Turn, now: datetime, held: _Held) -> dict[str, Any]:
    lane, answer = turn.lane, turn.last_answer
    due = _due(turn, now, held)
    failed = answer if answer is not None and not answer.delivered else None
    if lane.state is LaneState.UNBOUND and lane.refusals == 0:
        failed = None  # a client that went is no failure, and nobody is at fault
    return {
        "of": lane.subscription,
        "to_state": held.state if held.unbound else lane.state.value,
        "to_next_number": lane.next_number,
        "to_plan_first": lane.plan_first,
        "to_plan_last": lane.plan_last,
        "to_plan_size": lane.plan_size,
        "to_retry": lane.retry,
        "to_refusals": lane.refusals,
        "to_due_at": due,
        "to_claim_id": None if turn.goes_on is None else lane.claim,
        "to_failure": None if failed is None or failed.failure is None else failed.failure.value,
        "to_said": None if failed is None else failed.said,
        "tried": answer is not None,
        "fails": failed is not None,
        "at": now,
    }


def _attempts(turn: Turn) -> list[dict[str, Any]]:
    return [
        {
            "subscription_id": turn.lane.subscription,
            "webhook_id": tried.webhook_id,
            "first_number": tried.first,
            "last_number": tried.last,
            "at": tried.at,
            "milliseconds": tried.answer.milliseconds,
            "outcome": outcome_of(tried.verdict),
            "failure": None if tried.answer.failure is None else tried.answer.failure.value,
            "status": tried.answer.status,
            "said": tried.answer.said,
        }
        for tried in (*turn.tries, *(resent.tried for resent in turn.resent))
    ]


def _given_up(turn: Turn) -> list[dict[str, Any]]:
    return [
        {
            "subscription_id": turn.lane.subscription,
            "number": number,
            "reason": tried.verdict.reason,
            "at": tried.at,
        }
        for tried in turn.tries
        if isinstance(tried.verdict, GiveUp)
        for number in range(tried.first, tried.last + 1)
    ]


_STATUS = (
    sa.update(t.subscription)
    .where(t.subscription.c.id == sa.bindparam("of"))
    .values(
        status=sa.bindparam("to_status"),
        # A parked lane that fails again says `error` again: that is no new status.
        status_since=sa.case(
            (t.subscription.c.status == sa.bindparam("to_status"), t.subscription.c.status_since),
            else_=sa.bindparam("at", type_=UtcDateTime()),
        ),
        error=sa.bindparam("to_error"),
        version=t.subscription.c.version + 1,
        last_updated=sa.bindparam("at"),
    )
)


def _status(turn: Turn, now: datetime) -> dict[str, Any]:
    answer = turn.last_answer
    failed = turn.status is not Status.ACTIVE and answer is not None
    said = answer.said if failed and answer is not None else None
    return {"of": turn.lane.subscription, "to_status": turn.status, "to_error": said, "at": now}
