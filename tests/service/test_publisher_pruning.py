"""The search index forgets what it says of no report any more, and nothing else, whoever writes meanwhile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import sqlalchemy as sa

from services.database import Database
from services.publisher.retention import SetSweep, sweeps
from services.publisher.store.tables import report, shared_facet
from services.settings import Settings
from tests.publishing import Publishing, contract, contract_url, performance

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def sets(database: Database) -> tuple[set[str], set[str]]:
    """Return the sets that are there, and those that reports name."""
    async with database.read() as tx:
        there = set((await tx.execute(sa.select(shared_facet.c.facet_set).distinct())).scalars())
        return there, set((await tx.execute(sa.select(report.c.facet_set))).scalars())


async def swept(database: Database) -> int:
    async with database.write() as tx:
        return (await SetSweep()(tx, NOW)).rows


async def test_a_set_goes_when_no_report_names_it_and_comes_back(publisher: Publishing) -> None:
    database = publisher.database
    await publisher.put(performance("one", "interim"))
    await publisher.put(performance("two", "interim", period={"start": "2024-01-01", "end": "2024-12-31"}))
    assert await swept(database) == 0
    await publisher.put(performance("one", "final"))
    assert await swept(database) == 0  # `two` names it still
    await publisher.put(performance("two", "final", period={"start": "2024-01-01", "end": "2024-12-31"}))
    there, named = await sets(database)
    assert there > named
    assert await swept(database) > 0
    there, named = await sets(database)
    assert there == named
    # The writer remembers that the set was there; it must not trust its memory.
    await publisher.put(performance("three", "interim", period={"start": "2023-01-01", "end": "2023-12-31"}))
    assert await publisher.ids(f"contract={contract_url()}&stage=interim") == ["three"]
    assert await publisher.ids("reporter=Organization/payer&stage=interim") == ["three"]


async def test_nothing_is_lost_while_reports_are_written(publisher: Publishing) -> None:
    for name in ("a", "b", "c"):
        assert (await publisher.put(contract(name))).status == 201
    done = asyncio.Event()

    async def prune() -> int:
        gone = 0
        while not done.is_set():
            gone += await swept(publisher.database)
            await asyncio.sleep(0)  # noqa: TID251  # lets the writers go on; waits for no time to pass
        return gone

    async def write(number: int) -> None:
        for round_ in range(6):
            name = "abc"[(number + round_) % 3]
            period = {"start": f"{2000 + number}-01-01", "end": f"{2000 + number}-12-31"}
            sent = performance(f"r{number}-{name}", measure=contract_url(name), period=period, score=round_)
            assert (await publisher.put(sent, Prefer="return=minimal")).status in {200, 201}
            stage = ("interim", "final", "settled")[round_ % 3]
            sent = performance(f"r{number}-{name}", stage, measure=contract_url(name), period=period)
            assert (await publisher.put(sent, Prefer="return=minimal")).status in {200, 201}

    pruning = asyncio.create_task(prune(), name="prune")
    await asyncio.gather(*(write(number) for number in range(6)))
    done.set()
    await pruning
    there, named = await sets(publisher.database)
    assert named <= there
    for name in ("a", "b", "c"):
        found = await publisher.ids(f"contract={contract_url(name)}&_count=100")
        assert found == sorted(f"r{number}-{name}" for number in range(6))


def test_it_can_be_left_to_grow() -> None:
    assert "shared_facet" in sweeps(Settings())
    assert "shared_facet" not in sweeps(Settings(prune_index=False))
