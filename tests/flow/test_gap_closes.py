"""From a quality report to the provider who waits for its gap to close: told once, and again only once it was open."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from schemas.fhir import OURS
from tests.conditions import eventually
from tests.notifying import topical
from tests.processes import VbprProcesses
from tests.publishing import (
    PAYER,
    PROVIDER,
    Resource,
    bundle,
    contract,
    performance,
    put_entry,
    quality,
)
from tests.receiver import Receiver, receiving

pytestmark = pytest.mark.slow

OTHER = "https://measures.example/Measure/feet|1"


def _told(receiver: Receiver) -> list[str]:
    """Return id and version of each report that was told, in order."""
    reports = [entry["resource"] for each in receiver.events() for entry in each.json["entry"][1:]]
    return [f"{each['id']}/{each['meta']['versionId']}" for each in reports]


async def test_a_gap_that_closes_is_told_once(vbpr: VbprProcesses) -> None:
    serve = await asyncio.to_thread(vbpr.start, "serve")
    async with receiving() as receiver, aiohttp.ClientSession() as session:

        async def ask(method: str, path: str, body: Any = None) -> Any:
            async with session.request(method, f"{serve.fhir}{path}", json=body) as answer:
                assert answer.status < 300, await answer.text()
                return await answer.json(content_type=None)

        async def publish(*reports: Resource) -> None:
            await ask("POST", "", bundle("transaction", *map(put_entry, reports)))

        await ask("POST", "", bundle("transaction", *map(put_entry, (PAYER, PROVIDER, contract()))))
        wanted = topical(receiver.url, "threshold-gap=star-4$le0")
        made = await ask(
            "POST", "/Subscription", {**wanted, "criteria": f"{OURS}SubscriptionTopic/metric-threshold"}
        )

        await publish(performance("march", lists=["eyes", "feet"]), quality("eyes", gap=3))
        await publish(quality("eyes", gap=0))
        await publish(quality("eyes", gap=-1, score=0.6))
        await publish(quality("feet", gap=4, measure=OTHER))  # another measure is no predecessor of eyes
        period = {"start": "2025-01-01", "end": "2025-06-30"}
        june = performance("june", lists=["eyes-june", "feet-june"], period=period)
        # The year to date goes on under other ids: closed still for the eyes, now also for the feet.
        await publish(
            june,
            quality("eyes-june", gap=-2, period=period),
            quality("feet-june", gap=0, measure=OTHER, period=period),
        )
        await publish(quality("eyes-june", gap=2, period=period))
        await publish(quality("eyes-june", gap=0, score=0.7, period=period))
        expected = ["eyes/2", "feet-june/1", "eyes-june/3"]
        await eventually(lambda: len(_told(receiver)) >= len(expected))
        assert _told(receiver) == expected

        why = await ask("GET", f"/Subscription/{made['id']}/$explain?report=MeasureReport/eyes")
        fires = next(each for each in why["parameter"] if each["name"] == "fires")
        assert fires["valueBoolean"] is False
        counted = await ask("GET", f"/Subscription/{made['id']}/$preview")
        fired = next(each for each in counted["parameter"] if each["name"] == "fired")
        assert next(value for name, value in fired.items() if name != "name") == len(expected)
        found = await ask("GET", "/MeasureReport?threshold-gap=star-4$le0&_summary=count")
        assert found["total"] == 3
