"""A whole publisher for tests: a real database, the outbox as its log, real HTTP in."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from schemas.event import EventType, Interaction
from schemas.facets import Facets
from schemas.fhir import REPORT_STAGE_SYSTEM
from services.clock import Clock, SystemClock
from services.database import Database
from services.event_log_outbox import OutboxSink
from services.fhir_http import fhir_middleware
from services.publisher.store.tables import log_head, metadata, outbox
from services.publisher.wiring import MIGRATIONS, Publisher, open_publisher
from services.settings import Settings

BASE = "https://publisher.example/fhir"
FHIR = {"Content-Type": "application/fhir+json"}

Resource = dict[str, Any]


@dataclass(frozen=True)
class Emitted:
    """One row of the outbox, as far as a reader of the log is concerned with it."""

    id: str
    type: EventType
    subject: str
    contract: str
    interaction: Interaction
    facets: Facets
    previous: Facets | None


@dataclass
class Answer:
    """A response, read."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Resource:
        return json.loads(self.text)  # type: ignore[no-any-return]  # a FHIR resource

    @property
    def issues(self) -> list[tuple[str, str, str | None]]:
        """Severity, code and expression of each issue."""
        return [
            (issue["severity"], issue["code"], (issue.get("expression") or [None])[0])
            for issue in self.json["issue"]
        ]

    @property
    def said(self) -> str:
        return " ".join(issue["diagnostics"] for issue in self.json["issue"])


@dataclass
class Publishing:
    """A publisher and a client that speaks to it."""

    publisher: Publisher
    client: TestClient[web.Request, web.Application]

    @property
    def database(self) -> Database:
        return self.publisher.database

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request below the base; header names have `_` for `-`."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(method, f"/fhir{path}", data=data, headers={**FHIR, **named}) as got:
            return Answer(got.status, got.headers, await got.text())

    async def put(self, resource: Resource, **headers: str) -> Answer:
        return await self.send("PUT", f"/{resource['resourceType']}/{resource['id']}", resource, **headers)

    async def post(self, resource: Resource, **headers: str) -> Answer:
        return await self.send("POST", f"/{resource['resourceType']}", resource, **headers)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.send("GET", path, **headers)

    async def ids(self, query: str) -> list[str]:
        """Return the ids a search on MeasureReport finds, in its order."""
        found = await self.get(f"/MeasureReport?{query}")
        assert found.status == 200, found.text
        return [entry["resource"]["id"] for entry in found.json.get("entry", [])]

    async def prepare(self) -> None:
        """Store a payer, two providers and a contract."""
        for resource in (PAYER, PROVIDER, OTHER_PROVIDER, contract()):
            answer = await self.put(resource)
            assert answer.status == 201, answer.text

    async def emitted(self) -> list[Emitted]:
        """Return every event of the outbox in the order of their numbers."""
        async with self.database.read() as tx:
            rows = await tx.execute(sa.select(outbox).order_by(outbox.c.number))
            return [
                Emitted(
                    row.event_id,
                    EventType(row.event_type),
                    f"{row.report_id}/{row.version}",
                    row.contract,
                    row.interaction,
                    json.loads(row.facets),
                    None if row.previous_facets is None else json.loads(row.previous_facets),
                )
                for row in rows
            ]

    async def counts(self) -> dict[str, int]:
        """Return how many rows every table has: nothing changed, nothing stored."""
        async with self.database.read() as tx:
            return {
                table.name: (await tx.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
                for table in metadata.sorted_tables
            }


@contextlib.asynccontextmanager
async def publishing(url: str, clock: Clock | None = None, **overrides: Any) -> AsyncIterator[Publishing]:
    """Migrate an empty database and open a publisher on it; its loops do not run."""
    settings = Settings(base_url=BASE, publisher_database_url=url, **overrides)
    database = Database(url)
    await MIGRATIONS.upgrade(database)
    await database.close()
    used = clock or SystemClock()
    publisher = await open_publisher(settings, used, OutboxSink(log_head))
    app = web.Application(middlewares=[fhir_middleware(used)])
    publisher.mount(app)
    try:
        async with TestClient(TestServer(app)) as client:
            yield Publishing(publisher, client)
    finally:
        await publisher.close()


def organisation(id_: str, npi: str) -> Resource:
    return {
        "resourceType": "Organization",
        "id": id_,
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": npi}],
        "active": True,
        "name": id_,
    }


PAYER = organisation("payer", "1000000001")
PROVIDER = organisation("provider", "1000000002")
OTHER_PROVIDER = organisation("other-provider", "1000000003")

_VBPR = "http://hl7.org/fhir/us/davinci-vbpr/"
_STRUCTURE = _VBPR + "StructureDefinition/"
CATEGORY = {
    "url": "http://hl7.org/fhir/StructureDefinition/measurereport-category",
    "valueCodeableConcept": {
        "coding": [{"system": "http://hl7.org/fhir/CodeSystem/measurereport-category", "code": "vbp"}]
    },
}


def contract_url(name: str = "one") -> str:
    return f"https://payer.example/Measure/{name}"
