"""The disk is full: intake says "later", `/readyz` says why, nothing is lost, and all goes on when there is room."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.conditions import eventually
from tests.faults.payer import parties_and_contracts, reports, varied
from tests.faults.scene import DELIVERY, Scene, scene
from tests.processes import VbprProcess, VbprProcesses

FULL = 64 * 1024
"""Bytes beyond which no file of the process can be written: less than its files are long."""


@pytest.mark.timeout(120)
async def test_a_full_disk_stops_intake_and_delivery_and_nothing_else(
    vbpr: VbprProcesses, tmp_path: Path
) -> None:
    serve = await asyncio.to_thread(vbpr.start, "serve", environment=DELIVERY)
    async with scene(tmp_path, serve.fhir, serve.process.environment or {}) as here:
        topic = await here.subscribe(serve.fhir, "topic")
        classic = await here.subscribe(serve.fhir, "classic")
        before, after = reports()[:11], [*reports()[11:], *varied(reports()[-1], 5)]
        await here.payer.publish(*parties_and_contracts(), *before)
        await here.told({topic: 10})
        limit(serve, FULL)

        status, answer = await put(here, after[0])
        assert status == 503
        assert answer["issue"][0]["code"] == "transient"
        checks = await eventually(lambda: ready(here, serve, 503), what="that /readyz tells")
        assert "cannot be written to" in checks["publisher_database"]
        assert "cannot be written to" in checks["notifier_database"]
        assert (await ask(here, f"{serve.admin}/livez"))[0] == 200, "a restart would not make room"
        assert (await ask(here, f"{serve.fhir}/MeasureReport?_count=1"))[0] == 200, "what is there is served"

        publishing = asyncio.create_task(here.payer.publish(*after))
        await refused_again(here, serve)
        limit(serve, resource.RLIM_INFINITY)
        await publishing
        await eventually(lambda: ready(here, serve, 200), within=20, what="that /readyz is well again")
        await here.told({topic: 17 + 5, classic: 4 + 5}, within=60)
        await here.settled()
        await here.closes()
        assert serve.process.exit_code is None, "it went on by itself"


def limit(process: VbprProcess, size: int) -> None:
    """Let the process write files up to so many bytes; a write beyond fails, as on a full disk."""
    _, hard = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (size, hard))


async def put(here: Scene, text: str) -> tuple[int, Any]:
    headers = {"Content-Type": "application/fhir+json"}
    url = f"{here.payer.fhir}/MeasureReport/refused"
    report = orjson.loads(text) | {"id": "refused"}
    async with here.session.put(url, data=orjson.dumps(report), headers=headers) as answer:
        return answer.status, await answer.json()


async def ask(here: Scene, url: str) -> tuple[int, Any]:
    async with here.session.get(url) as answer:
        return answer.status, await answer.json()


async def ready(here: Scene, process: VbprProcess, expected: int) -> dict[str, str]:
    status, said = await ask(here, f"{process.admin}/readyz")
    assert status == expected, said
    return dict(said["checks"])


async def refused_again(here: Scene, process: VbprProcess) -> None:
    """Wait until the process has refused what is being published, and written nothing."""
    accepted = len(here.payer.accepted)
    seen = process.log().count("database_unavailable")
    await eventually(
        lambda: process.log().count("database_unavailable") > seen + 3, within=30, what="refusals"
    )
    assert len(here.payer.accepted) == accepted
