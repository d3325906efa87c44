"""Events emitted again: found by a filter, asked for by an operator, appended when nothing new waits.

They keep their ids, so a notifier that has them drops the copies and one that lost its database takes them. What
is asked for is not backlog: it holds back no new report, and intake is not measured by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from services import metrics
from services.clock import Clock
from services.database import Connection, Database
from services.event_log import EventSink, LogUnavailableError
from services.event_log_outbox import READ_BYTES, OutboxRows, within
from services.publisher.emit.relay import Relay, elected
from services.publisher.store.tables import audit, outbox, outbox_copy, resource_version

ROUND: Final = 100
"""Most copies appended in one transaction: new reports wait for it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter over events; every condition given has to hold, `None` is any."""

    contract: str | None = None
    """`Measure.url`; a `|version` is ignored."""
    report: str | None = None
    """A report's id: all its versions."""
    first: int | None = None
    last: int | None = None
    """Numbers in the outbox, both ends included."""
    since: datetime | None = None
    until: datetime | None = None
    """When the version was accepted: from `since` on, before `until`."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a filter finds among the events that have been emitted."""

    count: int
    first: int | None
    last: int | None
    """Lowest and highest number in the outbox."""
    oldest: datetime | None
    newest: datetime | None
    """When the first and the last of them were accepted."""


async def find(database: Database, wanted: Wanted) -> Found:
    """Return what the filter finds; events that have never been emitted go by themselves and do not count."""
    async with database.read() as connection:
        return await _count(connection, wanted)


async def _count(connection: Connection, wanted: Wanted) -> Found:
    row = outbox.c
    statement = sa.select(
        sa.func.count(), sa.func.min(row.number), sa.func.max(row.number),
        sa.func.min(row.accepted_at), sa.func.max(row.accepted_at),
    ).where(*_conditions(wanted))  # fmt: skip
    return Found(*(await connection.execute(statement)).one())


async def emit_again(database: Database, clock: Clock, wanted: Wanted, *, actor: str, reason: str) -> Found:
    """Have what the filter finds emitted again, with an audit row in the same transaction.

    Returns what was found; an event that is asked for already goes once.
    """
    async with database.write() as connection:
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        row = outbox.c
        numbers = sa.select(row.number).where(*_conditions(wanted)).order_by(row.number)
        asked = insert(outbox_copy).from_select(["number"], numbers).on_conflict_do_nothing()
        await connection.execute(asked)
        found = await _count(connection, wanted)
        if not found.count:
            return found
        await connection.execute(
            sa.insert(audit).values(
                at=clock.now(),
                client=actor,
                action="event-emit-again",
                subject="outbox",
                reason=f"{found.count} events from {found.first} to {found.last}: {reason}",
            )
        )
    return found


async def waiting(database: Database) -> int:
    """Return how many events wait to be emitted again."""
    statement = sa.select(sa.func.count()).where(outbox_copy.c.place_position.is_(None))
    async with database.read() as connection:
        return (await connection.execute(statement)).scalar_one()


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    row = outbox.c
    conditions: list[sa.ColumnElement[bool]] = [row.place_position.is_not(None)]
    if wanted.contract is not None:
        conditions.append(row.contract == wanted.contract.partition("|")[0])
    if wanted.report is not None:
        conditions.append(row.report_id == wanted.report.removeprefix("MeasureReport/"))
    if wanted.first is not None:
        conditions.append(row.number >= wanted.first)
    if wanted.last is not None:
        conditions.append(row.number <= wanted.last)
    if wanted.since is not None:
        conditions.append(row.accepted_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(row.accepted_at < wanted.until)
    return conditions


class Repeater:
    """The loop step of the emit step: what is new by the relay, and when there is nothing new, what is asked for."""

    def __init__(
        self, relay: Relay, database: Database, sink: EventSink, *, source: str, clock: Clock, every: float
    ) -> None:
        """Take the relay, its database, log and `ce_source`; look for what is asked for `every` so many seconds."""
        self._relay = relay
        self._database = database
        self._sink = sink
        self._rows = OutboxRows(outbox, resource_version, source)
        self._clock = clock
        self._every = every
        self._look_at = clock.monotonic()

    async def emit(self) -> bool:
        """Append some events; tell whether there may be more.

        Raises:
            LogUnavailableError: the log did not take them; they wait as they did.
        """
        if await self._relay.emit():
            return True
        if self._clock.monotonic() < self._look_at:
            return False
        if await self.emit_again():
            return True
        self._look_at = self._clock.monotonic() + self._every
        return False

    async def emit_again(self) -> bool:
        """Append some copies, in the order of their numbers, elected as the relay is; tell whether there may be more.

        Raises:
            LogUnavailableError: the log did not take them; they stay asked for.
        """
        copies = await self._next()
        if not copies:
            return False
        async with self._database.write() as transaction:
            if not await elected(transaction):
                return False
            emitted = await self._append(transaction, copies)
        metrics.EMITTED.inc(emitted)
        self._relay.appended.set()
        return True

    async def _next(self) -> list[int]:
        """Return the ids of the next copies without a place; none while anything new waits for the log."""
        async with self._database.read() as connection:
            if (await connection.execute(_NEW)).first() is not None:
                return []
            return within((await connection.execute(_COPIES)).all(), READ_BYTES)

    async def _append(self, transaction: Connection, copies: Sequence[int]) -> int:
        statement = (
            self._rows.full()
            .add_columns(outbox_copy.c.id.label("copy"))
            .join(outbox_copy, outbox_copy.c.number == outbox.c.number)
            .where(outbox_copy.c.id.in_(copies), outbox_copy.c.place_position.is_(None))
            .order_by(outbox.c.number)
        )
        rows = (await transaction.execute(statement)).all()
        if not rows:
            return 0
        try:
            places = await self._sink.append(transaction, [self._rows.event(row) for row in rows])
        except LogUnavailableError:
            metrics.EMIT_FAILURES.inc()
            raise
        placed: list[dict[str, Any]] = [
            {"copy": row.copy, "partition": place.partition, "position": place.position}
            for row, place in zip(rows, places, strict=True)
        ]
        await transaction.execute(_PLACE, placed)
        return len(placed)


_NEW: Final = sa.select(outbox.c.number).where(outbox.c.place_position.is_(None)).limit(1)
_COPIES: Final = (
    OutboxRows(outbox, resource_version, source="")
    .copy_sizes(outbox_copy.c.id)
    .where(outbox_copy.c.place_position.is_(None))
    .order_by(outbox_copy.c.number)
    .limit(ROUND)
)
"""The first copies without a place, and their bytes."""
_PLACE: Final = (
    sa.update(outbox_copy)
    .where(outbox_copy.c.id == sa.bindparam("copy"))
    .values(place_partition=sa.bindparam("partition"), place_position=sa.bindparam("position"))
)
