"""`vbpr status` and `vbpr deliveries`, as they are typed: beside a service or after its death, on both databases."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from services.database import Database
from services.event_log_outbox import OutboxSink
from services.notifier import tables as t
from services.publisher.emit.relay import Relay
from services.publisher.store.tables import log_head
from services.publisher.wiring import MIGRATIONS
from tests.notifying import contract
from tests.outbox import SOURCE, Outbox
from tests.service.commands import Ended, run
from tests.watching import Watched, watched


@dataclass
class Installation:
    """Both databases: four reports accepted, three emitted and taken in, one of them undelivered."""

    urls: tuple[str, str]
    rows: Watched
    lane: str
    report: str
    event_id: str

    async def vbpr(self, *arguments: str) -> Ended:
        publisher, notifier = self.urls
        settings = {"VBPR_PUBLISHER_DATABASE_URL": publisher, "VBPR_NOTIFIER_DATABASE_URL": notifier}
        return await run(*arguments, settings=settings)

    async def json(self, *arguments: str) -> Any:
        ended = await self.vbpr(*arguments, "--json")
        assert (ended.code, ended.err) == (0, "")
        return orjson.loads(ended.out)


@pytest.fixture
async def installed_anywhere(database_urls: tuple[str, str]) -> AsyncIterator[Installation]:
    async with installation(database_urls) as installed:
        yield installed


@pytest.fixture
async def installed(tmp_path: Path) -> AsyncIterator[Installation]:
    # The commands have no statement of their own: one of them is typed against both databases, and that is enough.
    files = (f"sqlite+aiosqlite:///{tmp_path / name}.sqlite" for name in ("publisher", "notifier"))
    async with installation((next(files), next(files))) as installed:
        yield installed


@contextlib.asynccontextmanager
async def installation(database_urls: tuple[str, str]) -> AsyncIterator[Installation]:
    publisher = Database(database_urls[0])
    await MIGRATIONS.upgrade(publisher)
    outbox = Outbox(publisher)
    events = [await outbox.accept(contract("c1")) for _ in range(3)]
    async with watched(database_urls[1]) as rows:
        relay = Relay(publisher, OutboxSink(log_head), source=SOURCE, clock=rows.clock)
        while await relay.emit():
            pass
        await outbox.accept(contract("c1"))
        lane = await rows.subscribe()
        rows.receiver.statuses(200, 200, 503)
        await rows.take_in(*((event, (lane,)) for event in events))
        await rows.turns()
        yield Installation(database_urls, rows, lane, events[2].report_id, events[2].id)
    await publisher.close()


async def test_the_numbers_of_the_path_and_of_each_subscription(installed_anywhere: Installation) -> None:
    installed = installed_anywhere
    status = await installed.json("status")
    assert status["reports"] == {"accepted": 4, "waiting": 0}
    assert status["events"] == {"accepted": 4, "emitted": 3, "consumed": 3}
    assert status["outbox"]["pending"] == 1
    assert status["outbox"]["oldest_age_seconds"] > 0
    (row,) = status["subscriptions"]
    expected = {
        "id": installed.lane, "kind": "classic", "status": "active", "endpoint": installed.rows.receiver.url,
        "criteria": f"MeasureReport?contract={contract('c1')}",
        "events": 3, "owed": 1, "delivered": 2, "given_up": 0, "last_failure": "answered 503",
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert datetime.fromisoformat(row["oldest_owed_since"]).tzinfo is not None
    assert datetime.fromisoformat(row["next_due"]) > datetime.fromisoformat(status["as_of"])
    plain = (await installed.vbpr("status")).out
    for words in ("4 accepted", "1 in the outbox", installed.lane, "answered 503", "due in 59 min"):
        assert words in plain


async def test_where_a_contract_s_reports_are_even_those_not_emitted_yet(installed: Installation) -> None:
    found = await installed.json("status", "--contract", "c1")
    assert found["contracts"] == [contract("c1")]
    assert [version["position"] for version in found["not_taken_in"]] == [None]
    assert [trail["deliveries"][0]["state"] for trail in found["versions"]] == [
        "retrying", "delivered", "delivered",
    ]  # fmt: skip
    plain = (await installed.vbpr("status", "--contract", contract("c1"))).out
    assert "waits in the outbox" in plain
    assert "answered 503" in plain


async def test_lists_and_stories_of_deliveries(installed: Installation) -> None:
    (failing,) = await installed.json("deliveries", "list", "--state", "retrying")
    assert (failing["subscription"], failing["number"], failing["tries"]) == (installed.lane, 3, 1)
    listed = await installed.vbpr("deliveries", "list", "--contract", contract("c1"), "--order", "lane")
    assert [line.split()[1:3] for line in listed.out.splitlines()[1:]] == [
        ["1", "delivered"], ["2", "delivered"], ["3", "retrying"],
    ]  # fmt: skip
    story = await installed.json("deliveries", "show", installed.lane, "3")
    assert story["event"]["event_id"] == installed.event_id
    assert [tried["said"] for tried in story["attempts"]] == ["answered 503"]
    of_report = await installed.vbpr("deliveries", "show", installed.report)
    assert installed.event_id in of_report.out
    assert "answered 503" in of_report.out


async def test_retry_from_the_command_line_is_delivered_next(installed: Installation) -> None:
    ended = await installed.vbpr("deliveries", "retry", installed.lane, "--reason", "fixed")
    assert ended.out == f"Subscription/{installed.lane} is tried now from number 3 on; 1 owed.\n"
    await installed.rows.turns()
    assert installed.rows.receiver.got[-1].webhook_id == f"{installed.lane}_3-3"
    refused = await installed.vbpr("deliveries", "retry", installed.lane, "--reason", "again")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == f"vbpr: Subscription/{installed.lane} owes nothing: there is nothing to try.\n"


async def test_what_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    for command in (["status"], ["deliveries", "list"]):
        ended = await run(*command, settings={"VBPR_DATA_DIR": str(tmp_path / "none")})
        assert ended.code == 2
        assert "start `vbpr serve` first" in ended.err
        assert len(ended.err.splitlines()) == 1
    assert not (tmp_path / "none").exists()


async def test_a_database_that_is_not_at_its_head_is_refused(tmp_path: Path) -> None:
    (tmp_path / "publisher.sqlite").touch()
    (tmp_path / "notifier.sqlite").touch()
    ended = await run("status", "--data-dir", str(tmp_path))
    assert ended.code == 2
    assert "run `vbpr migrate`" in ended.err
    assert len(ended.err.splitlines()) == 1


async def test_what_others_wrote_cannot_drive_the_terminal(installed: Installation) -> None:
    async with installed.rows.database.write() as connection:
        await connection.execute(sa.update(t.lane).values(said="\x1b[2J[bold]x[/bold]"))
    out = (await installed.vbpr("status")).out
    assert "\x1b" not in out
    assert "\\x1b[2J[bold]x[/bold]" in out
