"""Records of the log that were no event: looked at, taken in after a fix, or discarded. Each act removes the row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from schemas.event import ReportEvent, UndecodableEventError, from_record
from services.clock import Clock
from services.database import Connection, Database
from services.event_log import Record
from services.notifier import tables as t
from services.notifier.consume.freshness import LiveIndex
from services.notifier.enqueue.enqueue import TOO_OLD, Matched, take_in
from services.notifier.send.notices import announce
from services.notifier.watch.insights.views import DeadLetter
from services.notifier.watch.recovery.trail import Order, RecoveryRefusedError, note


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands in the log."""

    partition: int
    position: int
    log: str | None = None
    """Name of the log; `None` when only one has dead letters."""


@dataclass(frozen=True, slots=True)
class WholeDeadLetter:
    """A dead letter with all that came with it; only for an operator who asks for it."""

    letter: DeadLetter
    headers: Sequence[tuple[str, str]]
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Redriven:
    """What taking a dead letter in came to."""

    event_id: str
    report: str
    repeated: bool
    """The event had come some other way: nothing is owed anew."""
    notifications: int


async def show(database: Database, place: Place) -> WholeDeadLetter:
    """Return one dead letter, headers and value and all.

    Raises:
        RecoveryRefusedError: there is none at this place, or several logs have one.
    """
    async with database.read() as connection:
        row = await _one(connection, place)
    return WholeDeadLetter(
        DeadLetter(row.log, row.partition, row.position, row.reason, row.at, len(row.value or b"")),
        _headers(row),
        row.value,
    )


async def redrive(
    database: Database, clock: Clock, place: Place, order: Order | None, *, base_url: str
) -> Redriven | None:
    """Read a dead letter again and, if it is an event now, match and number it as if it had just come.

    `base_url` is our own base, as criteria are read by. Without an order nothing is done, and `None` says that
    it is an event now.

    Raises:
        RecoveryRefusedError: there is none at this place, it still is no event, or it is too old to be known from
            a copy of one that was taken in.
    """
    async with database.read() as connection:
        row = await _one(connection, place)
    event = _decoded(row)
    if order is None:
        return None
    live = LiveIndex(database, base_url)
    await live.refresh()
    matched = Matched(Record(row.partition, row.position, event), tuple(live.index.match(event)))
    async with database.write() as connection:
        await _remove(connection, row)
        taken = await take_in(connection, database, clock, [matched])
        if taken.notifications:
            await announce(connection)
        if taken.refused:
            raise RecoveryRefusedError(f"It cannot be taken in: {TOO_OLD}. Discard it.")
        await note(connection, order.entry(clock.now(), "dead-letter-redrive", _subject(row)))
    return Redriven(
        event.id,
        f"MeasureReport/{event.report_id}",
        repeated=not taken.events,
        notifications=taken.notifications,
    )


async def discard(database: Database, clock: Clock, place: Place, order: Order | None) -> DeadLetter:
    """Remove a dead letter for good; without an order, only return what would be removed.

    Raises:
        RecoveryRefusedError: there is none at this place.
    """
    found = await show(database, place)
    if order is not None:
        async with database.write() as connection:
            row = await _one(connection, place)
            await _remove(connection, row)
            await note(connection, order.entry(clock.now(), "dead-letter-discard", _subject(row), row.reason))
    return found.letter


async def _one(connection: Connection, place: Place) -> Any:
    dead = t.dead_letter
    here = [dead.c.partition == place.partition, dead.c.position == place.position]
    if place.log is not None:
        here.append(dead.c.log == place.log)
    rows = (await connection.execute(sa.select(dead).where(*here).order_by(dead.c.log))).all()
    if not rows:
        raise RecoveryRefusedError(
            f"There is no dead letter at partition {place.partition}, position {place.position}."
        )
    if len(rows) > 1:
        names = ", ".join(row.log for row in rows)
        raise RecoveryRefusedError(f"Several logs have a dead letter there: {names}. Say which with --log.")
    return rows[0]


def _headers(row: Any) -> list[tuple[str, str]]:
    return [(name, value) for name, value in orjson.loads(row.headers)]


def _decoded(row: Any) -> ReportEvent:
    try:
        return from_record([(name, value.encode()) for name, value in _headers(row)], row.value)
    except UndecodableEventError as wrong:
        raise RecoveryRefusedError(
            f"It still is no event that this version understands: {wrong}. Discard it, or have it emitted again."
        ) from None


async def _remove(connection: Connection, row: Any) -> None:
    dead = t.dead_letter.c
    removed = await connection.execute(
        sa.delete(t.dead_letter).where(
            dead.log == row.log, dead.partition == row.partition, dead.position == row.position
        )
    )
    if removed.rowcount != 1:
        raise RecoveryRefusedError("Somebody else has just dealt with it.")


def _subject(row: Any) -> str:
    return f"{row.log}/{row.partition}/{row.position}"
