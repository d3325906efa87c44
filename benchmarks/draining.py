"""One notifier in a process of its own, told when to begin and when to end; it says what it cost.

Its log has nothing in it: what is owed stands in its database already. On standard input a line begins and another
one ends it; on standard output a line says that it is open, and the last one what it did, as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from benchmarks.statements import counted
from services import logs
from services.clock import SystemClock
from services.event_log import Record
from services.event_loop import run_until_complete
from services.lifecycle import Lifecycle
from services.notifier import wiring as notifier
from services.settings import load
from services.wakeup import Wakeup


class EmptyLog:
    """An event log to which nothing is ever added."""

    def __init__(self) -> None:
        """Have one partition."""
        self.wake = Wakeup()

    async def assigned(self) -> frozenset[int]:
        """Return the one partition there is."""
        return frozenset({0})

    def seek(self, positions: Mapping[int, int]) -> None:
        """Stay where it is: every position is the end."""

    async def read(self, at_most: int, wait: float) -> Sequence[Record]:  # noqa: ARG002  # there is nothing
        """Wait, and return nothing."""
        await self.wake.wait(wait)
        return ()

    async def ends(self) -> Mapping[int, int]:
        """Return nothing to be behind of."""
        return {}

    async def close(self) -> None:
        """Hold nothing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What notifiers took, all together."""

    statements: int
    processor: float
    """Seconds of processor time, from the beginning on."""


@dataclass(slots=True)
class Draining:
    """Notifiers that are open and wait to begin."""

    processes: list[asyncio.subprocess.Process]

    async def begin(self) -> None:
        """Have them send."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(b"begin\n")
            await process.stdin.drain()

    async def end(self) -> Cost:
        """End them in order; return what they took."""
        statements, processor = 0, 0.0
        for process in self.processes:
            said, _ = await process.communicate(b"end\n")
            found = orjson.loads(said.splitlines()[-1])
            statements += found["statements"]
            processor += found["processor"]
        return Cost(statements, processor)


@contextlib.asynccontextmanager
async def draining(settings: Mapping[str, str], processes: int = 1) -> AsyncIterator[Draining]:
    """Open so many notifiers with these settings (`VBPR_…`)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VBPR_")}
    opened = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.draining",
            env=kept | dict(settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(processes)
    ]
    try:
        for process in opened:
            assert process.stdout is not None
            if await process.stdout.readline() != b"open\n":
                raise RuntimeError("a notifier that was to drain did not open")
        yield Draining(opened)
    finally:
        for process in opened:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _drain() -> None:
    logs.configure("json", "error")
    settings, clock = load(), SystemClock()
    opened = await notifier.open_notifier(settings, clock, EmptyLog(), log_name="empty")
    lifecycle = Lifecycle(clock)
    for loop in opened.loops:
        lifecycle.add(loop)
    gc.collect()
    gc.freeze()
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    with counted(opened._database) as statements:  # noqa: SLF001  # what is measured is what it does to its database
        before = _processor()
        task = asyncio.create_task(lifecycle.run())
        await asyncio.to_thread(sys.stdin.readline)
        lifecycle.stop()
        await task
        await opened.close()
    cost = {"statements": statements.total(), "processor": _processor() - before}
    print(orjson.dumps(cost).decode(), flush=True)


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    run_until_complete(_drain())
