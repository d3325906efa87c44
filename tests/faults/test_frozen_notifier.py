"""A notifier freezes and wakes up: another one has gone on meanwhile, and the stale one changes nothing."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from services.cli.listen.reading import Reading
from tests.conditions import eventually
from tests.faults.cluster import NO_NEW_POSITION, cluster
from tests.faults.payer import parties_and_contracts, reports, varied
from tests.faults.scene import Scene, scene
from tests.processes import VbprProcess, VbprProcesses
from tests.servers import SharedKafka, SharedPostgreSQL


@pytest.mark.timeout(180)
async def test_one_that_wakes_up_after_its_lease_records_nothing(
    vbpr: VbprProcesses, shared_postgresql: SharedPostgreSQL, kafka: SharedKafka, tmp_path: Path
) -> None:
    async with (
        cluster(vbpr, shared_postgresql, kafka.bootstrap_servers) as machines,
        scene(tmp_path, machines.publisher.fhir, machines.settings) as here,
    ):
        await machines.start_notifiers(1)
        (frozen,) = machines.notifiers.values()
        topic = await here.subscribe(frozen.fhir, "topic")
        classic = await here.subscribe(frozen.fhir, "classic")
        at: list[int] = []

        async def freeze(reading: Reading) -> None:
            """Stop it for good at its third event: it finds the answer when it wakes up."""
            if reading.subscription == topic and 3 in reading.numbers and not at:
                at.append(len(here.endpoint.readings(topic)))
                frozen.process.send(signal.SIGSTOP)

        here.endpoint.after = freeze
        before, after = reports()[:11], reports()[11:]
        await here.payer.publish(*parties_and_contracts(), *before)
        await eventually(lambda: at, within=30, what="the freeze")
        await machines.start_notifiers(1)
        await eventually(
            lambda: len(here.endpoint.readings(topic)) > at[0], within=60, what="the other one's repeat"
        )
        frozen.process.send(signal.SIGCONT)
        await eventually(lambda: _leases_lost(here, frozen), within=30, what="that its lease is lost")
        await here.payer.publish(*after)
        await here.told({topic: 17, classic: 4}, within=60)
        await here.settled()
        await here.closes()
        lane = here.endpoint.readings(topic)
        again = [each for each in lane[at[0] :] if 3 in each.numbers]
        assert [each.webhook_id for each in again] == [lane[at[0] - 1].webhook_id]


@pytest.mark.timeout(180)
async def test_one_that_freezes_in_a_transaction_does_not_hold_the_others_up(
    vbpr: VbprProcesses, shared_postgresql: SharedPostgreSQL, kafka: SharedKafka, tmp_path: Path
) -> None:
    """It holds the position of its partition, so the others wait until PostgreSQL ends what stands idle."""
    async with (
        cluster(vbpr, shared_postgresql, kafka.bootstrap_servers, idle_seconds=2) as machines,
        scene(tmp_path, machines.publisher.fhir, machines.settings) as here,
    ):
        await machines.start_notifiers(1)
        ((role, frozen),) = machines.notifiers.items()
        topic = await here.subscribe(frozen.fhir, "topic")
        classic = await here.subscribe(frozen.fhir, "classic")
        before, after = reports()[:11], reports()[11:]
        await here.payer.publish(*parties_and_contracts(), *before)
        await here.told({topic: 10})
        async with machines.locked(NO_NEW_POSITION):
            await here.payer.publish(*after)
            await machines.waits({role})
            frozen.process.send(signal.SIGSTOP)
        await machines.start_notifiers(1)
        await here.told({topic: 17, classic: 4}, within=60)
        frozen.process.send(signal.SIGCONT)
        later = varied(after[-1], 5)
        await here.payer.publish(*later)
        await here.told({topic: 17 + 5, classic: 4 + 5}, within=60)
        await here.settled()
        await here.closes()


async def _leases_lost(here: Scene, notifier: VbprProcess) -> float:
    async with here.session.get(f"{notifier.admin}/metrics") as answer:
        found = re.search(r"^vbpr_leases_lost_total (\S+)$", await answer.text(), re.MULTILINE)
    return float(found[1]) if found else 0.0
