"""One way to open a database, for both: PostgreSQL and SQLite.

SQLAlchemy defines tables and compiles statements; the drivers execute them here, without its engine between: on
the path of a report that is most of what a statement takes (see `benchmarks.statement`). SQLite takes one writer
at a time, so writing is one queue here (`Database.write`), each transaction begun `IMMEDIATE` so that it never
has to be upgraded. On PostgreSQL the same calls are plain transactions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from services.clock import Clock
from services.database import postgresql, sqlite
from services.database.connection import Connection, Observer, Rows, Session
from services.database.pool import Pool, Transaction
from services.database.statements import Parameters, Statements
from services.database.types import UtcDateTime

DEFAULT_BOUNDS: Final = postgresql.Bounds(idle=30.0, whole=600.0)

SqliteDriver: TypeAlias = Callable[[str, str], Awaitable[Session]]
"""Opens a file (its path, and what begins a transaction) in another way than `sqlite.opened`."""


class Database:
    """An open database. `write`, `read`, `glance` and `ask` are the only ways in, and each is one transaction."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 8,
        schema_name: str = "database",
        bounds: postgresql.Bounds | None = None,
        planned_once: bool = False,
        driver: SqliteDriver | None = None,
    ) -> None:
        """Open lazily; `url` is SQLAlchemy's (`sqlite+aiosqlite:///file`, `postgresql+asyncpg://…`).

        PostgreSQL ends a transaction that stands idle, or goes on, for longer than the `bounds`: a process that
        froze, or a machine that is gone, must not hold its locks for ever. `driver` opens SQLite's files in place of ours.
        """
        self.url = sa.make_url(url)
        self.name = schema_name
        self.observers: list[Observer] = []
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._statements = _statements(self.url.drivername)
        if self.is_sqlite:
            self._writers = Pool(1, self._sqlite("BEGIN IMMEDIATE", driver), patience=None)
            self._glancers = Pool(pool_size, self._sqlite("BEGIN", driver))
            self._readers = Pool(pool_size, self._sqlite("BEGIN", driver, aside=True))
        else:
            self._writers = self._glancers = self._readers = Pool(
                pool_size, self._server(bounds or DEFAULT_BOUNDS, planned_once=planned_once)
            )

    def write(self) -> Transaction[Connection]:
        """One writing transaction: committed when the block ends, rolled back when it raises."""
        return self._writers.transaction(self._connection)

    def read(self) -> Transaction[Connection]:
        """One reading transaction; keep it short, it holds back SQLite's checkpoint."""
        return self._readers.transaction(self._connection)

    def glance(self) -> Transaction[Connection]:
        """One reading transaction of a few short statements, on a hot path: on SQLite it takes no thread.

        Whatever may read much goes through `read`: here it would hold up the whole process.
        """
        return self._glancers.transaction(self._connection)

    async def ask(
        self, statement: sa.Executable, parameters: Parameters | None = None
    ) -> Rows[*tuple[Any, ...]]:
        """Return what one short query by itself finds, on a hot path: on PostgreSQL in a single round trip.

        Raises:
            sqlalchemy.exc.DBAPIError: as `Connection.execute` says.
        """
        if self.is_sqlite:
            async with self.glance() as connection:
                return await connection.execute(statement, parameters)
        while True:
            async with self._glancers.borrowed() as (session, fresh):
                try:
                    return await self._connection(session).execute(statement, parameters)
                except sa.exc.OperationalError:
                    if fresh or session.usable:
                        raise  # else that connection was lost while nobody used it, and the next may be well

    async def close(self) -> None:
        """Close every connection."""
        for pool in (self._writers, self._glancers, self._readers):
            await pool.close()

    def time(self, clock: Clock) -> datetime | None:
        """Return the time by which leases and due times are judged; `None` when it is the database's own."""
        return clock.now() if self.is_sqlite else None

    def now(self, clock: Clock) -> sa.ColumnElement[datetime]:
        """Return the same for a statement: PostgreSQL's own, else the clock's.

        Many processes share a PostgreSQL, and their clocks differ; one process owns a SQLite file.
        """
        time = self.time(clock)
        return sa.func.now(type_=UtcDateTime()) if time is None else sa.literal(time, UtcDateTime())

    def after(self, clock: Clock, seconds: float) -> sa.ColumnElement[datetime]:
        """Return `now` moved forward by `seconds`."""
        delta = timedelta(seconds=seconds)
        if self.is_sqlite:
            return sa.literal(clock.now() + delta, UtcDateTime())
        return sa.type_coerce(sa.func.now() + sa.literal(delta, sa.Interval()), UtcDateTime())

    @property
    def keeps_time(self) -> bool:
        """Whether `now` is the database's own time, whatever the clocks of its clients say."""
        return not self.is_sqlite

    def _connection(self, session: Session) -> Connection:
        return Connection(session, self._statements, self.observers)

    def _sqlite(
        self, begin: str, driver: SqliteDriver | None, *, aside: bool = False
    ) -> Callable[[], Awaitable[Session]]:
        path = self.url.database or ""

        async def connect() -> Session:
            if driver is not None:
                return await driver(path, begin)
            return await sqlite.opened(path, begin=begin, aside=aside)

        return connect

    def _server(self, bounds: postgresql.Bounds, *, planned_once: bool) -> Callable[[], Awaitable[Session]]:
        async def connect() -> Session:
            return await postgresql.opened(
                self.url, self._statements.dialect, bounds, planned_once=planned_once
            )

        return connect


@cache
def _statements(driver: str) -> Statements:
    """Return what is compiled for the dialect that a URL's scheme names: the same for every database.

    Raises:
        sqlalchemy.exc.NoSuchModuleError: there is none.
    """
    dialect = sa.make_url(f"{driver}://").get_dialect()
    return Statements(dialect())
