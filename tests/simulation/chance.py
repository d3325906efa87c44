"""The one source of chance of a run, and the clocks of its processes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from services.clock import uuid7_from
from tests.simulation.loop import VirtualLoop

T = TypeVar("T")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Chance:
    """A named stream of the run's seed: what one part draws does not shift what the others do."""

    def __init__(self, seed: int, name: str) -> None:
        """Begin the stream `name` of a seed."""
        self._random = random.Random(f"{seed}/{name}")

    def happens(self, probability: float) -> bool:
        return self._random.random() < probability

    def between(self, least: float, most: float) -> float:
        return self._random.uniform(least, most)

    def whole(self, least: int, most: int) -> int:
        return self._random.randint(least, most)

    def one_of(self, choices: Sequence[T]) -> T:
        return self._random.choice(choices)

    def about(self, mean: float) -> float:
        """Return a positive time, mostly short and now and then long."""
        return min(self._random.expovariate(1 / mean), mean * 8)

    def number(self) -> float:
        return self._random.random()

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


class SimulatedClock:
    """A `services.clock.Clock` on virtual time. Its wall clock can be wrong; monotonic time never is."""

    def __init__(self, loop: VirtualLoop, chance: Chance) -> None:
        """Agree with the loop at first."""
        self._loop = loop
        self._chance = chance
        self.wrong = 0.0
        """Seconds by which the wall clock is off."""

    def now(self) -> datetime:
        return START + timedelta(seconds=round(self._loop.time() + self.wrong, 6))

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # noqa: TID251  # virtual time: the loop is this clock's own

    def random(self) -> float:
        return self._chance.number()

    def uuid7(self) -> str:
        milliseconds = (self.now() - _EPOCH) // timedelta(milliseconds=1)
        return uuid7_from(milliseconds, self._chance.bytes(10))
