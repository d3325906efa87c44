"""What does a statement cost, beside the same statement through SQLAlchemy's own engine?

One short transaction after another, each with ten reads of one row by its key, as a report's way has them.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.result import Result, run
from benchmarks.servers import BACKENDS, place
from services.clock import SystemClock
from services.database import Database
from services.database.migrations import on_engine

_METADATA = sa.MetaData()
_TABLE = sa.Table(
    "kept", _METADATA, sa.Column("id", sa.Text, primary_key=True), sa.Column("body", sa.LargeBinary)
)
_BY_ID = sa.select(_TABLE).where(_TABLE.c.id == sa.bindparam("id"))
_READS = 10


async def measure(result: Result, quick: bool) -> None:
    """Read through both ways on both databases."""
    count = 100 if quick else 1_000
    with place() as somewhere:
        for backend in BACKENDS:
            url = somewhere.database(backend)
            database, engine = Database(url), create_async_engine(url)
            await on_engine(database.url, _METADATA.create_all)
            async with database.write() as connection:
                await connection.execute(
                    _TABLE.insert(), [{"id": str(n), "body": b"x" * 200} for n in range(_READS)]
                )

            async def ours(database: Database = database) -> None:
                async with database.glance() as connection:
                    for number in range(_READS):
                        (await connection.execute(_BY_ID, {"id": str(number)})).one()

            async def theirs(engine: AsyncEngine = engine) -> None:
                async with engine.begin() as connection:
                    for number in range(_READS):
                        (await connection.execute(_BY_ID, {"id": str(number)})).one()

            ceiling = await _micros(theirs, count)
            result.figure(f"{backend}: a statement", await _micros(ours, count), "µs", ceiling)
            await database.close()
            await engine.dispose()


async def _micros(work: Callable[[], Awaitable[None]], count: int) -> float:
    """Return the microseconds of one statement, the transaction's own share included."""
    clock = SystemClock()
    for _ in range(20):
        await work()
    started = clock.monotonic()
    for _ in range(count):
        await work()
    return (clock.monotonic() - started) / count / _READS * 1e6


if __name__ == "__main__":
    sys.exit(run("statement", __doc__, measure))
