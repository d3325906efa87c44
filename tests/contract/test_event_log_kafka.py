"""What only Kafka can do to us: brokers that die or hang, groups, foreign records, a topic that is not ours."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from structlog.testing import capture_logs

from schemas.event import ReportEvent
from services.clock import SystemClock
from services.database import Connection
from services.event_log import LogUnavailableError, Place, PositionUnknownError, Record
from services.event_log_kafka.cluster import KafkaLog
from services.event_log_kafka.source import KafkaSource
from services.event_log_kafka.topic import TopicStateError, ensure_topic, require_topic
from services.publisher.emit.relay import Relay
from tests.clock import ManualClock
from tests.conditions import eventually
from tests.event_logs import Log, Reader, by_contract, events_of, kafka_end_to_end, new_topic
from tests.outbox import SOURCE, Outbox, publisher_outbox
from tests.servers import SharedKafka
from tools.kafka import Broker
from tools.server_process import free_ports

DEADLINE = 3.0


@pytest.fixture
async def accepted(tmp_path: Path) -> AsyncIterator[Outbox]:
    async with publisher_outbox(f"sqlite+aiosqlite:///{tmp_path / 'publisher.sqlite'}") as found:
        yield found


@pytest.fixture
def topic_log(kafka: SharedKafka) -> KafkaLog:
    return KafkaLog(kafka.bootstrap_servers, new_topic(), partitions=4)


async def keep_trying(reader: Reader, enough: Callable[[list[Record]], bool], within: float) -> list[Record]:
    """Read on through failures, as a loop of the notifier does; a failed read is followed by a new seek."""
    records: list[Record] = []
    async with asyncio.timeout(within):
        while not enough(records):
            try:
                records += await reader.round()
            except LogUnavailableError:
                reader.held = frozenset()
    return records


def first_copies(records: list[Record]) -> list[ReportEvent]:
    return list({event.id: event for event in events_of(records)}.values())


@pytest.mark.timeout(150)
@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_a_broker_that_is_away_is_told_in_time_and_everything_flows_when_it_is_back(
    accepted: Outbox, own_kafka: Broker, fault: str
) -> None:
    topic = KafkaLog(own_kafka.bootstrap_servers, new_topic(), partitions=2, request_timeout=DEADLINE)
    log = await kafka_end_to_end(accepted, topic, check_after=0.5)
    try:
        reader = log.reader()
        before = await log.publish("a", "b", "a")
        assert by_contract(events_of(await reader.take(3))) == by_contract(before)

        _break(own_kafka, fault)
        during = [await accepted.accept(contract) for contract in "abab"]
        for _ in range(2):  # the producer that failed is not the one that is asked next
            async with asyncio.timeout(DEADLINE + 6):
                with pytest.raises(LogUnavailableError):
                    await log.relay.emit()
        async with asyncio.timeout(30):
            with pytest.raises(LogUnavailableError):
                await reader.take(1)
        assert await accepted.unplaced() == 4

        await _mend(own_kafka, fault)
        await _relay_through(log)
        read = await keep_trying(reader, lambda found: len(first_copies(found)) >= 4, within=60)
        assert by_contract(first_copies(read)) == by_contract(during)
        after = await log.publish("a", "b")
        read = await keep_trying(
            reader,
            lambda found: {event.id for event in after} <= {event.id for event in events_of(found)},
            30,
        )
    finally:
        await log.close()


@pytest.mark.timeout(90)
async def test_a_broker_that_dies_while_partitions_are_shared_out_is_told_as_soon(
    accepted: Outbox, own_kafka: Broker
) -> None:
    topic = KafkaLog(own_kafka.bootstrap_servers, new_topic(), partitions=2, request_timeout=DEADLINE)
    log = await kafka_end_to_end(accepted, topic, check_after=0.5)
    try:
        reader = log.reader()
        await log.publish("a")
        await reader.take(1)
        own_kafka.kill()
        reader.source._consumer._coordinator.request_rejoin()  # type: ignore[attr-defined]  # causes the fault
        await eventually(lambda: reader.source._assignment.held == frozenset())  # type: ignore[attr-defined]
        async with asyncio.timeout(2 * DEADLINE + 2):
            for _ in range(2):
                with pytest.raises(LogUnavailableError):
                    await reader.take(1)
    finally:
        await log.close()


def _break(broker: Broker, fault: str) -> None:
    if fault == "killed":
        broker.kill()
    else:
        os.kill(broker.process.pid, signal.SIGSTOP)


async def _mend(broker: Broker, fault: str) -> None:
    if fault == "killed":
        await asyncio.to_thread(broker.start)
    else:
        os.kill(broker.process.pid, signal.SIGCONT)


async def _relay_through(log: Log) -> None:
    async with asyncio.timeout(60):
        while await log.outbox.unplaced():
            try:
                await log.relay.emit()
            except LogUnavailableError:
                continue


@pytest.mark.timeout(90)
async def test_both_ends_close_in_bounded_time_though_the_broker_is_gone(
    accepted: Outbox, own_kafka: Broker
) -> None:
    topic = KafkaLog(own_kafka.bootstrap_servers, new_topic(), partitions=2, request_timeout=DEADLINE)
    log = await kafka_end_to_end(accepted, topic)
    reader = log.reader()
    await log.publish("a")
    await reader.take(1)
    os.kill(own_kafka.process.pid, signal.SIGSTOP)
    async with asyncio.timeout(20):
        await log.close()


async def test_two_readers_of_a_group_share_the_partitions_and_one_takes_over_from_the_other(
    accepted: Outbox, topic_log: KafkaLog
) -> None:
    log = await kafka_end_to_end(accepted, topic_log)
    try:
        positions: dict[int, int] = {}  # what the two would share in the notifier's database
        one, other = log.reader(), log.reader()
        one.positions = other.positions = positions
        one.wait = other.wait = 0.2
        async with asyncio.timeout(40):
            while not (one.held and other.held and one.held | other.held == {0, 1, 2, 3}):
                await asyncio.gather(one.round(), other.round())
        assert not one.held & other.held

        published = await log.publish(*(f"contract-{n}" for n in range(24)))
        found: list[Record] = []
        async with asyncio.timeout(20):
            while len(found) < 24:
                for some in await asyncio.gather(one.round(), other.round()):
                    found += some
        assert by_contract(events_of(found)) == by_contract(published)

        await one.source.close()
        async with asyncio.timeout(20):
            while other.held != {0, 1, 2, 3}:
                assert await other.round() == []
        later = await log.publish(*(f"contract-{n}" for n in range(24)))
        assert by_contract(events_of(await other.take(24))) == by_contract(later)
    finally:
        await log.close()


async def test_an_event_beyond_the_limit_is_named_to_whoever_is_paged_and_nothing_passes_it(
    accepted: Outbox, topic_log: KafkaLog
) -> None:
    log = await kafka_end_to_end(accepted, topic_log)
    try:
        large = await accepted.accept("a", body=b" " * (topic_log.max_record_bytes + 1))
        await accepted.accept("a")
        with capture_logs() as lines, pytest.raises(LogUnavailableError):
            await log.relay.emit()
        assert await accepted.unplaced() == 2
        assert [line["event_id"] for line in lines if line["log_level"] == "error"] == [large.id]
    finally:
        await log.close()


async def test_a_publisher_that_dies_between_kafkas_answer_and_its_commit_sends_the_same_ids_again(
    accepted: Outbox, topic_log: KafkaLog
) -> None:
    log = await kafka_end_to_end(accepted, topic_log)
    try:
        events = [await accepted.accept("a") for _ in range(3)]

        class DiesAfter:
            async def append(self, transaction: Connection, some: Sequence[ReportEvent]) -> Sequence[Place]:
                await log.sink.append(transaction, some)
                raise ConnectionResetError("the process died here")

            async def close(self) -> None:
                """The log closes its own sink."""

        with pytest.raises(ConnectionResetError):
            await Relay(accepted.database, DiesAfter(), source=SOURCE, clock=SystemClock()).emit()
        await log.relay_all()
        assert events_of(await log.reader().take(6)) == events * 2
    finally:
        await log.close()


async def test_a_position_that_retention_passes_while_reading_is_told_until_sought_anew(
    accepted: Outbox, topic_log: KafkaLog
) -> None:
    log = await kafka_end_to_end(accepted, topic_log)
    admin = AIOKafkaAdminClient(bootstrap_servers=topic_log.bootstrap_servers)
    await admin.start()
    try:
        await log.publish(*["a"] * 5)
        [partition] = {partition for partition, _ in (await accepted.places()).values()}
        reader = log.reader()
        await reader.take(5)
        consumer = reader.source._consumer  # type: ignore[attr-defined]  # causes the fault
        consumer.pause(*consumer.assignment())
        await eventually(lambda: not consumer._fetcher._in_flight)
        published = await log.publish(*["a"] * 3)
        await admin.delete_records({TopicPartition(topic_log.topic, partition): RecordsToDelete(7)})
        consumer.resume(*consumer.assignment())
        for _ in range(2):
            with pytest.raises(PositionUnknownError) as told:
                await reader.take(1)
            assert (told.value.partition, told.value.position, told.value.oldest) == (partition, 5, 7)
        reader.source.seek({partition: 7})
        assert events_of(await reader.take(1)) == published[2:]
    finally:
        await admin.close()
        await log.close()


async def test_a_rebalance_shows_as_an_empty_assignment_even_when_the_same_partitions_come_back(
    accepted: Outbox, topic_log: KafkaLog
) -> None:
    log = await kafka_end_to_end(accepted, topic_log)
    try:
        reader = log.reader()
        await reader.settled()
        held = reader.held
        reader.source._consumer._coordinator.request_rejoin()  # type: ignore[attr-defined]  # causes the fault
        shown: list[frozenset[int]] = []
        async with asyncio.timeout(20):
            while shown[-2:] != [frozenset(), held]:
                await reader.round()
                shown.append(reader.held)
    finally:
        await log.close()


async def test_a_reader_that_stands_still_is_replaced_and_misses_nothing(
    accepted: Outbox, topic_log: KafkaLog
) -> None:
    clock = ManualClock()
    log = await kafka_end_to_end(accepted, topic_log, clock=clock)
    try:
        reader = log.reader()
        await log.publish("a")
        await reader.take(1)
        consumer = reader.source._consumer  # type: ignore[attr-defined]  # causes the fault
        consumer.pause(*consumer.assignment())
        await eventually(lambda: not consumer._fetcher._in_flight)
        published = await log.publish("a")
        reader.wait = 0.1
        assert await reader.round() == []
        await clock.advance(31)
        with pytest.raises(LogUnavailableError):
            await reader.round()
        reader.wait = 1.0
        assert events_of(await reader.take(1)) == published
    finally:
        await log.close()


async def _records(servers: str, topic: str, count: int) -> list[Any]:
    """Return the first records of a topic with one partition."""
    reader = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")
    await reader.start()
    try:
        reader.assign([TopicPartition(topic, 0)])
        async with asyncio.timeout(20):
            return [await reader.getone() for _ in range(count)]
    finally:
        await reader.stop()


async def test_a_foreign_record_is_handed_on_with_its_parts_and_what_follows_is_read(
    accepted: Outbox, topic_log: KafkaLog
) -> None:
    log = await kafka_end_to_end(accepted, topic_log)
    foreign = AIOKafkaProducer(bootstrap_servers=topic_log.bootstrap_servers)
    await foreign.start()
    try:
        await foreign.send_and_wait(topic_log.topic, b"hello", partition=2)
        await foreign.send_and_wait(
            topic_log.topic, b"{}", partition=2, headers=[("ce_id", b"\xff"), ("x", None)]
        )
        await foreign.send_and_wait(topic_log.topic, None, key=b"k", partition=2)
        published = await log.publish(*(f"contract-{n}" for n in range(8)))
        records = await log.reader().take(11)
        strange = [record for record in records if record.event is None]
        assert [(record.position, record.raw_headers, record.raw_value) for record in strange] == [
            (0, (), b"hello"),
            (1, (("ce_id", b"\xff"), ("x", b"")), b"{}"),
            (2, (), None),
        ]
        assert all(record.poison for record in strange)
        read = events_of([record for record in records if record.event is not None])
        assert by_contract(read) == by_contract(published)
        copies = await _records(topic_log.bootstrap_servers, topic_log.dead_letter_topic, 3)
        told = [dict(copy.headers) for copy in copies]
        assert [(copy.key, copy.value) for copy in copies] == [
            (b"2/0", b"hello"),
            (b"2/1", b"{}"),
            (b"2/2", None),
        ]
        assert [each["vbpr-position"] for each in told] == [b"0", b"1", b"2"]
        assert {(each["vbpr-topic"], each["vbpr-partition"]) for each in told} == {
            (topic_log.topic.encode(), b"2")
        }
        assert [each["vbpr-reason"].decode() for each in told] == [record.poison for record in strange]
        assert told[1]["ce_id"] == b"\xff"
    finally:
        await foreign.stop()
        await log.close()


async def test_a_position_that_retention_has_passed_is_told_and_a_new_reader_starts_at_the_oldest(
    accepted: Outbox, topic_log: KafkaLog
) -> None:
    log = await kafka_end_to_end(accepted, topic_log)
    admin = AIOKafkaAdminClient(bootstrap_servers=topic_log.bootstrap_servers)
    await admin.start()
    try:
        published = await log.publish(*["a"] * 5)
        partition, _ = (await accepted.places())[published[0].id]
        await admin.delete_records({TopicPartition(topic_log.topic, partition): RecordsToDelete(3)})
        with pytest.raises(PositionUnknownError) as told:
            await log.reader({partition: 1}).take(1)
        assert (told.value.partition, told.value.position, told.value.oldest) == (partition, 1, 3)
        await log.sources[0].close()
        assert events_of(await log.reader().take(2)) == published[3:]
    finally:
        await admin.close()
        await log.close()


async def test_the_topic_is_made_once_and_then_required(topic_log: KafkaLog) -> None:
    with pytest.raises(TopicStateError, match="vbpr migrate"):
        await require_topic(topic_log)
    await ensure_topic(topic_log)
    await ensure_topic(topic_log)
    await require_topic(topic_log)


async def test_a_topic_with_other_partitions_or_a_smaller_limit_is_refused_with_what_to_do(
    topic_log: KafkaLog,
) -> None:
    await ensure_topic(topic_log)
    for check in (ensure_topic, require_topic):
        with pytest.raises(TopicStateError, match="VBPR_KAFKA_PARTITIONS=4"):
            await check(replace(topic_log, partitions=6))
        with pytest.raises(TopicStateError, match=r"max\.message\.bytes"):
            await check(replace(topic_log, max_report_bytes=topic_log.max_report_bytes * 2))


async def test_no_broker_at_all_is_one_sentence() -> None:
    [port] = free_ports(1)
    nowhere = KafkaLog(f"127.0.0.1:{port}", new_topic(), request_timeout=DEADLINE)
    with pytest.raises(LogUnavailableError, match="start it, or correct VBPR_KAFKA_BOOTSTRAP_SERVERS"):
        await require_topic(nowhere)
    source = KafkaSource(nowhere, SystemClock(), group="nobody")
    with pytest.raises(LogUnavailableError):
        await source.assigned()
    await source.close()
