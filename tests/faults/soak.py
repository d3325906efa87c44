"""`python -m tests.faults.soak --minutes 30 [--seed N]`: every fault at random, for as long as it is told to.

Prints what was lost, duplicated, reordered and late; exit 1 when the ledger does not close. A seed brings the
same faults in the same order again; what they meet is up to the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from services.cli.listen.reading import Reading
from services.clock import SystemClock
from tests import servers
from tests.faults.at_random import WITHOUT_LONG_WAITS, Killer, Traffic, after_more
from tests.faults.cluster import Cluster, cluster, foreign
from tests.faults.manners import REFUSALS, Manner, babble, drip, hang, reset
from tests.faults.proxy import Proxy, proxy
from tests.faults.scene import Judged, Scene, scene
from tests.faults.timing import latencies, share
from tests.ledger.balance import balance
from tests.ledger.inputs import read
from tests.processes import VbprProcess, VbprProcesses
from tests.simulation.chance import Chance
from tools import kafka, postgresql

FAILING = 0.2
PARTITIONS = 6
FROZEN = 4.0
"""Seconds that a notifier stands still: past its lease."""
OUTAGE = (10.0, 60.0)
"""Seconds that the broker stays away."""
LATE = 30.0 + OUTAGE[1]
"""Seconds after which a first copy counts as late."""
BABBLING = 0.02
"""Share of the good answers that are far longer than anybody reads."""


@dataclass(slots=True)
class Soak:
    """The faults, and what they are done to."""

    chance: Chance
    machines: Cluster
    network: Proxy
    database: postgresql.PostgreSQL
    broker: kafka.Broker
    killer: Killer
    done: Counter[str] = field(default_factory=Counter)

    async def until(self, end: float, progress: Callable[[], int]) -> None:
        """Do one fault after another, with a random bit of progress in between, until that monotonic time."""
        faults: tuple[Callable[[], Awaitable[None]], ...] = (
            *(self.kill,) * 6, *(self.cut_connections,) * 4, *(self.freeze,) * 2,
            self.restart_database, self.kill_broker, self.leave_without_broker, self.write_what_is_no_event,
        )  # fmt: skip
        clock = SystemClock()
        while clock.monotonic() < end:
            await after_more(self.chance, progress, within=120)
            fault = self.chance.one_of(faults)
            self.done[fault.__name__] += 1
            await fault()
        await self.killer.revived()

    async def kill(self) -> None:
        await self.killer.kill_one(
            self.chance.one_of([self.machines.publisher, *self.machines.notifiers.values()])
        )

    async def cut_connections(self) -> None:
        await self.killer.revived()  # as below: what is starting is let be
        self.network.cut(self.chance, self.chance.between(0.1, 1.0))

    async def freeze(self) -> None:
        frozen: VbprProcess = self.chance.one_of(list(self.machines.notifiers.values()))
        await self.killer.ready(frozen)
        frozen.process.send(signal.SIGSTOP)
        await SystemClock().sleep(FROZEN)  # the fault itself
        frozen.process.send(signal.SIGCONT)

    async def restart_database(self) -> None:
        # Whatever starts needs the database: a start that fails is not the fault meant here.
        await self.killer.revived()
        await asyncio.to_thread(self.chance.one_of((self.database.stop, self.database.kill)))
        await asyncio.to_thread(self.database.start)

    async def kill_broker(self) -> None:
        await self._without_broker(0)

    async def leave_without_broker(self) -> None:
        await self._without_broker(self.chance.between(*OUTAGE))

    async def _without_broker(self, seconds: float) -> None:
        await self.killer.revived()
        await asyncio.to_thread(self.broker.kill)
        await SystemClock().sleep(seconds)  # the fault itself
        await asyncio.to_thread(self.broker.start)

    async def write_what_is_no_event(self) -> None:
        async with foreign(self.broker.bootstrap_servers) as producer:
            partition = self.chance.whole(0, PARTITIONS - 1)
            await producer.send_and_wait(
                self.machines.settings["VBPR_KAFKA_TOPIC"], self.chance.bytes(100), partition=partition
            )


@dataclass(slots=True)
class Unsteady:
    """A receiver that does every now and then what a receiver should not."""

    chance: Chance
    _manners: dict[int, Manner] = field(default_factory=dict)
    """What the request with this reading gets instead of an answer."""

    async def before(self, reading: Reading) -> int | None:
        if not self.chance.happens(FAILING):
            if self.chance.happens(BABBLING):
                self._manners[id(reading)] = babble
            return 200
        if self.chance.happens(0.5):
            return self.chance.one_of(REFUSALS)
        self._manners[id(reading)] = self.chance.one_of((hang, reset, drip))
        return None

    async def respond(self, request: web.Request, reading: Reading) -> web.StreamResponse | None:
        manner = self._manners.pop(id(reading), None)
        return None if manner is None else await manner(request)


async def soak(minutes: float, seed: int, folder: Path, vbpr: VbprProcesses) -> int:
    """Run it; return the exit code."""
    database = postgresql.prepare(
        servers.own_folder("postgresql"), durable=True, on_start=servers.noted(signal.SIGQUIT)
    )
    broker = kafka.prepare(servers.own_folder("kafka"), on_start=servers.noted())
    await asyncio.gather(asyncio.to_thread(database.start), asyncio.to_thread(broker.start))
    async with (
        proxy(database.port) as network,
        cluster(
            vbpr,
            servers.SharedPostgreSQL(network.port),
            broker.bootstrap_servers,
            partitions=PARTITIONS,
            settings=WITHOUT_LONG_WAITS,
        ) as machines,
        scene(folder, machines.publisher.fhir, machines.settings) as here,
    ):
        await machines.start_notifiers(2)
        notifier = next(iter(machines.notifiers.values()))
        receiver = Unsteady(Chance(seed, "receiver"))
        here.endpoint.before, here.endpoint.respond = receiver.before, receiver.respond
        topic = await here.subscribe(notifier.fhir, "topic")
        await here.subscribe(notifier.fhir, "classic")
        traffic = Traffic(here, topic)
        killer = Killer(Chance(seed, "kills"), lambda: traffic.progress)
        run = Soak(Chance(seed, "faults"), machines, network, database, broker, killer)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(traffic.run())
            await run.until(SystemClock().monotonic() + minutes * 60, lambda: traffic.progress)
            traffic.end()
        with contextlib.suppress(AssertionError):  # the ledger says better what is missing
            await here.settled(within=180)
        judged = await here.ledger()
        sys.stdout.writelines(f"{line}\n" for line in _report(here, run, judged))
    return judged.code


def _report(here: Scene, run: Soak, judged: Judged) -> Iterator[str]:
    faults = ", ".join(f"{count} {name}" for name, count in sorted(run.done.items()))
    yield f"faults: {faults}; {run.network.cuts} connections cut"
    yield judged.said.rstrip()
    if judged.code == 2:
        return
    accepted, subscriptions, listed = (here.folder / name for name in ("accepted", "subscriptions", "listed"))
    found = balance(read(accepted, subscriptions, here.endpoint.path, listed))
    told = [latencies(here, one["id"]) for one in here.subscriptions]
    waits = sorted(seconds for each in told for seconds in each)
    lost = sum("is missing" in line or "never took it" in line for line in found.sentences)
    reordered = sum("out of order" in line for line in found.sentences)
    again = sum(one.again for one in found.accounts)
    late = sum(seconds > LATE for seconds in waits)
    yield f"lost {lost}, duplicated {again} (under the same webhook-id), reordered {reordered}, late {late} (over {LATE:g} s)"
    if waits:
        yield f"accepted to told: p95 {share(waits, 0.95):.2f} s, p99 {share(waits, 0.99):.2f} s, max {waits[-1]:.2f} s"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=None, help="default: drawn, and printed")
    given = parser.parse_args()
    seed = secrets.randbits(32) if given.seed is None else given.seed
    sys.stdout.write(f"seed {seed}, {given.minutes:g} minutes\n")
    sys.stdout.flush()
    keeper = servers.begin_run()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    vbpr = VbprProcesses(folder)
    try:
        return asyncio.run(soak(given.minutes, seed, folder, vbpr))
    finally:
        vbpr.end()
        servers.end_run(keeper)
        sys.stdout.write(f"logs and records: {folder}\n")


if __name__ == "__main__":
    sys.exit(main())
