"""The publisher dies after its `201`, while Kafka is away: what it has answered for arrives."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.cluster import cluster
from tests.faults.payer import parties_and_contracts, reports
from tests.faults.scene import scene
from tests.processes import VbprProcesses
from tests.servers import SharedPostgreSQL
from tools.kafka import Broker


@pytest.mark.timeout(180)
async def test_what_was_acknowledged_while_the_broker_was_down_survives_the_publisher(
    vbpr: VbprProcesses, shared_postgresql: SharedPostgreSQL, own_kafka: Broker, tmp_path: Path
) -> None:
    async with (
        cluster(vbpr, shared_postgresql, own_kafka.bootstrap_servers, partitions=3) as machines,
        scene(tmp_path, machines.publisher.fhir, machines.settings) as here,
    ):
        await machines.start_notifiers(1)
        (notifier,) = machines.notifiers.values()
        topic = await here.subscribe(notifier.fhir, "topic")
        classic = await here.subscribe(notifier.fhir, "classic")
        before, after = reports()[:11], reports()[11:]
        await here.payer.publish(*parties_and_contracts(), *before)
        await here.told({topic: 10})
        await asyncio.to_thread(own_kafka.stop)
        await here.payer.publish(*after)
        machines.publisher.kill()
        assert (await here.shown("status"))["outbox"]["pending"] == len(after), "nothing was emitted"
        await asyncio.to_thread(own_kafka.start)
        await asyncio.to_thread(machines.publisher.start)
        await here.told({topic: 17, classic: 4}, within=90)
        await here.settled()
        await here.closes()
