"""Processes as an operator has them: put together by production's wiring, started, ended, started again.

Only driver, log, socket and clock are other than production's: `furnish` puts them where the wirings find them.
One SQLite file that several processes share stands for a PostgreSQL: each process has its own `Database`, and
all go by the server's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

import services.notifier.wiring as notifier_wiring
import services.publisher.wiring as publisher_wiring
from services.clock import Clock
from services.database import Database
from services.event_log import EventSource
from services.lifecycle import Lifecycle, Loop
from services.notifier.send import claims, sender
from services.notifier.wiring import Notifier, open_notifier
from services.publisher.wiring import Publisher, open_embedded_publisher, open_publisher
from services.settings import Settings
from tests.simulation.chance import Chance, SimulatedClock
from tests.simulation.dice import Dice, Fault
from tests.simulation.disk import Disk
from tests.simulation.kafka import SimulatedKafka, SimulatedSink, SimulatedSource
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.receivers import Receivers, SimulatedHooks

T = TypeVar("T")
RARE = (
    "clock",
    "gauges",
    "consumer lag",
    "outbox gauges",
    "retention",
    "publisher retention",
    "status timers",
)
"""Loops that measure, or work on a scale of days: they look rarely here."""


class UnansweredError(Exception):
    """Nobody knows what became of a request."""


class ServedDatabase(Database):
    """A database that several processes share: its server's clock tells the time, whatever theirs say."""

    served_by: Clock
    keeps_time = True

    def time(self, clock: Clock) -> datetime | None:  # noqa: ARG002  # the server's own is asked
        return super().time(self.served_by)

    def after(self, clock: Clock, seconds: float) -> sa.ColumnElement[datetime]:  # noqa: ARG002  # the server's own is asked
        return super().after(self.served_by, seconds)


@dataclass(eq=False)
class Site:
    """What the processes of a run share."""

    loop: VirtualLoop
    chance: Chance
    settings: Settings
    folder: Path
    dice: Dice
    disk: Disk
    receivers: Receivers
    kafka: SimulatedKafka | None
    """`None`: one machine, whose outbox is the log."""
    server_clock: SimulatedClock
    ahead: int
    """Batches that a lane may send before their record."""

    def furnish(self) -> None:
        """Have both wirings take this run's databases and endpoints instead of the machine's own."""
        _stand_in(publisher_wiring, "open_database", lambda _: self.database("publisher"))
        _stand_in(notifier_wiring, "open_database", lambda _: self.database("notifier"))
        _stand_in(
            notifier_wiring,
            "RestHookClient",
            lambda clock, **_: SimulatedHooks(self.receivers, self.dice, clock),
        )
        for module in (claims, sender):
            _stand_in(module, "AHEAD", self.ahead)
        if self.kafka is not None:
            # The file stands for a server here: it is nobody's own.
            _stand_in(notifier_wiring, "release_all", _nothing)

    def database(self, name: str) -> Database:
        url = f"sqlite+aiosqlite:///{self.folder / name}.sqlite"
        if self.kafka is None:
            return Database(url, driver=self.disk.connect)
        served = ServedDatabase(url, driver=self.disk.connect)
        served.served_by = self.server_clock
        return served


async def _nothing(*_: Any) -> None:
    return


def _stand_in(module: Any, name: str, by: Any) -> None:
    assert hasattr(module, name), f"{module.__name__} has no {name} any more"
    setattr(module, name, by)


