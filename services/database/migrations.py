"""Is a database at the revision this version needs, and how does it get there? By Alembic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from services.database.connection import Connection
from services.database.database import Database
from services.database.sqlite import BUSY_SECONDS

if TYPE_CHECKING:
    from alembic.config import Config  # Alembic takes half a second to load, and is needed to migrate only

T = TypeVar("T")


class DatabaseStateError(Exception):
    """The database is not one this version can work on; the message says what to do about it."""


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

        await on_engine(database.url, run)

    async def current(self, database: Database) -> str | None:
        """Return the revision the database is at, `None` for an empty one."""
        async with database.read() as connection:
            if not await _has_table(connection, self._version_table):
                return None
            rows = await connection.exec_driver_sql(f"SELECT version_num FROM {self._version_table}")
            found = rows.scalar()
            return None if found is None else str(found)

    async def require_head(self, database: Database) -> None:
        """Refuse a database that is not at `head`.

        Raises:
            DatabaseStateError: with the command that brings it there, or that this version is too old for it.
        """
        at = await self.current(database)
        if at is not None and at > self.head:
            raise DatabaseStateError(
                f"The {database.name} is at revision {at}, which a newer version has brought it to; this one knows "
                f"{self.head}: start that version instead. What runs already may go on until it is replaced."
            )
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

        return await on_engine(database.url, run)


async def _has_table(connection: Connection, name: str) -> bool:
    if connection.dialect.name == "sqlite":
        found = await connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = ?", (name,))
    else:
        found = await connection.exec_driver_sql("SELECT 1 WHERE to_regclass($1) IS NOT NULL", (name,))
    return found.scalar() is not None


async def on_engine(url: sa.URL, run: Callable[[sa.Connection], T]) -> T:
    """Run a function in one transaction of SQLAlchemy's own engine, which knows how to define tables.

    Raises:
        sqlalchemy.exc.DBAPIError: as the engine says.
    """
    if url.get_backend_name() == "sqlite":
        return await asyncio.to_thread(_on_file, url, run)
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(url, hide_parameters=True)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(run)
    finally:
        await engine.dispose()


def _on_file(url: sa.URL, run: Callable[[sa.Connection], T]) -> T:
    engine = sa.create_engine(
        url.set(drivername="sqlite"), connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True
    )

    @sa.event.listens_for(engine, "connect")
    def _on_connect(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # begun below, so that definitions of tables are part of the transaction
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.begin() as connection:
            return run(connection)
    finally:
        engine.dispose()
