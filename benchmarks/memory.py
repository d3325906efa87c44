"""Does `vbpr serve` grow? Resident memory, minute by minute, while reports come at a steady rate and are delivered.

Reports of 6 KB, each of a period of its own, to one Subscription. The reports stand in files; what is compared is
the memory of the process in the last minute with that in its tenth, when caches are full.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from dataclasses import dataclass, field

from benchmarks.publishing import OpenLoop, prepare, subscribe
from benchmarks.reports import SMALL, Reports
from benchmarks.result import Result, run
from benchmarks.servers import Vbpr, place
from benchmarks.sink import running_sink
from services.clock import SystemClock

RATE = 200
MOST = 1.05
"""How many times its memory of the tenth minute the process may have in the last."""
MINUTES, SETTLED = 60, 10
_EVERY = 5.0
"""Seconds between two looks at the memory."""


@dataclass(slots=True)
class Watch:
    """What the process held, by the minute."""

    serve: Vbpr
    minutes: list[list[float]] = field(default_factory=lambda: [[]])

    async def look(self) -> None:
        """Note the memory every few seconds, until cancelled."""
        clock = SystemClock()
        started = clock.monotonic()
        while True:
            await clock.sleep(_EVERY)
            minute = int((clock.monotonic() - started) / 60)
            while len(self.minutes) <= minute:
                self.minutes.append([])
            self.minutes[minute].append(self.serve.memory())

    def of(self, minute: int) -> float:
        """Return the MB of a minute, counted from 1; the last one if it never came."""
        held = [each for each in self.minutes if each]
        return statistics.median(held[min(minute, len(held)) - 1])


async def measure(result: Result, quick: bool, minutes: float) -> None:
    """Publish at the rate for so long, and compare."""
    minutes = min(minutes, 2) if quick else minutes
    async with running_sink() as sink:
        with place() as somewhere:
            serve = somewhere.vbpr("serve")
            serve.start()
            idle, reports = serve.memory(), Reports(SMALL)
            await prepare(serve.url)
            await sink.forget()
            subscription = await subscribe(serve.url, reports.contract, f"{sink.urls[0]}/hook")
            loop, watch = OpenLoop(serve.url, reports, at_once=64), Watch(serve)
            looking = asyncio.create_task(watch.look(), name="memory")
            clock = SystemClock()
            started = clock.monotonic()
            while clock.monotonic() - started < minutes * 60:
                await loop.run(RATE, RATE * 10)
            took = clock.monotonic() - started
            looking.cancel()
            count = len(loop.due)
            ledger = await sink.ledger(count, within=120)
            result.close("serve", ledger.faults({subscription: count}))
            loop.close()
    result.figure(f"reports published, of {RATE} a second asked for", count / took, "reports/s")
    result.figure("memory, idle", idle, "MB")
    settled = min(SETTLED, max(1, int(minutes / 3)))
    before, after = watch.of(settled), watch.of(len(watch.minutes))
    result.figure(f"memory, minute {settled}", before, "MB")
    case = f"memory, minute {len(watch.minutes)}"
    result.figure(case, after, "MB")
    if minutes >= 2 * SETTLED:
        result.at_most(f"{case} beside minute {settled}", after / before, "times", MOST)
    else:
        result.notes.append(f"{minutes:g} minutes: caches still fill, so nothing is expected of the growth")


if __name__ == "__main__":
    sys.exit(run("memory", __doc__, measure, minutes=MINUTES))
