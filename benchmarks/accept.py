"""How many reports a second are made durable, beside an aiohttp handler that does nothing?

Eight clients each POST one report after another to a `vbpr serve` process, which emits, matches and keeps the
events meanwhile. Then the process is killed (`kill -9`), started again and asked for every report it had
answered 201 for.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from benchmarks import bare
from benchmarks.publishing import prepare
from benchmarks.reports import LARGE, SMALL, Reports
from benchmarks.result import Result, run
from benchmarks.servers import BACKENDS, Backend, place
from benchmarks.wire import Connection
from services.clock import SystemClock

CLIENTS = 8
_WARM = 100
"""Reports of a run that are not timed, so that statements are compiled and connections made."""


async def measure(result: Result, quick: bool) -> None:
    """Accept small and large reports on both databases."""
    with place() as somewhere:
        result.figure("the disk: 4 KB written and synchronised", syncs(somewhere.folder / "sync"), "1/s")
    for size, count in ((SMALL, 5_000), (LARGE, 1_000)):
        bodies = [Reports(size).make(number) for number in range(_WARM + (count // 5 if quick else count))]
        async with bare.empty_handler() as url:
            ceiling, _ = await _post(url, bodies)
        for backend in BACKENDS:
            await _accept(result, backend, bodies, ceiling)


async def _accept(result: Result, backend: Backend, bodies: Sequence[bytes], ceiling: float) -> None:
    case = f"{backend}, {round(len(bodies[0]) / 1000)} KB"
    with place() as somewhere:
        vbpr = somewhere.vbpr(
            "serve",
            VBPR_PUBLISHER_DATABASE_URL=somewhere.database(backend),
            VBPR_NOTIFIER_DATABASE_URL=somewhere.database(backend),
        )
        vbpr.start()
        await prepare(vbpr.url)
        rate, created = await _post(vbpr.url, bodies)
        vbpr.process.kill()
        vbpr.start()
        result.close(case, await _missing(vbpr.url, created, len(bodies)))
        vbpr.process.stop()
    result.share(case, rate, "creates/s", ceiling)


def syncs(path: Path) -> float:
    """Return how often a second a file can be written to and synchronised, one after the other."""
    clock = SystemClock()
    with path.open("wb", buffering=0) as file:
        started = clock.monotonic()
        for _ in range(200):
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
    return 200 / (clock.monotonic() - started)


async def _post(url: str, bodies: Sequence[bytes]) -> tuple[float, list[str]]:
    """POST every report; return the creates a second after the warm-up, and where each report is."""
    created: list[str] = []
    clock = SystemClock()

    async def client(mine: Sequence[bytes]) -> None:
        connection = Connection(url)
        for body in mine:
            reply = await connection.send("POST", "/fhir/MeasureReport", body)
            if reply.status != 201:
                raise RuntimeError(f"answered {reply.status}: {reply.body[:500].decode()}")
            created.append(reply.header("Location"))
        connection.close()

    await _all(client, bodies[:_WARM])
    started = clock.monotonic()
    await _all(client, bodies[_WARM:])
    return (len(bodies) - _WARM) / (clock.monotonic() - started), created


async def _all(
    client: Callable[[Sequence[bytes]], Coroutine[Any, Any, None]], bodies: Sequence[bytes]
) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(client(bodies[number::CLIENTS]))


async def _missing(url: str, created: list[str], sent: int) -> list[str]:
    """Say which of the reports that were answered 201 are not there."""
    connection = Connection(url)
    lost = 0
    for location in created:
        reply = await connection.send("GET", location.removeprefix(url))
        lost += reply.status != 200
    connection.close()
    out = [f"{lost} of {len(created)} reports answered 201 are not there after kill -9"] if lost else []
    if len(set(created)) != sent:
        out.append(f"{sent} reports sent, {len(set(created))} places told")
    return out


if __name__ == "__main__":
    sys.exit(run("accept", __doc__, measure))
