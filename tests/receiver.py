"""A real endpoint for tests: it answers as told, and keeps every request in the order it came."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.notification import check_notification


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def kind(self) -> str:
        """The notification type of a Bundle: handshake, event-notification, …"""
        return str(self.parameter("type", "valueCode"))

    @property
    def numbers(self) -> list[int]:
        """The event numbers of a Bundle, in their order."""
        events = [p for p in self._parameters() if p["name"] == "notification-event"]
        return [
            int(part["valueString"]) for p in events for part in p["part"] if part["name"] == "event-number"
        ]

    def parameter(self, name: str, value: str) -> Any:
        return next(p[value] for p in self._parameters() if p["name"] == name)

    def _parameters(self) -> list[dict[str, Any]]:
        parameters: list[dict[str, Any]] = self.json["entry"][0]["resource"]["parameter"]
        return parameters


Answer = Callable[[Received], Awaitable[web.Response] | web.Response]


@dataclass
class Receiver:
    """The endpoint. `answer` may be replaced at any moment."""

    url: str = ""
    got: list[Received] = field(default_factory=list)
    answer: Answer = field(default=lambda _request: web.Response())
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def statuses(self, *statuses: int, then: int = 200) -> None:
        """Answer with these statuses, one each, and with `then` from there on."""
        left = list(statuses)
        self.answer = lambda _request: web.Response(status=left.pop(0) if left else then)

    def hang(self) -> None:
        """Take requests and never answer, as long as the test runs."""

        async def never(_request: Received) -> web.Response:
            await self.ended.wait()
            return web.Response(status=503)

        self.answer = never

    def events(self) -> list[Received]:
        """What came but handshakes."""
        return [each for each in self.got if b'"handshake"' not in each.body]


SUBSCRIPTIONS: dict[str, list[Mapping[str, Any]]] = {}
"""The versions of each Subscription that a test has made through the API, by id."""


def _wrong(received: Received) -> list[str]:
    """Return what is wrong with a notification, by the Subscription it was sent for: by any version it has had."""
    if received.method != "POST" or not received.body:
        return []
    try:
        bundle = received.json
    except orjson.JSONDecodeError as wrong:
        around = received.body[max(0, wrong.pos - 80) : wrong.pos + 20]
        return [f"not JSON: {wrong.msg} after {around!r}"]
    if problems := check_notification(bundle):
        return problems
    named = received.parameter("subscription", "valueReference")["reference"].rpartition("/")[2]
    by_version = [check_notification(bundle, version) for version in SUBSCRIPTIONS.get(named, ())]
    return min(by_version, key=len, default=[])


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Serve an endpoint on a free loopback port."""
    receiver = Receiver()

    async def handle(request: web.Request) -> web.Response:
        received = Received(request.method, request.path, dict(request.headers), await request.read())
        receiver.got.append(received)
        answer = receiver.answer(received)
        return answer if isinstance(answer, web.Response) else await answer

    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{tail:.*}", handle)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0)
    receiver.url = str(server.make_url("/hook"))
    try:
        yield receiver
    finally:
        receiver.ended.set()
        await server.close()
    # Only now: a handshake may come before the test has heard of the Subscription it is for.
    assert [problem for each in receiver.got for problem in _wrong(each)] == []
