"""Many machines: a publisher and notifiers on Kafka and PostgreSQL, as processes that can be killed or frozen."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa
from aiokafka import AIOKafkaProducer

from tests.conditions import eventually
from tests.faults.scene import DELIVERY
from tests.processes import VbprProcess, VbprProcesses
from tests.servers import SharedPostgreSQL
from tests.service.commands import run

SESSION_SECONDS = "6"
"""Silence after which Kafka gives a dead notifier's partitions away: the shortest that brokers allow."""

NO_NEW_EVENT = "lock table event in exclusive mode"
"""Enqueue waits here once it has moved the position, which nobody sees before it commits."""
NO_NEW_POSITION = "select from position for update"
"""Enqueue waits here at its first statement."""


@dataclass(slots=True)
class Cluster:
    """Two databases, a topic, and what runs on them."""

    vbpr: VbprProcesses
    settings: Mapping[str, str]
    publisher: VbprProcess
    notifiers: dict[str, VbprProcess] = field(default_factory=dict)
    """By the database role that each connects as: how PostgreSQL tells them apart."""

    async def start_notifiers(self, count: int, script: Path | None = None) -> None:
        """Start so many more notifiers at once; a script takes the place of the `vbpr` command."""
        made = [await self.prepared_notifier(script) for _ in range(count)]
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in made))

    async def prepared_notifier(self, script: Path | None = None) -> VbprProcess:
        """Return one more notifier, with a database role of its own, not started yet."""
        role = f"notifier_{secrets.token_hex(4)}"
        url = sa.make_url(self.settings["VBPR_NOTIFIER_DATABASE_URL"])
        async with self.connected() as connection:
            await connection.execute(f"create role {role} login superuser")
        own = {"VBPR_NOTIFIER_DATABASE_URL": url.set(username=role).render_as_string(hide_password=False)}
        one = self.vbpr.prepare("notifier", environment={**self.settings, **own})
        if script is not None:
            one.process.command = [sys.executable, str(script), "notifier"]
        self.notifiers[role] = one
        return one

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        """Connect to the notifiers' database."""
        url = sa.make_url(self.settings["VBPR_NOTIFIER_DATABASE_URL"])
        connection = await asyncpg.connect(
            host=url.host, port=url.port, user=url.username, database=url.database
        )
        try:
            yield connection
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def locked(self, statement: str) -> AsyncIterator[None]:
        """Hold the locks that a statement takes in the notifiers' database: the test steps in between there."""
        async with self.connected() as connection, connection.transaction():
            await connection.execute(statement)
            yield

    async def waits(self, among: set[str], within: float = 30.0) -> str:
        """Return the role of the notifier that waits for a lock, once one of these does."""
        asked = """select distinct usename from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock' and usename = any($1::text[])"""
        async with self.connected() as connection:

            async def blocked() -> list[str]:
                return [row["usename"] for row in await connection.fetch(asked, list(among))]

            return (await eventually(blocked, within=within, what="that a notifier waits for a lock"))[0]


@contextlib.asynccontextmanager
async def cluster(
    vbpr: VbprProcesses,
    postgresql: SharedPostgreSQL,
    kafka: str,
    *,
    partitions: int = 1,
    idle_seconds: float = 30,
    settings: Mapping[str, str] = DELIVERY,
) -> AsyncIterator[Cluster]:
    """Migrate two new databases, make a new topic, and run a publisher; notifiers are for the test to start."""
    names = [await asyncio.to_thread(postgresql.create_database) for _ in range(2)]
    run_name = secrets.token_hex(6)
    settings = {
        **settings,
        "VBPR_PUBLISHER_DATABASE_URL": postgresql.url(names[0]),
        "VBPR_NOTIFIER_DATABASE_URL": postgresql.url(names[1]),
        "VBPR_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "VBPR_KAFKA_TOPIC": f"test.{run_name}",
        "VBPR_KAFKA_GROUP": f"test-{run_name}",
        "VBPR_KAFKA_PARTITIONS": str(partitions),
        "VBPR_KAFKA_SESSION_SECONDS": SESSION_SECONDS,
        "VBPR_DATABASE_IDLE_SECONDS": str(idle_seconds),
    }
    migrated = await run("migrate", settings=settings)
    assert migrated.code == 0, migrated.err
    publisher = await asyncio.to_thread(vbpr.start, "publisher", environment=settings)
    try:
        yield Cluster(vbpr, {**settings, "VBPR_BASE_URL": publisher.fhir}, publisher)
    finally:
        vbpr.end()
        for name in names:
            await asyncio.to_thread(postgresql.drop_database, name)


@contextlib.asynccontextmanager
async def foreign(servers: str) -> AsyncIterator[Any]:
    """Connect a producer that is none of ours, and may write what it likes."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()
