"""What Kafka remembers of a group, and what a notifier whose database was restored learns from it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from aiokafka.admin import AIOKafkaAdminClient

from services.clock import SystemClock
from services.event_log import LogUnavailableError
from services.event_log_kafka.cluster import KafkaLog
from services.event_log_kafka.sink import KafkaSink
from services.event_log_kafka.source import KafkaSource
from services.event_log_kafka.topic import ensure_topic
from services.event_log_kafka.witness import KafkaWitness
from services.notifier import tables as t
from services.notifier.consume.continuity import LogChangedError
from services.notifier.consume.freshness import LiveIndex
from services.notifier.consume.intake import Intake
from services.notifier.record.verdict import RetryPolicy
from services.notifier.send.client import RestHookClient
from services.notifier.send.delivery import Delivery
from services.notifier.watch.recovery.positions import accept
from services.notifier.watch.recovery.trail import Order
from services.publisher.emit.relay import Relay
from services.wakeup import Wakeup
from tests.conditions import eventually
from tests.event_logs import Log, kafka_end_to_end, new_topic
from tests.notifier_store import BASE, NotifierStore, notifier_store
from tests.notifying import contract
from tests.outbox import SOURCE, publisher_outbox
from tests.servers import SharedKafka
from tests.watching import sending


@pytest.fixture
def topic_log(kafka: SharedKafka) -> KafkaLog:
    return KafkaLog(kafka.bootstrap_servers, new_topic(), partitions=4)


@pytest.fixture
async def log(topic_log: KafkaLog, tmp_path: Path) -> AsyncIterator[Log]:
    async with publisher_outbox(f"sqlite+aiosqlite:///{tmp_path / 'publisher.sqlite'}") as accepted:
        opened = await kafka_end_to_end(accepted, topic_log)
        yield opened
        await opened.close()


@contextlib.asynccontextmanager
async def reading(store: NotifierStore, topic_log: KafkaLog) -> AsyncIterator[Intake]:
    clock = SystemClock()
    source = KafkaSource(topic_log, clock, group=topic_log.topic, session=6.0)
    witness = KafkaWitness(topic_log, source, group=topic_log.topic)
    live = LiveIndex(store.database, BASE)
    client = RestHookClient(clock, private=True, response_bytes=1024)
    sender = sending(clock, client, RetryPolicy(schedule=(3600.0,)))
    delivery = Delivery(store.database, clock, sender, workers=0, owed=Wakeup())  # takes in only
    intake = Intake(
        store.database,
        clock,
        source,
        live,
        log_name=topic_log.topic,
        wait=0.2,
        outgoing=delivery.transaction,
        witness=witness,
    )
    try:
        yield intake
    finally:
        await client.close()
        await source.close()


async def taken_in(intake: Intake, store: NotifierStore, events: int) -> bool:
    await intake.step()
    async with store.database.read() as connection:
        return (
            await connection.execute(sa.select(sa.func.count()).select_from(t.event))
        ).scalar_one() == events


async def test_what_was_noted_is_known_to_whoever_asks_for_any_partition(
    topic_log: KafkaLog, log: Log
) -> None:
    await log.publish(*(contract(f"c{number}") for number in range(20)))
    clock = SystemClock()
    source = KafkaSource(topic_log, clock, group="other" + topic_log.topic, session=6.0)
    witness = KafkaWitness(topic_log, source, group="other" + topic_log.topic)

    async def settled() -> bool:
        if held := await source.assigned():
            source.seek({})
        await source.read(500, 0.2)
        return len(held) == 4

    await eventually(settled, within=30)
    before = await witness.look()
    assert [sighting.reached for sighting in before.values()] == [None] * 4
    assert sum(sighting.end - sighting.oldest for sighting in before.values()) == 20
    witness.note({0: 3, 2: 5}, 17)
    await source.close()  # what was noted last is committed on the way out

    stranger = KafkaSource(topic_log, clock, group="a third" + topic_log.topic, session=6.0)
    after = await KafkaWitness(topic_log, stranger, group="other" + topic_log.topic).look()
    await stranger.close()
    assert [(after[p].reached, after[p].passed_over) for p in range(4)] == [
        (3, 17), (None, 0), (5, 17), (None, 0),
    ]  # fmt: skip


async def test_a_restored_database_gives_no_number_twice(
    topic_log: KafkaLog, log: Log, tmp_path: Path
) -> None:
    file = tmp_path / "notifier.sqlite"
    url = f"sqlite+aiosqlite:///{file}"
    contracts = [contract("c1")] * 3
    async with notifier_store(url) as store:
        made = (await store.subscribe()).id
        await log.publish(*contracts)
        async with reading(store, topic_log) as intake:
            await eventually(partial(taken_in, intake, store, 3), within=30)
    shutil.copy2(file, tmp_path / "backup")
    async with notifier_store(url) as store:
        await log.publish(*contracts)
        async with reading(store, topic_log) as intake:
            await eventually(partial(taken_in, intake, store, 6), within=30)
        assert await store.numbers(made) == [1, 2, 3, 4, 5, 6]
    for ending in ("-wal", "-shm"):
        Path(f"{file}{ending}").unlink(missing_ok=True)  # noqa: ASYNC240  # nobody else runs here
    shutil.copy2(tmp_path / "backup", file)
    async with notifier_store(url) as store:
        async with reading(store, topic_log) as intake:
            await eventually(partial(taken_in, intake, store, 6), within=30)
        given = await store.numbers(made)
        assert given[:3] == [1, 2, 3]
        assert min(given[3:]) > 6
        assert given[3:] == list(range(given[3], given[3] + 3)), "and they go on without a gap from there"


async def test_a_topic_made_anew_is_not_read_on_though_it_has_the_same_positions(
    topic_log: KafkaLog, log: Log, tmp_path: Path
) -> None:
    async with notifier_store(f"sqlite+aiosqlite:///{tmp_path / 'notifier.sqlite'}") as store:
        await log.publish(*[contract("c1")] * 3)
        async with reading(store, topic_log) as intake:
            await eventually(partial(taken_in, intake, store, 3), within=30)
        admin = AIOKafkaAdminClient(bootstrap_servers=topic_log.bootstrap_servers)
        await admin.start()
        await admin.delete_topics([topic_log.topic])

        async def gone() -> bool:
            return topic_log.topic not in await admin.list_topics()

        await eventually(gone, within=30)
        await admin.close()
        await ensure_topic(topic_log)
        sink = KafkaSink(topic_log)
        relay = Relay(log.outbox.database, sink, source=SOURCE, clock=SystemClock())
        for _ in range(5):  # beyond where the reader was
            await log.outbox.accept(contract("c1"))
        while await relay.emit():
            pass
        await sink.close()

        async with reading(store, topic_log) as intake:

            async def stopped() -> bool:
                with contextlib.suppress(LogUnavailableError, LogChangedError):
                    await intake.step()
                return intake.stopped is not None

            await eventually(stopped, within=60)
            assert "holds another record than was read there" in str(intake.stopped)
            assert await taken_in_so_far(store) == 3
            async with store.database.read() as connection:
                partition = (await connection.execute(sa.select(t.position.c.partition))).scalar_one()
            await accept(store.database, SystemClock(), [partition], Order("op", "made anew"))
            await eventually(partial(taken_in, intake, store, 8), within=30)


async def taken_in_so_far(store: NotifierStore) -> int:
    async with store.database.read() as connection:
        return (await connection.execute(sa.select(sa.func.count()).select_from(t.event))).scalar_one()
