"""A client of the websocket channel, on a real connection: it binds, and every Bundle that it gets is checked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from tests.conditions import eventually
from tests.notification import check_notification, parameters_of
from tests.notifying import Notifying, topical

PATIENCE = 10.0


def on_websocket(*filters: str, **options: Any) -> dict[str, Any]:
    """A topic Subscription whose client connects."""
    resource = topical("", *filters, **options)
    channel = resource["channel"]
    del channel["endpoint"], channel["header"]
    channel["type"] = "websocket"
    return resource


@dataclass
class Heard:
    """One notification."""

    text: str

    @property
    def bundle(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.text)
        return found

    @property
    def parameters(self) -> dict[str, list[dict[str, Any]]]:
        return parameters_of(self.bundle)

    @property
    def kind(self) -> str:
        return str(self.parameters["type"][0]["valueCode"])

    @property
    def subscription(self) -> str:
        return str(self.parameters["subscription"][0]["valueReference"]["reference"].rpartition("/")[2])

    @property
    def numbers(self) -> list[int]:
        events = self.parameters.get("notification-event", [])
        return [
            int(part["valueString"])
            for event in events
            for part in event["part"]
            if part["name"] == "event-number"
        ]

    @property
    def total(self) -> int:
        return int(self.parameters["events-since-subscription-start"][0]["valueString"])


@dataclass
class SocketClient:
    """What one client says and hears; it reads as fast as it can, unless it is told not to."""

    socket: aiohttp.ClientWebSocketResponse
    subscriptions: dict[str, dict[str, Any]]
    heard: list[Heard] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    _reader: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.reading.set()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            await self.reading.wait()
            message = await self.socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            heard = Heard(message.data)
            self.problems += check_notification(heard.bundle, self.subscriptions.get(heard.subscription))
            self.heard.append(heard)

    async def bind(self, token: str, *, colon: bool = True) -> None:
        """Say that a token binds this connection."""
        await self.socket.send_str(f"bind-with-token{':' if colon else ''} {token}")

    async def until(self, count: int) -> list[Heard]:
        """Wait until so many notifications have come, and return them."""
        await eventually(lambda: len(self.heard) >= count)
        return self.heard

    async def until_number(self, number: int) -> None:
        """Wait for an event."""
        await eventually(lambda: number in self.numbers)

    async def closed(self) -> int | None:
        """Wait until the other side has ended it; return the code."""
        assert self._reader is not None
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({self._reader})
        return self.socket.close_code

    async def leave(self) -> None:
        """End it from here."""
        await self.socket.close()

    @property
    def kinds(self) -> list[str]:
        return [each.kind for each in self.heard]

    @property
    def numbers(self) -> list[int]:
        return [number for each in self.heard for number in each.numbers]


@contextlib.asynccontextmanager
async def connected(at: Notifying, **subscriptions: dict[str, Any]) -> AsyncIterator[SocketClient]:
    """Connect a client that knows these Subscriptions, and hold that every Bundle it got was as it should be."""
    assert at.client is not None
    socket = await at.client.ws_connect("/fhir/ws", max_msg_size=0)
    client = SocketClient(socket, {each["id"]: each for each in subscriptions.values()})
    client.start()
    try:
        yield client
        assert client.problems == []
    finally:
        assert client._reader is not None
        client._reader.cancel()
        await asyncio.gather(client._reader, return_exceptions=True)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(2):
                await socket.close()


async def token_for(at: Notifying, *ids: str, status: int = 200) -> dict[str, Any]:
    """Ask for a token for these Subscriptions; return what came back, parameters by name."""
    assert at.client is not None
    body = {
        "resourceType": "Parameters",
        "parameter": [{"name": "id", "valueId": each} for each in ids],
    }
    answer = await at.client.post("/fhir/Subscription/$get-ws-binding-token", json=body if ids else None)
    found: dict[str, Any] = await answer.json()
    assert answer.status == status, found
    return by_name(found) if status == 200 else found


def by_name(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a Parameters by name; those that may repeat as a list."""
    assert parameters["resourceType"] == "Parameters"
    out: dict[str, Any] = {"subscription": []}
    for each in parameters["parameter"]:
        (value,) = (value for name, value in each.items() if name.startswith("value"))
        if each["name"] == "subscription":
            out["subscription"].append(value)
        else:
            out[each["name"]] = value
    return out
