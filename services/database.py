"""One way to open a database, for both: PostgreSQL and SQLite, through SQLAlchemy Core.

SQLite takes one writer at a time, so writing is one queue here (`Database.write`), each transaction begun
`IMMEDIATE` so that it never has to be upgraded. On PostgreSQL the same calls are plain transactions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from services import sqlite_inline
from services.clock import Clock

if TYPE_CHECKING:
    from alembic.config import Config  # Alembic takes half a second to load, and is needed to migrate only

SQLITE_BUSY_SECONDS = 5


class DatabaseStateError(Exception):
    """The database is not one this version can work on; the message says what to do about it."""


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC time: `timestamptz` on PostgreSQL, microseconds since 1970 on SQLite (exact, sortable)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.engine.Dialect) -> sa.types.TypeEngine[Any]:
        """Choose the column type."""
        return dialect.type_descriptor(
            sa.BigInteger() if dialect.name == "sqlite" else sa.DateTime(timezone=True)
        )

    def process_bind_param(self, value: datetime | None, dialect: sa.engine.Dialect) -> Any:
        """Turn an aware time into what the column holds."""
        if value is None or dialect.name != "sqlite":
            return value
        return micros(value)

    def process_result_value(self, value: Any, dialect: sa.engine.Dialect) -> datetime | None:
        """Turn what the column holds into an aware time."""
        if value is None or dialect.name != "sqlite":
            return value  # type: ignore[no-any-return]  # the driver's own aware datetime
        return from_micros(value)


def micros(value: datetime) -> int:
    """Return microseconds since 1970-01-01 UTC, without passing through a float."""
    delta = value - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_micros(value: int) -> datetime:
    """Return the aware UTC time for microseconds since 1970."""
    return _EPOCH + _MICROSECOND * value


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_MICROSECOND = datetime.resolution


def _ending_idle(seconds: float) -> dict[str, str]:
    return {"idle_in_transaction_session_timeout": f"{int(seconds * 1000)}ms"}


class Database:
    """An open database. `write`, `read` and `glance` are the only ways in, and each is one transaction."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 8,
        schema_name: str = "database",
        idle_seconds: float = 30.0,
        driver: Mapping[str, Any] | None = None,
    ) -> None:
        """Open lazily; `url` is SQLAlchemy's (`sqlite+aiosqlite:///file`, `postgresql+asyncpg://…`).

        PostgreSQL ends a transaction that stands idle for `idle_seconds`: a process that froze, or a machine
        that is gone, must not hold its locks for ever. `driver` are more arguments for the driver's connect.
        """
        self.url = sa.make_url(url)
        self.name = schema_name
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._writing = asyncio.Lock() if self.is_sqlite else None
        if self.is_sqlite:
            self._reader = _sqlite_engine(self.url, "BEGIN", pool_size, driver or {})
            inline = {"async_creator_fn": sqlite_inline.glancing, **(driver or {})}
            self._glancer = _sqlite_engine(self.url, "BEGIN", pool_size, inline)
            inline = {"async_creator_fn": sqlite_inline.writing, **(driver or {})}
            self._writer = _sqlite_engine(self.url, "BEGIN IMMEDIATE", 1, inline)
        else:
            self._reader = self._glancer = self._writer = create_async_engine(
                self.url,
                pool_size=pool_size,
                max_overflow=0,
                pool_timeout=30,
                pool_pre_ping=False,
                connect_args={"server_settings": _ending_idle(idle_seconds), **(driver or {})},
                hide_parameters=True,  # an error's text may be logged, a report never
            )

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One writing transaction: committed when the block ends, rolled back when it raises."""
        async with contextlib.AsyncExitStack() as stack:
            if self._writing is not None:
                await stack.enter_async_context(self._writing)
            yield await stack.enter_async_context(self._writer.begin())

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One reading transaction; keep it short, it holds back SQLite's checkpoint."""
        async with self._reader.begin() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def glance(self) -> AsyncIterator[AsyncConnection]:
        """One reading transaction of a few short statements, on a hot path: on SQLite it takes no thread.

        Whatever may read much goes through `read`: here it would hold up the whole process.
        """
        async with self._glancer.begin() as connection:
            yield connection

    async def close(self) -> None:
        """Close every connection."""
        for engine in self.engines:
            await engine.dispose()

    def now(self, clock: Clock) -> sa.ColumnElement[datetime]:
        """Return the time by which leases and due times are judged: PostgreSQL's own, else the clock's.

        Many processes share a PostgreSQL, and their clocks differ; one process owns a SQLite file.
        """
        return sa.literal(clock.now(), UtcDateTime()) if self.is_sqlite else sa.func.now(type_=UtcDateTime())

    def after(self, clock: Clock, seconds: float) -> sa.ColumnElement[datetime]:
        """Return `now` moved forward by `seconds`."""
        delta = timedelta(seconds=seconds)
        if self.is_sqlite:
            return sa.literal(clock.now() + delta, UtcDateTime())
        return sa.type_coerce(sa.func.now() + sa.literal(delta, sa.Interval()), UtcDateTime())

    @property
    def engines(self) -> tuple[AsyncEngine, ...]:
        """The engines behind it; for counting statements."""
        return tuple(dict.fromkeys((self._reader, self._glancer, self._writer)))


