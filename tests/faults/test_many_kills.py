"""`kill -9` again and again, at random points, while reports come in and the receiver fails one time in five."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.at_random import WITHOUT_LONG_WAITS, Killer, Traffic, drawn_seed, unsteady
from tests.faults.cluster import cluster
from tests.faults.scene import Scene, scene
from tests.processes import VbprProcess, VbprProcesses
from tests.servers import SharedKafka, SharedPostgreSQL
from tests.simulation.chance import Chance

FAILING = 0.2
ONE_MACHINE, MANY_MACHINES = 6, 14
"""Kills of each way to run."""


@pytest.mark.timeout(180)
async def test_one_machine(vbpr: VbprProcesses, tmp_path: Path) -> None:
    serve = await asyncio.to_thread(vbpr.start, "serve", environment=WITHOUT_LONG_WAITS)
    async with scene(tmp_path, serve.fhir, serve.process.environment or {}) as here:
        await play(here, serve.fhir, [serve], ONE_MACHINE)


@pytest.mark.timeout(180)
async def test_many_machines(
    vbpr: VbprProcesses, shared_postgresql: SharedPostgreSQL, kafka: SharedKafka, tmp_path: Path
) -> None:
    async with (
        cluster(
            vbpr, shared_postgresql, kafka.bootstrap_servers, partitions=3, settings=WITHOUT_LONG_WAITS
        ) as machines,
        scene(tmp_path, machines.publisher.fhir, machines.settings) as here,
    ):
        await machines.start_notifiers(2)
        notifiers = list(machines.notifiers.values())
        await play(here, notifiers[0].fhir, [machines.publisher, *notifiers], MANY_MACHINES)


async def play(here: Scene, notifier: str, processes: Sequence[VbprProcess], kills: int) -> None:
    """Kill the processes so many times under traffic, then let them finish and have the ledger judge."""
    seed = drawn_seed()
    here.endpoint.before = unsteady(Chance(seed, "receiver"), FAILING)
    topic = await here.subscribe(notifier, "topic")
    classic = await here.subscribe(notifier, "classic")
    traffic = Traffic(here, topic)
    killer = Killer(Chance(seed, "kills"), lambda: traffic.progress)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic.run())
        await killer.kill(processes, kills)
        traffic.end()
    await here.settled(within=90)
    await here.closes()
    assert killer.kills == kills
    assert min(len(here.endpoint.taken(each)) for each in (topic, classic)) > kills
