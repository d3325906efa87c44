"""What strikes a process where it waits for something outside itself: nothing mostly, a pause, or its end.

Every seam (driver, log, endpoint) rolls here before and after it acts, so a process can be killed or frozen at
any await that leaves it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.simulation.chance import Chance
from tests.simulation.loop import Process, VirtualLoop, current

HOT = 20
"""How much likelier a fault is where something is at stake."""


class Fault(StrEnum):
    """What can happen."""

    KILL = "kill"
    FREEZE = "freeze"
    STOP = "stop"
    """An orderly end, as on SIGTERM."""
    CUT = "cut"
    """The connection to the database breaks."""
    LOST_ANSWER = "lost answer"
    """What was asked is done, and nobody hears of it."""
    SLOW_DISK = "slow disk"
    FULL_DISK = "full disk"
    CLOCK_JUMP = "clock jump"


@dataclass(frozen=True)
class Weather:
    """How bad it gets in one run."""

    faults: tuple[Fault, ...]
    """Those that may happen; one that is named twice happens twice as often."""
    often: float
    """Probability at each roll."""
    most: int
    """Faults in one run."""
    pause: float
    """Mean of an ordinary pause, in seconds."""


Strike = Callable[[Process, Fault], None]


@dataclass(eq=False)
class Dice:
    """Rolled at every seam, by the process whose code is running."""

    loop: VirtualLoop
    chance: Chance
    weather: Weather
    strike: Strike
    """Does what the dice cannot do themselves: kill, freeze, stop, jump."""
    calm: bool = True
    """Nothing happens but ordinary pauses: while a run is set up, and after its faults."""
    happened: Counter[str] = field(default_factory=Counter)
    slow_until: float = -1.0
    full_until: float = -1.0

    async def roll(self, place: str, *own: Fault, hot: bool = False) -> Fault | None:
        """Pass a place where a process waits; `own` are the faults that the caller itself can bring about.

        A hot place is one where something is at stake: most of a run is looking in vain, and strikes there show
        little. Returns what the caller shall bring about now. Does not return to a process that is killed here.
        """
        process = current()
        assert process is not None, "only processes roll dice"
        fault = self._draw(own, self.weather.often * (HOT if hot else 1))
        if fault is not None:
            self.happened[f"{fault} at {place}"] += 1
            match fault:
                case Fault.SLOW_DISK:
                    self.slow_until = self.loop.time() + self.chance.between(1, 60)
                case Fault.FULL_DISK:
                    self.full_until = self.loop.time() + self.chance.between(1, 30)
                case Fault.CUT | Fault.LOST_ANSWER:
                    return fault
                case _:
                    self.strike(process, fault)
                    await asyncio.sleep(0)  # noqa: TID251  # what was frozen or killed goes no further than here
        elif self.slow_until > self.loop.time():
            await self._pause(0.4)
        elif self.chance.happens(0.1):
            await self._pause(self.weather.pause)
        return None

    def _draw(self, own: tuple[Fault, ...], probability: float) -> Fault | None:
        if self.calm or self.happened.total() >= self.weather.most or not self.chance.happens(probability):
            return None
        fault = self.chance.one_of(self.weather.faults)
        return fault if fault not in {Fault.CUT, Fault.LOST_ANSWER} or fault in own else None

    async def _pause(self, mean: float) -> None:
        await asyncio.sleep(self.chance.about(mean))  # noqa: TID251  # virtual time: the loop is this run's own

    @property
    def full(self) -> bool:
        """Tell whether the disk takes nothing more."""
        return self.full_until > self.loop.time()

    def calm_down(self) -> None:
        """End every fault that goes on by itself."""
        self.calm = True
        self.slow_until = self.full_until = -1.0
