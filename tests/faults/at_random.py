"""Faults at points that nobody chose: reports come without a pause, receivers fail, processes are killed."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from services.cli.listen.reading import Reading
from tests.conditions import eventually
from tests.faults.manners import REFUSALS
from tests.faults.payer import parties_and_contracts, reports, versions
from tests.faults.scene import DELIVERY, Scene
from tests.processes import VbprProcess
from tests.simulation.chance import Chance

SEED = "VBPR_FAULTS_SEED"
"""Environment variable that has a run draw what an earlier one drew; when things happen is not in its power."""

WITHOUT_LONG_WAITS = {
    **DELIVERY,
    "VBPR_RETRY_SCHEDULE": f"[0.1, 0.2, {', '.join(['0.5'] * 400)}]",
    "VBPR_HANDSHAKE_SCHEDULE": f"[{', '.join(['0.2'] * 100)}]",
}
"""A receiver that fails now and then is tried again at once, and never parked."""

_LEAD = 60
"""Most reports ahead of what the receiver has taken: a payer that outran everyone would test patience only."""
_BETWEEN_FAULTS = (1, 40)
"""How much happens between two faults: answers to payers and requests at the receiver, together."""


def drawn_seed() -> int:
    """Return the seed that was asked for or a new one, and say which."""
    seed = int(os.environ.get(SEED) or secrets.randbits(32))
    print(f"{SEED}={seed}")  # noqa: T201  # pytest shows it with a failure
    return seed


def unsteady(chance: Chance, probability: float) -> Callable[[Reading], Awaitable[int]]:
    """Return a receiver's `before` that refuses requests, handshakes too, with this probability."""

    async def before(_reading: Reading) -> int:
        return chance.one_of(REFUSALS) if chance.happens(probability) else 200

    return before


async def after_more(chance: Chance, progress: Callable[[], int], within: float = 60) -> None:
    """Wait until a random bit more has happened."""
    target = progress() + chance.whole(*_BETWEEN_FAULTS)
    await eventually(lambda: progress() >= target, within=within, what="that anything goes on")


@dataclass(slots=True)
class Traffic:
    """Reports of three contracts, published without a pause until `end`."""

    here: Scene
    topic: str
    """Subscription that tells how far the receiver is."""
    lead: int = _LEAD
    _ended: bool = False
    _read: int = 0
    _taken: set[int] = field(default_factory=set)

    @property
    def progress(self) -> int:
        """Everything that the world outside has seen happen, counted."""
        return len(self.here.payer.accepted) + len(self.here.endpoint.entries)

    def end(self) -> None:
        """Have each contract's payer stop after the report it is at."""
        self._ended = True

    async def run(self) -> None:
        """Publish the examples, then version after version of three of them, side by side."""
        await self.here.payer.publish(*parties_and_contracts(), *reports())
        async with asyncio.TaskGroup() as payers:
            for text in (reports()[13], reports()[18], reports()[19]):
                payers.create_task(self._follow(versions(text)))

    async def _follow(self, texts: Iterator[str]) -> None:
        while not self._ended:
            await eventually(self._room, within=90, what="that the receiver is told")
            await self.here.payer.publish(next(texts))

    def _room(self) -> bool:
        entries = self.here.endpoint.entries
        for entry in entries[self._read :]:
            if entry.reading.subscription == self.topic and entry.answered == 200:
                self._taken.update(entry.reading.numbers)
        self._read = len(entries)
        return self._ended or len(self.here.payer.accepted) - len(self._taken) < self.lead


@dataclass(slots=True)
class Killer:
    """Kills processes with `kill -9`, and starts each again at once."""

    chance: Chance
    progress: Callable[[], int]
    kills: int = 0
    _starting: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    async def kill(self, processes: Sequence[VbprProcess], count: int) -> None:
        """Kill so many times, one of the processes each time, after a random bit of progress."""
        for _ in range(count):
            await after_more(self.chance, self.progress)
            await self.kill_one(self.chance.one_of(processes))
        await self.revived()

    async def kill_one(self, process: VbprProcess) -> None:
        """Kill it, as soon as it is ready if it was killed before; return while it starts again."""
        await self.ready(process)
        await asyncio.to_thread(process.kill)
        self.kills += 1
        self._starting[process.port] = asyncio.create_task(
            asyncio.to_thread(process.start, 60), name="start it again"
        )

    async def ready(self, process: VbprProcess) -> None:
        """Wait until it is ready again."""
        if (starting := self._starting.pop(process.port, None)) is not None:
            await starting

    async def revived(self) -> None:
        """Wait until everything that was killed is ready again."""
        await asyncio.gather(*self._starting.values())
        self._starting.clear()
