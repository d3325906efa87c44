"""A notifier dies between reading and committing: another one reads the same again, and gives no second number."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.cluster import NO_NEW_EVENT, cluster
from tests.faults.payer import parties_and_contracts, reports, varied
from tests.faults.scene import scene
from tests.processes import VbprProcesses
from tests.servers import SharedKafka, SharedPostgreSQL

FORGETFUL = Path(__file__).parent / "forgetful_notifier.py"


@pytest.mark.timeout(180)
async def test_the_other_notifier_takes_over_from_the_stored_position(
    vbpr: VbprProcesses, shared_postgresql: SharedPostgreSQL, kafka: SharedKafka, tmp_path: Path
) -> None:
    async with (
        cluster(vbpr, shared_postgresql, kafka.bootstrap_servers) as machines,
        scene(tmp_path, machines.publisher.fhir, machines.settings) as here,
    ):
        await machines.start_notifiers(2)
        roles = set(machines.notifiers)
        topic = await here.subscribe(machines.notifiers[min(roles)].fhir, "topic")
        classic = await here.subscribe(machines.notifiers[max(roles)].fhir, "classic")
        before, after = reports()[:11], [*reports()[11:], *varied(reports()[-1], 8)]
        await here.payer.publish(*parties_and_contracts(), *before)
        await here.told({topic: 10})
        async with machines.locked(NO_NEW_EVENT):
            await here.payer.publish(*after)
            dying = await machines.waits(roles)
            machines.notifiers[dying].kill()
            # It takes over with the dead one's transaction still open: one of them must come to nothing.
            await machines.waits(roles - {dying})
        await here.told({topic: 17 + 8, classic: 4 + 8})
        await here.settled()
        await here.closes()


@pytest.mark.timeout(180)
async def test_a_notifier_that_moves_its_position_first_would_be_found_out(
    vbpr: VbprProcesses, shared_postgresql: SharedPostgreSQL, kafka: SharedKafka, tmp_path: Path
) -> None:
    """The same play with a notifier that lacks the safety: the ledger must not close."""
    async with (
        cluster(vbpr, shared_postgresql, kafka.bootstrap_servers) as machines,
        scene(tmp_path, machines.publisher.fhir, machines.settings) as here,
    ):
        await machines.start_notifiers(1, script=FORGETFUL)
        (dying,) = machines.notifiers
        topic = await here.subscribe(machines.notifiers[dying].fhir, "topic")
        first, last = reports()[1], reports()[2]
        await here.payer.publish(*parties_and_contracts(), first)
        await here.told({topic: 1})
        async with machines.locked(NO_NEW_EVENT):
            await here.payer.publish(*varied(first, 1))
            await machines.waits({dying})
            machines.notifiers[dying].kill()
        await machines.start_notifiers(1)
        await here.payer.publish(last)
        await here.told({topic: 2})
        judged = await here.ledger()
        assert judged.code == 1, judged.said
        assert "MeasureReport/harbor-point-2024-h1/_history/2 is missing" in judged.said
