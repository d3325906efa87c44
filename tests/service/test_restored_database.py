"""A notifier's database restored from a backup: noticed before anything is numbered, and no number serves two events."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from aiohttp import web

from services.clock import SystemClock
from services.event_log_outbox import OutboxRows, OutboxSink, OutboxSource
from services.event_log_witness import FileWitness, Sighting
from services.notifier import tables as t
from services.notifier.consume.positions import Kept
from services.notifier.consume.restored import forgotten
from services.publisher.emit.relay import Relay
from services.publisher.store.tables import log_head, outbox, resource_version
from tests.conditions import eventually
from tests.notifying import Notifying, notifying, topical
from tests.outbox import SOURCE, Outbox, publisher_outbox
from tests.receiver import Received, Receiver, receiving
from tests.servers import SharedPostgreSQL
from tools import postgresql


def seen(reached: int | None, end: int, passed_over: int = 0, oldest: int = 0) -> dict[int, Sighting]:
    return {0: Sighting(oldest, end, reached, passed_over)}


@pytest.mark.parametrize(
    ("kept", "sightings", "known", "count"),
    [
        pytest.param({}, seen(None, 0), 0, 0, id="a new database and a new log"),
        pytest.param({0: Kept(7, "e")}, seen(None, 9), 0, 0, id="nobody remembers anything"),
        pytest.param({0: Kept(7, "e")}, seen(7, 9), 0, 0, id="where it was left"),
        pytest.param({0: Kept(7, "e")}, seen(5, 9), 0, 0, id="killed before it was noted"),
        pytest.param({0: Kept(4, "e")}, seen(7, 9), 0, 6, id="restored: five events may have been numbered"),
        pytest.param({0: Kept(4, "e")}, seen(7, 5), 0, 4, id="restored together with its log"),
        pytest.param({}, seen(7, 9, oldest=2), 0, 8, id="restored to before it ever read"),
        pytest.param({0: Kept(4, "e")}, seen(7, 9, 0), 6, 0, id="seen before the restoration it knows of"),
        pytest.param({0: Kept(4, "e")}, seen(5, 9, 6), 0, 12, id="restored to before an earlier restoration"),
        pytest.param({0: Kept(-1, None)}, seen(7, 9), 0, 0, id="an operator has it read from the oldest on"),
    ],
)
def test_how_many_numbers_may_have_been_forgotten(
    kept: Mapping[int, Kept], sightings: Mapping[int, Sighting], known: int, count: int
) -> None:
    assert forgotten(kept, sightings, known) == count


def test_one_partition_that_is_behind_counts_all_that_may_have_been_read() -> None:
    sightings = {0: Sighting(0, 10, 4), 1: Sighting(0, 20, 15)}
    assert forgotten({0: Kept(4, None), 1: Kept(12, None)}, sightings, 0) == (10 - 4) + (20 - 12) + 1


async def test_a_witness_cut_short_remembers_nothing_rather_than_something_else(tmp_path: Path) -> None:
    async with log_of(f"sqlite+aiosqlite:///{tmp_path}/p.sqlite") as (source, _):
        witness = FileWitness(tmp_path / "w", source)
        assert (await witness.look())[0].reached is None
        witness.note({0: 1234567}, 3)
        witness.note({0: 8}, 3)
        found = (await witness.look())[0]
        assert (found.reached, found.passed_over) == (8, 3)
        (tmp_path / "w").write_bytes(b'{"0":[12')
        assert (await witness.look())[0].reached is None
        witness.close()


@contextlib.asynccontextmanager
async def log_of(url: str) -> AsyncIterator[tuple[OutboxSource, Outbox]]:
    async with publisher_outbox(url) as rows:
        relay = Relay(rows.database, OutboxSink(log_head), source=SOURCE, clock=SystemClock())
        outbox_rows = OutboxRows(outbox, resource_version, SOURCE)
        yield OutboxSource(rows.database, outbox_rows, log_head, relay.appended), rows


class Databases:
    """A publisher's and a notifier's database, to be copied while nobody has them open."""

    def __init__(self, urls: tuple[str, str], folder: Path, server: SharedPostgreSQL | None) -> None:
        self.publisher, self.notifier = urls
        self.witness = folder / "witness"
        self._folder = folder
        self._server = server
        self._copies: list[str] = []

    def back_up(self, *urls: str) -> None:
        for url in urls:
            self._copy(url, self._backup(url))

    def restore(self, *urls: str) -> None:
        for url in urls:
            self._copy(self._backup(url), url)

    @staticmethod
    def _backup(url: str) -> str:
        return url.removesuffix(".sqlite") + "_backup" + (".sqlite" if url.endswith(".sqlite") else "")

    def _copy(self, source: str, target: str) -> None:
        names = [sa.make_url(url).database or "" for url in (source, target)]
        if self._server is not None:
            self._copies.append(names[1])
            self._server.drop_database(names[1])
            postgresql.execute(self._server.port, f"create database {names[1]} template {names[0]}")
            return
        for ending in ("", "-wal", "-shm"):
            Path(names[1] + ending).unlink(missing_ok=True)
            if Path(names[0] + ending).exists():
                shutil.copy2(names[0] + ending, names[1] + ending)

    def drop_backups(self) -> None:
        for name in self._copies:
            if self._server is not None and name.endswith("_backup"):
                self._server.drop_database(name)


@pytest.fixture
def databases(
    request: pytest.FixtureRequest, database_urls: tuple[str, str], tmp_path: Path
) -> Iterator[Databases]:
    on_postgresql = database_urls[0].startswith("postgresql")
    server = request.getfixturevalue("shared_postgresql") if on_postgresql else None
    made = Databases(database_urls, tmp_path, server)
    yield made
    made.drop_backups()


@contextlib.asynccontextmanager
async def running_on(databases: Databases, first_report: int = 0) -> AsyncIterator[Notifying]:
    async with notifying(databases.publisher, databases.notifier, witness=databases.witness) as running:
        running.outbox.numbers = itertools.count(first_report)
        yield running


def numbers(receiver: Receiver) -> dict[int, set[str]]:
    """What came under each number of a topic Subscription: the reports it named."""
    found: dict[int, set[str]] = defaultdict(set)
    for got in receiver.events():
        for parameter in got.json["entry"][0]["resource"]["parameter"]:
            if parameter["name"] == "notification-event":
                parts: dict[str, Any] = {part["name"]: part for part in parameter["part"]}
                focus = parts["focus"]["valueReference"]["reference"]
                found[int(parts["event-number"]["valueString"])].add(focus)
    return found


def reports(receiver: Receiver) -> set[str]:
    return {report for under in numbers(receiver).values() for report in under}


def has(receiver: Receiver, count: int) -> bool:
    return len(reports(receiver)) >= count


async def test_no_number_is_ever_used_for_two_events(databases: Databases) -> None:
    async with receiving() as receiver:
        async with running_on(databases) as running:
            await running.subscribe(topical(receiver.url))
            await running.publish("c1", "c1", "c1")
            await eventually(partial(has, receiver, 3))
        databases.back_up(databases.notifier)
        async with running_on(databases, 3) as running:
            await running.publish("c1", "c1", "c1", "c1")
            await eventually(partial(has, receiver, 7))
        first_life = set(numbers(receiver))
        assert first_life == set(range(1, 8))

        databases.restore(databases.notifier)
        receiver.got.clear()
        async with running_on(databases, 7) as running:
            await running.publish("c1", "c1")
            await eventually(partial(has, receiver, 6))
            assert await trail(running) == ["numbers-pass-over"]
    # The four that were forgotten come again beside the two that are new, all under numbers of their own.
    assert min(numbers(receiver)) > max(first_life)
    assert [len(named) for named in numbers(receiver).values()] == [1] * 6


async def test_the_same_backup_restored_three_times(databases: Databases) -> None:
    async with receiving() as receiver:
        async with running_on(databases) as running:
            await running.subscribe(topical(receiver.url))
            await running.publish("c1")
            await eventually(partial(has, receiver, 1))
        databases.back_up(databases.notifier)
        for life in range(4):
            async with running_on(databases, 1 + 3 * life) as running:
                await running.publish("c1", "c1", "c1")
                await eventually(partial(has, receiver, 4 + 3 * life))
            databases.restore(databases.notifier)
    assert all(len(named) == 1 for named in numbers(receiver).values()), numbers(receiver)


async def test_both_databases_restored_together(databases: Databases) -> None:
    """The log itself has forgotten: other events stand at the same positions now."""
    both = databases.publisher, databases.notifier
    async with receiving() as receiver:
        async with running_on(databases) as running:
            await running.subscribe(topical(receiver.url))
            await running.publish("c1", "c1")
            await eventually(partial(has, receiver, 2))
        databases.back_up(*both)
        async with running_on(databases, 2) as running:
            await running.publish("c1", "c1", "c1")
            await eventually(partial(has, receiver, 5))
        databases.restore(*both)
        async with running_on(databases, 100) as running:
            await running.publish("c1")
            await eventually(partial(has, receiver, 6))
    assert all(len(named) == 1 for named in numbers(receiver).values()), numbers(receiver)


async def test_what_was_owed_in_the_backup_keeps_its_numbers_and_its_lane_goes_on_behind_the_gap(
    databases: Databases,
) -> None:
    def refused(received: Received) -> web.Response:
        return web.Response(status=200 if received.kind == "handshake" else 503)

    async with receiving() as receiver:
        async with running_on(databases) as running:
            made = (await running.subscribe(topical(receiver.url, max_count=4)))["id"]
            await running.publish("c1")
            await eventually(partial(has, receiver, 1))
            receiver.answer = refused
            await running.publish("c1", "c1")
            await eventually(partial(has, receiver, 2))
        databases.back_up(databases.notifier)
        receiver.statuses()
        async with running_on(databases, 3) as running:
            await running.publish("c1", "c1")
            await due(running, made)
            await eventually(partial(has, receiver, 5))
        databases.restore(databases.notifier)
        async with running_on(databases, 5) as running:
            await running.publish("c1")
            await due(running, made)
            await eventually(partial(has, receiver, 6))
            await drained(running, made)
    under = numbers(receiver)
    assert all(len(named) == 1 for named in under.values()), under
    assert under[2] == {"https://vbpr.example/fhir/MeasureReport/r1"}


async def test_a_subscription_made_after_the_restoration_begins_at_one(databases: Databases) -> None:
    async with receiving() as receiver:
        async with running_on(databases) as running:
            await running.publish("c1")
        databases.back_up(databases.notifier)
        async with running_on(databases, 1) as running:
            await running.publish("c1", "c1")
            await taken_in(running, 3)
        databases.restore(databases.notifier)
        async with running_on(databases, 3) as running:
            await taken_in(running, 3)
            await running.subscribe(topical(receiver.url))
            await running.publish("c1")
            await eventually(partial(has, receiver, 1))
    assert set(numbers(receiver)) == {1}


async def taken_in(running: Notifying, events: int) -> None:
    async def all_in() -> bool:
        async with running.database.read() as connection:
            return (
                await connection.execute(sa.select(sa.func.count()).select_from(t.event))
            ).scalar_one() == events

    await eventually(all_in)


async def due(running: Notifying, subscription: str) -> None:
    """Make a waiting lane due, as time would."""
    async with running.database.write() as connection:
        await connection.execute(
            sa.update(t.lane)
            .where(t.lane.c.subscription_id == subscription, t.lane.c.claim_id.is_(None))
            .values(due_at=running.clock.now())
        )


async def lane_of(running: Notifying, subscription: str) -> Any:
    async with running.database.read() as connection:
        return (
            await connection.execute(sa.select(t.lane).where(t.lane.c.subscription_id == subscription))
        ).one()


async def drained(running: Notifying, subscription: str) -> None:
    async def nothing_owed() -> bool:
        lane = await lane_of(running, subscription)
        return bool(lane.next_number > lane.last_number)

    await eventually(nothing_owed)


async def trail(running: Notifying) -> list[str]:
    async with running.database.read() as connection:
        statement = sa.select(t.audit.c.action).where(t.audit.c.client == "vbpr").order_by(t.audit.c.id)
        return list((await connection.execute(statement)).scalars())


async def test_a_database_that_was_not_restored_passes_nothing_over(databases: Databases) -> None:
    async with running_on(databases) as running, receiving() as receiver:
        made = await running.subscribe(topical(receiver.url))
        for _ in range(3):
            await running.publish("c1", "c1")
            await running.stop()
            await running.start()
        await eventually(partial(has, receiver, 6))
        assert (await lane_of(running, made["id"])).last_number == 6
        assert await trail(running) == []
