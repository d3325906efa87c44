"""What became of numbers that were sent again? Written with their lane locked; the lane's cursor never moves for them.

A number that had been given up and was now taken is given up no more. One that was delivered before stays so,
whatever becomes of its resend.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from services.database import Connection
from services.notifier import tables as t
from services.notifier.record.turn import Resent, Turn
from services.notifier.record.verdict import Delivered, GiveUp, RetryLater


async def settle_resends(
    connection: Connection, turns: Sequence[Turn], now: datetime
) -> dict[str, datetime | None]:
    """Write down what these turns sent again; return, by subscription, when its lane may send again next.

    The caller holds the lanes' locks. `None`: there is nothing left to send again.
    """
    sent = [turn for turn in turns if turn.resent or turn.resend_missing]
    if not sent:
        return {}
    if missing := [turn.lane.subscription for turn in sent if turn.resend_missing]:
        await connection.execute(_drop_unkept(missing))
    for statement, rows in (
        (_FORGET, _rows(sent, Delivered, GiveUp)),
        (_TAKEN, _rows(sent, Delivered)),
        (_REFUSED, _rows(sent, GiveUp)),
        (_FAILED, _rows(sent, RetryLater)),
    ):
        if rows:
            await connection.execute(statement, rows)
    left = await _left(connection, [turn.lane.subscription for turn in sent])
    waits = {turn.lane.subscription: _wait(turn, now) for turn in sent}
    due = {name: until if name in left else None for name, (until, _) in waits.items()}
    await connection.execute(
        _WAIT,
        [
            {"lane": name, "until": due[name], "failed": retry if name in left else 0}
            for name, (_, retry) in sorted(waits.items())
        ],
    )
    return due


def _wait(turn: Turn, now: datetime) -> tuple[datetime, int]:
    """Return when the next resend may go, and how many have failed in a row."""
    last = turn.resent[-1].verdict if turn.resent else None
    if not isinstance(last, RetryLater):
        return now, 0
    # Each verdict counted on from what the claim knew, unless something was taken in between.
    before = 0 if len(turn.resent) > 1 else turn.lane.resend_retry or 0
    return now + timedelta(seconds=last.seconds), before + 1


async def _left(connection: Connection, subscriptions: Sequence[str]) -> set[str]:
    lane, asked = t.lane.c.subscription_id, t.resend.c.subscription_id
    statement = sa.select(lane).where(
        lane.in_(subscriptions), sa.exists(sa.select(asked).where(asked == lane))
    )
    return set((await connection.execute(statement)).scalars())


def _drop_unkept(subscriptions: Sequence[str]) -> sa.Delete:
    """Take back requests for numbers that retention has removed since."""
    asked, kept = t.resend.c, t.notification.c
    there = (
        sa.select(kept.number)
        .join(t.event, t.event.c.seq == kept.event_seq)
        .where(kept.subscription_id == asked.subscription_id, kept.number == asked.number)
    )
    return sa.delete(t.resend).where(asked.subscription_id.in_(subscriptions), sa.not_(sa.exists(there)))


def _rows(turns: Iterable[Turn], *verdicts: type[Delivered | GiveUp | RetryLater]) -> list[dict[str, Any]]:
    return [
        {
            "lane": turn.lane.subscription,
            "of": resent.number,
            "at": resent.tried.at,
            "why": _reason(resent),
        }
        for turn in turns
        for resent in turn.resent
        if isinstance(resent.verdict, verdicts)
    ]


def _reason(resent: Resent) -> str:
    return resent.verdict.reason if isinstance(resent.verdict, GiveUp) else ""


def _here(table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.subscription_id == sa.bindparam("lane"), table.c.number == sa.bindparam("of")


_FORGET = sa.delete(t.resend).where(*_here(t.resend))
_TAKEN = sa.delete(t.given_up).where(*_here(t.given_up))
_REFUSED = (
    sa.update(t.given_up)
    .where(*_here(t.given_up))
    .values({"reason": sa.bindparam("why"), "at": sa.bindparam("at")})
)
_FAILED = sa.update(t.resend).where(*_here(t.resend)).values(tries=t.resend.c.tries + 1)
_WAIT = (
    sa.update(t.lane)
    .where(t.lane.c.subscription_id == sa.bindparam("lane"))
    .values(resend_due_at=sa.bindparam("until"), resend_retry=sa.bindparam("failed"))
)
