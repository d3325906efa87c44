"""The notifier put together: the only module that names its concrete parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from schemas.capability import capability_statement
from services.clock import Clock
from services.database import Bounds, Database, Migrations
from services.event_log import EventSource
from services.event_log_witness import Witness
from services.fhir_http import json_response
from services.lifecycle import Loop
from services.notifier.consume.freshness import LiveIndex
from services.notifier.consume.intake import Intake
from services.notifier.record.verdict import RetryPolicy
from services.notifier.retention import sweeps
from services.notifier.send.claims import release_all
from services.notifier.send.client import HookClient, RestHookClient
from services.notifier.send.delivery import Delivery
from services.notifier.send.endpoints import Endpoints
from services.notifier.send.jumps import IDLE as CLOCK_IDLE
from services.notifier.send.jumps import ClockJumps
from services.notifier.send.leases import Leases
from services.notifier.send.notices import Notices
from services.notifier.send.sender import Sender
from services.notifier.subscriptions.channels import EndpointPolicy
from services.notifier.subscriptions.http import SubscriptionRoutes
from services.notifier.subscriptions.operations import OperationRoutes
from services.notifier.subscriptions.timers import IDLE as TIMERS_IDLE
from services.notifier.subscriptions.timers import Patience, StatusTimers
from services.notifier.subscriptions.topics_http import topics_as_basic
from services.notifier.subscriptions.trial_http import TrialRoutes
from services.notifier.watch.gauges import Gauges
from services.notifier.watch.pages.overview import mount_ops
from services.notifier.websocket.http import WebSocketRoutes
from services.notifier.websocket.sockets import IDLE as SOCKETS_IDLE
from services.notifier.websocket.sockets import Sockets
from services.readiness import database_trouble
from services.retention import IDLE, Pruner
from services.settings import Settings
from services.statistics import IDLE as STATISTICS_IDLE
from services.statistics import Statistics
from services.wakeup import Wakeup

MIGRATIONS = Migrations(Path(__file__).parent / "migrations", "notifier_version")


class Notifier:
    """One notifier: its routes, its loops and how to end it."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        database: Database,
        source: EventSource,
        log_name: str,
        client: HookClient,
        witness: Witness | None = None,
    ) -> None:
        """Take an open database at its head, a log to read, and what sends."""
        self._database = database
        self._clock = clock
        self._base = settings.fhir_base
        self._source = source
        self._stopping = False
        owed, ends = Wakeup(), Wakeup()
        live = LiveIndex(database, settings.fhir_base)
        self._client = client
        self._sockets = Sockets(
            database, clock, owed, base=settings.fhir_base, deadline=settings.total_deadline
        )
        self._websocket = WebSocketRoutes(
            database,
            clock,
            self._sockets,
            base=settings.fhir_base,
            depth=settings.max_json_depth,
            token_seconds=settings.websocket_token_seconds,
            most=settings.websocket_connections,
        )
        sender = Sender(
            client=self._client,
            clock=clock,
            policy=RetryPolicy(settings.retry_schedule, handshake=settings.handshake_schedule),
            base=settings.fhir_base,
            deadline=settings.total_deadline,
            leases=Leases(clock, settings.lease_seconds),
            endpoints=Endpoints(clock, settings.endpoint_lanes, settings.endpoint_rate),
            stopping=lambda: self._stopping,
            sockets=self._sockets,
        )
        self._delivery = Delivery(
            database,
            clock,
            sender,
            workers=settings.workers,
            owed=owed,
            bundle_bytes=settings.notification_bytes,
        )
        intake = Intake(
            database,
            clock,
            source,
            live,
            log_name=log_name,
            wait=settings.poll_seconds,
            outgoing=self._delivery.transaction,
            witness=witness,
        )
        self._reading = intake
        self._notices = Notices(database, owed)
        self._routes = SubscriptionRoutes(
            database,
            clock,
            base=settings.fhir_base,
            policy=EndpointPolicy(settings.allow_http_endpoints, settings.allow_private_endpoints),
            depth=settings.max_json_depth,
            changed=owed.set,
            ends=ends.set,
        )
        self._trials = TrialRoutes(
            database,
            clock,
            base=settings.fhir_base,
            policy=EndpointPolicy(settings.allow_http_endpoints, settings.allow_private_endpoints),
            depth=settings.max_json_depth,
        )
        self._operations = OperationRoutes(
            database, clock, base=settings.fhir_base, depth=settings.max_json_depth, owed=owed
        )
        patience = Patience.of_days(settings.error_days, settings.off_days, settings.unbound_days)
        timers = StatusTimers(database, clock, patience, ends)
        poll = settings.poll_seconds
        self._intake = Loop("intake", intake.step, wake=source.wake, idle=poll)
        self.loops = [
            self._intake,
            Loop("consumer lag", intake.lag, idle=5.0),
            Loop("deliver", self._delivery.step, wake=owed, idle=poll),
            Loop("notices", self._notices.listen, idle=5.0),
            Loop("heartbeat", self._delivery.heartbeat, idle=settings.lease_seconds / 3),
            Loop("websockets", self._sockets.step, idle=SOCKETS_IDLE),
            Loop("gauges", Gauges(database, clock).step, idle=5.0),
            Loop("statistics", Statistics(database).step, idle=STATISTICS_IDLE),
            Loop("retention", Pruner(database, clock, sweeps(settings)).step, idle=IDLE),
            Loop(
                "clock",
                ClockJumps(database, clock, longest=max(settings.retry_schedule, default=0.0)).step,
                idle=CLOCK_IDLE,
            ),
            Loop("status timers", timers.step, wake=ends, idle=TIMERS_IDLE),
        ]

    def mount(self, app: web.Application) -> None:
        """Add Subscription, and `metadata` unless the publisher beside it has: it is the same from each."""
        topics_as_basic(self._base).mount(app)
        self._trials.mount(app)
        self._websocket.mount(app)
        self._operations.mount(app)
        self._routes.mount(app)
        path = f"{urlsplit(self._base).path}/metadata"
        if all(resource.canonical != path for resource in app.router.resources()):
            app.router.add_get(path, self._metadata)

    async def _metadata(self, _request: web.Request) -> web.Response:
        return json_response(capability_statement(self._base))

    def mount_ops(self, admin: web.Application) -> None:
        """Add the pages for operators."""
        mount_ops(admin, self._database, self._clock, base=self._base)

    async def ready(self) -> Mapping[str, str | None]:
        """Answer whether the database is there and the log is being read."""
        return {"notifier_database": await database_trouble(self._database), "event_log": self._log_check()}

    def _log_check(self) -> str | None:
        if self._reading.stopped is not None:
            return f"the event log is not read on: {self._reading.stopped}"
        failure = self._intake.failure
        return None if failure is None else f"the event log cannot be read: {failure}"

    async def close(self) -> None:
        """Let running turns end, record them, and let go of everything."""
        await self._sockets.close()
        self._stopping = True
        await self._delivery.close()
        await self._notices.close()
        await self._client.close()
        await self._source.close()
        await self._database.close()


async def open_notifier(
    settings: Settings, clock: Clock, source: EventSource, *, log_name: str, witness: Witness | None = None
) -> Notifier:
    """Open the notifier's database and put the parts together; `witness` notices when it was restored.

    Raises:
        DatabaseStateError: the database is not at this version's head.
    """
    database = open_database(settings)
    try:
        await MIGRATIONS.require_head(database)
    except BaseException:
        await database.close()
        raise
    if database.is_sqlite:
        # The file is this process's alone, so whoever held these leases is gone: nobody has to wait for them.
        await release_all(database, clock)
    client = RestHookClient(
        clock, private=settings.allow_private_endpoints, response_bytes=settings.response_bytes
    )
    return Notifier(settings, clock, database, source, log_name, client, witness)


def open_database(settings: Settings) -> Database:
    """Open the notifier's database, whatever its state; for migrating and for watching."""
    return Database(
        settings.database_url("notifier"),
        pool_size=settings.database_pool_size,
        schema_name="notifier's database",
        bounds=Bounds(settings.database_idle_seconds, settings.database_transaction_seconds),
        planned_once=True,
    )
