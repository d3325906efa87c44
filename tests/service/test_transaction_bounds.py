"""A process that froze, or a machine that is gone, holds no locks for ever: the server ends its transaction."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import sqlalchemy as sa

from services.clock import SystemClock
from services.database import Bounds, Database

LOCK = "SELECT pg_advisory_xact_lock(7)"
pytestmark = pytest.mark.postgresql


async def _asked(database: Database, statement: str) -> str:
    async with database.read() as tx:
        return str((await tx.exec_driver_sql(statement)).scalar())


async def test_a_server_is_told_the_bounds_it_knows(postgresql_url: str) -> None:
    database = Database(postgresql_url, bounds=Bounds(idle=12, whole=34))
    try:
        assert await _asked(database, "SHOW idle_in_transaction_session_timeout") == "12s"
        if int(await _asked(database, "SHOW server_version_num")) >= 170000:
            assert await _asked(database, "SHOW transaction_timeout") == "34s"
    finally:
        await database.close()


@pytest.mark.parametrize("bounds", [Bounds(idle=0.2, whole=0), Bounds(idle=0, whole=0.2)])
async def test_a_transaction_that_takes_too_long_is_ended_as_if_the_server_had_gone(
    postgresql_url: str, bounds: Bounds
) -> None:
    database = Database(postgresql_url, bounds=bounds)
    try:
        knows_age = int(await _asked(database, "SHOW server_version_num")) >= 170000
        ends = bool(bounds.idle) or knows_age  # an older server lets it go on, and takes the bound for none
        with pytest.raises(sa.exc.OperationalError) if ends else contextlib.nullcontext():
            await _dawdle(database, idle=bool(bounds.idle))
        async with asyncio.timeout(10), database.write() as tx:
            await tx.exec_driver_sql(LOCK)
    finally:
        await database.close()


async def _dawdle(database: Database, *, idle: bool) -> None:
    """Hold a lock for a second: without a word, or with one short statement after the other."""
    async with database.write() as tx:
        await tx.exec_driver_sql(LOCK)
        for _ in range(10):
            if idle:
                await SystemClock().sleep(1)
            await tx.exec_driver_sql("SELECT pg_sleep(0.1)")
