"""Dead letters: looked at without their contents, taken in once they can be read, or discarded; never lost silently."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest
import sqlalchemy as sa

from schemas.event import ReportEvent, headers
from services.event_log import Record
from services.notifier import tables as t
from services.notifier.enqueue.enqueue import Matched, enqueue
from services.notifier.watch.insights import intake, subscriptions
from services.notifier.watch.recovery.dead_letters import Place, discard, redrive, show
from services.notifier.watch.recovery.trail import Order, RecoveryRefusedError
from tests.notifier_store import BASE, LOG, event
from tests.watching import Watched, watched

JO = Order("jo", "fixed in 1.2")


@pytest.fixture
async def rows(database_urls: tuple[str, str]) -> AsyncIterator[Watched]:
    async with watched(database_urls[1]) as opened:
        yield opened


async def bury(rows: Watched, of: ReportEvent, *, value: bytes | None, without: str = "") -> Place:
    """Have the notifier read a record that it cannot understand."""
    kept = tuple(header for header in headers(of) if header[0] != without)
    record = Record(0, rows.position, None, f"header {without} is missing", kept, value)
    done = await enqueue(rows.database, rows.clock, LOG, rows.store.at, [Matched(record, ())])
    rows.store.at |= done.positions
    rows.position += 1
    return Place(0, rows.position - 1)


async def mended(rows: Watched, of: ReportEvent) -> None:
    """Make the headers whole: what a version that understands them would see in them."""
    whole = orjson.dumps([[name, value.decode()] for name, value in headers(of)]).decode()
    async with rows.database.write() as connection:
        await connection.execute(sa.update(t.dead_letter).values(headers=whole))


async def audited(rows: Watched) -> list[tuple[str, ...]]:
    columns = (t.audit.c.action, t.audit.c.client, t.audit.c.subject, t.audit.c.reason)
    async with rows.database.read() as connection:
        found = await connection.execute(sa.select(*columns).where(t.audit.c.action.like("dead-letter%")))
        return [tuple(row) for row in found]


async def test_one_that_can_be_read_now_is_matched_and_numbered_as_if_it_had_just_come(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(1, lane)
    late = event(50)
    place = await bury(rows, late, value=late.body, without="ce_time")
    with pytest.raises(
        RecoveryRefusedError, match="It still is no event that this version understands: header ce_time"
    ):
        await redrive(rows.database, rows.clock, place, JO, base_url=BASE)
    await rows.owe(1, lane)
    await mended(rows, late)
    assert await redrive(rows.database, rows.clock, place, None, base_url=BASE) is None
    assert len(await intake.dead_letters(rows.database)) == 1, "a look changes nothing"
    done = await redrive(rows.database, rows.clock, place, JO, base_url=BASE)
    assert done is not None
    assert (done.event_id, done.report, done.repeated, done.notifications) == (
        late.id, "MeasureReport/r50", False, 1,
    )  # fmt: skip
    assert await intake.dead_letters(rows.database) == []
    await rows.all_turns()
    assert [got.webhook_id.partition("_")[2] for got in rows.receiver.got] == ["1-1", "2-2", "3-3"]
    assert rows.receiver.got[-1].body == late.body
    assert await audited(rows) == [("dead-letter-redrive", "jo", f"{LOG}/0/1", "fixed in 1.2")]
    with pytest.raises(RecoveryRefusedError, match="There is no dead letter at partition 0, position 1"):
        await redrive(rows.database, rows.clock, place, JO, base_url=BASE)


async def test_one_whose_event_has_come_some_other_way_gets_no_second_number(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(1, lane)
    place = await bury(rows, event(1), value=event(1).body, without="ce_id")
    await mended(rows, event(1))
    done = await redrive(rows.database, rows.clock, place, JO, base_url=BASE)
    assert done is not None
    assert (done.repeated, done.notifications) == (True, 0)
    view = await subscriptions.subscription(rows.database, lane)
    assert view is not None
    assert view.events == 1
    assert await intake.dead_letters(rows.database) == []


async def test_discarded_it_is_gone_and_the_trail_says_what_it_was(rows: Watched) -> None:
    place = await bury(rows, event(1), value=None, without="ce_type")
    found = await discard(rows.database, rows.clock, place, None)
    assert (found.reason, found.size) == ("header ce_type is missing", 0)
    assert len(await intake.dead_letters(rows.database)) == 1
    await discard(rows.database, rows.clock, place, Order("jo", "test data"))
    assert await intake.dead_letters(rows.database) == []
    assert await audited(rows) == [
        ("dead-letter-discard", "jo", f"{LOG}/0/0", "header ce_type is missing: test data")
    ]


async def test_its_headers_and_value_are_shown_to_who_asks_for_that_one(rows: Watched) -> None:
    place = await bury(rows, event(7), value=b"\xff\x00", without="ce_id")
    found = await show(rows.database, place)
    assert found.value == b"\xff\x00"
    assert dict(found.headers)["ce_subject"] == "MeasureReport/r7/_history/1"
    assert found.letter.size == 2


async def test_two_logs_with_the_same_place_have_to_be_told_apart(rows: Watched) -> None:
    place = await bury(rows, event(7), value=b"1", without="ce_id")
    async with rows.database.write() as connection:
        columns = ["log", "partition", "position", "reason", "headers", "value", "at"]
        dead = t.dead_letter.c
        copied = sa.select(sa.literal("other"), *(dead[name] for name in columns[1:]))
        await connection.execute(sa.insert(t.dead_letter).from_select(columns, copied))
    with pytest.raises(RecoveryRefusedError, match=f"Several logs have a dead letter there: {LOG}, other"):
        await show(rows.database, place)
    assert (await show(rows.database, Place(0, 0, "other"))).letter.log == "other"
