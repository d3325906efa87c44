"""SQLite behind SQLAlchemy without a thread: the same files and statements, with pauses and faults between.

The surface is that of aiosqlite as far as SQLAlchemy's dialect uses it (`async_creator_fn`). "database is
locked" comes at once from SQLite and is waited out here, on virtual time.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Self

from tests.simulation.dice import Dice, Fault
from tests.simulation.loop import current

_GLANCE = 0.01
_WRITES = ("INSERT", "UPDATE", "DELETE")


class Disk:
    """Opens connections for the processes of one run, and closes those of a process that died."""

    def __init__(self, dice: Dice, patience: float) -> None:
        """Wait up to `patience` seconds for a lock."""
        self._dice = dice
        self._patience = patience
        self._open: list[Connection] = []

    async def connect(self, path: str, **_: Any) -> Connection:
        """Open a file; SQLAlchemy calls this."""
        await self._dice.roll("connect")
        raw = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        connection = Connection(raw, self._dice, self._patience, self._open.remove)
        self._open.append(connection)
        return connection

    def died(self, process: object) -> None:
        """Close what a process had open, as the operating system does: SQLite rolls back."""
        for connection in [one for one in self._open if one.owner is process]:
            connection.shut()

    def cut(self, process: object) -> None:
        """Break the connections of a process without its knowing: the server's end of them is gone."""
        for connection in [one for one in self._open if one.owner is process]:
            connection.broken = True
            connection.raw.close()


class Connection:
    """An open file, with the surface of `aiosqlite.Connection`."""

    def __init__(
        self, raw: sqlite3.Connection, dice: Dice, patience: float, forget: Callable[[Connection], None]
    ) -> None:
        """Belong to the process that opens it."""
        self.raw = raw
        self.dice = dice
        self.owner = current()
        self.broken = False
        self.shutdown = False
        self._patience = patience
        self._forget = forget
        self._changes = 0
        self._conn = raw
        self._tx = _Inline()

    @property
    def _connection(self) -> sqlite3.Connection | None:
        return None if self.shutdown else self.raw

    @property
    def isolation_level(self) -> str | None:
        return self.raw.isolation_level

    def cursor(self) -> Cursor:
        return Cursor(self)

    async def create_function(self, *args: Any, **kwargs: Any) -> None:
        self.raw.create_function(*args, **kwargs)

    async def commit(self) -> None:
        hot = not self.broken and self.raw.total_changes > self._changes
        await self._pass("commit", Fault.CUT, hot=hot)
        if self.dice.full:
            raise sqlite3.OperationalError("database or disk is full")
        await self.patiently(self.raw.commit)
        self._changes = self.raw.total_changes
        await self._pass("committed", Fault.LOST_ANSWER, hot=hot)

    async def rollback(self) -> None:
        if self.broken:
            raise sqlite3.OperationalError("connection closed")
        self.raw.rollback()

    async def close(self) -> None:
        self.shut()

    def stop(self) -> None:
        self.shut()

    def shut(self) -> None:
        """Close at once; more than once is fine."""
        if not self.shutdown:
            self.shutdown = True
            self.raw.close()
            self._forget(self)

    async def perform(self, call: Callable[[], Any], statement: str) -> Any:
        """Run a statement, when nothing keeps it from running."""
        await self._pass("statement", Fault.CUT)
        if self.dice.full and statement.lstrip().upper().startswith(_WRITES):
            raise sqlite3.OperationalError("database or disk is full")
        return await self.patiently(call)

    async def patiently(self, call: Callable[[], Any]) -> Any:
        """Try again while others hold the lock."""
        waited = 0.0
        while True:
            try:
                return call()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or waited >= self._patience:
                    raise
            except sqlite3.ProgrammingError:
                if not self.broken:
                    raise
                raise sqlite3.OperationalError("connection closed") from None
            pause = _GLANCE * (1 + self.dice.chance.number())
            waited += pause
            await asyncio.sleep(pause)  # noqa: TID251  # virtual time: the loop is this run's own

    async def _pass(self, place: str, *own: Fault, hot: bool = False) -> None:
        fault = await self.dice.roll(place, *own, hot=hot)
        if fault is not None:
            self.broken = True
            self.raw.close()
        if self.broken:
            raise sqlite3.OperationalError("connection closed")


class Cursor:
    """A cursor, with the surface of `aiosqlite.Cursor`."""

    def __init__(self, connection: Connection) -> None:
        """Belong to a connection."""
        self._connection = connection
        self._cursor: sqlite3.Cursor | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Cursor:
        await self._connection.perform(lambda: self._raw().execute(statement, parameters), statement)
        return self

    async def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> Cursor:
        await self._connection.perform(lambda: self._raw().executemany(statement, parameters), statement)
        return self

    async def fetchall(self) -> list[Any]:
        return self._raw().fetchall()

    async def close(self) -> None:
        if self._cursor is not None and not self._connection.broken:
            self._cursor.close()

    @property
    def description(self) -> Any:
        return None if self._cursor is None else self._cursor.description

    @property
    def rowcount(self) -> int:
        return -1 if self._cursor is None else self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return None if self._cursor is None else self._cursor.lastrowid

    def _raw(self) -> sqlite3.Cursor:
        if self._cursor is None:
            self._cursor = self._connection.raw.cursor()
        return self._cursor


class _Inline:
    """Stands where aiosqlite has the queue of its thread."""

    def put_nowait(self, job: tuple[asyncio.Future[Any], Callable[[], Any]]) -> None:
        """Do it here and now."""
        future, function = job
        future.set_result(function())
