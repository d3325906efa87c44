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
from typing import Any, Final

from services.notifier.subscriptions.admission import admit
from services.publisher.check import check
from services.settings import Settings
from tests.notifying import REPORT_AVAILABLE, classic, topical
from tests.publishing import OTHER_PROVIDER, PAYER, PROVIDER, contract, contract_url, performance, quality
from tests.simulation.chance import Chance, SimulatedClock
from tests.simulation.clients import POLICY, Client
from tests.simulation.dice import Dice, Fault, Weather
from tests.simulation.disk import Disk
from tests.simulation.judge import Glance, Run, open_books, verdict
from tests.simulation.kafka import SimulatedKafka
from tests.simulation.loop import BusyError, DeadlockError, VirtualLoop
from tests.simulation.machines import Machine, Site, strike
from tests.simulation.payers import Payer
from tests.simulation.receivers import Mood, Receiver, Receivers

BASE: Final = "https://vbpr.example/fhir"
LIVENESS: Final = 14 * 3600.0
"""Seconds of virtual time after the last fault within which all that is owed must be delivered."""


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


@dataclass(eq=False)
class World:
    """Everything in a run that is not a process."""

    seed: int
    folder: Path
    loop: VirtualLoop
    chance: Chance
    site: Site
    machines: list[Machine]
    payers: list[Payer]
    clients: list[Client]
    fault_seconds: float


