"""The demo from beginning to end: subscribe, publish, crash, go on, and hold the accounts against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from schemas import examples
from schemas.fhir import FHIR_JSON
from services.cli.demo import hearing, processes, scenario
from services.cli.demo.hearing import Hearing
from services.cli.demo.ledger import Ledger, balance
from services.cli.demo.machines import Machines
from services.cli.demo.processes import Actor, free_port
from services.cli.demo.scenario import STEPS, Kind, Step
from services.cli.demo.show import Screen
from services.cli.errors import CommandError
from services.cli.listen.record import entries
from services.cli.publish.send import Sender, UnreachableError
from services.cli.publish.sources import resources
from services.clock import Clock

HANDSHAKE_SECONDS = 25.0
STEP_SECONDS = 1.5
"""Longest pause after a step for its notifications to be seen; the story goes on without them."""
KINDS: tuple[Kind, ...] = ("classic", "topic")


@dataclass(slots=True)
class Story:
    """One run of the demo."""

    machines: Machines
    screen: Screen
    session: aiohttp.ClientSession
    clock: Clock
    folder: Path
    acknowledged: list[str] = field(default_factory=list)
    subscriptions: dict[Kind, str] = field(default_factory=dict)
    _hearing: Hearing = field(init=False)
    _listener: Actor = field(init=False)
    _listen_port: int = field(init=False)

    def __post_init__(self) -> None:
        """Prepare the receiver."""
        self._hearing = Hearing(self.screen.heard)
        self._listen_port = free_port()
        options = ("--json", "--port", str(self._listen_port), "--record", str(self.record))
        self._listener = Actor(
            "vbpr listen", ("listen", *options), {}, self.folder / "listen.log", hear=self._hearing.hear
        )

    @property
    def record(self) -> Path:
        """The receiver's own record."""
        return self.folder / "received.ndjson"

    async def run(self) -> Ledger:
        """Tell the whole story; the services and the receiver are ended whatever happens."""
        try:
            await self._begin()
            await self._load()
            await self._subscribe()
            await self._publish()
            ledger = await self._settle()
        finally:
            try:
                await self._listener.stop()
            finally:
                await self.machines.stop()
        self.screen.ledger(ledger)
        return ledger

    async def _begin(self) -> None:
        self.screen.scene(f"Starting: {self.machines.description}")
        await self._listener.start()
        await self.machines.start()
        self.screen.say(f"reports go to       {self.machines.publisher}")
        self.screen.say(f"subscriptions go to {self.machines.notifier}")
        self.screen.say(f"notifications go to http://127.0.0.1:{self._listen_port}")

    async def _load(self) -> None:
        self.screen.scene("Parties and contracts")
        files = (*examples.parties(), *examples.contracts())
        for file in files:
            await self._send(file)
        self.screen.say(f"{len(examples.parties())} parties, {len(examples.contracts())} contracts accepted")

    async def _send(self, file: Path) -> tuple[int | None, str | None]:
        """Send one file and return status and version; what is refused ends the demo."""
        sender = Sender(self.session, self.machines.publisher, self.clock, patience=20)
        try:
            (answer,) = await sender.send(list(resources(str(file))))
        except UnreachableError as error:
            raise CommandError(f"{file.name} was not sent: {error}") from None
        if answer.result != "accepted":
            said = "; ".join(finding.sentence for finding in answer.findings)
            raise CommandError(f"{file.name} was {answer.result}: {said}")
        return answer.status, answer.location

    async def _subscribe(self) -> None:
        self.screen.scene("Subscriptions")
        for kind, file in zip(KINDS, examples.subscriptions(), strict=True):
            resource = orjson.loads(file.read_bytes())
            resource["channel"]["endpoint"] = f"http://127.0.0.1:{self._listen_port}/{kind}"
            self.subscriptions[kind] = logical_id = await self._create(resource)
            self.screen.name(logical_id, kind)
            self.screen.say(f"{kind:8}{_asks(resource)}")
        topic = self.subscriptions["topic"]
        if not await self._hearing.wait_for(
            lambda: hearing.handshaken(self._hearing.entries, topic), HANDSHAKE_SECONDS
        ):
            raise CommandError(f"the topic subscription sent no handshake within {HANDSHAKE_SECONDS:.0f} s")
        await self._active(topic)

    async def _create(self, resource: Mapping[str, Any]) -> str:
        url = f"{self.machines.notifier}/Subscription"
        headers = {"Content-Type": FHIR_JSON}
        async with self.session.post(url, data=orjson.dumps(resource), headers=headers) as response:
            answer = orjson.loads(await response.read())
            if response.status != 201:
                said = "; ".join(str(issue.get("diagnostics")) for issue in answer.get("issue", ()))
                raise CommandError(f"a Subscription was refused with {response.status}: {said}")
            return str(answer["id"])

    async def _active(self, subscription: str) -> None:
        """Wait until the answer to the handshake is on record."""
        url = f"{self.machines.notifier}/Subscription/{subscription}"
        until = self.clock.monotonic() + HANDSHAKE_SECONDS
        while self.clock.monotonic() < until:
            async with self.session.get(url) as response:
                if orjson.loads(await response.read()).get("status") == "active":
                    return
            await self.clock.sleep(0.05)
        raise CommandError(f"the topic subscription did not become active within {HANDSHAKE_SECONDS:.0f} s")

    async def _publish(self) -> None:
        self.screen.scene("Publishing")
        files = {file.stem: file for file in examples.reports()}
        for count, step in enumerate(STEPS, start=1):
            await self._publish_one(step, files[step.file])
            if step.file == scenario.CRASH_AFTER:
                await self._crash(count)
            else:
                await self._hearing.wait_for(lambda count=count: self._heard_all(count), STEP_SECONDS)  # type: ignore[misc]  # binds this round's count

    async def _publish_one(self, step: Step, file: Path) -> None:
        status, location = await self._send(file)
        self.acknowledged.append(location or "unknown")
        self.screen.published(step, status)

    async def _crash(self, published: int) -> None:
        await self.machines.kill()
        unseen = sum(len(scenario.owed(kind, published) - self._told(kind)) for kind in KINDS)
        self.screen.scene(f"kill -9: {self.machines.crash}")
        self.screen.say(
            f"right after a 201; {unseen} notifications that are owed have not been seen", "yellow"
        )
        await self.machines.recover()
        self.screen.scene(self.machines.recovery)

    def _told(self, kind: Kind) -> frozenset[str]:
        return hearing.told(self._hearing.entries, self.subscriptions[kind])

    def _heard_all(self, published: int) -> bool:
        return all(scenario.owed(kind, published) <= self._told(kind) for kind in KINDS)

    async def _settle(self) -> Ledger:
        """Wait until the ledger closes, or for as long as deliveries may take, and return it as it then is."""
        self.screen.scene("Ledger")
        until = self.clock.monotonic() + self.machines.patience
        if not self._heard_all(len(STEPS)):
            self.screen.say(f"waiting for what is still owed, up to {self.machines.patience:.0f} s", "dim")
        await self._hearing.wait_for(lambda: self._heard_all(len(STEPS)), self.machines.patience)
        while True:
            status = orjson.loads(await processes.run(self.machines.settings, "status", "--json"))
            ledger = balance(self.acknowledged, status, list(entries(self.record)), self.subscriptions)
            if ledger.closes or self.clock.monotonic() > until:
                return ledger
            await self.clock.sleep(0.5)


def _asks(resource: Mapping[str, Any]) -> str:
    extensions: Sequence[Mapping[str, Any]] = resource.get("_criteria", {}).get("extension", ())
    return "  ".join([str(resource["criteria"]), *(str(item.get("valueString")) for item in extensions)])
