"""SQLite, where a statement runs where it is called and only waiting goes to a thread.

A short statement takes microseconds, and handing it to a thread and back costs ten times that. What may wait
goes to a thread: for a lock that another process holds, and for the disk at a commit. Long reads go there whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import sqlalchemy as sa

from services.database.connection import Answer

T = TypeVar("T")

BUSY_SECONDS = 5
"""How long a lock of another process is waited for; the command line is a second writer."""

_ROWS_AT_A_TIME = 200
_CACHED_STATEMENTS = 512
_ERRORS: dict[type[sqlite3.Error], type[sa.exc.DatabaseError]] = {
    sqlite3.OperationalError: sa.exc.OperationalError,
    sqlite3.IntegrityError: sa.exc.IntegrityError,
    sqlite3.DataError: sa.exc.DataError,
    sqlite3.InternalError: sa.exc.InternalError,
    sqlite3.NotSupportedError: sa.exc.NotSupportedError,
    sqlite3.ProgrammingError: sa.exc.ProgrammingError,
}


async def opened(path: str, *, begin: str, aside: bool) -> SqliteSession:
    """Open a file; `begin` begins its transactions, and with `aside` every statement has a thread.

    Raises:
        sqlalchemy.exc.OperationalError: the file cannot be opened.
    """
    try:
        raw = sqlite3.connect(
            path,
            timeout=BUSY_SECONDS,
            isolation_level=None,  # transactions are begun below, not by the driver's guess
            check_same_thread=False,
            cached_statements=_CACHED_STATEMENTS,
        )
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=0"):
            raw.execute(f"PRAGMA {pragma}").close()
    except sqlite3.Error as error:
        raise translated(error) from error
    return SqliteSession(raw, begin, aside=aside)


def translated(error: sqlite3.Error) -> sa.exc.DBAPIError:
    """Return SQLAlchemy's error for one of SQLite's; it holds no values."""
    kind = _ERRORS.get(type(error), sa.exc.DatabaseError)
    return kind(None, None, error, hide_parameters=True)


def _unless_locked(error: sqlite3.Error) -> None:
    """Raise an error, unless waiting may help: somebody else has a lock.

    Raises:
        sqlalchemy.exc.DBAPIError: what it is translated to.
    """
    code = error.sqlite_errorcode & 0xFF if isinstance(error, sqlite3.OperationalError) else None
    if code not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        raise translated(error) from error


class SqliteSession:
    """One connection to a file."""

    def __init__(self, raw: sqlite3.Connection, begin: str, *, aside: bool) -> None:
        """Take over an open connection."""
        self._raw = raw
        self._cursor = raw.cursor()  # streams have their own: all else is fetched whole
        self._begin = begin
        self._everything_aside = aside
        self._changes = raw.total_changes
        self._thread: ThreadPoolExecutor | None = None
        self._closed = False

    @property
    def usable(self) -> bool:
        """Tell whether another transaction may be begun: not inside one that could not be undone."""
        return not self._closed and not self._raw.in_transaction

    async def begin(self) -> None:
        """Begin a transaction, once a writer in another process has ended its own."""
        await self.run(self._begin, (), returns=False)

    async def commit(self) -> None:
        """Commit; the disk is waited for in a thread, and a transaction that only read waits for nothing."""
        if self._raw.total_changes == self._changes and not self._everything_aside:
            await self._soon(self._raw.commit)
            return
        await self._aside(self._raw.commit)
        self._changes = self._raw.total_changes

    async def rollback(self) -> None:
        """Roll back; SQLite may have done so itself."""
        if self._raw.in_transaction:
            await self._aside(self._raw.rollback)

    async def run(self, text: str, values: Sequence[Any], *, returns: bool) -> Answer:  # noqa: ARG002  # rows must be fetched for a statement to end
        """Execute a statement."""
        return await self._soon(self._run, text, values)

    def _run(self, text: str, values: Sequence[Any]) -> Answer:
        cursor = self._cursor.execute(text, values)
        rows = cursor.fetchall()
        return Answer(rows, cursor.rowcount, [each[0] for each in cursor.description] if rows else ())

    async def run_many(self, text: str, many: Sequence[Sequence[Any]], *, returns: bool) -> Answer:
        """Execute a statement for each set of values."""
        if returns:
            answers = [await self.run(text, values, returns=True) for values in many]
            rows = [row for answer in answers for row in answer.rows]
            return Answer(rows, len(rows))

        return await self._soon(self._run_many, text, many)

    def _run_many(self, text: str, many: Sequence[Sequence[Any]]) -> Answer:
        return Answer((), self._cursor.executemany(text, many).rowcount)

    @contextlib.asynccontextmanager
    async def stream(self, text: str, values: Sequence[Any]) -> AsyncIterator[AsyncIterator[Any]]:
        """Execute a query and yield some of its rows at a time."""
        cursor = await self._soon(self._raw.execute, text, values)

        async def some() -> AsyncIterator[list[Any]]:
            while rows := await self._soon(cursor.fetchmany, _ROWS_AT_A_TIME):
                yield rows

        try:
            yield some()
        finally:
            cursor.close()

    async def close(self) -> None:
        """Close the file; what is not committed is undone."""
        self._closed = True
        try:
            await self._aside(self._raw.close)
        finally:
            if self._thread is not None:
                self._thread.shutdown(wait=False)

    async def _soon(self, call: Callable[..., T], *values: Any) -> T:
        """Call here, or in the thread when that is the rule or somebody else's lock is in the way."""
        if not self._everything_aside:
            try:
                return call(*values)
            except sqlite3.Error as error:
                _unless_locked(error)
        return await self._aside(lambda: self._patiently(lambda: call(*values)))

    def _patiently(self, call: Callable[[], T]) -> T:
        self._raw.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}").close()
        try:
            return call()
        finally:
            self._raw.execute("PRAGMA busy_timeout=0").close()

    async def _aside(self, call: Callable[[], T]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "sqlite")
        future = asyncio.get_running_loop().run_in_executor(self._thread, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The thread goes on, and nobody else may use the connection before it has finished.
            while not future.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            future.exception()
            raise
        except sqlite3.Error as error:
            raise translated(error) from error
