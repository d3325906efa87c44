"""What if the wall clock was wrong when a try was put off? Nobody waits for a time that has been taken back.

A lane is due at a time of day. When the clock is put back, by an hour or by days, what was put off before would
wait that much longer, without a word. So the waits move with the clock. A clock that is put forward needs
nothing: what waits is tried early.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from services import logs, metrics
from services.clock import Clock
from services.database import Database
from services.notifier.tables import lane

log = logs.get(__name__)

IDLE: Final = 1.0
"""Seconds between two looks at the clock."""

_TOLERANCE: Final = timedelta(seconds=1)
_LONGEST: Final = 12 * 3600.0
"""Longest wait that there is, with room: what is due later was put off by a clock that was wrong."""
_SWEEP: Final = 600.0
"""Seconds between two looks for such lanes; where the clock is the database's, they are all we see of it."""

_MOVE: Final = sa.text(
    "UPDATE lane SET due_at = due_at - :back, resend_due_at = resend_due_at - :back"
    " WHERE due_at IS NOT NULL OR resend_due_at IS NOT NULL"
)
"""On SQLite, where times are microseconds."""


class ClockJumps:
    """The loop step that compares the wall clock with the monotonic one."""

    def __init__(self, database: Database, clock: Clock, *, longest: float = 0.0) -> None:
        """Take the longest wait between two tries, in seconds, if it is longer than usual."""
        self._database = database
        self._clock = clock
        self._longest = max(_LONGEST, 2 * longest)
        self._seen: tuple[datetime, float] = (clock.now(), clock.monotonic())
        self._swept: float | None = None

    async def step(self) -> bool:
        """Move the waits if the clock was put back; never has more to do at once."""
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        wall_before, monotonic_before = self._seen
        forward = (wall - wall_before) - timedelta(seconds=monotonic - monotonic_before)
        if abs(forward) > _TOLERANCE:
            await self._jumped(forward)
        if abs(forward) > _TOLERANCE or self._swept is None or monotonic - self._swept > _SWEEP:
            await self._sweep()
            self._swept = monotonic
        self._seen = (wall, monotonic)
        return False

    async def _jumped(self, forward: timedelta) -> None:
        if forward < timedelta() and not self._database.keeps_time:
            async with self._database.write() as connection:
                await connection.execute(_MOVE, {"back": -forward // timedelta(microseconds=1)})
        metrics.CLOCK_JUMPS.labels("forward" if forward > timedelta() else "back").inc()
        log.warning("clock_jumped", seconds=forward.total_seconds())

    async def _sweep(self) -> None:
        now, late = self._database.now(self._clock), self._database.after(self._clock, self._longest)
        async with self._database.write() as connection:
            for column in (lane.c.due_at, lane.c.resend_due_at):
                await connection.execute(sa.update(lane).where(column > late).values({column.name: now}))
