"""`vbpr serve`, `publisher`, `notifier`, `migrate`: what a wrong setting or a missing server is answered with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import orjson
import pytest

from tests.processes import VbprProcesses
from tests.servers import SharedKafka, SharedPostgreSQL
from tests.service.commands import Ended, run
from tools.server_process import free_ports

pytestmark = pytest.mark.slow

NOWHERE = "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"


def said(ended: Ended) -> str:
    """Return the one sentence of a command that could not go on."""
    assert ended.code == 2, ended
    assert "Traceback" not in ended.err
    assert ended.err.startswith("vbpr: ")
    return ended.err


@pytest.fixture
def notifier_url(shared_postgresql: SharedPostgreSQL) -> Iterator[str]:
    """A second empty database: each service has its own."""
    name = shared_postgresql.create_database()
    yield shared_postgresql.url(name)
    shared_postgresql.drop_database(name)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"VBPR_PORT": "eighty"}, "VBPR_PORT"),
        ({"VBPR_HOST": "0.0.0.0"}, "only loopback is served"),
        ({"VBPR_CONFIG": "/no/such/file.toml"}, "VBPR_CONFIG names /no/such/file.toml, which is not a file"),
        ({"VBPR_DATA_DIR": "/dev/null/data"}, "Not a directory"),
    ],
)
async def test_a_wrong_setting_is_one_sentence(settings: dict[str, str], expected: str) -> None:
    ports = ("--admin-port", "0") if "VBPR_PORT" in settings else ("--port", "0", "--admin-port", "0")
    ended = await run("serve", *ports, settings=settings)
    assert expected in said(ended)


@pytest.mark.parametrize("command", ["publisher", "notifier"])
async def test_one_service_alone_wants_postgresql_and_kafka(command: str) -> None:
    without = await run(command)
    assert f"vbpr {command} needs PostgreSQL: set VBPR_{command.upper()}_DATABASE_URL" in said(without)
    url = {f"VBPR_{command.upper()}_DATABASE_URL": NOWHERE}
    assert f"vbpr {command} needs Kafka: set VBPR_KAFKA_BOOTSTRAP_SERVERS" in said(
        await run(command, settings=url)
    )
    (port,) = free_ports(1)
    nowhere = {"VBPR_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}", "VBPR_KAFKA_REQUEST_TIMEOUT": "2"}
    absent = await run(command, settings=url | nowhere)
    assert f"Kafka does not answer at 127.0.0.1:{port}" in said(absent)


async def test_a_database_that_is_not_there_is_one_sentence() -> None:
    ended = await run(
        "migrate", settings={"VBPR_PUBLISHER_DATABASE_URL": NOWHERE, "VBPR_NOTIFIER_DATABASE_URL": NOWHERE}
    )
    assert "VBPR_PUBLISHER_DATABASE_URL" in said(ended)


@pytest.mark.postgresql
async def test_a_service_refuses_a_missing_topic_and_an_empty_database_until_migrate_has_run(
    postgresql_url: str, notifier_url: str, kafka: SharedKafka, topic: str, vbpr: VbprProcesses
) -> None:
    settings = {
        "VBPR_PUBLISHER_DATABASE_URL": postgresql_url,
        "VBPR_NOTIFIER_DATABASE_URL": notifier_url,
        "VBPR_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "VBPR_KAFKA_TOPIC": topic,
    }
    assert f"has no topic {topic}: run `vbpr migrate`" in said(await run("publisher", settings=settings))
    one = settings | {"VBPR_NOTIFIER_DATABASE_URL": postgresql_url}
    assert "name one database: give each service its own" in said(await run("migrate", settings=one))
    migrated = await run("migrate", settings=settings)
    assert migrated.code == 0, migrated
    assert f"topic {topic} is there with 12 partitions" in migrated.out
    again = await run("migrate", settings=settings)
    assert again.out == migrated.out
    for command in ("publisher", "notifier"):
        running = await asyncio.to_thread(vbpr.start, command, environment=settings)
        assert await asyncio.to_thread(running.stop) == 0


@pytest.mark.postgresql
async def test_a_service_refuses_a_database_that_is_behind(
    postgresql_url: str, notifier_url: str, kafka: SharedKafka, topic: str
) -> None:
    settings = {"VBPR_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "VBPR_KAFKA_TOPIC": topic}
    urls = {"VBPR_PUBLISHER_DATABASE_URL": postgresql_url, "VBPR_NOTIFIER_DATABASE_URL": notifier_url}
    assert (await run("migrate", settings=settings | urls)).code == 0
    swapped = dict(zip(urls, reversed(urls.values()), strict=True))
    for command in ("publisher", "notifier"):
        ended = await run(command, settings=settings | swapped)
        assert f"The {command}'s database is empty" in said(ended)
        assert "run `vbpr migrate`" in said(ended)


async def test_serve_is_ready_says_where_and_ends_in_order(vbpr: VbprProcesses) -> None:
    serve = await asyncio.to_thread(vbpr.start, "serve")
    assert f"vbpr serve: FHIR at {serve.fhir}" in serve.log()
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{serve.fhir}/metadata") as response:
            assert response.status == 200
        async with session.get(f"{serve.fhir}/Patient/1") as response:
            assert response.status == 404
            assert orjson.loads(await response.read())["resourceType"] == "OperationOutcome"
        async with session.get(f"{serve.admin}/metrics") as response:
            assert "vbpr_outbox_pending" in await response.text()
    assert await asyncio.to_thread(serve.stop) == 0


async def test_two_serves_on_one_folder_are_refused(vbpr: VbprProcesses, tmp_path: Path) -> None:
    await asyncio.to_thread(vbpr.start, "serve", environment={"VBPR_DATA_DIR": str(tmp_path / "data")})
    second = await run("serve", "--data-dir", str(tmp_path / "data"), "--port", "0", "--admin-port", "0")
    assert "Another vbpr serve runs on" in said(second)
