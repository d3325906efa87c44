"""`vbpr demo`: what a newcomer runs first."""

from __future__ import annotations

import pytest

from tests.servers import SharedKafka, SharedPostgreSQL
from tests.service.commands import run

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


@pytest.mark.timeout(240)
@pytest.mark.postgresql
async def test_the_ledger_closes_on_kafka_and_postgresql(
    shared_postgresql: SharedPostgreSQL, kafka: SharedKafka
) -> None:
    where = ("--database-url", shared_postgresql.url("postgres"), "--kafka", kafka.bootstrap_servers)
    ended = await run("demo", "--many-machines", *where)
    assert ended.code == 0, ended.out + ended.err
    assert "== kill -9: the publisher and one of two notifiers" in ended.out
    assert ended.out.splitlines()[-1] == "The ledger closes: every event owed was received once, in order."
