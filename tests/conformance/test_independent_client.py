"""A stranger subscribes, reads what it is sent with a library of its own, fails, comes back and misses nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from schemas import examples
from schemas.fhir import OURS
from tests.conditions import eventually
from tests.independent import IndependentClient, independent_client
from tests.processes import VbprProcess, VbprProcesses

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TOPIC = OURS + "SubscriptionTopic/report-available"
_ENOUGH = 60.0
_TWO_VERSIONS = "Multiple matches in bundle"
"""A history may carry two versions of one report. What names it as focus names no version, as in the guide's examples."""


class Payer:
    """Publishes the project's own example reports, one version after the other."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base
        self.contract = str(orjson.loads(examples.contracts()[0].read_bytes())["url"])
        reports = (orjson.loads(file.read_bytes()) for file in examples.reports())
        self._left = [each for each in reports if str(each["measure"]).partition("|")[0] == self.contract]
        self.published: list[str] = []

    async def prepare(self) -> None:
        for file in (*examples.parties(), *examples.contracts()):
            await self._put(orjson.loads(file.read_bytes()))

    async def publish(self, count: int) -> None:
        """Publish so many versions, each with another digit so that none is a repeat."""
        for _ in range(count):
            report = self._left.pop(0)
            self._left.append(report)
            report = {**report, "date": f"2025-0{len(self.published) % 9 + 1}-01"}
            stored = await self._put(report)
            self.published.append(f"{stored['id']}/{stored['meta']['versionId']}")

    async def _put(self, resource: dict[str, Any]) -> dict[str, Any]:
        url = f"{self._base}/{resource['resourceType']}/{resource['id']}"
        async with self._session.put(url, json=resource) as answer:
            found: dict[str, Any] = await answer.json()
            assert answer.status in {200, 201}, found
            return found


@pytest.fixture
def serve(vbpr: VbprProcesses) -> VbprProcess:
    return vbpr.start("serve", environment={"VBPR_RETRY_SCHEDULE": "[0.3, 0.3]", "VBPR_POLL_SECONDS": "0.1"})


@pytest.fixture
async def payer(serve: VbprProcess) -> AsyncIterator[Payer]:
    async with aiohttp.ClientSession() as session:
        made = Payer(session, serve.fhir)
        await made.prepare()
        yield made


def told(client: IndependentClient) -> list[tuple[int, str]]:
    """Return what it took, event number and report version each, first copies alone."""
    found: dict[int, str] = {}
    for each in client.told("event-notification"):
        if each["taken"]:
            for number, report in zip(each["numbers"], each["reports"], strict=True):
                found.setdefault(number, report)
    return list(found.items())


@pytest.mark.requirement("R-071", "R-074", "R-076", "R-080", "R-123", "R-124", "R-150")
async def test_a_stranger_is_activated_fails_asks_again_and_gets_what_it_missed_in_order(
    serve: VbprProcess, payer: Payer, tmp_path: Path
) -> None:
    async with independent_client(serve.fhir, tmp_path) as client:
        made = await client.tell("subscribe", TOPIC, f"contract={payer.contract}", "full-resource")
        assert (made["http"], made["status"], made["problems"]) == (201, "requested", [])
        await eventually(lambda: len(client.told("handshake")) == 1, within=_ENOUGH)
        await payer.publish(2)
        await eventually(lambda: len(told(client)) == 2, within=_ENOUGH)

        await client.tell("down")
        await payer.publish(3)
        standing = await until_status(client, made["id"], "error")
        assert standing["since"] == "5", "events are counted in error too"

        await client.tell("up")
        again = await client.tell("reactivate", made["id"])
        assert (again["http"], again["problems"]) == (200, [])
        await eventually(lambda: len(told(client)) == 5, within=_ENOUGH)
        assert told(client) == list(enumerate(payer.published, start=1))
        second = client.told("handshake")[1]
        assert second["status"] == "requested"

        events = await client.tell("events", made["id"], "3", "5")
        assert (events["type"], events["numbers"]) == ("query-event", [3, 4, 5])
        assert events["reports"] == payer.published[2:]
        said = [problem for each in (*client.received, standing, events) for problem in each["problems"]]
        assert [each for each in said if _TWO_VERSIONS not in each] == [], (
            "what HAPI and its validator object to"
        )


async def until_status(client: IndependentClient, subscription: str, status: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def reached() -> bool:
        found.update(await client.tell("status", subscription))
        return bool(found["status"] == status)

    await eventually(reached, within=_ENOUGH)
    return found
