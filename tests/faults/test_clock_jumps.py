"""The wall clock jumps, by minutes or days, forth and back: what is owed still goes out, in order and soon."""

from __future__ import annotations

import asyncio
import re
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.conditions import eventually
from tests.faults import jumping_clock
from tests.faults.at_random import WITHOUT_LONG_WAITS, Traffic, after_more, drawn_seed, unsteady
from tests.faults.endpoint import take
from tests.faults.payer import parties_and_contracts, reports
from tests.faults.scene import Scene, scene
from tests.processes import VbprProcess, VbprProcesses
from tests.simulation.chance import Chance

MINUTE, HOUR, DAY = 60, 3600, 86_400
JUMPS = (5 * MINUTE, 0, 2 * HOUR, -HOUR, 3 * DAY, 0, -2 * DAY, 0)
"""Seconds by which the clock is wrong, one after the other; at the end it is right."""
FAILING = 0.2


@pytest.mark.timeout(150)
async def test_nothing_waits_for_a_time_that_has_been_taken_back(vbpr: VbprProcesses, tmp_path: Path) -> None:
    wrong = tmp_path / "clock"
    jump_by(wrong, 0)
    settings = {**WITHOUT_LONG_WAITS, jumping_clock.CLOCK: str(wrong)}
    serve = vbpr.prepare("serve", environment=settings)
    serve.process.command = [sys.executable, str(jumping_clock.__file__), "serve"]
    await asyncio.to_thread(serve.start)
    async with scene(tmp_path, serve.fhir, settings | dict(serve.process.environment or {})) as here:
        seed = drawn_seed()
        here.endpoint.before = unsteady(Chance(seed, "receiver"), FAILING)
        topic = await here.subscribe(serve.fhir, "topic")
        classic = await here.subscribe(serve.fhir, "classic")
        traffic, chance = Traffic(here, topic), Chance(seed, "clock")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(traffic.run())
            for count, jump in enumerate(JUMPS, start=1):
                await after_more(chance, lambda: traffic.progress)
                jump_by(wrong, jump)
                await eventually(partial(noticed, here, serve, count), within=10, what="that it is noticed")
            await after_more(chance, lambda: traffic.progress)
            traffic.end()
        await here.settled(within=60)
        await here.closes()
        assert min(len(here.endpoint.taken(each)) for each in (topic, classic)) > len(JUMPS)
        async with here.session.get(f"{serve.admin}/livez") as answer:
            assert answer.status == 200


@pytest.mark.timeout(120)
async def test_a_lane_that_waits_when_the_clock_is_put_right_is_tried_in_its_time(
    vbpr: VbprProcesses, tmp_path: Path
) -> None:
    """Its next try was set by a clock three days ahead: nobody waits three days for it."""
    wrong = tmp_path / "clock"
    jump_by(wrong, 3 * DAY)
    settings = {**WITHOUT_LONG_WAITS, jumping_clock.CLOCK: str(wrong)}
    serve = vbpr.prepare("serve", environment=settings)
    serve.process.command = [sys.executable, str(jumping_clock.__file__), "serve"]
    await asyncio.to_thread(serve.start)
    async with scene(tmp_path, serve.fhir, settings | dict(serve.process.environment or {})) as here:
        topic = await here.subscribe(serve.fhir, "topic")
        classic = await here.subscribe(serve.fhir, "classic")
        await here.payer.publish(*parties_and_contracts(), *reports()[:11])
        await here.told({topic: 10})
        here.endpoint.before = unsteady(Chance(0, "receiver"), 1.0)
        await here.payer.publish(*reports()[11:])
        refused = len(here.endpoint.entries)
        await eventually(lambda: len(here.endpoint.entries) > refused + 3, within=30, what="refused tries")
        jump_by(wrong, 0)
        here.endpoint.before = take
        await here.told({topic: 17, classic: 4}, within=30)
        await here.settled()
        await here.closes()


async def noticed(here: Scene, process: VbprProcess, jumps: int) -> bool:
    """Tell whether the process has noticed so many jumps."""
    async with here.session.get(f"{process.admin}/metrics") as answer:
        text = await answer.text()
    found = re.findall(r"^vbpr_clock_jumps_total\{.*\} (\S+)$", text, re.MULTILINE)
    return sum(map(float, found)) >= jumps


def jump_by(file: Path, seconds: int) -> None:
    """Have the clock be wrong by so many seconds from now on; the process may be reading the file."""
    new = file.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(file)
