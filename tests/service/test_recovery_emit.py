"""Emitting again: the same events at further places in the log, behind what is new; nothing that was there moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.event import ReportEvent
from services.event_log import LogUnavailableError
from services.event_log_kafka.cluster import KafkaLog
from services.event_log_outbox import OutboxRows, OutboxSource
from services.publisher.emit.again import ROUND, Found, Repeater, Wanted, emit_again, find, waiting
from services.publisher.emit.backlog import backlog
from services.publisher.store.tables import audit, log_head, outbox, resource_version
from tests.clock import ManualClock
from tests.conditions import eventually
from tests.event_logs import Log, events_of, kafka_end_to_end, new_topic, outbox_end_to_end
from tests.notifying import classic, notifying
from tests.outbox import ACCEPTED, SOURCE, Outbox, publisher_outbox
from tests.receiver import receiving


@pytest.fixture
async def log(database_urls: tuple[str, str]) -> AsyncIterator[Log]:
    async with publisher_outbox(database_urls[0]) as accepted:
        made = outbox_end_to_end(accepted)
        yield made
        await made.close()


def repeater(log: Log, clock: Any = None) -> Repeater:
    return Repeater(
        log.relay, log.outbox.database, log.sink, source=SOURCE, clock=clock or ManualClock(), every=1.0
    )


async def ask(of: Outbox, **wanted: Any) -> Found:
    return await emit_again(
        of.database, ManualClock(), Wanted(**wanted), actor="jo", reason="a notifier lost its database"
    )


async def all_of(emitting: Repeater) -> None:
    while await emitting.emit():
        pass


async def test_a_range_is_appended_again_under_the_same_ids_and_nothing_moves(log: Log) -> None:
    first = await log.publish("a", "b", "a", "b")
    places = await log.outbox.places()
    found = await ask(log.outbox, first=2, last=3)
    assert (found.count, found.first, found.last) == (2, 2, 3)
    assert await waiting(log.outbox.database) == 2
    await all_of(repeater(log))
    assert await waiting(log.outbox.database) == 0
    new = await log.publish("a")
    assert events_of(await log.reader().take(7)) == [*first, first[1], first[2], *new]
    assert await log.outbox.places() == places | {new[0].id: (0, 6)}


async def test_a_reader_that_lags_misses_nothing_and_gets_first_copies_in_order(log: Log) -> None:
    first = await log.publish(*["a"] * 5)
    lagging = log.reader()
    assert events_of(await lagging.take(2)) == first[:2]
    await ask(log.outbox, contract="a")
    await all_of(repeater(log))
    assert events_of(await lagging.take(8)) == [*first[2:], *first]


async def test_a_read_that_ends_among_the_copies_goes_on_behind_them(log: Log) -> None:
    first = await log.publish(*["a"] * 4)
    await ask(log.outbox)
    await all_of(repeater(log))
    reader = log.reader()
    found = [record for _ in range(4) for record in await reader.take(2)]
    assert [record.position for record in found] == list(range(8))
    assert events_of(found) == [*first, *first]
    assert await reader.source.ends() == {0: 8}


async def test_what_is_new_goes_before_what_is_asked_for(log: Log) -> None:
    first = await log.publish("a", "a")
    await ask(log.outbox)
    emitting = repeater(log)
    new = await log.outbox.accept("b")
    assert not await emitting.emit_again(), "it stands aside"
    await all_of(emitting)
    assert events_of(await log.reader().take(5)) == [*first, new, *first]


async def test_what_is_asked_for_is_no_backlog(log: Log) -> None:
    await log.publish("a", "a")
    await ask(log.outbox)
    assert (await backlog(log.outbox.database)).pending == 0


async def test_asked_for_twice_it_goes_once_and_asked_for_later_it_goes_again(log: Log) -> None:
    await log.publish("a")
    await ask(log.outbox)
    await ask(log.outbox)
    await all_of(repeater(log))
    assert (await log.reader().source.ends()) == {0: 2}
    await ask(log.outbox)
    await all_of(repeater(log))
    assert (await log.reader().source.ends()) == {0: 3}


async def test_a_round_is_small_and_the_next_goes_on(log: Log) -> None:
    first = await log.publish(*["a"] * (ROUND + 1))
    await ask(log.outbox)
    emitting = repeater(log)
    assert await emitting.emit_again()
    assert await waiting(log.outbox.database) == 1
    await all_of(emitting)
    assert events_of(await log.reader().take(len(first) * 2)) == [*first, *first]


async def test_a_log_that_does_not_take_them_is_asked_again(log: Log) -> None:
    await log.publish("a", "a")
    await ask(log.outbox)
    emitting = repeater(log)
    append = log.sink.append
    failing = True

    async def fails_once(transaction: Any, events: Any) -> Any:
        nonlocal failing
        if failing:
            failing = False
            raise LogUnavailableError("away")
        return await append(transaction, events)

    log.sink.append = fails_once  # type: ignore[method-assign]  # the sink's own answer, once withheld
    with pytest.raises(LogUnavailableError):
        await emitting.emit()
    assert await waiting(log.outbox.database) == 2
    await all_of(emitting)
    assert await waiting(log.outbox.database) == 0


async def test_without_anything_asked_for_it_looks_now_and_then_only(log: Log) -> None:
    clock = ManualClock()
    emitting = repeater(log, clock)
    await log.publish("a")
    assert not await emitting.emit()
    await ask(log.outbox)
    assert not await emitting.emit()
    await clock.advance(1.0)
    assert await emitting.emit()


async def test_every_filter_finds_what_it_says_and_never_what_was_not_emitted(log: Log) -> None:
    events = await log.publish("a", "b", "a")
    await log.outbox.accept("a")

    async def numbers(**wanted: Any) -> tuple[int, int | None, int | None]:
        found = await find(log.outbox.database, Wanted(**wanted))
        return found.count, found.first, found.last

    assert await numbers() == (3, 1, 3)
    assert await numbers(contract="a|2.0") == (2, 1, 3)
    assert await numbers(report=events[1].report_id) == (1, 2, 2)
    assert await numbers(first=2) == (2, 2, 3)
    assert await numbers(last=2) == (2, 1, 2)
    assert await numbers(since=ACCEPTED + timedelta(seconds=1)) == (2, 2, 3)
    assert await numbers(until=ACCEPTED + timedelta(seconds=1)) == (1, 1, 1)
    assert await numbers(contract="c") == (0, None, None)
    assert await waiting(log.outbox.database) == 0


async def test_the_audit_trail_says_who_why_and_what(log: Log) -> None:
    await log.publish("a", "a")
    await ask(log.outbox)
    async with log.outbox.database.read() as connection:
        (row,) = await connection.execute(sa.select(audit.c.client, audit.c.action, audit.c.reason))
    assert tuple(row) == ("jo", "event-emit-again", "2 events from 1 to 2: a notifier lost its database")


async def test_copies_go_when_their_rows_are_pruned(log: Log) -> None:
    first = await log.publish("a", "a")
    await ask(log.outbox)
    await all_of(repeater(log))
    async with log.outbox.database.write() as connection:
        await connection.execute(sa.delete(outbox).where(outbox.c.event_id == first[0].id))
    found: list[ReportEvent] = events_of(await log.reader().take(2))
    assert found == [first[1], first[1]]


async def test_a_notifier_drops_the_copies_of_what_it_has(database_urls: tuple[str, str]) -> None:
    async with receiving() as receiver, notifying(*database_urls) as running:
        await running.subscribe(classic(receiver.url))
        await running.publish("c1", "c1")
        await ask(running.outbox)
        rows = OutboxRows(outbox, resource_version, SOURCE)
        source = OutboxSource(running.outbox.database, rows, log_head, running.relay.appended)
        made = Log(running.outbox, running.relay, lambda: source, running.relay._sink)
        await all_of(repeater(made, running.clock))
        await running.publish("c1")
        await eventually(lambda: len(receiver.got) == 3)
        assert [got.webhook_id.partition("_")[2] for got in receiver.got] == ["1-1", "2-2", "3-3"]


@pytest.mark.kafka
@pytest.mark.postgresql
async def test_through_kafka_they_come_again_as_they_came_first(
    postgresql_url: str, kafka: Any, tmp_path: Path
) -> None:
    async with publisher_outbox(postgresql_url) as accepted:
        log = await kafka_end_to_end(accepted, KafkaLog(kafka.bootstrap_servers, new_topic(), partitions=1))
        try:
            first = await log.publish("a", "b", "a")
            places = await log.outbox.places()
            await ask(accepted, contract="a")
            await all_of(repeater(log))
            assert events_of(await log.reader().take(5)) == [*first, first[0], first[2]]
            assert await log.outbox.places() == places
        finally:
            await log.close()
