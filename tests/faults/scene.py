"""What every fault is played on: an endpoint, a payer, subscriptions made before the first report; and its ledger."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.conditions import eventually
from tests.faults.endpoint import Endpoint, listening
from tests.faults.payer import Payer, subscribe, wanted
from tests.service.commands import run

ROOT = Path(__file__).resolve().parents[2]

DELIVERY = {
    # A killed process keeps its lanes until their lease runs out: short, so that nobody has to wait.
    "VBPR_TOTAL_DEADLINE": "1",
    "VBPR_LEASE_SECONDS": "2.5",
    "VBPR_POLL_SECONDS": "0.1",
}


@dataclass(slots=True)
class Judged:
    """What the ledger's process said."""

    code: int
    said: str


@dataclass(slots=True)
class Scene:
    """One fault test's world outside the services."""

    folder: Path
    endpoint: Endpoint
    session: aiohttp.ClientSession
    settings: Mapping[str, str]
    """What `vbpr status` and `vbpr deliveries` need to find the databases."""
    payer: Payer
    subscriptions: list[dict[str, Any]] = field(default_factory=list)

    async def subscribe(self, notifier: str, name: str) -> str:
        """Make an example Subscription, `classic` or `topic`, and return its id."""
        made = await subscribe(self.session, notifier, wanted(name, self.endpoint.url))
        self.subscriptions.append(made)
        return str(made["id"])

    async def told(self, counts: Mapping[str, int], within: float = 30.0) -> None:
        """Wait until the endpoint has taken so many numbers of each subscription."""

        def enough() -> bool:
            taken = {of: len(self.endpoint.taken(of)) for of in counts}
            assert taken == dict(counts)
            return True

        await eventually(enough, within=within, what="what the endpoint has taken")

    async def settled(self, within: float = 30.0) -> None:
        """Wait until operators are shown that nothing is owed any more: all is taken in and delivered."""

        async def nothing_owed() -> bool:
            status = await self.shown("status")
            events = status["events"]
            assert status["totals"]["owed"] == status["outbox"]["pending"] == 0, status
            assert events["accepted"] == events["consumed"] > 0, events
            return True

        await eventually(nothing_owed, within=within, what="that nothing is owed")

    async def ledger(self) -> Judged:
        """Have the ledger judge what has been accepted, received and listed up to now."""
        listed = {
            "status": await self.shown("status"),
            "deliveries": await self.shown("deliveries", "list", "--order", "lane", "--limit", "100000"),
        }
        files = {
            "accepted": b"".join(orjson.dumps(each) + b"\n" for each in self.payer.accepted),
            "subscriptions": orjson.dumps(self.subscriptions),
            "listed": orjson.dumps(listed),
        }
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        arguments = [part for name in files for part in (f"--{name}", str(self.folder / name))]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.ledger", *arguments, "--received", str(self.endpoint.path),
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode is not None
        return Judged(process.returncode, out.decode())

    async def closes(self) -> None:
        """Assert that the ledger closes; what it finds otherwise is in the failure."""
        judged = await self.ledger()
        assert judged.code == 0, "\n" + judged.said

    async def shown(self, *command: str) -> Any:
        ended = await run(*command, "--json", settings=self.settings)
        assert ended.code == 0, ended.err
        return orjson.loads(ended.out)


@contextlib.asynccontextmanager
async def scene(
    folder: Path, publisher: str, settings: Mapping[str, str], *, other_endpoints: int = 0
) -> AsyncIterator[Scene]:
    """Set one up; `publisher` is the FHIR base that reports go to."""
    async with listening(folder, others=other_endpoints) as endpoint, aiohttp.ClientSession() as session:
        yield Scene(folder, endpoint, session, settings, Payer(publisher, session))
