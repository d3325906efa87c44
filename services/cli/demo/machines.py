"""The two ways to run, as the demo sees them: where to publish and subscribe, what to kill, what to start again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import aiohttp

from services.cli.demo.processes import Actor, free_port, run
from services.clock import Clock

# A killed process keeps its lanes leased until the lease runs out: short here, so that nobody has to wait.
_DELIVERY = {
    "VBPR_ALLOW_HTTP_ENDPOINTS": "true",
    "VBPR_ALLOW_PRIVATE_ENDPOINTS": "true",
    "VBPR_TOTAL_DEADLINE": "2",
    "VBPR_LEASE_SECONDS": "5",
    "VBPR_POLL_SECONDS": "0.2",
}


class Machines(Protocol):
    """The services of one demo."""

    description: str
    crash: str
    """What is killed half-way, in words."""
    recovery: str
    """What happens then, in words."""
    patience: float
    """Seconds that deliveries may take after the last report; a crash has to be noticed first."""
    settings: Mapping[str, str]
    """What `vbpr status` needs to find the databases."""
    publisher: str
    notifier: str
    """FHIR bases: where reports and where Subscriptions go."""

    async def start(self) -> None:
        """Start everything and wait until it is ready."""

    async def kill(self) -> None:
        """Crash what `crash` says."""

    async def recover(self) -> None:
        """Start again what was killed and has to be."""

    async def stop(self) -> None:
        """End whatever runs, in order."""


class OneMachine:
    """`vbpr serve`: both services in one process, SQLite beside it."""

    description = "one process, SQLite, nothing else"
    crash = "vbpr serve"
    recovery = "Started again on the same port and files; publishing on"
    patience = 20.0

    def __init__(self, folder: Path, session: aiohttp.ClientSession, clock: Clock) -> None:
        """Take a folder for files and logs."""
        port = free_port()
        self.publisher = self.notifier = f"http://127.0.0.1:{port}/fhir"
        self.settings: Mapping[str, str] = {
            **_DELIVERY,
            "VBPR_DATA_DIR": str(folder / "data"),
            "VBPR_PORT": str(port),
            "VBPR_ADMIN_PORT": str(free_port()),
        }
        self._serve = Actor("vbpr serve", ("serve",), self.settings, folder / "serve.log")
        self._session = session
        self._clock = clock

    async def start(self) -> None:
        """Start `vbpr serve`."""
        await _start([self._serve], self._session, self._clock)

    async def kill(self) -> None:
        """Kill `vbpr serve`."""
        await self._serve.kill()

    async def recover(self) -> None:
        """Start it again on the same port and files."""
        await self.start()

    async def stop(self) -> None:
        """End it."""
        await self._serve.stop()


class ManyMachines:
    """`vbpr publisher` and two `vbpr notifier` on Kafka and PostgreSQL."""

    description = "a publisher and two notifiers, Kafka, PostgreSQL"
    crash = "the publisher and one of two notifiers"
    recovery = "Publisher started again, the other notifier does the work of both; publishing on"
    patience = 120.0  # Kafka gives a dead reader's partitions away after its session of 30 s

    def __init__(
        self, folder: Path, session: aiohttp.ClientSession, clock: Clock, *, database_url: str, kafka: str
    ) -> None:
        """Take the URL of a database on a server where databases may be created, and Kafka's brokers."""
        import sqlalchemy as sa

        self._server = sa.make_url(database_url)
        run_name = clock.uuid7().replace("-", "")[-12:]
        self._databases = [f"vbpr_demo_{run_name}_{service}" for service in ("publisher", "notifier")]
        ports = [free_port() for _ in range(3)]
        self.publisher = f"http://127.0.0.1:{ports[0]}/fhir"
        self.notifier = f"http://127.0.0.1:{ports[2]}/fhir"
        urls = [
            self._server.set(database=name).render_as_string(hide_password=False) for name in self._databases
        ]
        self.settings: Mapping[str, str] = {
            **_DELIVERY,
            "VBPR_BASE_URL": self.publisher,
            "VBPR_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "VBPR_KAFKA_TOPIC": f"vbpr.demo.{run_name}",
            "VBPR_KAFKA_GROUP": f"vbpr-demo-{run_name}",
            "VBPR_PUBLISHER_DATABASE_URL": urls[0],
            "VBPR_NOTIFIER_DATABASE_URL": urls[1],
        }
        names = ("publisher", "notifier", "notifier")
        self._actors = [
            Actor(
                f"vbpr {name} {at}" if name == "notifier" else "vbpr publisher",
                (name,),
                {**self.settings, "VBPR_PORT": str(port), "VBPR_ADMIN_PORT": str(free_port())},
                folder / f"{name}-{at}.log",
            )
            for at, (name, port) in enumerate(zip(names, ports, strict=True))
        ]
        self._session = session
        self._clock = clock

    async def start(self) -> None:
        """Make two databases, migrate them, make the topic, and start the three processes."""
        await self._on_server([f'CREATE DATABASE "{name}"' for name in self._databases])
        await run(self.settings, "migrate")
        await _start(self._actors, self._session, self._clock)

    async def kill(self) -> None:
        """Kill the publisher and the notifier that was not subscribed at."""
        for actor in self._actors[:2]:
            await actor.kill()

    async def recover(self) -> None:
        """Start the publisher again; the notifier that is left has to do the other's work."""
        await _start(self._actors[:1], self._session, self._clock)

    async def stop(self) -> None:
        """End the processes, drop the databases and remove the topic."""
        from services.event_log_kafka.cluster import KafkaLog
        from services.event_log_kafka.topic import remove_topic

        await asyncio.gather(*(actor.stop() for actor in self._actors))
        servers, topic = (self.settings[f"VBPR_KAFKA_{name}"] for name in ("BOOTSTRAP_SERVERS", "TOPIC"))
        try:
            await remove_topic(KafkaLog(servers, topic))
        finally:
            await self._on_server(
                [f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)' for name in self._databases]
            )

    async def _on_server(self, statements: Sequence[str]) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(self._server, isolation_level="AUTOCOMMIT")
        try:
            async with engine.connect() as connection:
                for statement in statements:
                    await connection.exec_driver_sql(statement)
        finally:
            await engine.dispose()


async def _start(actors: Sequence[Actor], session: aiohttp.ClientSession, clock: Clock) -> None:
    for actor in actors:
        await actor.start()
    for actor in actors:
        await actor.ready(session, clock)
