"""Event logs from end to end for tests: reports accepted, relayed, and read as the notifier reads."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from schemas.event import ReportEvent
from services.clock import SystemClock
from services.event_log import EventSink, EventSource, Record
from services.event_log_kafka.cluster import KafkaLog
from services.event_log_kafka.sink import KafkaSink
from services.event_log_kafka.source import KafkaSource
from services.event_log_kafka.topic import ensure_topic
from services.event_log_outbox import OutboxRows, OutboxSink, OutboxSource
from services.publisher.emit.relay import Relay
from services.publisher.store.tables import log_head, outbox, resource_version
from tests.outbox import SOURCE, Outbox


@dataclass
class Log:
    """One event log from end to end: reports accepted, relayed, and readers of them."""

    outbox: Outbox
    relay: Relay
    new_source: Callable[[], EventSource]
    sink: EventSink
    sources: list[EventSource] = field(default_factory=list)

    async def publish(self, *contracts: str) -> list[ReportEvent]:
        """Accept one report for each contract named, and relay all."""
        events = [await self.outbox.accept(contract) for contract in contracts]
        await self.relay_all()
        return events

    async def relay_all(self) -> None:
        while await self.relay.emit():
            pass

    def reader(self, positions: dict[int, int] | None = None) -> Reader:
        source = self.new_source()
        self.sources.append(source)
        return Reader(source, dict(positions or {}))

    async def close(self) -> None:
        for source in self.sources:
            await source.close()
        await self.sink.close()


@dataclass
class Reader:
    """Reads as the notifier does: seeks after each change of the assignment, and keeps the positions."""

    source: EventSource
    positions: dict[int, int]
    held: frozenset[int] = frozenset()
    wait: float = 1.0

    async def round(self, at_most: int = 500) -> list[Record]:
        held = await self.source.assigned()
        if held != self.held:
            self.held = held
            self.source.seek({name: at for name, at in self.positions.items() if name in held})
        records = list(await self.source.read(at_most, self.wait))
        for record in records:
            self.positions[record.partition] = record.position + 1
        return records

    async def take(self, count: int, within: float = 30.0) -> list[Record]:
        """Return the next records, exactly `count` of them."""
        records: list[Record] = []
        async with asyncio.timeout(within):
            while len(records) < count:
                records += await self.round(at_most=count - len(records))
        return records

    async def settled(self) -> None:
        """Return once some partition is held and sought."""
        async with asyncio.timeout(30):
            while not self.held:
                assert await self.round() == []


def events_of(records: list[Record]) -> list[ReportEvent]:
    assert [record.poison for record in records] == [None] * len(records)
    return [record.event for record in records if record.event is not None]


def by_contract(events: list[ReportEvent]) -> dict[str, list[ReportEvent]]:
    found: dict[str, list[ReportEvent]] = defaultdict(list)
    for event in events:
        found[event.contract].append(event)
    return dict(found)


def outbox_end_to_end(accepted: Outbox) -> Log:
    """Return the log that is the publisher's outbox."""
    sink = OutboxSink(log_head)
    relay = Relay(accepted.database, sink, source=SOURCE, clock=SystemClock())
    rows = OutboxRows(outbox, resource_version, SOURCE)
    return Log(accepted, relay, lambda: OutboxSource(accepted.database, rows, log_head, relay.appended), sink)


async def kafka_end_to_end(accepted: Outbox, log: KafkaLog, **source: Any) -> Log:
    """Return the log that is a Kafka topic, made if it is not there; `source` are arguments of its readers."""
    await ensure_topic(log)
    sink = KafkaSink(log)
    relay = Relay(accepted.database, sink, source=SOURCE, clock=SystemClock())
    arguments = {"clock": SystemClock(), "group": log.topic, **source}
    return Log(accepted, relay, lambda: KafkaSource(log, **arguments), sink)


def new_topic() -> str:
    """Return a topic's name that nobody has used."""
    return f"test.{secrets.token_hex(6)}"
