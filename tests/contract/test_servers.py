"""Do the servers that tests rely on keep their promises: answer, survive a crash, stay apart?"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests import keeper, servers
from tests.processes import VbprProcesses
from tools.kafka import Broker
from tools.postgresql import PostgreSQL
from tools.server_process import ServerError, ServerProcess, accepts, free_ports


def _dsn(url: str) -> str:
    return url.replace("+asyncpg", "")


async def _rows(url: str, statement: str) -> list[object]:
    connection = await asyncpg.connect(_dsn(url))
    try:
        return [row[0] for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def _produce(bootstrap_servers: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all")
    await producer.start()
    try:
        await asyncio.wait_for(producer.send_and_wait(topic, value, partition=0), 20)
    finally:
        await producer.stop()


async def _create(bootstrap_servers: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def _values(bootstrap_servers: str, topic: str, count: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        return [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_a_database_of_its_own_for_every_test(
    shared_postgresql: servers.SharedPostgreSQL, postgresql_url: str
) -> None:
    other = shared_postgresql.create_database()
    await _rows(postgresql_url, "create table report (id int)")

    assert await _rows(postgresql_url, "select count(*) from report") == [0]
    with pytest.raises(asyncpg.UndefinedTableError):
        await _rows(shared_postgresql.url(other), "select count(*) from report")
    shared_postgresql.drop_database(other)


async def test_a_template_is_filled_once_and_copied(shared_postgresql: servers.SharedPostgreSQL) -> None:
    filled: list[str] = []

    async def fill(url: str) -> None:
        filled.append(url)
        await _rows(url, "create table filled as select 7 as id")

    name = await shared_postgresql.template("contract_servers", fill)
    assert await shared_postgresql.template("contract_servers", fill) == name
    copies = [shared_postgresql.create_database(name) for _ in range(2)]

    assert len(filled) == 1
    for copy in copies:
        assert await _rows(shared_postgresql.url(copy), "select id from filled") == [7]
        shared_postgresql.drop_database(copy)


async def test_a_killed_postgresql_keeps_what_it_committed(own_postgresql: PostgreSQL) -> None:
    url = own_postgresql.url("postgres")
    assert await _rows(url, "show fsync") == ["on"]
    await _rows(url, "create table kept as select 1 as id")

    own_postgresql.kill()
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await _rows(url, "select 1")
    own_postgresql.start()

    assert await _rows(url, "select id from kept") == [1]


async def test_a_stopped_postgresql_ends_although_somebody_is_connected(own_postgresql: PostgreSQL) -> None:
    connection = await asyncpg.connect(_dsn(own_postgresql.url("postgres")))
    own_postgresql.stop()
    own_postgresql.start()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetch("select 1")
    await connection.close()


async def test_the_shared_broker_takes_and_gives(kafka: servers.SharedKafka, topic: str) -> None:
    await _create(kafka.bootstrap_servers, topic)
    await _produce(kafka.bootstrap_servers, topic, b"one")
    assert await _values(kafka.bootstrap_servers, topic, 1) == [b"one"]


@pytest.mark.timeout(120)
async def test_a_killed_broker_keeps_what_it_acknowledged(own_kafka: Broker, topic: str) -> None:
    await _create(own_kafka.bootstrap_servers, topic)
    await _produce(own_kafka.bootstrap_servers, topic, b"before")

    own_kafka.kill()
    own_kafka.start()
    await _produce(own_kafka.bootstrap_servers, topic, b"after")

    assert await _values(own_kafka.bootstrap_servers, topic, 2) == [b"before", b"after"]


@pytest.mark.timeout(120)
def test_a_broker_in_the_foreground_ends_with_its_command_and_says_so(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "tools.kafka", "run", "--port", str(port), "--folder", str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
    ) as running:
        assert running.stdout is not None
        said = ""
        while "Ctrl-C ends it" not in said:
            said = running.stdout.readline()
            assert said, "it ended while starting"
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert f"Port {port} on 127.0.0.1 is in use" in refused.stderr
        os.killpg(running.pid, signal.SIGINT)  # what Ctrl-C does: everybody in the foreground is told
        said = running.stdout.read()
        assert running.wait() == 0
    assert "has ended; what it holds stays in" in said
    assert not accepts(port)


def test_asking_twice_gives_the_same_servers(shared_postgresql: servers.SharedPostgreSQL) -> None:
    assert servers.shared_postgresql() == shared_postgresql


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    broken = ServerProcess(
        "the broken one", ["/bin/sh", "-c", "echo cannot bind; exit 3"], tmp_path / "log", lambda: False
    )
    with pytest.raises(ServerError, match=r"the broken one ended with exit code 3:\ncannot bind"):
        broken.start(within=10)


def test_a_server_that_never_answers_is_killed(tmp_path: Path) -> None:
    silent = ServerProcess("the silent one", ["/bin/sleep", "600"], tmp_path / "log", lambda: False)
    with pytest.raises(ServerError, match=r"the silent one did not answer within 0\.2 s"):
        silent.start(within=0.2)
    assert silent.exit_code == -9


def test_a_command_that_cannot_start_is_reported_with_its_last_words(vbpr: VbprProcesses) -> None:
    with pytest.raises(ServerError, match=r"(?s)vbpr nonsense ended with exit code 2:.*nonsense"):
        vbpr.start("nonsense")


def test_the_keeper_ends_what_a_killed_run_left_behind(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / keeper.PIDS).mkdir(parents=True)
    left = subprocess.Popen(["/bin/sleep", "600"])
    (run / keeper.PIDS / str(left.pid)).write_text(str(int(signal.SIGTERM)))

    watching = subprocess.Popen([sys.executable, keeper.__file__, str(run)], stdin=subprocess.PIPE)
    assert left.poll() is None
    watching.communicate(timeout=20)

    assert left.wait(timeout=20) == -signal.SIGTERM
    assert not run.exists()
