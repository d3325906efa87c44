"""One suite over every event log: what publisher and notifier may rely on, whichever they run on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.event_log import PositionUnknownError, Record
from services.event_log_kafka.cluster import KafkaLog
from tests.conditions import eventually
from tests.event_logs import Log, by_contract, events_of, kafka_end_to_end, new_topic, outbox_end_to_end
from tests.outbox import publisher_outbox

REPORT_LIMIT = 4 * 1024 * 1024


@pytest.fixture(
    params=[
        "outbox on SQLite",
        pytest.param("outbox on PostgreSQL", marks=pytest.mark.postgresql),
        pytest.param("Kafka", marks=[pytest.mark.kafka, pytest.mark.postgresql]),
    ]
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def log(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    if kind == "outbox on SQLite":
        url = f"sqlite+aiosqlite:///{tmp_path / 'publisher.sqlite'}"
    else:
        url = request.getfixturevalue("postgresql_url")
    async with publisher_outbox(url) as accepted:
        if kind == "Kafka":
            servers = request.getfixturevalue("kafka").bootstrap_servers
            made = await kafka_end_to_end(accepted, KafkaLog(servers, new_topic(), partitions=3))
        else:
            made = outbox_end_to_end(accepted)
        try:
            yield made
        finally:
            await made.close()


async def test_events_arrive_whole_and_in_order_within_each_contract(log: Log) -> None:
    published = await log.publish(*(f"contract-{n % 7}" for n in range(70)))
    read = events_of(await log.reader().take(70))
    assert by_contract(read) == by_contract(published)


async def test_positions_are_dense_and_are_the_places_noted_in_the_outbox(log: Log) -> None:
    await log.publish(*(f"contract-{n % 5}" for n in range(20)))
    records = await log.reader().take(20)
    positions: dict[int, list[int]] = defaultdict(list)
    for record in records:
        positions[record.partition].append(record.position)
    assert all(found == list(range(len(found))) for found in positions.values())
    noted = await log.outbox.places()
    assert noted == {
        record.event.id: (record.partition, record.position) for record in records if record.event
    }


async def test_reading_removes_nothing_and_goes_on_where_it_is_told(log: Log) -> None:
    await log.publish(*["one-contract"] * 10)
    reader = log.reader()
    first = await reader.take(10)
    reader.source.seek({first[6].partition: first[6].position})
    assert await reader.take(4) == first[6:]


async def test_a_reader_that_starts_later_reads_from_the_oldest_and_another_from_its_position(
    log: Log,
) -> None:
    published = await log.publish(*["one-contract"] * 6)
    reader = log.reader()
    assert events_of(await reader.take(6)) == published
    await reader.source.close()
    later = await log.publish(*["one-contract"] * 2)
    assert events_of(await log.reader(reader.positions).take(2)) == later


async def test_an_empty_read_waits_and_is_answered_by_the_next_event(log: Log) -> None:
    reader = log.reader()
    await reader.settled()
    assert await reader.round() == []
    reader.wait = 25.0
    waiting = asyncio.create_task(reader.take(1))
    published = await log.publish("one-contract")
    async with asyncio.timeout(10):
        assert events_of(await waiting) == published


async def test_a_read_that_waits_ends_when_its_process_is_told_to_stop(log: Log) -> None:
    reader = log.reader()
    await reader.settled()
    source = reader.source
    waiting = asyncio.create_task(source.read(10, 50.0))

    def woken() -> bool:
        source.wake.set()
        return waiting.done()

    await eventually(woken, within=10, what="the end of the wait")
    assert not await waiting


async def test_what_was_never_sought_is_not_returned(log: Log) -> None:
    await log.publish("one-contract")
    reader = log.reader()
    source = reader.source
    async with asyncio.timeout(20):
        while not await source.assigned():
            assert not await source.read(10, 0.2)
    assert not await source.read(10, 0.5)
    source.seek({})
    assert len(await source.read(10, 10.0)) == 1


async def test_a_read_is_bounded_in_number(log: Log) -> None:
    published = await log.publish(*["one-contract"] * 9)
    reader = log.reader()
    found: list[list[Record]] = []
    async with asyncio.timeout(20):
        while sum(map(len, found)) < 9:
            found.append(await reader.round(at_most=4))
    assert max(map(len, found)) <= 4
    assert events_of([record for some in found for record in some]) == published


async def test_the_ends_are_the_positions_after_the_newest(log: Log) -> None:
    await log.publish(*(f"contract-{n}" for n in range(12)))
    reader = log.reader()
    await reader.take(12)
    ends = await reader.source.ends()
    assert {partition: end for partition, end in ends.items() if end} == reader.positions


async def test_a_position_beyond_the_log_is_told_and_not_waited_for(log: Log) -> None:
    [event] = await log.publish("one-contract")
    partition, position = (await log.outbox.places())[event.id]
    reader = log.reader({partition: position + 5})
    for _ in range(2):  # and told again, until somebody has decided
        with pytest.raises(PositionUnknownError) as told:
            await reader.take(1)
        assert (told.value.position, told.value.end) == (position + 5, position + 1)
    reader.source.seek({partition: position})
    reader.positions.clear()
    assert events_of(await reader.take(1)) == [event]


async def test_a_report_of_the_largest_size_passes_and_so_does_what_follows(log: Log) -> None:
    body = b'{"resourceType":"MeasureReport","x":"%s"}'
    largest = body % (b"x" * (REPORT_LIMIT - len(body) + 2))
    assert len(largest) == REPORT_LIMIT
    events = [await log.outbox.accept("one-contract", body=largest) for _ in range(3)]
    events.append(await log.outbox.accept("one-contract"))
    await log.relay_all()
    assert events_of(await log.reader().take(4)) == events


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("outbox on PostgreSQL", marks=pytest.mark.postgresql),
        pytest.param("Kafka", marks=[pytest.mark.kafka, pytest.mark.postgresql]),
    ],
)
async def test_transactions_committed_in_the_reverse_order_of_their_numbers_both_arrive(log: Log) -> None:
    reader = log.reader()
    database = log.outbox.database
    async with database.write() as slow:
        first = await log.outbox.accept("contract-a", within=slow)
        second = await log.outbox.accept("contract-b")  # drew the greater number, and is committed now
        await log.relay_all()
        assert events_of(await reader.take(1)) == [second]
    await log.relay_all()
    assert events_of(await reader.take(1)) == [first]
