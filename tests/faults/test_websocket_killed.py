"""The process that has a client's websocket is killed, again and again: whoever binds next is told on, without a gap."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.conditions import eventually
from tests.faults.payer import Payer, parties_and_contracts, reports, varied
from tests.faults.scene import DELIVERY, scene
from tests.notification import check_notification
from tests.processes import VbprProcess, VbprProcesses
from tests.websockets import Heard, by_name, on_websocket

CORRECTIONS = 30
KILLS = 4
AT_LEAST = 16 + CORRECTIONS
"""Events there are: the example reports' and those of the versions that follow."""


class Client:
    """One that comes back: gets a token, connects and binds whenever its connection is gone."""

    def __init__(self, serve: VbprProcess, session: aiohttp.ClientSession, made: dict[str, Any]) -> None:
        """Know nothing yet."""
        self._serve = serve
        self._session = session
        self._made = made
        self.heard: list[int] = []
        self.problems: list[str] = []
        self.connections = 0
        self.tokens: list[str] = []

    def has(self, count: int) -> bool:
        """Tell whether it has heard so many numbers."""
        return len(set(self.heard)) >= count

    async def run(self) -> None:
        """Listen until it is cancelled."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                await self._listen()
            await asyncio.sleep(0.05)  # noqa: TID251  # a real client waits a little too

    async def _listen(self) -> None:
        base = self._serve.fhir
        path = f"{base}/Subscription/{self._made['id']}/$get-ws-binding-token"
        async with self._session.get(path) as answer:
            token = by_name(orjson.loads(await answer.read()))
        self.tokens.append(token["token"])
        async with self._session.ws_connect(token["websocket-url"], timeout=aiohttp.ClientWSTimeout(ws_close=1)) as socket:  # fmt: skip
            self.connections += 1
            await socket.send_str(f"bind-with-token {token['token']}")
            async for message in socket:
                heard = Heard(message.data)
                self.problems += check_notification(heard.bundle, self._made)
                self.heard += heard.numbers


@pytest.mark.timeout(150)
async def test_nothing_is_lost_and_first_copies_are_in_order(vbpr: VbprProcesses, tmp_path: Path) -> None:
    serve = vbpr.start("serve", environment=DELIVERY)
    async with scene(tmp_path, serve.fhir, serve.process.environment or {}) as here:
        wanted = on_websocket(max_count=1)
        async with here.session.post(f"{serve.fhir}/Subscription", json=wanted) as answer:
            made = orjson.loads(await answer.read())
            assert answer.status == 201, made
        client = Client(serve, here.session, made)
        listening = asyncio.create_task(client.run())
        publishing = asyncio.create_task(_publish(here.payer))
        try:
            for kill in range(KILLS):
                enough = (kill + 1) * AT_LEAST // (KILLS + 1)
                await eventually(partial(client.has, enough), within=60, what=f"number {enough}")
                await asyncio.to_thread(serve.kill)
                await asyncio.to_thread(serve.start)
            await publishing

            async def has_all() -> bool:
                return client.has(await _total(here.session, serve, made))

            await eventually(has_all, within=60, what="the last number")
        finally:
            for task in (listening, publishing):
                task.cancel()
            await asyncio.gather(listening, publishing, return_exceptions=True)
    first = list(dict.fromkeys(client.heard))
    assert len(first) > AT_LEAST
    assert first == list(range(1, len(first) + 1)), "every number, and first copies in order"
    assert client.problems == []
    assert client.connections >= KILLS
    log = serve.log()
    assert not any(token in log for token in client.tokens), "no token is logged"


async def _publish(payer: Payer) -> None:
    await payer.publish(*parties_and_contracts(), *reports(), *varied(reports()[-1], CORRECTIONS))


async def _total(session: aiohttp.ClientSession, serve: VbprProcess, made: dict[str, Any]) -> int:
    """Return how many numbers it has been given: as many as there are events in the log, once that stands still."""
    async with session.get(f"{serve.fhir}/Subscription/{made['id']}/$status") as answer:
        bundle = orjson.loads(await answer.read())
    said = {each["name"]: each for each in bundle["entry"][0]["resource"]["parameter"]}
    return max(AT_LEAST + 1, int(said["events-since-subscription-start"]["valueString"]))
