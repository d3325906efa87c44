"""How do tests move time? By hand: nothing that sleeps on this clock wakes before the test says so."""

from __future__ import annotations

import asyncio
import heapq
import random
import types
from collections.abc import Generator
from datetime import UTC, datetime, timedelta

from services.clock import uuid7_from

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TURNS = 20
"""Turns of the event loop that whoever woke up gets before time moves on."""


class ManualClock:
    """A `services.clock.Clock` that stands still until `advance`; chance and identifiers repeat by seed."""

    def __init__(self, start: datetime = START, *, seed: int = 1) -> None:
        """Stand at `start`."""
        self._now = start
        self._elapsed = 0.0
        self._chance = random.Random(seed)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    @property
    def sleeping(self) -> int:
        """How many sleepers wait for time to move: what a test waits for before it advances."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await _turn()
            return
        future = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._count, future))
        await future

    def random(self) -> float:
        return self._chance.random()

    def uuid7(self) -> str:
        milliseconds = (self._now - _EPOCH) // timedelta(milliseconds=1)
        return uuid7_from(milliseconds, self._chance.randbytes(10))

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone, forwards or back, as an operator or a time server would."""
        self._now += timedelta(seconds=seconds)

    async def advance(self, seconds: float) -> None:
        """Move time forwards, stopping at every sleep that ends on the way so that the sleeper can act.

        Sleepers that need the disk or the network between two sleeps need more than the loop's turns given
        here: wait for their effect with `tests.conditions.eventually`.
        """
        end = self._elapsed + seconds
        await _turns()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._move_to(due)
            if not future.done():
                future.set_result(None)
            await _turns()
        self._move_to(end)

    def _move_to(self, elapsed: float) -> None:
        self._now += timedelta(seconds=elapsed - self._elapsed)
        self._elapsed = elapsed


@types.coroutine
def _turn() -> Generator[None, None, None]:
    yield


async def _turns() -> None:
    for _ in range(_TURNS):
        await _turn()
