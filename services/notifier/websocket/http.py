"""`$get-ws-binding-token`, and the address where clients connect and bind.

Source: Subscriptions R5 Backport 1.1.0, channels and OperationDefinition backport-subscription-get-ws-binding-token
(R-161…R-168). The guide writes `bind-with-token` with a colon in one place and without in another: both are taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import WSMsgType, hdrs, web
from sqlalchemy.exc import SQLAlchemyError

from schemas.outcome import FhirError, Issue
from schemas.raw_json import parse
from services import logs
from services.clock import Clock
from services.database import Database
from services.fhir_http import json_response, read_body
from services.notifier.render.backport import instant
from services.notifier.subscriptions.parameters import Inputs, from_query, from_resource
from services.notifier.subscriptions.requests import logical_id
from services.notifier.websocket.connection import CLOSE_SECONDS, ClientConnection, LostError
from services.notifier.websocket.sockets import FAULT, POLICY, Sockets
from services.notifier.websocket.tokens import issue
from services.principal import PRINCIPAL, Principal

log = logs.get(__name__)

PATH: Final = "/ws"
"""Below the FHIR base."""
MOST_BYTES: Final = 64 * 1024
MOST_SAID: Final = 1024
"""Bytes of one message of a client's: a token and what stands before it."""
MOST_WAITING: Final = 4
"""Messages of one client that wait to be worked on."""
PULSE: Final = 25.0
"""Seconds of silence after which a ping finds out whether the client is there; half as many, and it is not."""
UNBOUND_SECONDS: Final = 30.0
"""How long a connection may be there without having bound anything."""

_BIND = re.compile(r"bind-with-token:?\s+(\S{1,512})\s*")


class WebSocketRoutes:
    """The handlers."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        sockets: Sockets,
        *,
        base: str,
        depth: int,
        token_seconds: float,
        most: int,
    ) -> None:
        """Take at most so many connections; a token lasts `token_seconds`."""
        self._database = database
        self._clock = clock
        self._sockets = sockets
        self._base = base
        self._depth = depth
        self._token_seconds = token_seconds
        self._most = most

    def mount(self, app: web.Application) -> None:
        """Add the routes at the path of the base URL."""
        path = urlsplit(self._base).path
        for method in (hdrs.METH_GET, hdrs.METH_POST):
            app.router.add_route(method, f"{path}/Subscription/$get-ws-binding-token", self.token_for_many)
            app.router.add_route(
                method, path + "/Subscription/{id}/$get-ws-binding-token", self.token_for_one
            )
        app.router.add_get(path + PATH, self.connect)
        app.on_shutdown.append(self._close)

    async def token_for_many(self, request: web.Request) -> web.Response:
        """Answer with a token for the Subscriptions named, or for all the client has on websockets."""
        given = await self._inputs(request)
        return await self._token(request[PRINCIPAL], given.all("id"))

    async def token_for_one(self, request: web.Request) -> web.Response:
        """Answer with a token for one; `id` is read by the type's operation only."""
        await self._inputs(request)
        return await self._token(request[PRINCIPAL], [logical_id(request)])

    async def _token(self, principal: Principal, named: Sequence[str]) -> web.Response:
        token = await issue(self._database, self._clock, principal, named, seconds=self._token_seconds)
        parameters: list[dict[str, Any]] = [
            {"name": "token", "valueString": token.text},
            {"name": "expiration", "valueDateTime": instant(token.expires_at)},
            *({"name": "subscription", "valueString": each} for each in token.subscriptions),
            {"name": "websocket-url", "valueUrl": websocket_url(self._base)},
        ]
        answer = {"resourceType": "Parameters", "parameter": parameters}
        return json_response(answer, headers={hdrs.CACHE_CONTROL: "no-store"})

    async def _inputs(self, request: web.Request) -> Inputs:
        given = from_query(request, "id")
        if request.method == hdrs.METH_GET or not request.can_read_body:
            return given
        return from_resource(parse(await read_body(request, MOST_BYTES), max_depth=self._depth), "id")

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Take a client, and bind it to what its tokens are good for until either side ends it."""
        socket = web.WebSocketResponse(
            timeout=CLOSE_SECONDS, autoping=False, heartbeat=PULSE, compress=False, max_msg_size=MOST_SAID
        )
        if not socket.can_prepare(request):
            upgrade = Issue("error", "not-supported", "this address is for websockets (RFC 6455)")
            raise FhirError(426, upgrade, headers={hdrs.UPGRADE: "websocket"})
        if self._sockets.closing or self._sockets.count >= self._most:
            raise FhirError(
                503,
                Issue("error", "throttled", f"at most {self._most} clients are connected here at a time"),
                headers={hdrs.RETRY_AFTER: "5"},
            )
        await socket.prepare(request)
        connection = self._sockets.opened(socket, request.transport)
        said: asyncio.Queue[str] = asyncio.Queue(MOST_WAITING)
        listening = asyncio.create_task(self._listen(connection, said), name="websocket binding")
        try:
            await _read(socket, connection, said)
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
            await self._sockets.closed(connection)
            if request.transport is not None and isinstance(request.transport, asyncio.Transport):
                request.transport.abort()  # what is still to be written is for nobody
        return socket

    async def _listen(self, connection: ClientConnection, said: asyncio.Queue[str]) -> None:
        """Do what a client says, one message after the other."""
        while True:
            try:
                async with asyncio.timeout(None if connection.bound else UNBOUND_SECONDS):
                    text = await said.get()
            except TimeoutError:
                await connection.end(POLICY, "nothing was bound")
                return
            try:
                why = await self._do(connection, text)
            except LostError:
                return
            except (SQLAlchemyError, OSError) as error:
                log.warning("binding_failed", failure=type(error).__name__)
                await connection.end(FAULT, "the server failed: bind again")
                return
            if why is not None:
                await connection.end(POLICY, why)
                return

    async def _do(self, connection: ClientConnection, text: str) -> str | None:
        """Return why not, `None` when it was done."""
        asked = _BIND.fullmatch(text)
        if asked is None:
            return "expected bind-with-token: and a token of $get-ws-binding-token"
        return await self._sockets.bind(connection, asked[1])

    async def _close(self, _app: web.Application) -> None:
        await self._sockets.close()


async def _read(
    socket: web.WebSocketResponse, connection: ClientConnection, said: asyncio.Queue[str]
) -> None:
    """Take what a client says, and note what it has got, until the connection ends."""
    while True:
        message = await socket.receive()
        match message.type:
            case WSMsgType.TEXT if not said.full():
                said.put_nowait(message.data)
            case WSMsgType.PONG:
                connection.ponged(bytes(message.data))
            case WSMsgType.PING:
                with contextlib.suppress(ConnectionError):
                    await connection.answer(bytes(message.data))
            case WSMsgType.TEXT | WSMsgType.BINARY:
                await connection.end(POLICY, "expected bind-with-token, and a handshake before the next")
                return
            case WSMsgType.CLOSE:
                connection.ended_by_client(socket.close_code)
                return
            case _:  # broken off, or against the protocol; or ended from here
                connection.lost(LostError("the connection broke off"))
                return


def websocket_url(base: str) -> str:
    """Return where clients connect: `wss` where the FHIR base is `https`."""
    scheme, _, rest = base.partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}{PATH}"
