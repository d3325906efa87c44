"""How many reports a second are made durable, beside an aiohttp handler that does nothing?

Three ways: eight clients each POST one report after another; the same with transactions of a hundred; and
`vbpr publish` of an NDJSON file. A `vbpr serve` process takes them, and emits, matches and keeps the events
meanwhile. Then it is killed (`kill -9`), started again and asked for every report that had been accepted. What one
core could take is told by the processor time a report took: others may be at work on the machine.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks import bare
from benchmarks.publishing import prepare
from benchmarks.reports import LARGE, SMALL, Reports
from benchmarks.result import Result, run
from benchmarks.servers import BACKENDS, Backend, Place, Vbpr, place
from benchmarks.wire import Connection
from services.clock import SystemClock

CLIENTS = 8
TOGETHER = 100
"""Reports in a transaction."""
_WARM = 100
"""Reports of a run that are not timed, so that statements are compiled and connections made."""
MEDIUM = 38_000
_LEAST = {SMALL: 1000, LARGE: 200}
"""Single creates a second expected of one core."""
_LEAST_NDJSON = {SMALL: 2000}


async def measure(result: Result, quick: bool) -> None:
    """Accept reports of three sizes in three ways on both databases."""
    with place() as somewhere:
        result.figure("the disk: 4 KB written and synchronised", syncs(somewhere.folder / "sync"), "1/s")
    for size, count in ((SMALL, 5_000), (MEDIUM, 1_500), (LARGE, 1_000)):
        if quick and size == MEDIUM:
            continue
        bodies = [Reports(size).make(number) for number in range(_WARM + count)]
        some = bodies[: _WARM + count // 5] if quick else bodies
        async with bare.empty_handler() as url:
            ceiling, _ = await _post(url, some)
        for backend in BACKENDS:
            for way, send in _WAYS:
                if quick and way == NDJSON and size != SMALL:
                    continue
                # The command's own start takes half a second: with a few reports it would be most of the time.
                sent = bodies if way == NDJSON else some
                await _accept(result, (way, send), backend, sent, (size, ceiling))


async def _accept(
    result: Result, way: tuple[str, Any], backend: Backend, bodies: Sequence[bytes], beside: tuple[int, float]
) -> None:
    size, ceiling = beside
    name, send = way
    case = f"{backend}, {round(len(bodies[0]) / 1000)} KB, {name}"
    with place() as somewhere:
        vbpr = somewhere.vbpr(
            "serve",
            VBPR_PUBLISHER_DATABASE_URL=somewhere.database(backend),
            VBPR_NOTIFIER_DATABASE_URL=somewhere.database(backend),
        )
        vbpr.start()
        await prepare(vbpr.url)
        await _post(vbpr.url, bodies[:_WARM], warm=0)
        before = cpu_seconds(vbpr)
        rate, created = await send(somewhere, vbpr, bodies[_WARM:])
        each = (cpu_seconds(vbpr) - before) / (len(bodies) - _WARM)
        vbpr.process.kill()
        vbpr.start()
        result.close(case, await _missing(vbpr.url, created, len(bodies) - _WARM))
        vbpr.process.stop()
    result.share(case, rate, "reports/s", ceiling)
    least = (_LEAST_NDJSON if name == NDJSON else _LEAST if name == SINGLY else {}).get(size)
    if least is None:
        result.figure(f"{case}: processor time", each * 1000, "ms")
    else:
        result.at_most(f"{case}: processor time", each * 1000, "ms", 1000 / least)


def cpu_seconds(vbpr: Vbpr) -> float:
    """Return the processor time that a process has taken so far."""
    fields = Path(f"/proc/{vbpr.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _singly(_place: Place, vbpr: Vbpr, bodies: Sequence[bytes]) -> tuple[float, list[str]]:
    return await _post(vbpr.url, bodies, warm=0)


async def _together(_place: Place, vbpr: Vbpr, bodies: Sequence[bytes]) -> tuple[float, list[str]]:
    """POST transactions; return the reports a second, and where each report is."""
    created: list[str] = []
    clock = SystemClock()

    async def client(mine: Sequence[bytes]) -> None:
        connection = Connection(vbpr.url)
        for body in mine:
            reply = await connection.send("POST", "/fhir", body)
            if reply.status != 200:
                raise RuntimeError(f"answered {reply.status}: {reply.body[:500].decode()}")
            created.extend(entry["response"]["location"] for entry in orjson.loads(reply.body)["entry"])
        connection.close()

    started = clock.monotonic()
    await _all(client, [_transaction(bodies[at : at + TOGETHER]) for at in range(0, len(bodies), TOGETHER)])
    return len(bodies) / (clock.monotonic() - started), created


def _transaction(bodies: Sequence[bytes]) -> bytes:
    request = {"method": "POST", "url": "MeasureReport"}
    entries = [{"resource": orjson.Fragment(body), "request": request} for body in bodies]
    return orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})


async def _ndjson(somewhere: Place, vbpr: Vbpr, bodies: Sequence[bytes]) -> tuple[float, list[str]]:
    """Publish a file by the command, its start included; return the reports a second, and where each is."""
    file = somewhere.folder / "reports.ndjson"
    file.write_bytes(b"\n".join(bodies))
    command = somewhere.vbpr("publish", str(file), "--url", f"{vbpr.url}/fhir", "--quiet")
    clock = SystemClock()
    started = clock.monotonic()
    await asyncio.to_thread(command.run)
    seconds = clock.monotonic() - started
    ids = [orjson.loads(body)["id"] for body in bodies]
    return len(bodies) / seconds, [f"{vbpr.url}/fhir/MeasureReport/{id_}" for id_ in ids]


SINGLY, NDJSON = "singly", "NDJSON by vbpr publish"
_WAYS = ((SINGLY, _singly), (f"transactions of {TOGETHER}", _together), (NDJSON, _ndjson))


def syncs(path: Path) -> float:
    """Return how often a second a file can be written to and synchronised, one after the other."""
    clock = SystemClock()
    with path.open("wb", buffering=0) as file:
        started = clock.monotonic()
        for _ in range(200):
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
    return 200 / (clock.monotonic() - started)


async def _post(url: str, bodies: Sequence[bytes], warm: int = _WARM) -> tuple[float, list[str]]:
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

    await _all(client, bodies[:warm])
    started = clock.monotonic()
    await _all(client, bodies[warm:])
    return (len(bodies) - warm) / (clock.monotonic() - started), created


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
