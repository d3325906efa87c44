"""A whole publisher for tests: a real database, the outbox as its log, real HTTP in."""

from __future__ import annotations

import base64
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
from services.fhir_http import fhir_application
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

    async def delete(self, path: str, **headers: str) -> Answer:
        return await self.send("DELETE", path, **headers)

    async def patch(self, path: str, *operations: Resource, **headers: str) -> Answer:
        sent = {"Content-Type": "application/json-patch+json", **headers}
        return await self.send("PATCH", path, list(operations), **sent)

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
    app = fhir_application(used)
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


def contract(name: str = "one", **changes: Any) -> Resource:
    """A contract; the smallest that its profile accepts."""
    return _changed(
        {
            "resourceType": "Measure",
            "id": f"contract-{name}",
            "meta": {"profile": [_STRUCTURE + "vbp-measure"]},
            "extension": [
                {
                    "url": _STRUCTURE + "lob",
                    "valueCodeableConcept": _concept("https://nahdo.org/sopt", "1"),
                }
            ],
            "url": contract_url(name),
            "identifier": [{"system": "https://payer.example/contracts", "value": name}],
            "version": "1",
            "name": "Contract",
            "title": "A contract",
            "status": "active",
            "experimental": False,
            "publisher": "Payer",
            "description": "A contract.",
            "effectivePeriod": {"start": "2025-01-01", "end": "2025-12-31"},
            "relatedArtifact": [
                {
                    "extension": [
                        {
                            "url": _STRUCTURE + "contractual-status",
                            "valueCodeableConcept": _concept(
                                _VBPR + "CodeSystem/measure-contractual-status", "reporting-only"
                            ),
                        }
                    ],
                    "type": "composed-of",
                    "resource": "https://measures.example/Measure/eyes|2.1",
                }
            ],
            "group": [{"code": _metric("weighted-avg-star")}],
        },
        changes,
    )


def performance(id_: str = "report", stage: str | None = None, **changes: Any) -> Resource:
    """A performance report about the contract; `score` and `lists` are words of our own."""
    score, lists = changes.pop("score", 3), changes.pop("lists", ())
    report = {
        "resourceType": "MeasureReport",
        "id": id_,
        "meta": _meta("vbp-performance-measurereport", stage),
        "extension": [CATEGORY],
        "status": "complete",
        "type": "summary",
        "measure": contract_url(),
        "subject": subject("Organization/provider"),
        "date": "2026-02-03",
        "reporter": {"reference": "Organization/payer"},
        "period": {"start": "2025-01-01", "end": "2025-12-31"},
        "group": [{"id": "stars", "code": _metric("weighted-avg-star"), "measureScore": {"value": score}}],
    }
    if lists:
        report["evaluatedResource"] = [{"reference": f"MeasureReport/{each}"} for each in lists]
    return _changed(report, changes)


def served(report: Resource, start: str, end: str, paid_through: str) -> Resource:
    """Return a performance report whose first metric says when what it is about was served and paid."""
    url = f"{_VBPR}StructureDefinition"
    said = [
        {"url": f"{url}/service-period", "valuePeriod": {"start": start, "end": end}},
        {"url": f"{url}/paid-through-date", "valueDate": paid_through},
    ]
    first, *others = report["group"]
    return {**report, "group": [{**first, "extension": said}, *others]}


def quality(id_: str = "eyes", stage: str | None = None, **changes: Any) -> Resource:
    """A quality report; `score` and `gap`, to four stars, are words of our own."""
    score, gap = changes.pop("score", 0.5), changes.pop("gap", None)
    return _changed(
        {
            "resourceType": "MeasureReport",
            "id": id_,
            "meta": _meta("vbp-quality-measurereport", stage),
            "extension": [
                {
                    "url": "http://hl7.org/fhir/us/davinci-deqm/StructureDefinition/extension-measureScoring",
                    "valueCodeableConcept": _concept(
                        "http://terminology.hl7.org/CodeSystem/measure-scoring", "proportion"
                    ),
                },
                *([] if gap is None else [threshold(gap)]),
            ],
            "status": "complete",
            "type": "summary",
            "measure": "https://measures.example/Measure/eyes|2.1",
            "date": "2026-02-03",
            "reporter": {"reference": "Organization/payer"},
            "period": {"start": "2025-01-01", "end": "2025-12-31"},
            "improvementNotation": _concept(
                "http://terminology.hl7.org/CodeSystem/measure-improvement-notation", "increase"
            ),
            "group": [
                {
                    "population": [
                        {
                            "code": _concept(
                                "http://terminology.hl7.org/CodeSystem/measure-population", code
                            ),
                            "count": count,
                        }
                        for code, count in (("initial-population", 10), ("denominator", 10), ("numerator", 5))
                    ],
                    "measureScore": {"value": score},
                }
            ],
        },
        changes,
    )


def threshold(gap: float, of: str = "star-4") -> Resource:
    """A threshold with the gap to it."""
    return {
        "url": _STRUCTURE + "threshold",
        "extension": [
            {"url": "threshold", "valueDecimal": 78},
            {"url": "type", "valueCodeableConcept": _concept(_VBPR + "CodeSystem/threshold-type", of)},
            {"url": "gapToThreshold", "valueDecimal": gap},
        ],
    }


def subject(organisation: str) -> Resource:
    """A subject that names the provider organisation in the extension."""
    return {
        "display": "Provider",
        "extension": [
            {"url": _STRUCTURE + "organization-subject", "valueReference": {"reference": organisation}}
        ],
    }


def group(id_: str, manager: str) -> Resource:
    """A Group that an organisation manages: the later way to name the provider."""
    return {
        "resourceType": "Group",
        "id": id_,
        "type": "person",
        "actual": True,
        "managingEntity": {"reference": manager},
    }


def bundle(kind: str, *entries: Resource) -> Resource:
    """A batch or transaction."""
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def put_entry(resource: Resource, **request: str) -> Resource:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url, **request}}


def post_entry(resource: Resource, full_url: str | None = None, **request: str) -> Resource:
    sent = {name: value for name, value in resource.items() if name != "id"}
    named = {} if full_url is None else {"fullUrl": full_url}
    return {
        **named,
        "resource": sent,
        "request": {"method": "POST", "url": resource["resourceType"], **request},
    }


def delete_entry(url: str, **request: str) -> Resource:
    return {"request": {"method": "DELETE", "url": url, **request}}


def get_entry(url: str, **request: str) -> Resource:
    return {"request": {"method": "GET", "url": url, **request}}


def patch_entry(url: str, *operations: Resource, **request: str) -> Resource:
    """A PATCH of a Bundle: its operations come as a Binary."""
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}
    return {"resource": binary, "request": {"method": "PATCH", "url": url, **request}}


def _meta(profile: str, stage: str | None) -> Resource:
    tag = {} if stage is None else {"tag": [{"system": REPORT_STAGE_SYSTEM, "code": stage}]}
    return {"profile": [_STRUCTURE + profile], **tag}


def _metric(code: str) -> Resource:
    return _concept(_VBPR + "CodeSystem/vbp-performance-metric", code)


def _concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def _changed(resource: Resource, changes: Resource) -> Resource:
    """A change of `None` takes an element away."""
    return {name: value for name, value in {**resource, **changes}.items() if value is not None}
