"""Endpoints that hang, reset, refuse, redirect, drip and babble: each costs itself something, and its neighbour nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from services.cli.listen.reading import Reading
from tests.conditions import eventually
from tests.faults.at_random import WITHOUT_LONG_WAITS, drawn_seed
from tests.faults.manners import HUGE, babble, drip, reset
from tests.faults.payer import parties_and_contracts, reports, subscribe, varied, wanted
from tests.faults.scene import Scene, scene
from tests.faults.timing import latencies
from tests.processes import VbprProcesses
from tests.simulation.chance import Chance

DEADLINE = 2.0
SETTINGS = {
    **WITHOUT_LONG_WAITS,
    "VBPR_TOTAL_DEADLINE": str(DEADLINE),
    "VBPR_LEASE_SECONDS": "5",
    # Soon for what fails now and then, seldom for what always does.
    "VBPR_RETRY_SCHEDULE": f"[0.2, 0.2, 0.2, 0.2, {', '.join(['5'] * 100)}]",
    # Fewer workers than lanes that hang: without a bound for each endpoint they would hold all of them.
    "VBPR_WORKERS": "6",
    "VBPR_ENDPOINT_LANES": "2",
    "VBPR_RESPONSE_BYTES": "4096",
}
ASKED_TO_WAIT = 600
"""Seconds of `Retry-After`."""
CORRECTIONS = 13
OWED = 17 + CORRECTIONS

STATUS = {"500": 500, "429": 429, "401": 401, "302": 302}
FAILURE = {
    "hangs": "timeout",
    "drips": "timeout",
    "resets": "reset",
    "500": "http_5xx",
    "429": "http_4xx",
    "401": "http_4xx",
    "302": "redirect",
}
"""Endpoint → the class under which operators find its failures."""
GONE = "410"
"""Fails until everything has been numbered for it, and is gone for good then: in `off` nothing is numbered."""
GOOD = ("healthy", "huge", "unsteady")
"""These take everything sooner or later."""
LANES = {"hangs": 4, "drips": 4}
"""Subscriptions of an endpoint, where there is more than one."""


@dataclass(slots=True)
class Manners:
    """What each endpoint does; who it is, is told by the subscription."""

    chance: Chance
    redirect: str = ""
    gone: bool = False
    of: dict[str, str] = field(default_factory=dict)
    """Subscription → the endpoint's name."""
    written: list[int] = field(default_factory=list)
    """Bytes of each huge body that went out before the connection was closed."""

    async def before(self, reading: Reading) -> int | None:
        name = self.of.get(reading.subscription, "")
        if reading.type == "handshake":
            return 200
        if name in {"hangs", "drips", "resets"}:
            return None
        if name == "unsteady" and self.chance.happens(0.2):
            return 500
        if name == GONE:
            return 410 if self.gone else 503
        return STATUS.get(name, 200)

    async def respond(self, request: web.Request, reading: Reading) -> web.StreamResponse | None:
        answer: web.StreamResponse | None = None
        match self.of.get(reading.subscription) if reading.type != "handshake" else None:
            case "resets":
                answer = await reset(request)
            case "429":
                answer = web.Response(status=429, headers={"Retry-After": str(ASKED_TO_WAIT)})
            case "302":
                answer = web.Response(status=302, headers={"Location": self.redirect})
            case "drips":
                answer = await drip(request)
            case "huge":
                answer = huge = await babble(request)
                self.written.append(huge.written)
            case _:
                pass
        return answer


@pytest.mark.timeout(240)
async def test_bad_endpoints_beside_a_healthy_one(vbpr: VbprProcesses, tmp_path: Path) -> None:
    serve = await asyncio.to_thread(vbpr.start, "serve", environment=SETTINGS)
    names = [*FAILURE, GONE, *GOOD]
    settings = serve.process.environment or {}
    async with scene(tmp_path, serve.fhir, settings, other_endpoints=len(names)) as here:
        manners = Manners(Chance(drawn_seed(), "receiver"), redirect=f"{here.endpoint.url}/elsewhere")
        here.endpoint.before, here.endpoint.respond = manners.before, manners.respond
        ids = {
            name: [await ask(here, serve.fhir, name, url, manners) for _ in range(LANES.get(name, 1))]
            for name, url in zip(names, here.endpoint.others, strict=True)
        }
        await here.payer.publish(*parties_and_contracts(), *reports(), *varied(reports()[-1], CORRECTIONS))
        await here.told({ids[name][0]: OWED for name in GOOD}, within=45)

        slowest = latencies(here, ids["healthy"][0])[-1]
        assert slowest < DEADLINE, "nobody waits for a neighbour's deadline"
        assert max(manners.written) < HUGE, "a body is read no further than allowed"
        for name, failure in FAILURE.items():
            for subscription in ids[name]:
                judge(name, failure, await tried(here, subscription))

        async def off() -> bool:
            story = await here.shown("deliveries", "show", ids[GONE][0], "1")
            last, state = story["attempts"][-1], story["delivery"]["state"]
            return (last["outcome"], last["status"], state) == ("off", 410, "owed")

        manners.gone = True
        await eventually(off, within=30, what="that its subscription is off, with everything still owed")
        await here.closes()


async def tried(here: Scene, subscription: str) -> Any:
    """Return what operators are shown of its first number, once it has been tried: bad neighbours wait in turn."""

    async def story() -> Any:
        shown = await here.shown("deliveries", "show", subscription, "1")
        return shown if shown["attempts"] else None

    return await eventually(story, within=45, what=f"that {subscription} is tried")


def judge(name: str, failure: str, story: Mapping[str, Any]) -> None:
    """Hold what operators are shown of the first number of a bad endpoint against what it does."""
    state, tries = story["delivery"]["state"], story["attempts"]
    assert {each["failure"] for each in tries} == {failure}, name
    assert {each["status"] for each in tries} == {STATUS.get(name)}, name
    assert max(each["milliseconds"] for each in tries) < (DEADLINE + 1) * 1000, name
    assert state == "retrying", name
    if name == "429":
        due, tried = (
            dt.datetime.fromisoformat(text) for text in (story["delivery"]["next_due"], tries[-1]["at"])
        )
        assert len(tries) == 1
        assert (due - tried).total_seconds() >= ASKED_TO_WAIT - 1


async def ask(here: Scene, notifier: str, name: str, url: str, manners: Manners) -> str:
    """Subscribe an endpoint to everything of one payer."""
    made = await subscribe(here.session, notifier, wanted("topic", f"{url}/{name}"))
    here.subscriptions.append(made)
    manners.of[made["id"]] = name
    return str(made["id"])
