"""What is owed, put into a notifier's database by its own steps: Subscriptions stored, events enqueued."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa

from benchmarks.reports import SMALL, Reports
from schemas.event import EventType, ReportEvent
from schemas.fhir import BACKPORT_MAX_COUNT, BACKPORT_PAYLOAD_CONTENT, OURS
from services.clock import Clock
from services.database import Database
from services.event_log import Record
from services.notifier import tables as t
from services.notifier.enqueue.enqueue import Matched, enqueue
from services.notifier.model import LaneState, Status
from services.notifier.subscriptions.admission import admit
from services.notifier.subscriptions.channels import EndpointPolicy
from services.notifier.subscriptions.store import SubscriptionStore
from services.principal import LOCAL

BASE = "https://vbpr.example/fhir"
TOPIC = OURS + "SubscriptionTopic/report-available"
Content: TypeAlias = Literal["id-only", "full-resource"]
_EVENTS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Load:
    """So many topic Subscriptions, each owed the same events."""

    subscriptions: int
    events: int
    content: Content
    batch: int
    """Most events in one notification."""

    @property
    def notifications(self) -> int:
        """How many are owed in all."""
        return self.subscriptions * self.events

    def __str__(self) -> str:
        """Name the load in a table."""
        lanes = f"{self.subscriptions} subscription{'s' if self.subscriptions > 1 else ''}"
        return f"{lanes}, {self.content}, {f'by {self.batch}' if self.batch > 1 else 'singly'}"


async def subscribe(database: Database, clock: Clock, load: Load, urls: list[str]) -> list[str]:
    """Store the Subscriptions, as they are once their handshake was answered; return their ids.

    They are spread over the endpoints in turn.
    """
    store = SubscriptionStore(database, clock)
    policy = EndpointPolicy(allow_http=True, allow_private=True)
    ids = []
    for number in range(load.subscriptions):
        resource = _resource(load, f"{urls[number % len(urls)]}/hook")
        ids.append(
            (await store.create(LOCAL, admit(resource, base_url=BASE, policy=policy, now=clock.now()))).id
        )
    async with database.write() as connection:
        await connection.execute(sa.update(t.subscription).values(status=Status.ACTIVE))
        await connection.execute(sa.update(t.lane).values(state=LaneState.OPEN, due_at=None))
    return ids


async def owe(database: Database, clock: Clock, load: Load, subscriptions: list[str]) -> None:
    """Enqueue the events for every Subscription, through a log of their own."""
    reports = Reports(SMALL)
    at: dict[int, int | None] = {0: None}
    for start in range(0, load.events, _EVENTS_AT_ONCE):
        numbers = range(start, min(start + _EVENTS_AT_ONCE, load.events))
        batch = [
            Matched(Record(0, number, event(reports, number, clock)), tuple(subscriptions))
            for number in numbers
        ]
        at |= (await enqueue(database, clock, "backlog", at, batch)).positions


def event(reports: Reports, number: int, clock: Clock) -> ReportEvent:
    """Return the event of report `number`."""
    return ReportEvent(
        id=clock.uuid7(),
        type=EventType.PUBLISHED,
        source=BASE,
        subject=f"MeasureReport/bench-{number}/_history/1",
        time=clock.now(),
        contract=reports.contract,
        interaction="create",
        facets={"contract": [reports.contract]},
        previous_facets=None,
        body=reports.make(number),
    )


def _resource(load: Load, url: str) -> dict[str, Any]:
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "measured",
        "criteria": TOPIC,
        "channel": {
            "extension": [{"url": BACKPORT_MAX_COUNT, "valuePositiveInt": load.batch}],
            "type": "rest-hook",
            "endpoint": url,
            "payload": "application/fhir+json",
            "_payload": {"extension": [{"url": BACKPORT_PAYLOAD_CONTENT, "valueCode": load.content}]},
        },
    }
