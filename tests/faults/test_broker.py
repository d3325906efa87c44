"""Kafka dies, or is not what it was: reports are accepted meanwhile, and everything arrives, once and in order."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from tests.conditions import eventually
from tests.faults.at_random import WITHOUT_LONG_WAITS, Traffic, after_more, drawn_seed
from tests.faults.cluster import Cluster, cluster, foreign
from tests.faults.payer import parties_and_contracts, reports, varied
from tests.faults.scene import Scene, scene
from tests.processes import VbprProcess, VbprProcesses
from tests.servers import SharedKafka, SharedPostgreSQL
from tests.service.commands import run
from tests.simulation.chance import Chance
from tools.kafka import Broker

PARTITIONS = 3


@asynccontextmanager
async def two_notifiers(
    vbpr: VbprProcesses, postgresql: SharedPostgreSQL, servers: str, folder: Path
) -> AsyncIterator[tuple[Cluster, Scene, str, str]]:
    """Run a publisher and two notifiers; yields also the ids of a topic Subscription and a classic one."""
    async with (
        cluster(vbpr, postgresql, servers, partitions=PARTITIONS, settings=WITHOUT_LONG_WAITS) as machines,
        scene(folder, machines.publisher.fhir, machines.settings) as here,
    ):
        await machines.start_notifiers(2)
        first, second = machines.notifiers.values()
        topic = await here.subscribe(first.fhir, "topic")
        classic = await here.subscribe(second.fhir, "classic")
        yield machines, here, topic, classic


@pytest.mark.timeout(240)
async def test_a_broker_that_is_killed_and_stays_away(
    vbpr: VbprProcesses, shared_postgresql: SharedPostgreSQL, own_kafka: Broker, tmp_path: Path
) -> None:
    """Away until every process has given up what it had open more than once: an hour would show nothing else."""
    servers = own_kafka.bootstrap_servers
    async with two_notifiers(vbpr, shared_postgresql, servers, tmp_path) as (machines, here, topic, classic):
        await here.payer.publish(*parties_and_contracts(), *reports()[:9])
        await here.told({topic: 8})
        await asyncio.to_thread(own_kafka.kill)
        await here.payer.publish(*reports()[9:])
        everybody = [
            (machines.publisher, "emit"),
            *((each, "intake") for each in machines.notifiers.values()),
        ]
        for process, loop in everybody:
            await eventually(partial(failures, here, process, loop), within=60, what=f"failures of {loop}")
        assert (await here.shown("status"))["outbox"]["pending"] == len(reports()[9:])
        await asyncio.to_thread(own_kafka.start)
        await here.payer.publish(*varied(reports()[-1], 5))
        await here.told({topic: 17 + 5, classic: 4 + 5}, within=90)
        await here.settled(within=60)
        await here.closes()
        assert [each.process.exit_code for each, _ in everybody] == [None] * 3, "nobody was started again"


@pytest.mark.timeout(180)
async def test_notifiers_that_come_and_go(
    vbpr: VbprProcesses, shared_postgresql: SharedPostgreSQL, kafka: SharedKafka, tmp_path: Path
) -> None:
    """Each time the group shares the partitions out anew, while reports go through."""
    servers = kafka.bootstrap_servers
    async with two_notifiers(vbpr, shared_postgresql, servers, tmp_path) as (machines, here, topic, classic):
        traffic, chance = Traffic(here, topic), Chance(drawn_seed(), "group")

        async def go_on() -> None:
            await after_more(chance, lambda: traffic.progress, within=60)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(traffic.run())
            await go_on()
            for _ in range(2):
                await machines.start_notifiers(1)
                await go_on()
                leaving, dying, staying = machines.notifiers.values()
                assert await asyncio.to_thread(leaving.stop) == 0
                await go_on()
                await asyncio.to_thread(dying.kill)
                await go_on()
                await asyncio.to_thread(dying.start)
                machines.notifiers = {
                    role: one for role, one in machines.notifiers.items() if one in (dying, staying)
                }
            await go_on()
            traffic.end()
        await here.settled(within=60)
        await here.closes()
        assert min(len(here.endpoint.taken(each)) for each in (topic, classic)) > 10


@pytest.mark.timeout(120)
async def test_records_that_are_no_event_are_kept_apart_and_stop_nobody(
    vbpr: VbprProcesses, shared_postgresql: SharedPostgreSQL, kafka: SharedKafka, tmp_path: Path
) -> None:
    servers = kafka.bootstrap_servers
    async with two_notifiers(vbpr, shared_postgresql, servers, tmp_path) as (machines, here, topic, classic):
        log = machines.settings["VBPR_KAFKA_TOPIC"]
        await here.payer.publish(*parties_and_contracts(), *reports()[:9])
        async with foreign(servers) as producer:
            for partition in range(PARTITIONS):
                await producer.send_and_wait(log, b"not an event", partition=partition)
        await here.payer.publish(*reports()[9:])
        await here.told({topic: 17, classic: 4})
        await here.settled()
        await here.closes()
        kept = await eventually(lambda: dead_letters(machines), within=30, what="dead letters")
        assert sorted(each["partition"] for each in kept) == list(range(PARTITIONS))
        copies = await values(servers, f"{log}.dead-letters", PARTITIONS)
        assert copies == [b"not an event"] * PARTITIONS


@pytest.mark.timeout(240)
async def test_a_topic_that_is_made_anew(
    vbpr: VbprProcesses, shared_postgresql: SharedPostgreSQL, kafka: SharedKafka, tmp_path: Path
) -> None:
    """Reading stops and says so; an operator accepts the new log, and the publisher emits again what is lost."""
    servers = kafka.bootstrap_servers
    async with two_notifiers(vbpr, shared_postgresql, servers, tmp_path) as (machines, here, topic, classic):
        log = machines.settings["VBPR_KAFKA_TOPIC"]
        before, lost, after = reports()[:9], reports()[9:14], reports()[14:]
        await here.payer.publish(*parties_and_contracts(), *before)
        await here.told({topic: 8})
        for each in machines.notifiers.values():
            await asyncio.to_thread(each.stop)
        await here.payer.publish(*lost)
        await eventually(lambda: emitted(here), within=30, what="that all is emitted")
        async with admin(servers) as broker:
            await broker.delete_topics([log])
            await eventually(lambda: gone(broker, log), within=30, what="that the topic is gone")
            await broker.create_topics([NewTopic(log, PARTITIONS, 1)])
        for each in machines.notifiers.values():
            each.process.launch()
        await eventually(lambda: stopped(here, machines), within=60, what="that reading has stopped")
        await operator(machines, "positions", "accept", *await read_before(machines))
        await operator(machines, "emit", "--since", "1h")
        await here.payer.publish(*after)
        await here.told({topic: 17, classic: 4}, within=90)
        await here.settled(within=60)
        await here.closes()


@pytest.mark.timeout(240)
async def test_records_that_retention_removed_before_they_were_read(
    vbpr: VbprProcesses, shared_postgresql: SharedPostgreSQL, kafka: SharedKafka, tmp_path: Path
) -> None:
    """The same, with a log that begins later than what was read.

    What the log still has behind the gap would go out before what is emitted again: here there is nothing.
    """
    servers = kafka.bootstrap_servers
    async with two_notifiers(vbpr, shared_postgresql, servers, tmp_path) as (machines, here, topic, classic):
        log = machines.settings["VBPR_KAFKA_TOPIC"]
        before, lost, after = reports()[:9], reports()[9:14], reports()[14:]
        await here.payer.publish(*parties_and_contracts(), *before)
        await here.told({topic: 8})
        for each in machines.notifiers.values():
            await asyncio.to_thread(each.stop)
        await here.payer.publish(*lost)
        await eventually(lambda: emitted(here), within=30, what="that all is emitted")
        async with admin(servers) as broker:
            every = {
                TopicPartition(log, number): RecordsToDelete(before_offset=-1) for number in range(PARTITIONS)
            }
            await broker.delete_records(every)
        for each in machines.notifiers.values():
            each.process.launch()
        await eventually(lambda: stopped(here, machines), within=60, what="that reading has stopped")
        await operator(machines, "positions", "accept", *await read_before(machines))
        await operator(machines, "emit", "--since", "1h")
        await here.payer.publish(*after)
        await here.told({topic: 17, classic: 4}, within=90)
        await here.settled(within=60)
        await here.closes()


async def failures(here: Scene, process: VbprProcess, loop: str) -> bool:
    """Tell whether a loop of the process has failed more than once."""
    async with here.session.get(f"{process.admin}/metrics") as answer:
        found = re.search(
            rf'^vbpr_loop_failures_total{{loop="{loop}"}} (\S+)$', await answer.text(), re.MULTILINE
        )
    return found is not None and float(found[1]) > 1


async def emitted(here: Scene) -> bool:
    return bool((await here.shown("status"))["outbox"]["pending"] == 0)


async def stopped(here: Scene, machines: Cluster) -> bool:
    """Tell whether a notifier says that the log is not read on."""
    said = []
    for each in machines.notifiers.values():
        try:
            async with here.session.get(f"{each.admin}/readyz") as answer:
                said.append((await answer.json())["checks"]["event_log"])
        except OSError:
            return False
    assert any("is not read on" in str(one) for one in said), said
    return True


async def read_before(machines: Cluster) -> list[str]:
    """Return the partitions that have a position."""
    listed = await run("positions", "list", "--json", settings=machines.settings)
    return [str(each["partition"]) for each in orjson.loads(listed.out)]


async def operator(machines: Cluster, *command: str) -> None:
    """Have an operator type it, with a reason."""
    done = await run(*command, "--reason", "the log was lost", "--yes", settings=machines.settings)
    assert done.code == 0, done


async def dead_letters(machines: Cluster) -> list[dict[str, Any]]:
    listed = await run("deliveries", "dead-letters", "list", "--json", settings=machines.settings)
    found: list[dict[str, Any]] = orjson.loads(listed.out)
    assert len(found) == PARTITIONS
    return found


@asynccontextmanager
async def admin(servers: str) -> AsyncIterator[Any]:
    one: Any = AIOKafkaAdminClient(bootstrap_servers=servers)
    await one.start()
    try:
        yield one
    finally:
        await one.close()


async def gone(broker: Any, topic: str) -> bool:
    return topic not in await broker.list_topics()


async def values(servers: str, topic: str, count: int) -> list[bytes]:
    """Return the first values of a topic with one partition."""
    reader: Any = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")
    await reader.start()
    try:
        reader.assign([TopicPartition(topic, 0)])
        async with asyncio.timeout(20):
            return [(await reader.getone()).value for _ in range(count)]
    finally:
        await reader.stop()
