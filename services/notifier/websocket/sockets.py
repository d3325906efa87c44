"""The websockets of this process, as the lanes bound to them are sent for: which there are, and what ends a binding.

A binding ends with its connection; with its token, unless the client binds again before; when another connection
binds; and with its Subscription, or when that is turned off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from services import logs, metrics
from services.clock import Clock
from services.database import Database
from services.notifier.model import Answer, Failure, Request
from services.notifier.render import render_handshake
from services.notifier.send.endpoints import WEBSOCKET
from services.notifier.websocket import bindings
from services.notifier.websocket.bindings import Bindable
from services.notifier.websocket.connection import ClientConnection, LostError
from services.wakeup import Wakeup

log = logs.get(__name__)

IDLE: Final = 0.5
"""Seconds between two looks for tokens that have expired."""
ROUND: Final = 5.0
"""Seconds between two comparisons with the database."""
DRAIN: Final = 5.0
"""Seconds that what is on its way may take when the process ends."""

GOING_AWAY, POLICY, FAULT = 1001, 1008, 1011
NOTHING_BOUND: Final = 4001
"""Another connection has bound what was bound to this one, or its Subscriptions are off or gone."""
EXPIRED: Final = 4002
"""The token has expired, and was not followed by another one."""


_WHY: Final = {
    NOTHING_BOUND: "nothing is bound here any more: another connection has bound it, or it is off or gone",
    EXPIRED: "the token has expired",
}
"""Close reasons; a control frame has room for 123 bytes."""


class Sockets:
    """The open connections, and what is bound to each."""

    def __init__(self, database: Database, clock: Clock, owed: Wakeup, *, base: str, deadline: float) -> None:
        """Set `owed` when a client has been bound: its lanes may owe something."""
        self._database = database
        self._clock = clock
        self._owed = owed
        self._base = base
        self._deadline = deadline
        self._connections: dict[str, ClientConnection] = {}
        self._holder = ""
        self._changing = asyncio.Lock()
        """Held while bindings change in the database and here."""
        self._compared_at = float("-inf")
        self._closing = False
        self._ending: set[asyncio.Task[None]] = set()
        self.others = False

    @property
    def holder(self) -> str:
        """What this process is called in its lanes; it gets a name with its first client."""
        if not self._holder:
            self._holder = self._clock.uuid7()
        return self._holder

    @property
    def bound(self) -> bool:
        """Whether any lane is bound to a connection here."""
        return any(connection.bound for connection in self._connections.values())

    @property
    def count(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    @property
    def closing(self) -> bool:
        """Whether the process is ending, and takes no more clients."""
        return self._closing

    def opened(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> ClientConnection:
        """Take a new connection; nothing is bound to it yet."""
        connection = ClientConnection(socket, transport, f"{WEBSOCKET}{self._clock.uuid7()}")
        self._connections[connection.endpoint] = connection
        metrics.WEBSOCKETS.set(self.count)
        return connection

    async def closed(self, connection: ClientConnection) -> None:
        """Let go of a connection; what was bound to it waits for the next one."""
        connection.lost(LostError("the connection is closed"))
        self._connections.pop(connection.endpoint, None)
        metrics.WEBSOCKETS.set(self.count)
        if connection.bound:
            async with self._changing:
                if self._closing:
                    return  # everything is unbound at once, and by then the database may be closed
                try:
                    await bindings.unbind(
                        self._database, self._clock, self._holder, {connection.endpoint: [*connection.bound]}
                    )
                except (SQLAlchemyError, OSError) as error:
                    # The comparison with the database finds what is bound to nothing.
                    log.warning("unbinding_failed", failure=type(error).__name__)
                connection.bound.clear()

    async def send(self, endpoint: str, subscription: str, request: Request) -> Answer:
        """Send the body of a request on the connection of that name; delivered is what is on the client's side."""
        started = self._clock.monotonic()
        connection = self._connections.get(endpoint)
        until = None if connection is None else connection.bound.get(subscription)
        if connection is None or until is None or until <= self._clock.monotonic() or self._closing:
            return Answer(None, Failure.DISCONNECTED, "no client is bound here any more", 0)
        try:
            await connection.deliver(request.body, seconds=request.deadline)
        except LostError as lost:
            failure = Failure.REFUSED if lost.refused else Failure.DISCONNECTED
            return Answer(None, failure, str(lost), self._took(started))
        return Answer(None, None, "the client has it", self._took(started), taken=True)

    async def bind(self, connection: ClientConnection, token: str) -> str | None:
        """Bind a connection to what a token is good for: a handshake each, and then what is owed.

        Return why not; `None` when it was done.

        Raises:
            LostError: the connection is gone.
        """
        grant, found = await bindings.bindable(self._database, self._clock, token)
        if grant is None:
            return "this token binds nothing: it is not one of ours, or has expired"
        if not found:
            return "what this token was for is off, changed or gone"
        until = self._clock.monotonic() + grant.seconds
        greeted = await self._greet(connection, found)
        async with self._changing:
            if self._closing or not connection.open:
                raise LostError("the connection is closed")
            # Before they can be leased: what sends for them looks here.
            before = dict(connection.bound)
            connection.bound |= dict.fromkeys(greeted, until)
            try:
                kept = await bindings.bind(
                    self._database, self._clock, self.holder, connection.endpoint, grant, greeted
                )
            except BaseException:
                connection.bound = before
                raise
            # Their handshakes have told the client that they are bound: it learns the rest as it would later.
            self._drop(connection, greeted.keys() - kept, NOTHING_BOUND)
            self._taken_from_others(connection, kept)
        log.info("websocket_bound", client=grant.client, subscriptions=len(kept))
        self._owed.set()
        return None

    async def _greet(self, connection: ClientConnection, found: Iterable[Bindable]) -> dict[str, int]:
        started, now = self._clock.monotonic(), self._clock.now()
        texts = {each.channel.subscription: self._handshake(each, now) for each in found}
        await connection.deliver(*texts.values(), seconds=self._deadline)
        return dict.fromkeys(texts, self._took(started))

    def _handshake(self, of: Bindable, now: datetime) -> bytes:
        request = render_handshake(
            of.channel, events=of.events, base=self._base, now=now, deadline=self._deadline
        )
        return request.body

    def _taken_from_others(self, newest: ClientConnection, subscriptions: set[str]) -> None:
        for connection in [*self._connections.values()]:
            if connection is not newest:
                self._drop(connection, subscriptions & connection.bound.keys(), NOTHING_BOUND)

    def _drop(self, connection: ClientConnection, subscriptions: Iterable[str], code: int) -> None:
        """Tell a connection no more of these; it ends when nothing is left."""
        before = len(connection.bound)
        for of in subscriptions:
            connection.bound.pop(of, None)
        if before and not connection.bound:
            # By itself: it may take its time, and nobody waits for one client.
            ending = asyncio.create_task(connection.end(code, _WHY[code]), name="websocket ending")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def step(self) -> bool:
        """End what has expired; now and then, compare with the database. There is never more to do at once."""
        await self._expire()
        now = self._clock.monotonic()
        # One process owns a SQLite file: there only what is bound here can change.
        if now - self._compared_at >= ROUND and (self.bound or not self._database.is_sqlite):
            await self._compare()
            self._compared_at = now
        return False

    async def _expire(self) -> None:
        now = self._clock.monotonic()
        for connection in [*self._connections.values()]:
            over = [of for of, until in connection.bound.items() if until <= now]
            if over:
                async with self._changing:
                    if self._closing:
                        return
                    await bindings.unbind(
                        self._database, self._clock, self._holder, {connection.endpoint: over}
                    )
                    self._drop(connection, over, EXPIRED)

    async def _compare(self) -> None:
        async with self._changing:
            if self._closing:
                return
            if self._holder:
                if self._connections:
                    await bindings.stay_alive(self._database, self._clock, self._holder)
                there = await bindings.held(self._database, self._holder)
                for connection in [*self._connections.values()]:
                    gone = [of for of in connection.bound if there.get(of) != connection.endpoint]
                    self._drop(connection, gone, NOTHING_BOUND)
                stray: dict[str, list[str]] = {}
                for of, endpoint in there.items():
                    known = self._connections.get(endpoint)
                    if known is None or of not in known.bound:
                        stray.setdefault(endpoint, []).append(of)
                await bindings.unbind(self._database, self._clock, self._holder, stray)
            self.others = await bindings.bury(self._database, self._clock, self._holder)

    async def close(self) -> None:
        """Close every connection in order, and have what was bound here wait for its client to bind again."""
        self._closing = True
        until = self._clock.monotonic() + DRAIN
        while any(each.busy for each in self._connections.values()) and self._clock.monotonic() < until:
            await self._clock.sleep(0.02)
        await asyncio.gather(
            *(
                each.end(GOING_AWAY, "this server is going away: bind again")
                for each in self._connections.values()
            )
        )
        if not self._holder:
            return
        async with self._changing:
            try:
                await bindings.leave(self._database, self._clock, self._holder)
                self._holder = ""
            except (SQLAlchemyError, OSError) as error:
                # Other processes find out by its silence, and on SQLite the next one when it starts.
                log.warning("leaving_failed", failure=type(error).__name__)

    def _took(self, started: float) -> int:
        return round((self._clock.monotonic() - started) * 1000)
