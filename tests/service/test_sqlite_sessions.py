"""A session of a SQLite file that was given up in the middle keeps nobody else from writing."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.clock import SystemClock
from services.database import Database


async def test_a_writer_cancelled_while_it_waits_for_another_process_leaves_no_lock_behind(
    tmp_path: Path,
) -> None:
    path = tmp_path / "some.sqlite"
    database = Database(f"sqlite+aiosqlite:///{path}")
    async with database.write() as connection:
        await connection.exec_driver_sql("CREATE TABLE t (n INTEGER)")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def write() -> None:
        async with database.write() as connection:
            await connection.execute(sa.text("INSERT INTO t VALUES (1)"))

    waiting = asyncio.create_task(write())
    await SystemClock().sleep(0.1)
    waiting.cancel()
    other.execute("COMMIT")
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(2):
        await write()
    assert other.execute("SELECT count(*) FROM t").fetchone() == (1,)
    other.close()
    await database.close()
