"""How a process lives: named loops that retry, a pulse each that `/livez` reads, and an orderly end.

Every task has a name and an owner here. A loop that fails waits and goes on, so a database or a broker may
go and come back without a restart; a loop that says nothing for too long makes `/livez` fail, so that
whatever supervises the process restarts it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from services import logs, metrics
from services.clock import Clock
from services.wakeup import Wakeup

log = logs.get(__name__)

TELL_EVERY = 30.0
"""Seconds between two log lines of a loop that goes on failing in one way."""

Step = Callable[[], Awaitable[bool]]
"""One round of a loop; tells whether there may be more to do at once."""


@dataclass(slots=True)
class Loop:
    """A step that is run again and again: at once while it is busy, else when woken or after `idle` seconds."""

    name: str
    step: Step
    wake: Wakeup = field(default_factory=Wakeup)
    idle: float = 1.0
    patience: float = 60.0
    """Longest silence, in seconds, before `/livez` calls the loop stuck; a step has to stay well below."""
    last_beat: float = 0.0
    failing_since: float | None = None
    failure: str | None = None
    """What the last round failed with, by class name; `None` when it went well."""
    told: float = 0.0
    """When its failing was last logged."""

    def stuck(self, now: float) -> bool:
        """Tell whether nothing has been heard of the loop for longer than its patience."""
        return now - self.last_beat > self.patience


class Lifecycle:
    """Runs loops until told to stop, then lets each finish its round within the drain time."""

    def __init__(self, clock: Clock, *, drain_seconds: float = 20.0) -> None:
        """Start with no loops; `drain_seconds` bounds the orderly end."""
        self._clock = clock
        self._drain = drain_seconds
        self.loops: list[Loop] = []
        self.stopping = asyncio.Event()

    def add(self, loop: Loop) -> Loop:
        """Have the loop run from `run` on."""
        self.loops.append(loop)
        return loop

    def stop(self) -> None:
        """Begin the orderly end; `/readyz` answers 503 from here on."""
        self.stopping.set()
        for loop in self.loops:
            loop.wake.set()

    def stop_on_signals(self) -> None:
        """Make SIGTERM and SIGINT call `stop`."""
        running = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(number, self.stop)

    async def run(self) -> None:
        """Run every loop until `stop`; return when all have ended or the drain time is over."""
        tasks = [asyncio.create_task(self._run(loop), name=loop.name) for loop in self.loops]
        try:
            await self.stopping.wait()
            if tasks:
                await asyncio.wait(tasks, timeout=self._drain)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, loop: Loop) -> None:
        loop.last_beat = self._clock.monotonic()
        while not self.stopping.is_set():
            busy = False
            pause = loop.idle
            try:
                busy = await loop.step()
                self._went_well(loop)
            except Exception as failure:  # noqa: BLE001  # any failure of a round is retried; the loop must outlive it
                self._failed(loop, failure)
                pause = min(max(loop.idle, 0.2), 2.0)
            loop.last_beat = self._clock.monotonic()
            if not busy and not self.stopping.is_set():
                await loop.wake.wait(pause)

    def _failed(self, loop: Loop, failure: Exception) -> None:
        """Note it; log the first of a kind, and one now and then while it lasts."""
        metrics.LOOP_FAILURES.labels(loop.name).inc()
        now, name = self._clock.monotonic(), type(failure).__name__
        if loop.failing_since is None:
            loop.failing_since = now
        if name != loop.failure or now - loop.told >= TELL_EVERY:
            loop.told = now
            # The text of a database error may quote a row: class and place only, never the message.
            seconds = round(now - loop.failing_since, 1)
            log.warning(
                "loop_failed", loop=loop.name, failure=name, where=_where(failure), for_seconds=seconds
            )
        loop.failure = name

    def _went_well(self, loop: Loop) -> None:
        if loop.failing_since is not None:
            seconds = round(self._clock.monotonic() - loop.failing_since, 1)
            log.info("loop_goes_on", loop=loop.name, after_seconds=seconds)
        loop.failing_since = loop.failure = None

    def stuck(self) -> list[str]:
        """Return the names of the loops that have been silent for too long."""
        now = self._clock.monotonic()
        return [loop.name for loop in self.loops if loop.stuck(now)]


def _where(failure: BaseException) -> str:
    frame = failure.__traceback__
    place = "?"
    while frame is not None:
        code = frame.tb_frame.f_code
        if "services" in code.co_filename:
            place = f"{code.co_name}:{frame.tb_lineno}"
        frame = frame.tb_next
    return place
