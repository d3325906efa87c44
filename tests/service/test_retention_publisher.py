"""What a publisher keeps: events until they are old and placed, and, where the outbox is the log, until they are read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from services.event_log import PositionUnknownError, Record
from services.publisher.retention import sweeps
from services.publisher.store.tables import audit, outbox, outbox_copy, resource_version
from services.retention import Pruner
from services.settings import Settings
from tests.clock import ManualClock
from tests.event_logs import Log, outbox_end_to_end
from tests.outbox import ACCEPTED, publisher_outbox

DAY = 86_400.0
SETTINGS = Settings(keep_outbox_days=30, keep_audit_days=2000)


@pytest.fixture
async def log(publisher_database_url: str) -> AsyncIterator[Log]:
    async with publisher_outbox(publisher_database_url) as accepted:
        opened = outbox_end_to_end(accepted)
        yield opened
        await opened.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(ACCEPTED)


async def numbers(log: Log) -> list[int]:
    async with log.outbox.database.read() as connection:
        return list(
            (await connection.execute(sa.select(outbox.c.number).order_by(outbox.c.number))).scalars()
        )


async def repeat(log: Log, number: int, position: int | None) -> None:
    """Have a row stand in the log once more, as an operator's emission leaves it."""
    async with log.outbox.database.write() as connection:
        placed = {"place_partition": None if position is None else 0, "place_position": position}
        await connection.execute(sa.insert(outbox_copy).values(number=number, **placed))


def elsewhere(log: Log, clock: ManualClock) -> Pruner:
    """Of a publisher whose log is not the outbox."""
    return Pruner(log.outbox.database, clock, sweeps(SETTINGS))


def embedded(log: Log, clock: ManualClock, needed_from: int) -> Pruner:
    return Pruner(log.outbox.database, clock, sweeps(SETTINGS, lambda: needed_from))


async def test_placed_rows_go_by_age_and_their_versions_stay(log: Log, clock: ManualClock) -> None:
    await log.publish("a", "b")
    await log.outbox.accept("c")
    await clock.advance(29 * DAY)
    await elsewhere(log, clock).run_dry()
    assert len(await numbers(log)) == 3
    await clock.advance(2 * DAY)
    await elsewhere(log, clock).run_dry()
    assert len(await numbers(log)) == 1
    assert await log.outbox.unplaced() == 1, "what has no place yet stays, however old"
    async with log.outbox.database.read() as connection:
        kept = sa.select(sa.func.count()).select_from(resource_version)
        assert (await connection.execute(kept)).scalar_one() == 3


async def test_what_an_operator_wants_emitted_again_stays(log: Log, clock: ManualClock) -> None:
    await log.publish("a", "b")
    first, _ = await numbers(log)
    await repeat(log, first, None)
    await clock.advance(31 * DAY)
    await elsewhere(log, clock).run_dry()
    assert await numbers(log) == [first]


async def test_nothing_of_the_log_goes_that_its_reader_has_not_taken_in(log: Log, clock: ManualClock) -> None:
    events = await log.publish(*"abcde")
    await clock.advance(31 * DAY)
    await embedded(log, clock, 0).run_dry()
    reader = log.reader()
    assert [record.position for record in await reader.take(2)] == [0, 1]
    await embedded(log, clock, 2).run_dry()
    assert len(await numbers(log)) == 3
    rest = await reader.take(3)
    assert [record.event and record.event.id for record in rest] == [event.id for event in events[2:]]


async def test_a_reader_behind_what_is_kept_is_told_so_and_one_that_begins_starts_at_the_oldest(
    log: Log, clock: ManualClock
) -> None:
    await log.publish(*"abcde")
    await clock.advance(31 * DAY)
    await embedded(log, clock, 3).run_dry()
    with pytest.raises(PositionUnknownError) as unknown:
        await log.reader({0: 2}).round()
    assert (unknown.value.position, unknown.value.oldest, unknown.value.end) == (2, 3, 5)
    assert [record.position for record in await log.reader({0: 3}).take(2)] == [3, 4]
    assert [record.position for record in await log.reader().take(2)] == [3, 4]


async def test_a_row_whose_copy_stands_further_on_is_read_from_there(log: Log, clock: ManualClock) -> None:
    await log.publish(*"abc")
    first, *_ = await numbers(log)
    # Its place is the next of the log; the head has to know it.
    await repeat(log, first, 3)
    async with log.outbox.database.write() as connection:
        await connection.exec_driver_sql("UPDATE log_head SET next_position = 4")
    await clock.advance(31 * DAY)
    await embedded(log, clock, 3).run_dry()
    assert await numbers(log) == [first]
    (again,) = await log.reader().take(1)
    assert isinstance(again, Record)
    assert again.position == 3
    await embedded(log, clock, 4).run_dry()
    assert await numbers(log) == []
    assert (await log.reader({0: 4}).round()) == []


async def test_a_log_of_which_nothing_is_left_goes_on_where_it_was(log: Log, clock: ManualClock) -> None:
    await log.publish("a", "b")
    await clock.advance(31 * DAY)
    await embedded(log, clock, 2).run_dry()
    await log.publish("c")
    assert [record.position for record in await log.reader().take(1)] == [2]


async def test_the_source_needs_what_it_read_last_until_it_reads_on(log: Log) -> None:
    await log.publish(*"abc")
    source = log.new_source()
    source.seek({0: 1})
    assert source.needed_from == 0  # type: ignore[attr-defined]  # the outbox's own source
    await source.read(1, 0)
    await source.read(1, 0)
    assert source.needed_from == 2  # type: ignore[attr-defined]  # what was read last may be asked for again
    await source.close()


async def test_the_audit_trail_goes_by_age(log: Log, clock: ManualClock) -> None:
    async with log.outbox.database.write() as connection:
        rows = [
            {"at": clock.now() + timedelta(days=days), "client": "p", "action": "create", "subject": "x"}
            for days in (0, 1500)
        ]
        await connection.execute(sa.insert(audit), rows)
    await clock.advance(2001 * DAY)
    await elsewhere(log, clock).run_dry()
    async with log.outbox.database.read() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(audit))).scalar_one() == 1
