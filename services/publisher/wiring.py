"""How is a publisher put together? The only module of it that names concrete classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa
from aiohttp import web

from services import metrics
from services.clock import Clock
from services.database import Bounds, Database, Migrations
from services.event_log import EventSink, EventSource
from services.event_log_outbox import OutboxRows, OutboxSink, OutboxSource
from services.lifecycle import Loop
from services.publisher.accept.http import FhirServer
from services.publisher.accept.limits import Limits
from services.publisher.accept.pressure import Pressure
from services.publisher.derive import StageMapping, stage_mapping
from services.publisher.emit.again import Repeater
from services.publisher.emit.backlog import measure
from services.publisher.emit.birth import AtBirth
from services.publisher.emit.relay import Relay
from services.publisher.retention import sweeps
from services.publisher.store.tables import log_head, outbox, report, resource_version
from services.publisher.store.write import Writer
from services.readiness import database_trouble
from services.retention import IDLE, Pruner, Sweep
from services.settings import Settings, SettingsError
from services.statistics import IDLE as STATISTICS_IDLE
from services.statistics import Statistics

_QUALITY_WAITING = sa.select(sa.func.count()).select_from(report).where(report.c.waits)
MIGRATIONS = Migrations(Path(__file__).parent / "migrations", "publisher_version")


@dataclass(frozen=True, slots=True)
class Publisher:
    """A publisher, ready to be mounted and run."""

    database: Database
    server: FhirServer
    relay: Relay
    sink: EventSink
    loops: tuple[Loop, ...]

    def mount(self, app: web.Application) -> None:
        """Add the FHIR routes at the path of the base URL."""
        app.add_routes(self.server.routes(urlsplit(self.server.base_url).path))

    async def ready(self) -> dict[str, str | None]:
        """Return each check of `/readyz` with what is wrong, `None` when nothing is."""
        pressure = self.server.pressure
        return {
            "publisher_database": await database_trouble(self.database),
            "outbox": f"{pressure.pending} events wait, {pressure.limit} are allowed"
            if pressure.full
            else None,
        }

    async def close(self) -> None:
        """Let go of the log and the database."""
        await self.sink.close()
        await self.database.close()


async def open_embedded_publisher(settings: Settings, clock: Clock) -> tuple[Publisher, EventSource]:
    """Build a publisher whose outbox is the event log, and the reader's end of that log.

    Raises:
        DatabaseStateError, SettingsError: as `open_publisher` says.
    """
    sink = OutboxSink(log_head)
    publisher = await _open(settings, clock, sink)
    publisher.server.writer.placing = AtBirth(sink, publisher.relay.appended)
    rows = OutboxRows(outbox, resource_version, settings.fhir_base)
    source = OutboxSource(publisher.database, rows, log_head, publisher.relay.appended)
    kept = sweeps(settings, lambda: source.needed_from)
    return _pruned(publisher, clock, kept), source


async def open_publisher(settings: Settings, clock: Clock, sink: EventSink) -> Publisher:
    """Build a publisher that emits to `sink`, on the settings' database, which must be at its head.

    Raises:
        DatabaseStateError: the database is empty or of another version; says what to do.
        SettingsError: a payer's stage tags name something that is no stage.
    """
    return _pruned(await _open(settings, clock, sink), clock, sweeps(settings))


def _pruned(publisher: Publisher, clock: Clock, kept: Mapping[str, Sweep]) -> Publisher:
    pruner = Pruner(publisher.database, clock, kept)
    loop = Loop("publisher retention", pruner.step, idle=IDLE)
    return replace(publisher, loops=(*publisher.loops, loop))


async def _open(settings: Settings, clock: Clock, sink: EventSink) -> Publisher:
    try:
        stages = stage_mapping(settings.stage_tags)
    except ValueError as wrong:
        raise SettingsError(f"VBPR_STAGE_TAGS: {wrong}") from None
    opened = open_database(settings)
    try:
        await MIGRATIONS.require_head(opened)
    except BaseException:
        await opened.close()
        raise
    return await _put_together(settings, clock, sink, opened, stages)


async def _put_together(
    settings: Settings, clock: Clock, sink: EventSink, opened: Database, stages: StageMapping
) -> Publisher:
    base_url = settings.fhir_base
    relay = Relay(opened, sink, source=base_url, clock=clock)
    repeater = Repeater(relay, opened, sink, source=base_url, clock=clock, every=settings.poll_seconds)
    # One loop for both: a sink is asked by one at a time.
    emit = Loop("emit", repeater.emit, idle=settings.poll_seconds)
    pressure = Pressure(settings.outbox_limit)
    writer = Writer(opened, clock, base_url, stages, emit.wake)
    limits = Limits(settings.max_report_bytes, settings.max_bundle_bytes, settings.max_json_depth)

    async def watch_outbox() -> bool:
        pressure.pending = (await measure(opened, clock)).pending
        await _measure_waiting(opened)
        return False

    await watch_outbox()
    return Publisher(
        opened,
        FhirServer(opened, writer, clock, base_url, limits, pressure),
        relay,
        sink,
        (
            emit,
            Loop("outbox gauges", watch_outbox, idle=settings.poll_seconds),
            Loop("publisher statistics", Statistics(opened).step, idle=STATISTICS_IDLE),
        ),
    )


def open_database(settings: Settings) -> Database:
    """Open the publisher's database; nothing is connected yet."""
    return Database(
        settings.database_url("publisher"),
        pool_size=settings.database_pool_size,
        schema_name="publisher's database",
        bounds=Bounds(settings.database_idle_seconds, settings.database_transaction_seconds),
    )


async def _measure_waiting(database: Database) -> None:
    async with database.read() as tx:
        metrics.QUALITY_WAITING.set((await tx.execute(_QUALITY_WAITING)).scalar_one())