def run(seed: int, templates: Path) -> Result:
    """Run a seed; `templates` holds both databases at their head, empty."""
    folder = Path(tempfile.mkdtemp(prefix=f"simulation-{seed}-", dir=_memory()))
    try:
        for name in ("publisher", "notifier"):
            shutil.copyfile(templates / f"{name}.sqlite", folder / f"{name}.sqlite")
        return _run(seed, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _run(seed: int, folder: Path) -> Result:
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    world = build(seed, folder, loop)
    try:
        loop.run_until_complete(loop.spawn(_story(world), "story"))
    except (BusyError, DeadlockError) as stuck:
        return _result(world, [f"the run came to a stand: {type(stuck).__name__}"])
    site = world.site
    judged = Run(
        open_books(folder, site.kafka),
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


def build(seed: int, folder: Path, loop: VirtualLoop) -> World:
    """Draw the world of a seed: how many of what, and how bad it gets."""
    chance = Chance(seed, "world")
    many = chance.happens(0.6)
    machines: list[Machine] = []
    weather = Weather(
        faults=_faults(chance, many=many),
        often=chance.one_of((0.001, 0.003, 0.01)),
        most=chance.whole(2, 14),
        pause=chance.one_of((0.002, 0.02, 0.2)),
    )
    dice = Dice(loop, Chance(seed, "dice"), weather, strike(machines, Chance(seed, "strike")))
    receivers = Receivers(loop)
    kafka = SimulatedKafka(loop, Chance(seed, "kafka"), chance.whole(1, 4)) if many else None
    seconds = chance.one_of((60.0, 300.0, 1200.0))
    settings = _settings(chance, folder, poll=seconds / 12)
    server_clock = SimulatedClock(loop, Chance(seed, "server clock"))
    disk = Disk(dice, 30.0 if many else 5.0)
    site = Site(loop, Chance(seed, "site"), settings, folder, dice, disk, receivers, kafka, server_clock)
    site.furnish()
    for name, roles in _roles(chance, many=many):
        clock = SimulatedClock(loop, Chance(seed, name))
        clock.wrong = chance.between(-30, 30) if many else 0.0
        machines.append(Machine(name, site, roles, clock))
    payers = _payers(seed, chance, [one for one in machines if "publisher" in one.roles])
    clients = _clients(
        seed, chance, site, [one for one in machines if "notifier" in one.roles], payers, seconds
    )
    return World(seed, folder, loop, chance, site, machines, payers, clients, seconds)


def _faults(chance: Chance, *, many: bool) -> tuple[Fault, ...]:
    every = [fault for fault in Fault for _ in range(chance.whole(0, 3))]
    return tuple(every) or (Fault.KILL,)


def _roles(chance: Chance, *, many: bool) -> list[tuple[str, frozenset[str]]]:
    if not many:
        return [("machine", frozenset({"publisher", "notifier"}))]
    publishers, notifiers = chance.one_of((1, 1, 2)), chance.one_of((1, 2, 2, 3))
    return [
        *((f"publisher-{n}", frozenset({"publisher"})) for n in range(1, publishers + 1)),
        *((f"notifier-{n}", frozenset({"notifier"})) for n in range(1, notifiers + 1)),
    ]


def _settings(chance: Chance, folder: Path, poll: float) -> Settings:
    short = (5.0, 15.0, 60.0)
    return Settings(
        base_url=BASE,
        data_dir=folder,
        allow_http_endpoints=True,
        allow_private_endpoints=True,
        poll_seconds=poll,
        workers=chance.one_of((2, 8, 64)),
        retry_schedule=short if chance.happens(0.3) else (*short, 300.0, 900.0, *(3600.0,) * 75),
    )


def _payers(seed: int, chance: Chance, machines: list[Machine]) -> list[Payer]:
    return [
        Payer(f"c{n}", Chance(seed, f"payer {n}"), machines, chance.whole(3, 7), chance.one_of((0.5, 5, 20)))
        for n in range(1, chance.whole(1, 2) + 1)
    ]


def _clients(
    seed: int, chance: Chance, site: Site, machines: list[Machine], payers: list[Payer], seconds: float
) -> list[Client]:
    clients = []
    for n in range(1, chance.one_of((1, 2, 2, 3, 4)) + 1):
        host = chance.whole(1, 4)
        url = f"http://127.0.0.{host}:9000/{n}/hook"
        receiver = Receiver(url, Chance(seed, f"receiver {n}"), moody=chance.one_of((0.0, 0.0, 0.1, 0.4)))
        receiver.moods = _moods(chance, seconds)
        if chance.happens(0.3):
            receiver.dislikes = {f"{payer.name}-r{chance.whole(1, 6)}" for payer in payers}
        site.receivers.by_url[url] = receiver
        resource = _resource(chance, url, chance.one_of(payers).name)
        if n == 1:  # so that something arrives in every run
            resource = (
                topical(url)
                if chance.happens(0.5)
                else {**classic(url), "criteria": "MeasureReport?kind=performance"}
            )
        clients.append(Client(f"sub-{n}", resource, Chance(seed, f"client {n}"), machines))
    return clients


def _moods(chance: Chance, seconds: float) -> list[tuple[float, float, Mood]]:
    moods = []
    for _ in range(chance.whole(0, 3)):
        since = chance.between(0, seconds)
        mood = chance.one_of([each for each in Mood if each is not Mood.GONE or chance.happens(0.3)])
        moods.append((since, since + chance.between(1, seconds), mood))
    return moods


def _resource(chance: Chance, url: str, of: str) -> dict[str, Any]:
    criteria = f"MeasureReport?contract={contract_url(of)}"
    if chance.happens(0.4):
        resource = classic(url, payload=chance.happens(0.8))
        resource["criteria"] = chance.one_of(
            (criteria, "MeasureReport?status=complete", "MeasureReport?stage=settled")
        )
        return resource
    filters = chance.one_of(((), (criteria,), ("MeasureReport?kind=performance",)))
    content = chance.one_of(("full-resource", "id-only", "empty"))
    resource = topical(url, *filters, content=content, max_count=chance.one_of((None, 1, 3, 10)))
    topic = chance.one_of(("report-available", "report-available", "report-settled", "report-withdrawn"))
    resource["criteria"] = REPORT_AVAILABLE.replace("report-available", topic)
    return resource


async def _story(world: World) -> None:
    """Set up in peace, then faults, then peace again until nothing is owed."""
    loop, site = world.loop, world.site
    if site.kafka is not None:
        loop.begin(site.kafka.coordinate(), "group coordinator")
    for machine in world.machines:
        machine.start()
    early = [client for client in world.clients if world.chance.happens(0.7)] or world.clients[:1]
    await world.payers[0].prepare([PAYER, PROVIDER, OTHER_PROVIDER])
    for payer in world.payers[1:]:
        await payer.prepare([])
    for client in early:
        await client.subscribe()
    _begin(world)
    publishing = [loop.spawn(payer.publish(), payer.name) for payer in world.payers]
    restless = world.chance.one_of((0.0, 0.02, 0.1))
    for client in world.clients:
        loop.begin(_attend(world, client, restless, late=client not in early), client.id)
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
        world.loop.begin(_broker(world, kafka), "broker")


async def _broker(world: World, kafka: SimulatedKafka) -> None:
    """The broker's own troubles."""
    while not kafka.calm:
        await asyncio.sleep(kafka.chance.about(world.fault_seconds / 3))  # noqa: TID251  # virtual time
        if kafka.calm:
            return
        match kafka.chance.whole(0, 3):
            case 0:
                kafka.down_until = world.loop.time() + kafka.chance.between(1, 60)
            case 1:
                kafka.put_poison()
            case _:
                kafka.rebalance()


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


def warm_up() -> None:
    """Do once what is kept for good by whoever does it first: a run then finds it done."""
    for resource in (PAYER, contract("c"), performance(), quality()):
        assert not check(resource), resource["resourceType"]
    admit({**classic("http://127.0.0.1/x"), "id": "x"}, base_url=BASE, policy=POLICY)
