"""How are rows that are past their time removed? The oldest first, a few at a time, by one process at a time.

What must stay, however old, each sweep says for itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import sqlalchemy as sa

from services import metrics
from services.clock import Clock
from services.database import Connection, Database

AT_ONCE: Final = 500
"""Most rows that one statement removes: milliseconds, so that nothing waits long for it."""

PAUSE: Final = 0.1
"""Seconds between two rounds, so that whoever else writes gets a turn."""

REST: Final = 600.0
"""Seconds that a table is left alone once nothing in it is past its time."""

IDLE: Final = 20.0
"""How often the loop looks whether a rest is over."""

_ELECTION: Final = 0x76627072_7072756E
"""Key of the advisory lock whose holder prunes: "vbprprun"."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What one round of a sweep came to."""

    rows: int
    more: bool
    """There may be more past its time."""


Sweep: TypeAlias = Callable[[Connection, datetime], Awaitable[Swept]]
"""Removes a few rows that are past their time by the given `now`, in the caller's transaction."""


class Pruner:
    """The loop step that keeps tables from growing for ever; any number may run."""

    def __init__(self, database: Database, clock: Clock, sweeps: Mapping[str, Sweep]) -> None:
        """Take one sweep a table, by the table's name."""
        self._database = database
        self._clock = clock
        self._sweeps = dict(sweeps)
        self._rests_until: dict[str, float] = {}

    async def step(self) -> bool:
        """Run one round; tell whether there may be more, after a pause."""
        more = await self.round()
        if more:
            await self._clock.sleep(PAUSE)
        return more

    async def round(self) -> bool:
        """Remove a few rows of each table that does not rest; tell whether there may be more."""
        more = False
        for table, sweep in self._sweeps.items():
            if self._rests_until.get(table, 0.0) <= self._clock.monotonic():
                more |= await self._sweep(table, sweep)
        return more

    async def _sweep(self, table: str, sweep: Sweep) -> bool:
        async with self._database.write() as connection:
            elected = await _elected(connection)
            swept = await sweep(connection, self._clock.now()) if elected else Swept(0, more=False)
        metrics.ROWS_PRUNED.labels(table).inc(swept.rows)
        if not swept.more:
            self._rests_until[table] = self._clock.monotonic() + REST
        return swept.more

    async def run_dry(self) -> int:
        """Run every sweep until there is nothing left for it, whether it rests or not; return how many rows went."""
        gone = 0
        for sweep in self._sweeps.values():
            more = True
            while more:
                async with self._database.write() as connection:
                    swept = await sweep(connection, self._clock.now())
                gone += swept.rows
                more = swept.more
        return gone


def in_order_of_age(table: sa.Table, days: int) -> Sweep:
    """Return the sweep of an insert-only table with `id` and `at`, whose ids rise as time goes by."""
    key, at = table.c.id, table.c.at
    oldest = sa.select(key, at).order_by(key).limit(AT_ONCE)
    delete = sa.delete(table).where(
        key.between(sa.bindparam("first"), sa.bindparam("last")),
        at < sa.bindparam("cutoff", type_=at.type),
    )

    async def sweep(connection: Connection, now: datetime) -> Swept:
        cutoff = now - timedelta(days=days)
        past = [row.id for row in await connection.execute(oldest) if row.at < cutoff]
        if past:
            named = {"first": past[0], "last": past[-1], "cutoff": cutoff}
            await connection.execute(delete, named)
        # Clocks differ a little, so the last rows past their time may stand among younger ones.
        return Swept(len(past), more=len(past) > AT_ONCE // 2)

    return sweep


async def _elected(connection: Connection) -> bool:
    """Tell whether this transaction may prune. On SQLite the writing transaction itself is the election."""
    if connection.dialect.name != "postgresql":
        return True
    return bool(
        (await connection.execute(sa.select(sa.func.pg_try_advisory_xact_lock(_ELECTION)))).scalar_one()
    )
