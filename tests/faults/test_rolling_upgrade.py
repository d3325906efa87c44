"""An upgrade that migrates the databases under running processes: the old ones go on until they are replaced."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.at_random import WITHOUT_LONG_WAITS, Traffic, after_more, drawn_seed
from tests.faults.cluster import cluster
from tests.faults.next_version import REVISION, next_version
from tests.faults.scene import scene
from tests.processes import VbprProcesses, is_ready
from tests.servers import SharedKafka, SharedPostgreSQL
from tests.service.commands import run
from tests.simulation.chance import Chance


@pytest.mark.timeout(180)
async def test_old_and_new_work_side_by_side_on_migrated_databases(
    vbpr: VbprProcesses, shared_postgresql: SharedPostgreSQL, kafka: SharedKafka, tmp_path: Path
) -> None:
    new = next_version(tmp_path / "next")
    async with (
        cluster(
            vbpr, shared_postgresql, kafka.bootstrap_servers, partitions=3, settings=WITHOUT_LONG_WAITS
        ) as machines,
        scene(tmp_path, machines.publisher.fhir, {**machines.settings, **new}) as here,
    ):
        await machines.start_notifiers(1)
        (old,) = machines.notifiers.values()
        topic = await here.subscribe(old.fhir, "topic")
        classic = await here.subscribe(old.fhir, "classic")
        traffic, chance = Traffic(here, topic), Chance(drawn_seed(), "upgrade")

        async def go_on() -> None:
            await after_more(chance, lambda: traffic.progress)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(traffic.run())
            await go_on()
            migrated = await run("migrate", settings={**machines.settings, **new})
            assert migrated.out.count(f"is at revision {REVISION}") == 2, migrated
            await go_on()
            assert is_ready(machines.publisher.admin_port)
            assert is_ready(old.admin_port)
            for service in ("publisher", "notifier"):
                refused = await run(service, settings=machines.settings)
                assert refused.code == 2
                assert f"is at revision {REVISION}, which a newer version has brought it to" in refused.err

            notifier = await machines.prepared_notifier()
            notifier.process.environment = {**(notifier.process.environment or {}), **new}
            publisher = vbpr.prepare("publisher", environment={**machines.settings, **new})
            await asyncio.gather(*(asyncio.to_thread(each.start) for each in (notifier, publisher)))
            await go_on()
            here.payer.fhir = publisher.fhir  # as the gateway would
            for each in (machines.publisher, old):
                assert await asyncio.to_thread(each.stop) == 0
            await go_on()
            traffic.end()
        await here.settled(within=60)
        await here.closes()
        assert min(len(here.endpoint.taken(each)) for each in (topic, classic)) > 0
