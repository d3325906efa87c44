"""What a seed draws: how many processes, payers and clients, what they want, and how bad it gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemas.fhir import LATEST_ONLY
from services.notifier.record.lane import AHEAD
from services.settings import Settings
from tests.notifying import REPORT_AVAILABLE, classic, topical
from tests.publishing import contract_url
from tests.simulation.chance import Chance, SimulatedClock
from tests.simulation.clients import Client
from tests.simulation.dice import Dice, Fault, Weather
from tests.simulation.disk import Disk
from tests.simulation.kafka import SimulatedKafka
from tests.simulation.loop import VirtualLoop
from tests.simulation.machines import Machine, Site, strike
from tests.simulation.payers import Payer
from tests.simulation.receivers import Mood, Receiver, Receivers

BASE: Final = "https://vbpr.example/fhir"


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


def build(seed: int, folder: Path, loop: VirtualLoop, only: Fault | None = None) -> World:
    """Draw the world of a seed: how many of what, and how bad it gets; `only` one kind of fault, and more of it."""
    chance = Chance(seed, "world")
    many = chance.happens(0.6) or only is not None
    machines: list[Machine] = []
    weather = Weather(
        faults=_faults(chance) if only is None else (only,),
        often=chance.one_of((0.001, 0.003, 0.01)),
        most=chance.whole(2, 14) if only is None else 20,
        pause=chance.one_of((0.002, 0.02, 0.2)),
    )
    dice = Dice(loop, Chance(seed, "dice"), weather, strike(machines, Chance(seed, "strike")))
    receivers = Receivers(loop)
    kafka = SimulatedKafka(loop, Chance(seed, "kafka"), chance.whole(1, 4)) if many else None
    seconds = chance.one_of((60.0, 300.0, 1200.0))
    settings = _settings(chance, folder, poll=seconds / 12)
    server_clock = SimulatedClock(loop, Chance(seed, "server clock"))
    disk = Disk(dice, 30.0 if many else 5.0)
    # Draws of their own, so that what every seed drew before stays as it was.
    settings = settings.model_copy(
        update={"notification_bytes": Chance(seed, "bytes").one_of((16 * 1024, 2**20))}
    )
    ahead = Chance(seed, "ahead").one_of((2, AHEAD))
    site = Site(
        loop, Chance(seed, "site"), settings, folder, dice, disk, receivers, kafka, server_clock, ahead
    )
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


def _faults(chance: Chance) -> tuple[Fault, ...]:
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
        # A draw of its own, so that what every seed drew before stays as it was.
        if "_payload" in resource["channel"] and Chance(seed, f"latest {n}").happens(0.4):
            _latest_only(resource)
        clients.append(Client(f"sub-{n}", resource, Chance(seed, f"client {n}"), machines))
    return clients


def _latest_only(resource: dict[str, Any]) -> None:
    """Have it ask for the latest alone, which an empty payload cannot."""
    channel = resource["channel"]
    (level,) = channel["_payload"]["extension"]
    if level["valueCode"] == "empty":
        level["valueCode"] = "id-only"
    channel["extension"] = [*channel.get("extension", ()), {"url": LATEST_ONLY, "valueBoolean": True}]


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
