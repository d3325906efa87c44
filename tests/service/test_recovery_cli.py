"""The commands that put things right, as they are typed: counting first, doing it with a reason and `--yes`."""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from schemas.event import headers
from services.cli.errors import CommandError
from services.cli.recovery import acting, replay
from services.cli.recovery.emit import emit
from services.database import Database
from services.event_log import Record
from services.event_log_outbox import OutboxSink
from services.notifier import tables as t
from services.notifier.enqueue.enqueue import Matched, enqueue
from services.notifier.watch.insights import deliveries, intake
from services.notifier.watch.recovery.resend import resend
from services.notifier.watch.recovery.skip import skip
from services.notifier.watch.recovery.trail import Order
from services.notifier.watch.recovery.wanted import Found
from services.publisher.emit.again import Repeater, waiting
from services.publisher.emit.relay import Relay
from services.publisher.store.tables import log_head
from services.publisher.wiring import MIGRATIONS
from tests.clock import START, ManualClock
from tests.notifier_store import BASE, LOG, event
from tests.notifying import contract
from tests.outbox import SOURCE, Outbox
from tests.service.commands import Ended, run
from tests.watching import Watched, watched


@dataclass
class Installed:
    """A notifier's database with a lane, and a publisher's, as commands find them."""

    rows: Watched
    lane: str
    settings: dict[str, str]

    async def vbpr(self, *arguments: str) -> Ended:
        return await run(*arguments, settings=self.settings)

    async def said(self, *arguments: str) -> str:
        ended = await self.vbpr(*arguments)
        assert (ended.code, ended.err) == (0, "")
        return ended.out.rstrip("\n")

    async def json(self, *arguments: str) -> Any:
        return orjson.loads(await self.said(*arguments, "--json"))

    async def refused(self, *arguments: str) -> str:
        ended = await self.vbpr(*arguments)
        assert (ended.code, ended.out) == (2, "")
        return ended.err.removeprefix("vbpr: ").rstrip("\n")

    def numbers(self) -> list[str]:
        return [got.webhook_id.partition("_")[2] for got in self.rows.receiver.got]

    async def audited(self) -> list[tuple[str, ...]]:
        columns = (t.audit.c.action, t.audit.c.client, t.audit.c.reason)
        async with self.rows.database.read() as connection:
            of = t.audit.c.action != "subscription-create"
            return [tuple(row) for row in await connection.execute(sa.select(*columns).where(of))]


@pytest.fixture
def urls(tmp_path: Path) -> dict[str, str]:
    # The commands have no statement of their own: those of recovery are tested on both databases beside this.
    return {
        f"VBPR_{name.upper()}_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / name}.sqlite"
        for name in ("publisher", "notifier")
    }


@pytest.fixture
async def installed(urls: dict[str, str]) -> AsyncIterator[Installed]:
    async with watched(urls["VBPR_NOTIFIER_DATABASE_URL"]) as rows:
        lane = await rows.subscribe()
        yield Installed(rows, lane, urls | {"VBPR_BASE_URL": BASE})


ME = f"cli:{getpass.getuser()}"


async def test_resend_counts_then_does_it_with_a_reason(installed: Installed) -> None:
    lane = installed.lane
    await installed.rows.owe(3, lane)
    await installed.rows.all_turns()
    command = ("deliveries", "resend", lane, "--from", "2")
    assert await installed.said(*command) == (
        "Would be sent again: 2 notifications of 1 Subscription. Add --yes and --reason to do it."
    )
    assert await installed.json(*command, "--yes", "--reason", "lost") == {
        "done": True, "count": 2, "owed": 0, "off": 0, "numbers": {lane: [2, 3]},
    }  # fmt: skip
    (asked,) = await installed.json("deliveries", "resends")
    assert (asked["subscription"], asked["numbers"], asked["first"], asked["last"]) == (lane, 2, 2, 3)
    await installed.rows.all_turns()
    assert installed.numbers() == ["1-1", "2-2", "3-3", "2-2", "3-3"]
    assert await installed.audited() == [("delivery-resend", ME, "numbers 2 to 3: lost")]


async def test_one_number_is_named_after_its_subscription(installed: Installed) -> None:
    await installed.rows.owe(2, installed.lane)
    await installed.rows.all_turns()
    assert await installed.said("deliveries", "resend", installed.lane, "1", "--yes", "--reason", "lost") == (
        "To be sent again: 1 notification of 1 Subscription, one by one after what is owed: "
        "see `vbpr deliveries resends`."
    )
    await installed.rows.all_turns()
    assert installed.numbers() == ["1-1", "2-2", "1-1"]


async def test_what_was_asked_for_can_be_taken_back(installed: Installed) -> None:
    rows, lane = installed.rows, installed.lane
    await rows.owe(2, lane)
    await rows.all_turns()
    await resend(rows.database, rows.clock, Found({lane: [1, 2]}, 0, 0), Order("jo", "lost"))
    assert await installed.said("deliveries", "cancel-resends", lane) == (
        "Would no longer be sent again: 2 notifications. Add --yes and --reason to do it."
    )
    assert await installed.said("deliveries", "cancel-resends", lane, "--yes", "--reason", "wrong") == (
        "No longer to be sent again: 2 notifications."
    )
    await rows.all_turns()
    assert installed.numbers() == ["1-1", "2-2"]


