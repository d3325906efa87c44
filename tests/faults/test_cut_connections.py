"""PostgreSQL behind a network that cuts connections, and restarted: work goes on by itself, nothing is half-recorded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.at_random import WITHOUT_LONG_WAITS, Traffic, after_more, drawn_seed
from tests.faults.cluster import cluster
from tests.faults.proxy import Proxy, proxy
from tests.faults.scene import scene
from tests.processes import VbprProcesses
from tests.servers import SharedKafka, SharedPostgreSQL
from tests.simulation.chance import Chance
from tools.postgresql import PostgreSQL

ROUNDS = 20
"""How often connections are cut."""
SHARE = 0.4
"""Connections cut in a round, of all there are."""


@pytest.mark.timeout(180)
async def test_connections_cut_at_random_while_delivering_and_a_restart(
    vbpr: VbprProcesses, own_postgresql: PostgreSQL, kafka: SharedKafka, tmp_path: Path
) -> None:
    async with (
        proxy(own_postgresql.port) as network,
        cluster(
            vbpr,
            SharedPostgreSQL(network.port),
            kafka.bootstrap_servers,
            partitions=3,
            settings=WITHOUT_LONG_WAITS,
        ) as machines,
        scene(tmp_path, machines.publisher.fhir, machines.settings) as here,
    ):
        await machines.start_notifiers(2)
        notifiers = list(machines.notifiers.values())
        topic = await here.subscribe(notifiers[0].fhir, "topic")
        classic = await here.subscribe(notifiers[1].fhir, "classic")
        traffic, chance = Traffic(here, topic), Chance(drawn_seed(), "network")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(traffic.run())
            await cut(network, traffic, chance)
            await after_more(chance, lambda: traffic.progress)
            await asyncio.to_thread(own_postgresql.stop)
            await asyncio.to_thread(own_postgresql.start)
            await cut(network, traffic, chance)
            traffic.end()
        await here.settled(within=90)
        await here.closes()
        assert network.cuts > ROUNDS
        assert min(len(here.endpoint.taken(each)) for each in (topic, classic)) > ROUNDS
        codes = [each.process.exit_code for each in (machines.publisher, *notifiers)]
        assert codes == [None, None, None], "nobody had to be started again"


async def cut(network: Proxy, traffic: Traffic, chance: Chance) -> None:
    """Cut some connections, again and again, with a random bit of progress in between."""
    for _ in range(ROUNDS // 2):
        await after_more(chance, lambda: traffic.progress)
        network.cut(chance, SHARE)
