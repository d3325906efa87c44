"""The guide's own MeasureReports run through the publisher, in any order and as one transaction.

What is derived is compared with a table that a person read out of the JSON (`official_examples`).
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from schemas.event import ReportEvent
from schemas.facets import token
from schemas.fhir import REPORT_KIND_SYSTEM, REPORT_STAGE_SYSTEM
from services.clock import SystemClock
from services.event_log import EventSource
from services.fhir_http import fhir_application
from services.publisher.wiring import MIGRATIONS, Publisher, open_database, open_embedded_publisher
from services.settings import Settings
from tests import guide
from tests.flow.official_examples import OFFICIAL_REPORTS, REVISED_REPORTS, OfficialReport

pytestmark = pytest.mark.guide

Client = TestClient[web.Request, web.Application]


def artifacts(*patterns: str) -> list[dict[str, Any]]:
    """The guide's resources whose file names match, in the order of their names."""
    assert guide.ARTIFACTS is not None
    folder: Path = guide.ARTIFACTS / "vbpr"
    return [orjson.loads(path.read_bytes()) for pattern in patterns for path in sorted(folder.glob(pattern))]


def parties() -> list[dict[str, Any]]:
    return artifacts("Measure-*.json", "Organization-*.json", "next/Group-*.json")


@pytest.fixture
async def publishing(
    database_url: str,
) -> AsyncIterator[tuple[Publisher, EventSource, Client]]:
    settings = Settings(publisher_database_url=database_url, base_url="https://vbpr.example/fhir")
    database = open_database(settings)
    await MIGRATIONS.upgrade(database)
    await database.close()
    publisher, source = await open_embedded_publisher(settings, SystemClock())
    app = fhir_application(SystemClock())
    publisher.mount(app)
    async with TestClient(TestServer(app)) as client:
        yield publisher, source, client
    await publisher.close()


async def put(client: Client, resources: Iterable[dict[str, Any]]) -> None:
    for resource in resources:
        answer = await client.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status in {200, 201}, (resource["id"], await answer.text())


async def emitted(publisher: Publisher, source: EventSource) -> list[ReportEvent]:
    """Every event not read so far, in the order of the log."""
    while await publisher.relay.emit():
        pass
    found: list[ReportEvent] = []
    while records := await source.read(100, 0.01):
        found += [record.event for record in records if record.event is not None]
    return found


def assert_told(events: list[ReportEvent], expected: Iterable[OfficialReport]) -> None:
    """Each expected report has exactly one event, which says of it what the table says."""
    by_id = {event.report_id: event for event in events}
    assert len(by_id) == len(events)
    rows = {row.id: row for row in expected}
    assert by_id.keys() == rows.keys()
    for report_id, row in rows.items():
        event = by_id[report_id]
        assert event.contract == row.contract, report_id
        assert event.facets.get("contract") == [row.contract], report_id
        assert event.facets["payer"] == [row.payer], report_id
        assert event.facets["provider"] == [row.provider], report_id
        assert event.facets["kind"] == [token(REPORT_KIND_SYSTEM, row.kind)], report_id
        assert event.facets["stage"] == [token(REPORT_STAGE_SYSTEM, row.stage)], report_id
        expected_parent = [] if row.parent is None else [row.parent]
        assert [str(p).rpartition("/")[2] for p in event.facets.get("parent", [])] == expected_parent, (
            report_id
        )


async def test_in_a_random_order_and_the_later_revision_over_it(
    publishing: tuple[Publisher, EventSource, Client],
) -> None:
    publisher, source, client = publishing
    source.seek({})
    await put(client, parties())
    reports = artifacts("MeasureReport-*.json")
    assert len(reports) == 28
    seed = random.SystemRandom().randrange(10**6)
    print(f"order by seed {seed}")  # noqa: T201  # pytest shows it when the test fails
    random.Random(seed).shuffle(reports)
    await put(client, reports)
    events = await emitted(publisher, source)
    assert_told(events, OFFICIAL_REPORTS)
    told = [event.report_id for event in events]
    for row in OFFICIAL_REPORTS:
        if row.parent is not None:
            assert told.index(row.parent) < told.index(row.id), f"{row.id} was told before its parent"

    later = artifacts("next/MeasureReport-*.json")
    assert len(later) == 4
    await put(client, later)
    again = await emitted(publisher, source)
    assert_told(again, [revised.report for revised in REVISED_REPORTS])
    assert {event.version for event in again} == {2}


async def test_as_one_transaction(publishing: tuple[Publisher, EventSource, Client]) -> None:
    publisher, source, client = publishing
    source.seek({})
    resources = [*artifacts("MeasureReport-*.json"), *parties()]
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "resource": resource,
                "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"},
            }
            for resource in resources
        ],
    }
    answer = await client.post("/fhir", json=bundle)
    said = await answer.json()
    assert answer.status == 200, said
    assert {entry["response"]["status"][:3] for entry in said["entry"]} == {"201"}
    assert_told(await emitted(publisher, source), OFFICIAL_REPORTS)
