"""No statement of the path, and none of the pruner, walks through a table that grows: each finds its rows by an index."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from benchmarks import history
from services.notifier import tables as t
from services.notifier.model import Answer
from services.notifier.record.recorder import record
from services.notifier.record.turn import Tried, Turn
from services.notifier.record.verdict import Delivered
from services.notifier.retention import sweeps
from services.notifier.send.claims import Room, Terms, claim
from services.retention import Pruner
from services.settings import Settings
from tests.notifier_store import NotifierStore, notifier_store
from tests.plans import plans, walks

EVENTS = 4_000
"""For each of the lanes: enough that a plan which walks through them all is never the cheaper one."""

GROWING = ("notification", "attempt", "event", "seen_event", "given_up", "dead_letter", "audit")
LANES = 40


@pytest.fixture
async def store(database_urls: tuple[str, str]) -> AsyncIterator[NotifierStore]:
    async with notifier_store(database_urls[1]) as opened:
        yield opened


async def fill(store: NotifierStore) -> list[str]:
    """Put finished deliveries behind many lanes, all of them past their time."""
    names = [(await store.subscribe()).id for _ in range(LANES)]
    await history.fill(store.database, "SQLite" if store.database.is_sqlite else "PostgreSQL", EVENTS)
    others = (
        """INSERT INTO given_up (subscription_id, number, reason, at)
           SELECT subscription_id, first_number, 'refused', at FROM attempt WHERE first_number % 2 = 0""",
        """INSERT INTO dead_letter (log, partition, position, reason, headers, at)
           SELECT 'l', 0, id, 'no event', '[]', at FROM attempt""",
        "INSERT INTO audit (at, client, action, subject) SELECT at, 'c', 'a', 's' FROM attempt",
    )
    for statement in others:
        async with store.database.write() as connection:
            await connection.exec_driver_sql(statement)
    async with store.database.write() as connection:
        await connection.exec_driver_sql("ANALYZE")
    return names


async def test_the_plans_are_looked_at(store: NotifierStore) -> None:
    """A statement that does walk through is found out."""
    await fill(store)

    async def careless() -> None:
        async with store.database.read() as connection:
            await connection.execute(sa.select(t.attempt.c.id).where(t.attempt.c.milliseconds == 3))

    ((_, plan),) = await plans(store.database, careless())
    assert walks(plan, GROWING)


@pytest.mark.parametrize(("days", "least"), [(500, 7), (9000, 0)])
async def test_the_pruner_finds_what_is_past_its_time_by_an_index(
    store: NotifierStore, days: int, least: int
) -> None:
    await fill(store)
    keep = {
        f"keep_{name}_days": days for name in ("events", "event_ids", "attempts", "dead_letters", "audit")
    }
    pruner = Pruner(store.database, store.clock, sweeps(Settings(**keep)))  # type: ignore[arg-type]  # all are days

    async def rounds() -> None:
        for _ in range(10):  # enough for a whole window of events
            await pruner.round()

    found = await plans(store.database, rounds())
    assert len([statement for statement, _ in found if statement.startswith("DELETE")]) >= least
    for statement, plan in found:
        # Its window is the beginning of a table in the order of its key: the limit ends the walk.
        bounded = "LIMIT" in statement and "ORDER BY" in statement and store.database.is_sqlite
        assert not walks(plan, GROWING) or bounded, f"{statement}\n{plan}"


async def test_taking_in_claiming_and_recording_touch_nothing_that_is_finished(store: NotifierStore) -> None:
    names = await fill(store)

    async def deliver() -> None:
        await store.take_in(0, 0, [1, 2], *names[:10])
        claimed = await claim(
            store.database, store.clock, Room(10, 10, (), lambda _endpoint: 100), Terms(90, 2**20)
        )
        turns = []
        for each in claimed:
            turn = Turn(each.lane, each.channel)
            for batch in each.batches:
                tried = Tried(
                    batch.webhook_id,
                    batch.first,
                    batch.last,
                    store.clock.now(),
                    Answer(200, None, "", 1),
                    Delivered(),
                )
                turn.tries.append(tried)
                turn.lane = turn.lane.after(Delivered(), batch.first, batch.last)
            turns.append(turn)
        assert sum(len(turn.tries) for turn in turns) == 20
        await record(store.database, store.clock, turns)

    for statement, plan in await plans(store.database, deliver()):
        assert not walks(plan, GROWING), f"{statement}\n{plan}"
