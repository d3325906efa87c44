"""A whole notifier for tests: real databases, the outbox as its log, real HTTP in and out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from schemas.event import ReportEvent
from schemas.fhir import (
    BACKPORT_FILTER,
    BACKPORT_HEARTBEAT,
    BACKPORT_MAX_COUNT,
    BACKPORT_PAYLOAD_CONTENT,
    LATEST_ONLY,
    OURS,
)
from services.clock import Clock, SystemClock
from services.database import Database
from services.event_log_outbox import OutboxRows, OutboxSink, OutboxSource
from services.event_log_witness import FileWitness
from services.fhir_http import fhir_application
from services.lifecycle import Lifecycle
from services.notifier.wiring import MIGRATIONS, Notifier, open_notifier
from services.publisher.emit.relay import Relay
from services.publisher.store.tables import log_head, outbox, resource_version
from services.settings import Settings
from tests.outbox import SOURCE, Outbox, publisher_outbox
from tests.receiver import SUBSCRIPTIONS

REPORT_AVAILABLE = OURS + "SubscriptionTopic/report-available"


def contract(name: str) -> str:
    """The key of a contract."""
    return f"https://payer.example/Measure/{name}"


def classic(endpoint: str, of: str = "c1", *, payload: bool = True) -> dict[str, Any]:
    """A classic Subscription to the reports of a contract."""
    channel = {"type": "rest-hook", "endpoint": endpoint}
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "test",
        "criteria": f"MeasureReport?contract={contract(of)}",
        "channel": {**channel, "payload": "application/fhir+json"} if payload else channel,
    }


def topical(
    endpoint: str,
    *filters: str,
    content: str = "full-resource",
    max_count: int | None = None,
    heartbeat: int | None = None,
    latest_only: bool = False,
) -> dict[str, Any]:
    """A topic Subscription."""
    channel: dict[str, Any] = {
        "type": "rest-hook",
        "endpoint": endpoint,
        "payload": "application/fhir+json",
        "_payload": {"extension": [{"url": BACKPORT_PAYLOAD_CONTENT, "valueCode": content}]},
        "header": ["Authorization: Bearer s3cret"],
    }
    extensions: list[dict[str, Any]] = []
    if max_count is not None:
        extensions.append({"url": BACKPORT_MAX_COUNT, "valuePositiveInt": max_count})
    if heartbeat is not None:
        extensions.append({"url": BACKPORT_HEARTBEAT, "valueUnsignedInt": heartbeat})
    if latest_only:
        extensions.append({"url": LATEST_ONLY, "valueBoolean": True})
    if extensions:
        channel["extension"] = extensions
    resource: dict[str, Any] = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "test",
        "criteria": REPORT_AVAILABLE,
        "channel": channel,
    }
    if filters:
        resource["_criteria"] = {
            "extension": [{"url": BACKPORT_FILTER, "valueString": each} for each in filters]
        }
    return resource


@dataclass
class Notifying:
    """A running notifier and the publisher's end of its log."""

    settings: Settings
    clock: Clock
    outbox: Outbox
    relay: Relay
    notifier: Notifier | None = None
    client: TestClient[web.Request, web.Application] | None = None
    witness: Path | None = None
    """File by which it notices that its database was restored."""
    _lifecycle: Lifecycle | None = None
    _running: asyncio.Task[None] | None = None

    @property
    def database(self) -> Database:
        """The notifier's database."""
        assert self.notifier is not None
        return self.notifier._database

    async def start(self) -> None:
        """Start the notifier: routes and loops."""
        source = OutboxSource(
            self.outbox.database,
            OutboxRows(outbox, resource_version, SOURCE),
            log_head,
            self.relay.appended,
        )
        witness = None if self.witness is None else FileWitness(self.witness, source)
        self.notifier = await open_notifier(
            self.settings, self.clock, source, log_name="outbox", witness=witness
        )
        app = fhir_application(self.clock)
        self.notifier.mount(app)
        self.client = TestClient(TestServer(app))
        await self.client.start_server()
        self._lifecycle = Lifecycle(self.clock)
        for loop in self.notifier.loops:
            self._lifecycle.add(loop)
        self._running = asyncio.create_task(self._lifecycle.run())

    async def stop(self) -> None:
        """End the notifier in order."""
        assert self._lifecycle is not None
        assert self._running is not None
        assert self.notifier is not None
        assert self.client is not None
        self._lifecycle.stop()
        await self._running
        await self.notifier.close()
        await self.client.close()
        self.notifier = None

    async def subscribe(self, resource: dict[str, Any], status: int = 201) -> dict[str, Any]:
        """POST a Subscription and return what came back."""
        assert self.client is not None
        answer = await self.client.post("/fhir/Subscription", json=resource)
        found: dict[str, Any] = await answer.json()
        assert answer.status == status, found
        if status == 201:
            SUBSCRIPTIONS[found["id"]] = [found]
        return found

    async def replace(self, logical_id: str, resource: dict[str, Any]) -> dict[str, Any]:
        """PUT a Subscription and return what came back."""
        assert self.client is not None
        answer = await self.client.put(
            f"/fhir/Subscription/{logical_id}", json={**resource, "id": logical_id}
        )
        found: dict[str, Any] = await answer.json()
        assert answer.status == 200, found
        SUBSCRIPTIONS.setdefault(logical_id, []).append(found)
        return found

    async def get(self, logical_id: str) -> dict[str, Any]:
        """GET a Subscription."""
        assert self.client is not None
        found: dict[str, Any] = await (await self.client.get(f"/fhir/Subscription/{logical_id}")).json()
        return found

    async def publish(self, *contracts: str) -> list[ReportEvent]:
        """Accept one report for each contract named, and emit all."""
        events = [await self.outbox.accept(contract(name)) for name in contracts]
        while await self.relay.emit():
            pass
        return events


@contextlib.asynccontextmanager
async def notifying(
    publisher_url: str,
    notifier_url: str,
    clock: Clock | None = None,
    witness: Path | None = None,
    **settings: Any,
) -> AsyncIterator[Notifying]:
    """Run a notifier on two databases until the block ends."""
    clock = clock or SystemClock()
    options: dict[str, Any] = {
        "notifier_database_url": notifier_url,
        "allow_http_endpoints": True,
        "allow_private_endpoints": True,
        "poll_seconds": 0.05,
        "base_url": "https://vbpr.example/fhir",
    }
    made = Settings(**{**options, **settings})
    database = Database(notifier_url)
    await MIGRATIONS.upgrade(database)
    await database.close()
    async with publisher_outbox(publisher_url) as rows:
        relay = Relay(rows.database, OutboxSink(log_head), source=SOURCE, clock=clock)
        running = Notifying(made, clock, rows, relay, witness=witness)
        await running.start()
        try:
            yield running
        finally:
            if running.notifier is not None:
                await running.stop()
