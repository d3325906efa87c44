"""Virtual time passes at once, in order; what belongs to a frozen or killed process stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.simulation.loop import BusyError, DeadlockError, Process, VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.close()


async def _note(notes: list[str], name: str, *waits: float) -> None:
    try:
        for wait in waits:
            await asyncio.sleep(wait)  # noqa: TID251  # virtual time: the loop is this test's own
            notes.append(f"{name} {asyncio.get_running_loop().time():g}")
    finally:
        notes.append(f"{name} ends")


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)  # noqa: TID251  # virtual time: the loop is this test's own


def test_three_days_pass_at_once_and_in_order(loop: VirtualLoop) -> None:
    notes: list[str] = []
    loop.begin(_note(notes, "late", 200_000), "late")
    loop.begin(_note(notes, "early", 100_000), "early")
    loop.run_until_complete(_sleep(3 * 86_400))
    assert notes == ["early 100000", "early ends", "late 200000", "late ends"]


def test_a_frozen_process_stands_still_and_then_finds_everything_due(loop: VirtualLoop) -> None:
    notes: list[str] = []
    process = Process("frozen")
    loop.begin(_note(notes, "one", 10, 10, 100), "one", process)
    loop.begin(_note(notes, "other", 15), "other", process)
    loop.call_later(5, lambda: loop.freeze(process))
    loop.call_later(60, lambda: loop.thaw(process))
    loop.run_until_complete(_sleep(500))
    assert notes == ["one 60", "other 60", "other ends", "one 70", "one 170", "one ends"]


def test_nothing_of_a_killed_process_runs_again_not_even_its_finally(loop: VirtualLoop) -> None:
    notes: list[str] = []
    process = Process("killed")
    task = loop.spawn(_note(notes, "killed", 10, 10), "killed", process)
    loop.call_later(15, lambda: loop.kill(process))
    loop.run_until_complete(_sleep(500))
    assert notes == ["killed 10"]
    assert not task.done()
    process.alive = True  # so that the test leaves no task behind
    task.cancel()
    loop._ready.extend(process.aside)
    loop.run_until_complete(_sleep(1))


def test_what_a_process_starts_belongs_to_it(loop: VirtualLoop) -> None:
    notes: list[str] = []
    process = Process("parent")

    async def parent() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_note(notes, "child", 10))

    loop.begin(parent(), "parent", process)
    loop.call_later(5, lambda: loop.freeze(process))
    loop.call_later(30, lambda: loop.thaw(process))
    loop.run_until_complete(_sleep(100))
    assert notes == ["child 30", "child ends"]


def test_a_run_that_stands_still_for_ever_is_told(loop: VirtualLoop) -> None:
    waiting = loop.create_future()

    async def wait() -> None:
        await waiting

    with pytest.raises(DeadlockError):
        loop.run_until_complete(task := loop.spawn(wait(), "waits"))
    task.cancel()
    loop.run_until_complete(_sleep(1))


def test_a_run_that_never_waits_is_told(loop: VirtualLoop) -> None:
    stop = False

    async def spin() -> None:
        while not stop:
            await _sleep(0)

    with pytest.raises(BusyError):
        loop.run_until_complete(task := loop.spawn(spin(), "spins"))
    stop = True
    loop._turns = 0
    loop.run_until_complete(task)
