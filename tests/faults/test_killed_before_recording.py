"""The notifier dies between the POST and its record: the POST comes again, with the same numbers and `webhook-id`."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from services.cli.listen.reading import Reading
from tests.conditions import eventually
from tests.faults.payer import parties_and_contracts, reports, varied
from tests.faults.scene import DELIVERY, Scene, scene
from tests.processes import VbprProcess, VbprProcesses

CORRECTIONS = 8
"""Versions that follow the last example report; both subscriptions are told of each."""
CLASSIC, TOPIC = 4 + CORRECTIONS, 17 + CORRECTIONS
"""What the two are owed, the examples' share by `schemas/examples/README.md`."""
HANDSHAKE = 0
KILLS = {HANDSHAKE: False, 1: False, 5: True, 9: False, TOPIC: False}
"""Event number → whether the receiver has taken the notification when it kills the one that sends it."""
AHEAD = 16
"""Most notifications that may be sent before the first of them is recorded."""


@pytest.mark.timeout(120)
async def test_the_receiver_kills_the_sender_before_it_answers(vbpr: VbprProcesses, tmp_path: Path) -> None:
    serve = vbpr.start("serve", environment=DELIVERY)
    async with scene(tmp_path, serve.fhir, serve.process.environment or {}) as here:
        killer = Killer(here, serve)
        classic = await here.subscribe(serve.fhir, "classic")
        topic = await here.subscribe(serve.fhir, "topic")
        killer.begin(topic)
        await here.payer.publish(*parties_and_contracts(), *reports(), *varied(reports()[-1], CORRECTIONS))
        await eventually(lambda: not killer.left, within=60, what="the last kill")
        await killer.revived()
        await here.told({classic: CLASSIC, topic: TOPIC})
        await here.settled()
        await here.closes()
        check(here.endpoint.readings(topic))


class Killer:
    """Kills a process while one of its requests waits for the answer, and starts it again."""

    def __init__(self, here: Scene, process: VbprProcess) -> None:
        """Hold every request up until `begin`."""
        self.left = set(KILLS)
        self._process = process
        self._subscription = ""
        self._begun = asyncio.Event()
        self._starting: asyncio.Task[None] | None = None
        here.endpoint.before, here.endpoint.after = self._before, self._after

    def begin(self, subscription: str) -> None:
        """Kill what sends to this subscription, now that its `201` has got through."""
        self._subscription = subscription
        self._begun.set()

    async def revived(self) -> None:
        """Wait until the process is ready again."""
        if self._starting is not None:
            await self._starting

    async def _before(self, reading: Reading) -> int | None:
        await self._begun.wait()
        return None if await self._kill(reading, taken=False) else 200

    async def _after(self, reading: Reading) -> None:
        await self._kill(reading, taken=True)

    async def _kill(self, reading: Reading, *, taken: bool) -> bool:
        due = {number for number in reading.numbers or (HANDSHAKE,) if KILLS.get(number) is taken} & self.left
        if reading.subscription != self._subscription or not due:
            return False
        self.left -= due
        await self.revived()
        self._process.kill()
        self._starting = asyncio.create_task(asyncio.to_thread(self._process.start), name="start it again")
        return True


def check(lane: list[Reading]) -> None:
    """What was not recorded came again as it was, in order, and no more than that came again."""
    assert [each.type for each in lane[:3]] == ["handshake", "handshake", "event-notification"]
    events = lane[2:]
    for before, after in itertools.pairwise(events):
        assert after.numbers[0] <= before.numbers[-1] + 1
        assert before.numbers[-1] - after.numbers[0] < AHEAD
    for number in set(KILLS) - {HANDSHAKE}:
        copies = [(each.webhook_id, each.numbers) for each in events if number in each.numbers]
        assert len(copies) >= 2
        assert len(set(copies)) == 1
