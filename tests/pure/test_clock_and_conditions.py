"""Does the tests' own clock stand still, and does waiting on a condition say what did not hold?"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

import pytest

from services.clock import Clock, SystemClock
from tests.clock import START, ManualClock
from tests.conditions import eventually


async def test_sleepers_wake_in_order_and_only_when_time_moves(clock: ManualClock) -> None:
    woke: list[tuple[str, float]] = []

    async def nap(name: str, *seconds: float) -> None:
        for one in seconds:
            await clock.sleep(one)
            woke.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(nap("late", 5))
        tasks.create_task(nap("often", 2, 2, 2))
        await clock.advance(1.5)
        assert woke == []
        assert clock.sleeping == 2
        await clock.advance(10)

    assert woke == [("often", 2), ("often", 4), ("late", 5), ("often", 6)]
    assert clock.now() == START + timedelta(seconds=11.5)


async def test_a_jump_of_the_wall_clock_wakes_nobody(clock: ManualClock) -> None:
    task = asyncio.create_task(clock.sleep(1))
    clock.jump(-3600)
    await clock.advance(0.5)
    assert clock.now() == START - timedelta(seconds=3599.5)
    assert not task.done()
    await clock.advance(0.5)
    assert task.done()


def test_identifiers_are_in_the_order_of_time_and_repeat_by_seed() -> None:
    def two(clock: Clock) -> list[str]:
        return [clock.uuid7(), clock.uuid7()]

    first = two(ManualClock())
    assert first == two(ManualClock())
    assert len(set(first)) == 2
    assert two(ManualClock(START + timedelta(seconds=1)))[0] > max(first)


def test_a_machine_gives_no_identifier_twice_and_a_forked_process_others() -> None:
    clock = SystemClock()
    mine = {clock.uuid7()[14:] for _ in range(1000)}
    assert len(mine) == 1000
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, clock.uuid7()[14:].encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100).decode() not in {clock.uuid7()[14:] for _ in range(1000)}
    os.close(reading)
    os.close(writing)


async def test_eventually_returns_what_it_waited_for() -> None:
    looks = iter([0, "", "here"])
    assert await eventually(lambda: next(looks)) == "here"


async def test_eventually_names_what_did_not_hold() -> None:
    async def never() -> bool:
        await asyncio.get_running_loop().run_in_executor(None, bool)
        raise AssertionError("still 3 owed")

    with pytest.raises(AssertionError, match=r"the drain did not hold within 0\.05 s; last: still 3 owed"):
        await eventually(never, within=0.05, what="the drain")
