"""The notifier dies between the POST and its record: the POST comes again, with the same number and `webhook-id`."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from services.cli.listen.reading import Reading
from tests.conditions import eventually
from tests.faults.payer import parties_and_contracts, reports
from tests.faults.scene import DELIVERY, Scene, scene
from tests.processes import VbprProcess, VbprProcesses

LAST = 17
"""The topic subscription is owed this many of the example reports (`schemas/examples/README.md`)."""
MOMENTS = (0, 1, 9, LAST)
"""The handshake and three event numbers: the process dies once at each."""
AHEAD = 16
"""Most notifications that may be sent before the first of them is recorded."""


@pytest.mark.timeout(90)
@pytest.mark.parametrize("taken", [False, True], ids=["before it is taken", "once it is taken"])
async def test_the_receiver_kills_the_sender_before_it_answers(
    vbpr: VbprProcesses, tmp_path: Path, *, taken: bool
) -> None:
    serve = vbpr.start("serve", environment=DELIVERY)
    settings = dict(serve.process.environment or {})
    async with scene(tmp_path, serve.fhir, settings) as here:
        killer = Killer(here, serve, taken=taken)
        classic = await here.subscribe(serve.fhir, "classic")
        await killer.watch(await here.subscribe(serve.fhir, "topic"))
        await here.payer.publish(*parties_and_contracts(), *reports())
        await eventually(lambda: not killer.left, within=60, what="the last kill")
        await killer.revived()
        await here.settled()
        await here.closes()
        assert here.endpoint.taken(classic) == [1, 2, 3, 4]
        assert here.endpoint.taken(killer.subscription) == list(range(1, LAST + 1))
        killer.check()


class Killer:
    """Kills a process while one of its requests waits for the answer, and starts it again."""

    def __init__(self, here: Scene, process: VbprProcess, *, taken: bool) -> None:
        """Kill before the request is taken, or once it is on record."""
        self.subscription = ""
        self.left = set(MOMENTS)
        self._here = here
        self._process = process
        self._subscribed = asyncio.Event()
        self._starting: asyncio.Task[None] | None = None
        self._killed: list[int] = []
        """How many entries the record had at each kill."""
        if taken:
            here.endpoint.after = self._after
        else:
            here.endpoint.before = self._before

    async def watch(self, subscription: str) -> None:
        """Begin: its handshake has been held up until now, for its `201` to get through."""
        self.subscription = subscription
        self._subscribed.set()

    async def revived(self) -> None:
        """Wait until the process that was killed last is ready again."""
        assert self._starting is not None
        await self._starting

    async def _before(self, reading: Reading) -> int | None:
        return None if await self._kill(reading) else 200

    async def _after(self, reading: Reading) -> None:
        await self._kill(reading)

    async def _kill(self, reading: Reading) -> bool:
        await self._subscribed.wait()
        if reading.subscription != self.subscription:
            return False
        moments = self.left & set(reading.numbers or (0,))
        if not moments:
            return False
        self.left -= moments
        if self._starting is not None:
            await self._starting
        self._process.kill()
        self._killed.append(len(self._here.endpoint.entries))
        self._starting = asyncio.create_task(asyncio.to_thread(self._process.start), name="start it again")
        return True

    def check(self) -> None:
        """After each kill the lane went on with what was not recorded, in order, and repeated no more than it may."""
        lane = [
            each.reading
            for each in self._here.endpoint.entries
            if each.reading.subscription == self.subscription
        ]
        assert len(self._killed) == len(MOMENTS)
        assert lane[0].type == lane[1].type == "handshake"
        numbers = [each.numbers[0] for each in lane[2:]]
        for earlier, later in itertools.pairwise(numbers):
            assert later == earlier + 1 or earlier - AHEAD < later <= earlier
        repeats = [number for number in numbers if numbers.count(number) > 1]
        assert {1, 9, LAST} <= set(repeats)
        assert len({(each.numbers, each.webhook_id) for each in lane[2:]}) == LAST
