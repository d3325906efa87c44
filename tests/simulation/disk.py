"""SQLite without a thread: the same files and statements, with pauses and faults between.

"database is locked" comes at once from SQLite and is waited out here, on virtual time.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from services.database.connection import Answer
from services.database.sqlite import translated
from tests.simulation.dice import Dice, Fault
from tests.simulation.loop import current

_GLANCE = 0.01
_WRITES = ("INSERT", "UPDATE", "DELETE")

T = TypeVar("T")


class Disk:
    """Opens connections for the processes of one run, and closes those of a process that died."""

    def __init__(self, dice: Dice, patience: float) -> None:
        """Wait up to `patience` seconds for a lock."""
        self._dice = dice
        self._patience = patience
        self._open: list[Session] = []

    async def connect(self, path: str, begin: str) -> Session:
        """Open a file; `Database` calls this."""
        await self._dice.roll("connect")
        raw = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=OFF", "foreign_keys=ON"):
            raw.execute(f"PRAGMA {pragma}").close()
        session = Session(raw, begin, self._dice, self._patience, self._open.remove)
        self._open.append(session)
        return session

    def died(self, process: object) -> None:
        """Close what a process had open, as the operating system does: SQLite rolls back."""
        for session in [one for one in self._open if one.owner is process]:
            session.shut()

    def cut(self, process: object) -> None:
        """Break the connections of a process without its knowing: the server's end of them is gone."""
        for session in [one for one in self._open if one.owner is process]:
            session.broken = True
            session.raw.close()


class Session:
    """One connection to a file: what `services.database.connection.Session` asks for, with faults."""

    def __init__(
        self,
        raw: sqlite3.Connection,
        begin: str,
        dice: Dice,
        patience: float,
        forget: Callable[[Session], None],
    ) -> None:
        """Belong to the process that opens it."""
        self.raw = raw
        self.dice = dice
        self.owner = current()
        self.broken = False
        self._begin = begin
        self._shut = False
        self._patience = patience
        self._forget = forget
        self._changes = 0

    @property
    def usable(self) -> bool:
        return not (self.broken or self._shut or self.raw.in_transaction)

    async def begin(self) -> None:
        await self._perform(lambda: self.raw.execute(self._begin), self._begin)

    async def commit(self) -> None:
        hot = not self.broken and self.raw.total_changes > self._changes
        await self._pass("commit", Fault.CUT, hot=hot)
        if self.dice.full:
            raise translated(sqlite3.OperationalError("database or disk is full"))
        await self._patiently(self.raw.commit)
        self._changes = self.raw.total_changes
        await self._pass("committed", Fault.LOST_ANSWER, hot=hot)

    async def rollback(self) -> None:
        if not self.broken:
            self.raw.rollback()

    async def run(self, text: str, values: Sequence[Any], *, returns: bool) -> Answer:  # noqa: ARG002  # as the protocol says
        def call() -> Answer:
            cursor = self.raw.execute(text, values)
            rows = cursor.fetchall()
            names = [each[0] for each in cursor.description or ()]
            return Answer(rows, cursor.rowcount, names)

        return await self._perform(call, text)

    async def run_many(self, text: str, many: Sequence[Sequence[Any]], *, returns: bool) -> Answer:
        if returns:
            rows = [row for values in many for row in (await self.run(text, values, returns=True)).rows]
            return Answer(rows, len(rows))
        cursor = await self._perform(lambda: self.raw.executemany(text, many), text)
        return Answer((), cursor.rowcount)

    @contextlib.asynccontextmanager
    async def stream(self, text: str, values: Sequence[Any]) -> AsyncIterator[AsyncIterator[Any]]:
        async def once() -> AsyncIterator[Any]:
            yield (await self.run(text, values, returns=True)).rows

        yield once()

    async def close(self) -> None:
        self.shut()

    def shut(self) -> None:
        """Close at once; more than once is fine."""
        if not self._shut:
            self._shut = True
            self.raw.close()
            self._forget(self)

    async def _perform(self, call: Callable[[], T], statement: str) -> T:
        """Run a statement, when nothing keeps it from running."""
        await self._pass("statement", Fault.CUT)
        if self.dice.full and statement.lstrip().upper().startswith(_WRITES):
            raise translated(sqlite3.OperationalError("database or disk is full"))
        return await self._patiently(call)

    async def _patiently(self, call: Callable[[], T]) -> T:
        """Try again while others hold the lock."""
        waited = 0.0
        while True:
            try:
                return call()
            except sqlite3.ProgrammingError:
                if not self.broken:
                    raise
                raise translated(sqlite3.OperationalError("connection closed")) from None
            except sqlite3.Error as error:
                if "locked" not in str(error) or waited >= self._patience:
                    raise translated(error) from error
            pause = _GLANCE * (1 + self.dice.chance.number())
            waited += pause
            await asyncio.sleep(pause)  # noqa: TID251  # virtual time: the loop is this run's own

    async def _pass(self, place: str, *own: Fault, hot: bool = False) -> None:
        fault = await self.dice.roll(place, *own, hot=hot)
        if fault is not None:
            self.broken = True
            self.raw.close()
        if self.broken:
            raise translated(sqlite3.OperationalError("connection closed"))