async def test_skip_says_what_it_gives_up_then_gives_it_up(installed: Installed) -> None:
    lane = installed.lane
    installed.rows.receiver.statuses(500)
    await installed.rows.owe(2, lane)
    await installed.rows.all_turns()
    assert await installed.said("deliveries", "skip", lane) == (
        f"Would be given up: number 1 of Subscription/{lane} (last failure: answered 500); 1 would still be owed. "
        "Add --yes and --reason to do it."
    )
    assert await installed.said("deliveries", "skip", lane, "--yes", "--reason", "not for them") == (
        f"Given up: number 1 of Subscription/{lane}; 1 still owed."
    )
    await installed.rows.all_turns()
    assert installed.numbers() == ["1-1", "2-2"]
    story = await deliveries.delivery(installed.rows.database, lane, 1)
    assert story is not None
    assert story.delivery.last_failure == "skipped by an operator: not for them"


async def test_recover_sends_again_what_was_given_up_since(installed: Installed) -> None:
    rows, lane = installed.rows, installed.lane
    await rows.owe(3, lane)
    await skip(rows.database, rows.clock, lane, Order("jo", "down"))
    await rows.all_turns()
    assert (await installed.json("recover", "--since", "2h", "--delivered"))["numbers"] == {lane: [1, 2, 3]}
    done = await installed.json("recover", "--since", "2h", "--yes", "--reason", "they are back")
    assert (done["done"], done["numbers"]) == (True, {lane: [1]})
    await rows.all_turns()
    assert installed.numbers() == ["2-2", "3-3", "1-1"]
    story = await deliveries.delivery(rows.database, lane, 1)
    assert story is not None
    assert story.delivery.state == "delivered"


async def test_what_cannot_be_done_is_one_sentence(installed: Installed) -> None:
    assert await installed.refused("deliveries", "skip", installed.lane) == (
        f"Subscription/{installed.lane} owes nothing: there is nothing to skip."
    )


def test_what_is_asked_for_wrongly_is_refused_before_anything_is_opened() -> None:
    def refused(command: Callable[..., None], **options: Any) -> str:
        with pytest.raises(CommandError) as why:
            command(**options)
        return str(why.value)

    assert refused(replay.resend).startswith("Say which: a Subscription")
    assert refused(emit).startswith("Say which: a range of numbers")
    assert refused(replay.resend, subscription="s", number=1, last=2) == (
        "Give one number, or a range with --from and --to."
    )
    assert refused(replay.resend, subscription="s", yes=True) == (
        "Say why with --reason: it is kept in the audit trail."
    )
    assert refused(emit, contract="c", yes=True, reason=" ") == (
        "Say why with --reason: it is kept in the audit trail."
    )
    assert "expected a date such as" in refused(replay.recover, since="yesterday")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90min", timedelta(minutes=90)),
        ("3d", timedelta(days=3)),
        ("2026-02-28", timedelta(days=1, hours=12)),
        ("2026-03-01T13:00:00+02:00", timedelta(hours=1)),
    ],
)
def test_a_time_is_a_date_in_utc_or_how_long_ago(text: str, expected: timedelta) -> None:
    assert acting.time(text, "--since", START) == START - expected


async def bury_two(rows: Watched) -> None:
    """Two records that were not understood; the second is an event to this version."""
    for number, broken in ((1, True), (2, False)):
        made = event(number)
        kept = tuple(each for each in headers(made) if not (broken and each[0] == "ce_time"))
        record = Record(0, rows.position, None, "not understood", kept, made.body)
        done = await enqueue(rows.database, rows.clock, LOG, rows.store.at, [Matched(record, ())])
        rows.store.at |= done.positions
        rows.position += 1


LETTERS = ("deliveries", "dead-letters")


async def test_dead_letters_are_listed_and_shown_without_their_value_unless_asked_for(
    installed: Installed,
) -> None:
    await bury_two(installed.rows)
    listed = await installed.json(*LETTERS, "list")
    assert {(each["position"], each["reason"]) for each in listed} == {
        (0, "not understood"),
        (1, "not understood"),
    }
    shown = await installed.said(*LETTERS, "show", "0", "1")
    assert "MeasureReport/r2/_history/1" in shown
    assert "resourceType" not in shown
    assert '{"resourceType":"MeasureReport","id":"r2"}' in await installed.said(
        *LETTERS, "show", "0", "1", "--value"
    )


async def test_a_dead_letter_is_taken_in_and_another_discarded(installed: Installed) -> None:
    rows = installed.rows
    await bury_two(rows)
    assert await installed.said(*LETTERS, "redrive", "0", "1", "--yes", "--reason", "fixed") == (
        "MeasureReport/r2 is taken in: 1 notification owed for it."
    )
    await installed.rows.all_turns()
    assert rows.receiver.got[0].body == event(2).body
    await installed.said(*LETTERS, "discard", "0", "0", "--yes", "--reason", "a test")
    assert await intake.dead_letters(rows.database) == []


async def test_emit_counts_then_has_events_emitted_again(installed: Installed, urls: dict[str, str]) -> None:
    publisher = Database(urls["VBPR_PUBLISHER_DATABASE_URL"])
    await MIGRATIONS.upgrade(publisher)
    accepted, sink, clock = Outbox(publisher), OutboxSink(log_head), ManualClock()
    relay = Relay(publisher, sink, source=SOURCE, clock=clock)
    for name in ("c1", "c2", "c1"):
        await accepted.accept(contract(name))
    while await relay.emit():
        pass
    command = ("emit", "--contract", contract("c1"))
    assert await installed.said(*command) == (
        "Would be emitted again: 2 events, numbers 1 to 3, accepted 2026-03-01 12:00 to 2026-03-01 12:00 UTC. "
        "Add --yes and --reason to do it."
    )
    assert (await installed.json(*command, "--yes", "--reason", "topic made anew"))["waiting"] == 2
    repeater = Repeater(relay, publisher, sink, source=SOURCE, clock=clock, every=1.0)
    assert await repeater.emit()
    assert await waiting(publisher) == 0
    await publisher.close()
