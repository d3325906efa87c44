"""One seed from its first report to its verdict."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.notifier.subscriptions.admission import admit
from services.publisher.check import check
from tests.notifying import classic
from tests.publishing import OTHER_PROVIDER, PAYER, PROVIDER, contract, performance, quality
from tests.simulation.chance import START
from tests.simulation.clients import POLICY, Client
from tests.simulation.dice import Fault
from tests.simulation.judge import Glance, Run, open_books, verdict
from tests.simulation.loop import BusyError, DeadlockError, VirtualLoop
from tests.simulation.world import BASE, World, build

MEMORY: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""A file system that lives in memory, where there is one."""

LIVENESS: Final = 14 * 3600.0
"""Seconds of virtual time after the last fault within which all that is owed must be delivered."""


_WARMING: Final = (0, 1, 2, 3)
"""Seeds that are run before all others, by whoever forks them."""

_WORLDS: Final[list[World]] = []
"""Kept as long as the interpreter: what a killed process left would run on when it is collected."""


@dataclass(frozen=True)
class Result:
    """What came of a seed."""

    seed: int
    findings: tuple[str, ...]
    trace: str
    """A digest of all that happened, for comparing two runs."""
    faults: dict[str, int]
    events: int
    arrivals: int
    virtual: float
    """Seconds of virtual time."""
    steps: int
    """Callbacks of the loop."""

    @classmethod
    def broken(cls, seed: int, why: str) -> Result:
        """Return what is left of a run that came to no result."""
        return cls(seed, (why,), "", {}, 0, 0, 0.0, 0)


def run(seed: int, templates: Path, only: Fault | None = None) -> Result:
    """Run a seed; `templates` holds both databases at their head, empty; `only` is what may strike."""
    folder = Path(tempfile.mkdtemp(prefix=f"simulation-{seed}-", dir=templates))
    try:
        for name in ("publisher", "notifier"):
            shutil.copyfile(templates / f"{name}.sqlite", folder / f"{name}.sqlite")
        world = build(seed, folder, VirtualLoop(), only)
        _WORLDS.append(world)
        return _run(world)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(world: World) -> Result:
    loop = world.loop
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(loop.spawn(_story(world), "story"))
    except (BusyError, DeadlockError) as stuck:
        return _result(world, [f"the run came to a stand: {type(stuck).__name__}"])
    site = world.site
    judged = Run(
        open_books(world.folder, site.kafka),
        world.payers,
        world.clients,
        site.receivers,
        0 if site.kafka is None else site.kafka.poison,
        site.settings.lease_seconds,
    )
    return _result(world, list(verdict(judged)))


def _result(world: World, findings: Sequence[str]) -> Result:
    seen = [each for one in world.site.receivers.by_url.values() for each in one.seen]
    trace = "\n".join(
        f"{each.at:.6f} {each.sender.name} {each.arrival.webhook_id} {each.status}" for each in seen
    )
    books = open_books(world.folder, world.site.kafka)
    return Result(
        world.seed,
        tuple(findings),
        f"{world.loop.time():.6f} {world.loop.ran}\n{trace}",
        dict(world.site.dice.happened),
        books.events,
        len(seen),
        world.loop.time(),
        world.loop.ran,
    )


async def _story(world: World) -> None:
    """Set up in peace, then faults, then peace again until nothing is owed."""
    loop, site = world.loop, world.site
    if site.kafka is not None:
        loop.begin(site.kafka.coordinate(), "group coordinator")
    for machine in world.machines:
        machine.start()
    steady, *others = world.clients  # one that is there from beginning to end, so that something arrives
    early = [steady, *(client for client in others if world.chance.happens(0.7))]
    await world.payers[0].prepare([PAYER, PROVIDER, OTHER_PROVIDER])
    for payer in world.payers[1:]:
        await payer.prepare([])
    for client in early:
        await client.subscribe()
    _begin(world)
    publishing = [loop.spawn(payer.publish(), payer.name) for payer in world.payers]
    restless = world.chance.one_of((0.0, 0.02, 0.1))
    for client in world.clients:
        leaves = 0.0 if client is steady else restless
        loop.begin(_attend(world, client, leaves, late=client not in early), client.id)
    await asyncio.sleep(world.fault_seconds)  # noqa: TID251  # virtual time: the loop is this run's own
    _heal(world)
    await asyncio.wait(publishing)
    await _settle(world)


async def _attend(world: World, client: Client, restless: float, *, late: bool) -> None:
    if late:
        await asyncio.sleep(client.chance.between(0, world.fault_seconds / 2))  # noqa: TID251  # virtual time
        await client.subscribe()
    await client.look_after(restless=restless)


def _begin(world: World) -> None:
    world.site.dice.calm = False
    if (kafka := world.site.kafka) is not None:
        kafka.calm = False
        kafka.trouble = world.chance.one_of((0.0, 0.05, 0.3))
        world.loop.begin(kafka.suffer(world.fault_seconds / 3), "broker")


def _heal(world: World) -> None:
    """End every fault; what it did stays done."""
    site = world.site
    site.dice.calm_down()
    site.receivers.heal()
    if site.kafka is not None:
        site.kafka.calm, site.kafka.down_until = True, -1.0
    for machine in world.machines:
        machine.thaw(machine.process)
    for payer in world.payers:
        payer.patient = True
    for client in world.clients:
        client.calm = True


async def _settle(world: World) -> None:
    """Return when nothing is owed any more, or when that has taken too long."""
    end = world.loop.time() + LIVENESS
    quiet = 0
    with closing(Glance(world.folder, world.site.kafka)) as glance:
        while world.loop.time() < end and quiet < 3:
            await asyncio.sleep(world.site.settings.poll_seconds)  # noqa: TID251  # virtual time
            asked = all(client.asked_at for client in world.clients)
            quiet = quiet + 1 if asked and glance.settled() else 0


def templates(folder: Path) -> None:
    """Make both databases at their head, by the migrations that ship."""
    import services.notifier.wiring
    import services.publisher.wiring
    from services.database import Database

    async def make() -> None:
        for name, service in (
            ("publisher", services.publisher.wiring),
            ("notifier", services.notifier.wiring),
        ):
            database = Database(f"sqlite+aiosqlite:///{folder / name}.sqlite")
            await service.MIGRATIONS.upgrade(database)
            await database.close()
        for name in ("publisher", "notifier"):
            with sqlite3.connect(folder / f"{name}.sqlite") as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.close()

    asyncio.run(make())


def warm_up(folder: Path) -> None:
    """Do once what is kept for good by whoever does it first, statements compiled above all: runs find it done."""
    for resource in (PAYER, contract("c"), performance(), quality()):
        assert not check(resource), resource["resourceType"]
    admit({**classic("http://127.0.0.1/x"), "id": "x"}, base_url=BASE, policy=POLICY, now=START)
    for seed in _WARMING:
        run(seed, folder)