@dataclass(eq=False)
class Machine:
    """One process of an operator's; it comes back after each end."""

    name: str
    site: Site
    roles: frozenset[str]
    clock: SimulatedClock
    process: Process | None = None
    publisher: Publisher | None = None
    notifier: Notifier | None = None
    lifecycle: Lifecycle | None = None
    frozen_at: list[tuple[float, float]] = field(default_factory=list)
    """From, until."""
    ended: list[Process] = field(default_factory=list)
    """Kept until the run ends, so that nothing of them is collected and cleaned up after all."""

    @property
    def up(self) -> bool:
        """Tell whether it answers."""
        process = self.process
        ready = self.notifier is not None or self.publisher is not None
        return ready and process is not None and process.alive and not process.frozen

    def start(self) -> None:
        """Start it as a new process."""
        process = self.process = Process(f"{self.name}#{len(self.ended) + 1}")
        self.site.loop.begin(self._live(process), process.name, process)

    async def _live(self, process: Process) -> None:
        try:
            await self._boot()
            assert self.lifecycle is not None
            await self.lifecycle.run()
            for service in (self.notifier, self.publisher):
                if service is not None:
                    await service.close()
        except Exception as failure:  # noqa: BLE001  # whatever it dies of, it is started again
            self.site.dice.happened[f"{self.name} died of {type(failure).__name__}"] += 1
        self._gone(process)

    async def _boot(self) -> None:
        site, clock = self.site, self.clock
        source: EventSource
        loops: list[Loop] = []
        if site.kafka is None:
            self.publisher, source = await open_embedded_publisher(site.settings, clock)
            self.notifier = await open_notifier(site.settings, clock, source, log_name="outbox")
        elif "publisher" in self.roles:
            self.publisher = await open_publisher(site.settings, clock, SimulatedSink(site.kafka, site.dice))
        else:
            source = SimulatedSource(site.kafka, site.dice)
            self.notifier = await open_notifier(site.settings, clock, source, log_name="kafka")
        for service in (self.publisher, self.notifier):
            loops += () if service is None else service.loops
        self.lifecycle = Lifecycle(clock)
        for loop in loops:
            if loop.name in RARE:
                loop.idle = 120.0
            self.lifecycle.add(loop)

    def kill(self) -> None:
        """End it as `kill -9` does, and have it started again."""
        process = self.process
        if process is not None and process.alive:
            self.site.loop.kill(process)
            self._gone(process)

    def stop(self) -> None:
        """End it as SIGTERM does."""
        if self.lifecycle is not None and self.up:
            self.lifecycle.stop()

    def freeze(self, seconds: float) -> None:
        """Stop it as SIGSTOP does, until SIGCONT."""
        process, loop = self.process, self.site.loop
        if process is None or not process.alive or process.frozen:
            return
        loop.freeze(process)
        self.frozen_at.append((loop.time(), loop.time() + seconds))
        loop.begin(self._thaw_after(process, seconds), "thaw")

    async def _thaw_after(self, process: Process, seconds: float) -> None:
        await asyncio.sleep(seconds)  # noqa: TID251  # virtual time: the loop is this run's own
        self.thaw(process)

    def thaw(self, process: Process | None) -> None:
        """Let it go on."""
        if process is not None and process.frozen and process.alive:
            self.site.loop.thaw(process)

    def _gone(self, process: Process) -> None:
        self.site.disk.died(process)
        self.ended.append(process)
        process.alive = False
        self.publisher = self.notifier = self.lifecycle = None
        self.process = None
        seconds = 0.1 if self.site.dice.calm else self.site.chance.between(0.1, 30)
        self.site.loop.begin(self._start_after(seconds), f"start {self.name}")

    async def _start_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # noqa: TID251  # virtual time: the loop is this run's own
        self.start()

    async def call(self, work: Callable[[Machine], Coroutine[Any, Any, T]], at_most: float = 30.0) -> T:
        """Do something in it as a request would, and wait for its answer.

        Raises:
            UnansweredError: it is down, or did not answer in time, or its answer was lost.
        """
        site = self.site
        if not self.up:
            await asyncio.sleep(1)  # noqa: TID251  # virtual time: the loop is this run's own
            raise UnansweredError
        task = site.loop.spawn(work(self), f"request to {self.name}", self.process)
        done, _ = await asyncio.wait({task}, timeout=at_most)
        if not done or (not site.dice.calm and site.chance.happens(0.05)):
            raise UnansweredError
        return task.result()


def strike(machines: list[Machine], chance: Chance) -> Callable[[Process, Fault], None]:
    """Return what does to a process what dice cannot."""

    def strikes(process: Process, fault: Fault) -> None:
        for machine in machines:
            if machine.process is process:
                _strike(machine, fault, chance)

    return strikes


def _strike(machine: Machine, fault: Fault, chance: Chance) -> None:
    match fault:
        case Fault.KILL:
            machine.kill()
        case Fault.STOP:
            machine.stop()
        case Fault.FREEZE:
            process = machine.process
            # Shorter than a lease, or longer than that.
            machine.freeze(chance.between(1, 60) if chance.happens(0.4) else chance.between(100, 400))
            if chance.happens(0.5):  # its server has hung up by the time it wakes
                machine.site.disk.cut(process)
        case Fault.CLOCK_JUMP:
            machine.clock.wrong += chance.between(-600, 1200)
        case _:
            raise AssertionError(f"{fault} is the seam's own")
