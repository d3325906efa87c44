"""A log that is not what it was: reading stops and says so, and goes on when an operator accepts it; nothing is numbered twice."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa

from services import metrics
from services.notifier import tables as t
from services.notifier.watch.recovery.positions import accept
from services.notifier.watch.recovery.trail import Order
from services.publisher.store.tables import log_head, outbox
from tests.conditions import eventually
from tests.notifier_store import notifier_store
from tests.notifying import Notifying, classic, notifying
from tests.receiver import Receiver, receiving
from tests.service.commands import run

ORDER = Order("op", "the publisher was restored")


def has(receiver: Receiver, count: int) -> bool:
    return len(receiver.got) >= count


async def said(running: Notifying) -> str | None:
    assert running.notifier is not None
    return (await running.notifier.ready())["event_log"]


async def stopped(running: Notifying) -> bool:
    return await said(running) is not None


async def going_on(running: Notifying) -> bool:
    return await said(running) is None


async def numbers(running: Notifying) -> list[int]:
    async with running.database.read() as connection:
        rows = await connection.execute(sa.select(t.notification.c.number).order_by(t.notification.c.number))
        return list(rows.scalars())


async def forget(running: Notifying, from_position: int) -> None:
    """Make the log what it was before, as a restored publisher's database would."""
    async with running.outbox.database.write() as connection:
        await connection.execute(sa.delete(outbox).where(outbox.c.place_position >= from_position))
        await connection.execute(sa.update(log_head).values(next_position=from_position))


async def keep_from(running: Notifying, position: int) -> None:
    """Have retention go past everything before a position."""
    async with running.outbox.database.write() as connection:
        await connection.execute(sa.delete(outbox).where(outbox.c.place_position < position))
        await connection.execute(sa.update(log_head).values(oldest_position=position))


async def test_a_log_that_holds_other_events_at_the_same_positions_is_not_read_on(
    database_urls: tuple[str, str],
) -> None:
    async with notifying(*database_urls) as running, receiving() as receiver:
        await running.subscribe(classic(receiver.url))
        await running.publish("c1", "c1", "c1", "c1")
        await eventually(partial(has, receiver, 4))
        await running.stop()
        await forget(running, 2)
        await running.publish("c1", "c1", "c1")  # at 2, 3 and 4: beyond where it was left
        await running.start()
        await eventually(partial(stopped, running))
        assert "holds another record than was read there" in str(await said(running))
        assert "vbpr positions accept" in str(await said(running))
        assert metrics.LOG_STOPPED._value.get() == 1
        assert await numbers(running) == [1, 2, 3, 4]

        await accept(running.database, running.clock, [0], ORDER)
        await eventually(partial(has, receiver, 7))
        assert await numbers(running) == list(range(1, 8)), "what had come is known by its id"
        assert await said(running) is None
        assert metrics.LOG_STOPPED._value.get() == 0


async def test_a_log_that_is_shorter_than_what_was_read_is_not_read_on(
    database_urls: tuple[str, str],
) -> None:
    async with notifying(*database_urls) as running, receiving() as receiver:
        await running.subscribe(classic(receiver.url))
        await running.publish("c1", "c1", "c1")
        await eventually(partial(has, receiver, 3))
        await forget(running, 1)  # while it runs
        await eventually(partial(stopped, running))
        assert "which has 0 to 1" in str(await said(running))
        await accept(running.database, running.clock, [0], ORDER)
        await running.publish("c1")
        await eventually(partial(has, receiver, 4))
        assert await numbers(running) == [1, 2, 3, 4]


async def test_a_log_that_retention_has_cut_is_not_read_on(database_urls: tuple[str, str]) -> None:
    async with notifying(*database_urls) as running, receiving() as receiver:
        await running.subscribe(classic(receiver.url))
        await running.publish("c1")
        await eventually(partial(has, receiver, 1))
        await running.stop()
        await running.publish("c1", "c1", "c1")
        await keep_from(running, 2)
        await running.start()
        await eventually(partial(stopped, running))
        assert "which has 2 to 4" in str(await said(running))
        await accept(running.database, running.clock, [0], ORDER)
        await eventually(partial(has, receiver, 3))
        assert await numbers(running) == [1, 2, 3]


async def test_a_log_of_which_only_what_was_read_is_gone_is_read_on(database_urls: tuple[str, str]) -> None:
    async with notifying(*database_urls) as running, receiving() as receiver:
        await running.subscribe(classic(receiver.url))
        await running.publish("c1", "c1")
        await eventually(partial(has, receiver, 2))
        await running.stop()
        await running.publish("c1")
        await keep_from(running, 2)
        await running.start()
        await eventually(partial(has, receiver, 3))
        assert await numbers(running) == [1, 2, 3]
        await eventually(partial(going_on, running))


async def test_what_is_accepted_is_named_before_and_kept_in_the_trail(database_urls: tuple[str, str]) -> None:
    async with notifying(*database_urls) as running, receiving() as receiver:
        await running.subscribe(classic(receiver.url))
        await running.publish("c1", "c1")
        await eventually(partial(has, receiver, 2))
        (named,) = await accept(running.database, running.clock, [0], None)
        assert (named.log, named.partition, named.was) == ("outbox", 0, 2)
        await accept(running.database, running.clock, [0], ORDER)
        async with running.database.read() as connection:
            rows = (await connection.execute(sa.select(t.audit).where(t.audit.c.client == "op"))).all()
        assert [(row.action, row.subject, row.reason) for row in rows] == [
            ("position-accept", "outbox/0",
             "from the oldest record on, instead of 2: the publisher was restored")
        ]  # fmt: skip
        await running.publish("c1")
        await eventually(partial(has, receiver, 3))
        assert await numbers(running) == [1, 2, 3], "a log that was right is read again for nothing"


@pytest.mark.slow
async def test_the_commands_that_an_operator_types(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'notifier.sqlite'}"
    settings = {"VBPR_NOTIFIER_DATABASE_URL": url}
    async with notifier_store(url) as store:
        made = await store.subscribe()
        await store.take_in(3, 0, [1, 2], made.id)
    listed = await run("positions", "list", "--json", settings=settings)
    assert orjson.loads(listed.out) == [{"log": "log", "partition": 3, "next_position": 2}]

    counted = await run("positions", "accept", "3", settings=settings)
    assert counted.out.splitlines() == [
        "log: partition 3 would be read from its oldest record on, not from 2.",
        "Add --yes and --reason to do it.",
    ]
    nobody_says_why = await run("positions", "accept", "3", "--yes", settings=settings)
    assert (nobody_says_why.code, "--reason" in nobody_says_why.err) == (2, True)
    unknown = await run("positions", "accept", "9", "--yes", "--reason", "x", settings=settings)
    assert "Partition 9 was never read" in unknown.err

    done = await run(
        "positions", "accept", "3", "--yes", "--reason", "made anew", "--json", settings=settings
    )
    assert orjson.loads(done.out) == {"done": True, "positions": [{"log": "log", "partition": 3, "was": 2}]}
    listed = await run("positions", "list", settings=settings)
    assert "the oldest record" in listed.out
