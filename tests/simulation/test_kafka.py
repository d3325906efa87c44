"""The simulated Kafka keeps what every event log keeps: the contract suite runs over it, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.clock import SystemClock
from services.database import Database
from services.publisher.emit.relay import Relay
from services.publisher.store.tables import metadata
from tests.contract import test_event_log
from tests.event_logs import Log
from tests.outbox import SOURCE, Outbox
from tests.simulation.chance import Chance
from tests.simulation.dice import Dice, Fault, Weather
from tests.simulation.disk import Disk
from tests.simulation.kafka import SimulatedKafka, SimulatedSink, SimulatedSource
from tests.simulation.loop import Process, VirtualLoop

SUITE: dict[str, Callable[[Log], Awaitable[None]]] = {
    name: test
    for name, test in vars(test_event_log).items()
    if name.startswith("test_") and "reverse_order" not in name  # which needs two writers at once
}


@pytest.mark.parametrize("promise", SUITE)
def test_it_keeps_the_promise(promise: str, tmp_path: Path) -> None:
    loop = VirtualLoop()
    dice = Dice(loop, Chance(1, "dice"), Weather((Fault.KILL,), 0.0, 0, 0.01), _never)
    kafka = SimulatedKafka(loop, Chance(1, "kafka"), partitions=3)
    disk = Disk(dice, patience=5.0)

    async def keep() -> None:
        url = f"sqlite+aiosqlite:///{tmp_path / 'publisher.sqlite'}"
        with sa.create_engine(url.replace("+aiosqlite", "")).begin() as connection:
            metadata.create_all(connection)
        database = Database(url, driver=disk.connect)
        sink = SimulatedSink(kafka, dice)
        relay = Relay(database, sink, source=SOURCE, clock=SystemClock())
        log = Log(Outbox(database), relay, lambda: SimulatedSource(kafka, dice), sink)
        await SUITE[promise](log)
        await log.close()
        await database.close()

    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(loop.spawn(keep(), promise, Process("reader and writer")))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _never(process: Any, fault: Fault) -> None:
    raise AssertionError(f"{fault} struck {process}")


def test_the_suite_is_not_empty() -> None:
    assert len(SUITE) > 8
