"""`vbpr demo`: what a newcomer runs first."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.servers import SharedKafka, SharedPostgreSQL
from tests.service.commands import line, run, running

pytestmark = pytest.mark.slow


@pytest.mark.timeout(90)
async def test_the_ledger_closes_on_one_machine_after_a_crash() -> None:
    ended = await run("demo")
    assert ended.code == 0, ended.out + ended.err
    assert "\x1b" not in ended.out, "plain when not a terminal"
    assert "== kill -9: vbpr serve" in ended.out
    assert "20 report versions accepted, 20 events, 20 emitted, 20 consumed, 0 waiting" in ended.out
    rows = [line.replace("|", " ").replace("│", " ").split() for line in ended.out.splitlines()]
    assert [row[:6] for row in rows if row[:1] == ["classic"] and len(row) == 7] == [
        ["classic", "4", "0", "4", "0", "4"]
    ]
    assert [row[:6] for row in rows if row[:1] == ["topic"] and len(row) == 7] == [
        ["topic", "17", "0", "17", "0", "17"]
    ]
    assert ended.out.splitlines()[-1] == "The ledger closes: every event owed was received once, in order."


@pytest.mark.timeout(60)
async def test_told_to_end_it_leaves_nothing_running(tmp_path: Path) -> None:
    async with running("demo", "--keep", str(tmp_path)) as demo:
        said = ""
        ports = []
        while not said.startswith("→ published"):
            said = await line(demo.stdout)
            if said.startswith(("reports go to", "notifications go to")):
                ports.append(int(said.rsplit(":", 1)[1].split("/")[0]))
        demo.send_signal(signal.SIGTERM)
        _, err = await demo.communicate()
        assert demo.returncode == 2
        assert "everything it had started is ended" in err.decode()
    assert len(ports) == 2
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.timeout(240)
@pytest.mark.postgresql
async def test_the_ledger_closes_on_kafka_and_postgresql(
    shared_postgresql: SharedPostgreSQL, kafka: SharedKafka
) -> None:
    where = ("--database-url", shared_postgresql.url("postgres"), "--kafka", kafka.bootstrap_servers)
    before = await _topics(kafka), shared_postgresql.databases()
    ended = await run("demo", "--many-machines", *where)
    assert ended.code == 0, ended.out + ended.err
    assert "== kill -9: the publisher and one of two notifiers" in ended.out
    assert ended.out.splitlines()[-1] == "The ledger closes: every event owed was received once, in order."
    assert (await _topics(kafka), shared_postgresql.databases()) == before, "it leaves nothing behind"


async def _topics(kafka: SharedKafka) -> set[str]:
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        return {name for name in await admin.list_topics() if name.startswith("vbpr.demo.")}
    finally:
        await admin.close()