def _sqlite_engine(url: sa.URL, begin: str, size: int, driver: Mapping[str, Any]) -> AsyncEngine:
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=size,
        max_overflow=0,
        connect_args={"timeout": SQLITE_BUSY_SECONDS, **driver},
        hide_parameters=True,  # an error's text may be logged, a report never
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver's guess
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


class Migrations:
    """The migrations of one service: a folder of Alembic revisions shipped in the package."""

    def __init__(self, folder: Path, version_table: str) -> None:
        """Take the folder that holds `versions/`, and the table in which the database notes where it is."""
        self._folder = folder
        self._version_table = version_table

    def _config(self) -> Config:
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(self._folder).replace("%", "%%"))
        config.attributes["version_table"] = self._version_table
        return config

    @property
    def head(self) -> str:
        """The revision this version of the code expects: revisions are numbered, and files named after them."""
        return max(path.name.partition("_")[0] for path in (self._folder / "versions").glob("[0-9]*_*.py"))

    async def upgrade(self, database: Database) -> None:
        """Bring the database to `head`; safe to run when it is there already."""
        if await self.current(database) == self.head:
            return
        from alembic import command

        def run(connection: sa.Connection) -> None:
            config = self._config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

        async with database.write() as connection:
            await connection.run_sync(run)

    async def current(self, database: Database) -> str | None:
        """Return the revision the database is at, `None` for an empty one."""

        def run(connection: sa.Connection) -> str | None:
            if not sa.inspect(connection).has_table(self._version_table):
                return None
            statement: sa.Select[Any] = sa.select(sa.column("version_num")).select_from(
                sa.table(self._version_table)
            )
            return connection.execute(statement).scalar()

        async with database.read() as connection:
            return await connection.run_sync(run)

    async def require_head(self, database: Database) -> None:
        """Refuse a database that is not at `head`.

        Raises:
            DatabaseStateError: with the command that brings it there.
        """
        at = await self.current(database)
        if at != self.head:
            found = "is empty" if at is None else f"is at revision {at}"
            raise DatabaseStateError(
                f"The {database.name} {found}, but this version needs {self.head}: "
                "run `vbpr migrate` with the same settings first."
            )

    async def drift(self, database: Database, metadata: sa.MetaData) -> list[Any]:
        """Return the differences between the migrated database and the table definitions; for tests."""
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        def run(connection: sa.Connection) -> list[Any]:
            context = MigrationContext.configure(connection, opts={"version_table": self._version_table})
            return list(compare_metadata(context, metadata))

        async with database.read() as connection:
            return await connection.run_sync(run)
