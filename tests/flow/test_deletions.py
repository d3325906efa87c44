"""From the DELETE of a payer to the endpoints of providers: who was told of a report hears that it is gone, once."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import aiohttp
import pytest

from schemas.fhir import BACKPORT_FILTER, OURS
from tests.conditions import eventually
from tests.notifying import classic, topical
from tests.processes import VbprProcesses
from tests.publishing import (
    OTHER_PROVIDER,
    PAYER,
    PROVIDER,
    bundle,
    contract,
    delete_entry,
    patch_entry,
    performance,
    put_entry,
)
from tests.receiver import Receiver, receiving

pytestmark = pytest.mark.slow

HEARS = {
    "classic": ["POST", "PUT"],
    "report-available": ["POST", "PUT", "DELETE"],
    "report-settled": ["POST", "PUT", "DELETE"],
    "report-corrected": ["PUT"],
    "report-withdrawn": ["DELETE"],
}
"""What each subscriber to the contract is told of a settled report that is patched and then deleted."""


def _subscription(name: str, url: str) -> dict[str, Any]:
    endpoint = f"{url}/{name}"
    if name == "classic":
        return classic(endpoint, "one")
    wanted = topical(endpoint)
    wanted["criteria"] = f"{OURS}SubscriptionTopic/{name}"
    only = {"url": BACKPORT_FILTER, "valueString": "MeasureReport?stage=settled"}
    return {**wanted, "_criteria": {"extension": [only]}}


def _entries(receiver: Receiver, name: str) -> list[dict[str, Any]]:
    """Return the entries of the reports that a subscriber was told of."""
    mine = [each for each in receiver.events() if each.path.endswith(f"/{name}")]
    return [entry for each in mine for entry in each.json["entry"][1:]]


def _told(receiver: Receiver, name: str) -> list[str]:
    if name == "classic":  # a classic notification is the report itself
        sent = [each for each in receiver.got if f"/{name}/" in each.path]
        return ["POST" if each.json["meta"]["versionId"] == "1" else "PUT" for each in sent]
    return [entry["request"]["method"] for entry in _entries(receiver, name)]


def _all_told(receiver: Receiver) -> bool:
    return all(len(_told(receiver, name)) >= len(methods) for name, methods in HEARS.items())


async def test_a_deletion_reaches_whoever_was_told(vbpr: VbprProcesses) -> None:
    serve = await asyncio.to_thread(vbpr.start, "serve")
    async with receiving() as receiver, aiohttp.ClientSession() as session:

        async def ask(method: str, path: str, body: Any = None) -> Any:
            async with session.request(method, f"{serve.fhir}{path}", json=body) as answer:
                assert answer.status < 300, await answer.text()
                return None if answer.status == 204 else await answer.json(content_type=None)

        parties = (PAYER, PROVIDER, OTHER_PROVIDER, contract())
        await ask("POST", "", bundle("transaction", *map(put_entry, parties)))
        for name in HEARS:
            await ask("POST", "/Subscription", _subscription(name, receiver.url))
        await ask("PUT", "/MeasureReport/report", performance(stage="settled"))
        score = {"op": "replace", "path": "/group/0/measureScore/value", "value": 4}
        await ask("POST", "", bundle("batch", patch_entry("MeasureReport/report", score)))
        await ask("POST", "", bundle("transaction", delete_entry("MeasureReport/report")))
        await eventually(partial(_all_told, receiver))
        # What comes after the deletion has come last: nobody is told of more in between.
        await ask("PUT", "/MeasureReport/last", performance("last", "settled", score=9))
        await eventually(lambda: len(_told(receiver, "classic")) == 3)
        await eventually(lambda: len(_told(receiver, "report-available")) == 4)
        told = {name: _told(receiver, name)[: len(methods)] for name, methods in HEARS.items()}
        assert told == HEARS
        assert len(_told(receiver, "report-withdrawn")) == 1
        assert [each.path.rpartition("/")[2] for each in receiver.got if "/classic/" in each.path] == [
            "report", "report", "last",
        ]  # fmt: skip
        (gone,) = _entries(receiver, "report-withdrawn")
        assert "resource" not in gone
        assert gone["request"]["url"] == "MeasureReport/report"
        assert gone["response"]["etag"] == 'W/"3"'
