"""The notifier's end, in the publisher's process: it reads what stands in the log from a position on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from schemas.event import ReportEvent
from services.database import Connection, Database
from services.event_log import PositionUnknownError, Record
from services.event_log_outbox.bounds import READ_BYTES, within
from services.event_log_outbox.handover import Appended
from services.event_log_outbox.rows import OutboxRows
from services.event_log_outbox.tables import PARTITION


@dataclass(frozen=True, slots=True)
class _Statements:
    """What the reader asks, made once: each read would spend most of its time on making them."""

    places: sa.Select[Any]
    between: sa.Select[Any]
    numbered: sa.Select[Any]
    kept: sa.Select[Any]
    """From where to where the log is kept."""

    @classmethod
    def over(cls, rows: OutboxRows, head: Any) -> _Statements:
        outbox = rows.outbox.c
        here = outbox.place_position.between(sa.bindparam("first"), sa.bindparam("last"))
        return cls(
            rows.places(),
            rows.full().where(outbox.place_partition == PARTITION, here),
            rows.full().where(outbox.number.in_(sa.bindparam("numbers", expanding=True))),
            sa.select(head.oldest_position, head.next_position).where(head.partition == PARTITION),
        )


class OutboxSource:
    """The notifier's end, in the publisher's process: reads placed rows, and never writes."""

    def __init__(self, database: Database, rows: OutboxRows, head: sa.Table, wake: Appended) -> None:
        """Take the publisher's database and tables, and what is told of each commit."""
        self._database = database
        self._rows = rows
        self._statements = _Statements.over(rows, head.c)
        self.wake = wake
        self._next: int | None = None
        self._drained = False
        """Nothing was left at the last look, so the next one waits to be woken, unless there is more elsewhere."""
        self._sought: int | None = None
        """What `seek` asked for, until it is known to be there; -1: the oldest row kept."""
        self.needed_from = 0
        """The first position that may still be asked for: what was read last may have to be read again."""

    async def assigned(self) -> frozenset[int]:
        """Return the one partition there is."""
        return frozenset({PARTITION})

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read on from the position of partition 0; without one, from the oldest row kept."""
        self._sought = positions.get(PARTITION, -1)
        self._next = None
        self._drained = False
        self.wake.forget()

    async def read(self, at_most: int, wait: float) -> Sequence[Record]:
        """Return up to `at_most` records, and at most `READ_BYTES`; waits up to `wait` seconds for the first.

        Raises:
            PositionUnknownError: the position sought is beyond what was ever written, or is kept no more.
        """
        if self._next is not None:
            self.needed_from = self._next
        if records := self._at_hand(at_most):
            return records
        if not self._drained or self.wake.elsewhere:
            records = await self._look(at_most)
        if not records:
            await self.wake.wait(wait)
            records = self._at_hand(at_most) or await self._look(at_most)
        return records

    def _at_hand(self, at_most: int) -> Sequence[Record]:
        """Return what goes on where this reads on, of what was handed over."""
        if self._next is None:
            return []
        start = self._next
        taken = self.wake.take(start, at_most)
        events = [self._rows.event(SimpleNamespace(**each.row, body=each.body)) for each in taken]
        self._next = start + len(taken)
        return [Record(PARTITION, position, event) for position, event in enumerate(events, start)]

    async def _look(self, at_most: int) -> Sequence[Record]:
        self._drained = False
        self.wake.elsewhere = False  # whatever comes from here on may be missed by this look
        async with self._database.glance() as connection:
            if self._sought is not None:
                self._next = await self._known(connection, self._sought)
                self._sought = None
            if self._next is None:
                return []
            found = await self._places(connection, self._next, at_most)
            positions = within(((row.position, row.size) for row in found), READ_BYTES)
            if not positions:
                await self._known(connection, self._next)
                self._drained = True
                return []
            events = await self._events(connection, found[: len(positions)])
        self._next = positions[-1] + 1
        self._drained = len(positions) == len(found) < at_most
        return [Record(PARTITION, position, events[position]) for position in positions]

    async def _places(self, connection: Connection, start: int, at_most: int) -> Sequence[Any]:
        rows = await connection.execute(self._statements.places, {"start": start, "at_most": at_most})
        found: Sequence[Any] = rows.all()
        return found

    async def _events(self, connection: Connection, places: Sequence[Any]) -> dict[int, ReportEvent]:
        """Return the events at these places, by position."""
        here = {"first": places[0].position, "last": places[-1].position}
        rows = await connection.execute(self._statements.between, here)
        events = {row.place_position: self._rows.event(row) for row in rows}
        copies = {place.position: place.copy_of for place in places if place.copy_of is not None}
        if copies:
            numbered = {"numbers": sorted(set(copies.values()))}
            rows = await connection.execute(self._statements.numbered, numbered)
            known = {row.number: self._rows.event(row) for row in rows}
            events |= {position: known[number] for position, number in copies.items()}
        return events

    async def _known(self, connection: Connection, sought: int) -> int:
        """Return where to read on; nothing from there on is ever missing, for it is dense."""
        row = (await connection.execute(self._statements.kept)).one_or_none()
        oldest, end = (0, 0) if row is None else row
        if sought != -1 and not oldest <= sought <= end:
            raise PositionUnknownError(PARTITION, sought, oldest, end)
        return oldest if sought == -1 else sought

    async def ends(self) -> Mapping[int, int]:
        """Return the position after the newest placed row."""
        async with self._database.glance() as connection:
            row = (await connection.execute(self._statements.kept)).one_or_none()
            return {PARTITION: 0 if row is None else row.next_position}

    async def close(self) -> None:
        """Let go of nothing: the database is the publisher's."""
