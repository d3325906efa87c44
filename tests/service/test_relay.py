"""The relay over both databases: every committed row gets one place, whatever dies when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas.event import ReportEvent
from services import metrics
from services.clock import SystemClock
from services.database import Connection
from services.event_log import EventSink, LogUnavailableError, Place
from services.event_log_outbox import MissingBodyError, OutboxSink, within
from services.publisher.emit.backlog import Backlog, backlog, measure
from services.publisher.emit.relay import ROUND, Relay
from services.publisher.store.tables import log_head, outbox, resource_version
from tests.clock import ManualClock
from tests.conditions import eventually
from tests.outbox import ACCEPTED, SOURCE, Outbox, publisher_outbox


class Watched:
    """The real outbox sink, which notes what it was given and can be held up or made to fail."""

    def __init__(self) -> None:
        self.sink = OutboxSink(log_head)
        self.given: list[list[ReportEvent]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failure: BaseException | None = None
        self.after: BaseException | None = None

    async def append(self, transaction: Connection, events: Sequence[ReportEvent]) -> Sequence[Place]:
        self.given.append(list(events))
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        places = await self.sink.append(transaction, events)
        if self.after is not None:
            raise self.after
        return places

    async def close(self) -> None:
        await self.sink.close()


@pytest.fixture(params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.postgresql)])
async def accepted(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Outbox]:
    sqlite = f"sqlite+aiosqlite:///{tmp_path / 'publisher.sqlite'}"
    url = sqlite if request.param == "SQLite" else request.getfixturevalue("postgresql_url")
    async with publisher_outbox(url) as found:
        yield found


@pytest.fixture
def sink() -> Watched:
    return Watched()


def relay_of(accepted: Outbox, sink: EventSink) -> Relay:
    return Relay(accepted.database, sink, source=SOURCE, clock=SystemClock())


async def run_dry(relay: Relay) -> None:
    while await relay.emit():
        pass


async def test_every_row_gets_one_place_in_the_order_of_its_number(accepted: Outbox, sink: Watched) -> None:
    events = [await accepted.accept(f"contract-{n % 3}") for n in range(12)]
    relay = relay_of(accepted, sink)
    await run_dry(relay)
    assert [event for some in sink.given for event in some] == events
    assert await accepted.places() == {event.id: (0, at) for at, event in enumerate(events)}
    assert not await relay.emit()


async def test_the_reader_is_woken_after_a_round_and_only_then(accepted: Outbox, sink: Watched) -> None:
    relay = relay_of(accepted, sink)
    assert not await relay.emit()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await relay.appended.wait(5)
    await accepted.accept("one")
    await relay.emit()
    async with asyncio.timeout(1):
        await relay.appended.wait(5)


async def test_two_relays_at_once_give_every_row_one_place(accepted: Outbox, sink: Watched) -> None:
    events = [await accepted.accept(f"contract-{n % 3}") for n in range(40)]
    relays = [relay_of(accepted, sink) for _ in range(4)]
    await asyncio.gather(*(run_dry(relay) for relay in relays))
    places = await accepted.places()
    assert sorted(places) == sorted(event.id for event in events)
    assert sorted(position for _, position in places.values()) == list(range(40))
    assert len([event for some in sink.given for event in some]) == 40


@pytest.mark.postgresql
async def test_a_relay_that_is_not_elected_leaves_the_rows_to_the_one_that_is(
    postgresql_url: str, sink: Watched
) -> None:
    async with publisher_outbox(postgresql_url) as accepted:
        event = await accepted.accept("one")
        sink.open.clear()
        clock = ManualClock()
        other = Relay(accepted.database, sink, source=SOURCE, clock=clock)
        async with asyncio.TaskGroup() as tasks:
            elected = tasks.create_task(relay_of(accepted, sink).emit())
            await eventually(lambda: sink.given)
            turned_away = tasks.create_task(other.emit())
            await eventually(lambda: clock.sleeping)
            sink.open.set()
            await elected
            await clock.advance(1)
            assert await turned_away  # it looks again at once
        assert not await other.emit()
        assert sink.given == [[event]]
        assert await accepted.places() == {event.id: (0, 0)}


async def test_a_log_that_is_away_leaves_the_rows_and_counts_the_failure(
    accepted: Outbox, sink: Watched
) -> None:
    event = await accepted.accept("one")
    relay = relay_of(accepted, sink)
    sink.failure = LogUnavailableError("away")
    failures = metrics.EMIT_FAILURES._value.get()
    with pytest.raises(LogUnavailableError):
        await relay.emit()
    assert metrics.EMIT_FAILURES._value.get() == failures + 1
    assert await accepted.unplaced() == 1
    sink.failure = None
    await run_dry(relay)
    assert await accepted.places() == {event.id: (0, 0)}


async def test_what_was_appended_but_not_noted_is_appended_again_under_the_same_ids(
    accepted: Outbox, sink: Watched
) -> None:
    events = [await accepted.accept("one") for _ in range(3)]
    sink.after = ConnectionResetError("the process died here")
    with pytest.raises(ConnectionResetError):
        await relay_of(accepted, sink).emit()
    assert await accepted.unplaced() == 3
    sink.after = None
    await run_dry(relay_of(accepted, sink))
    assert sink.given == [events, events]
    assert await accepted.places() == {event.id: (0, at) for at, event in enumerate(events)}


async def test_a_range_whose_places_are_taken_back_is_emitted_again_at_new_places(
    accepted: Outbox, sink: Watched
) -> None:
    events = [await accepted.accept("one") for _ in range(4)]
    relay = relay_of(accepted, sink)
    await run_dry(relay)
    again = sa.update(outbox).where(outbox.c.event_id.in_([events[1].id, events[2].id]))
    async with accepted.database.write() as transaction:
        await transaction.execute(again.values(place_partition=None, place_position=None))
    await run_dry(relay)
    places = await accepted.places()
    assert [places[event.id] for event in events] == [(0, 0), (0, 4), (0, 5), (0, 3)]


async def test_a_round_is_bounded_in_number(accepted: Outbox, sink: Watched) -> None:
    async with accepted.database.write() as transaction:
        for _ in range(ROUND + 1):
            await accepted.accept("one", within=transaction)
    await run_dry(relay_of(accepted, sink))
    assert [len(some) for some in sink.given] == [ROUND, 1]


async def test_a_round_is_bounded_in_bytes(accepted: Outbox, sink: Watched) -> None:
    for _ in range(3):
        await accepted.accept("one", body=b"{" + b" " * (3 * 1024 * 1024) + b"}")
    await run_dry(relay_of(accepted, sink))
    assert [len(some) for some in sink.given] == [2, 1]


async def test_a_version_that_is_not_kept_stops_the_log_instead_of_being_passed_over(
    accepted: Outbox, sink: Watched
) -> None:
    event = await accepted.accept("one")
    async with accepted.database.write() as transaction:
        await transaction.execute(sa.delete(resource_version).where(resource_version.c.id == event.report_id))
    with pytest.raises(MissingBodyError):
        await relay_of(accepted, sink).emit()


async def test_the_backlog_is_what_has_no_place_and_the_age_of_its_oldest(
    accepted: Outbox, sink: Watched
) -> None:
    clock = ManualClock(ACCEPTED + timedelta(seconds=60))
    assert await backlog(accepted.database) == Backlog(0, None)
    first = await accepted.accept("one")
    await accepted.accept("two")
    assert await measure(accepted.database, clock) == Backlog(2, first.time)
    assert (metrics.OUTBOX_PENDING._value.get(), metrics.OUTBOX_AGE._value.get()) == (2, 60)
    await run_dry(relay_of(accepted, sink))
    assert await measure(accepted.database, clock) == Backlog(0, None)
    assert (metrics.OUTBOX_PENDING._value.get(), metrics.OUTBOX_AGE._value.get()) == (0, 0)


def test_within_takes_the_first_always_and_stops_before_the_limit_is_passed() -> None:
    assert within([], 10) == []
    assert within([(1, 99), (2, 1)], 10) == [1]
    assert within([(1, 4), (2, 6), (3, 1)], 10) == [1, 2]
