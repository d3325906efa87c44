"""One client's connection: a notification goes out as a text frame, and its pong says that it came in.

The guide knows no acknowledgement (R-167). But a client's websocket answers a ping by itself, and in order: when it
has answered the one sent right behind a notification, the notification is on its side. What is only written may
still be in a buffer on the way, and is sent again to whoever binds next.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import WSMsgType, web

CLOSE_SECONDS: Final = 3.0
"""How long the other side may take to let a connection be closed."""
BECAUSE_OF_A_MESSAGE: Final = frozenset({1003, 1007, 1009})
"""Close codes by which a client says that it does not take what it was sent (RFC 6455 §7.4.1)."""


class LostError(Exception):
    """The connection ended before what was sent was known to be there."""

    def __init__(self, said: str, *, refused: bool = False) -> None:
        super().__init__(said)
        self.refused = refused
        """The client ended it because of what it was sent."""


class ClientConnection:
    """An open websocket. What is sent on it goes out one frame after the other, whoever sends."""

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, endpoint: str
    ) -> None:
        """Take a prepared websocket; `endpoint` is what lanes that are bound to it share."""
        self.endpoint = endpoint
        self.bound: dict[str, float] = {}
        """Subscriptions, and until when on the monotonic clock."""
        self._socket = socket
        self._transport = transport
        self._sending = asyncio.Lock()
        self._pings = 0
        self._pongs: dict[bytes, asyncio.Future[None]] = {}
        self._lost: LostError | None = None

    @property
    def open(self) -> bool:
        """Whether anything can be sent still."""
        return self._lost is None

    @property
    def busy(self) -> bool:
        """Whether something was sent that is not known to be there."""
        return bool(self._pongs) or self._sending.locked()

    async def deliver(self, *texts: bytes, seconds: float) -> None:
        """Send these, and return once they are known to be on the other side.

        A client that takes longer than `seconds`, because it reads too slowly say, is cut off: what waits for it
        is never more than what each of its lanes sends at a time.

        Raises:
            LostError: the connection is gone.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._deliver(texts)
        except TimeoutError:
            lost = LostError(f"the client did not take it within {seconds:g} s")
            self.cut_off(lost)
            raise lost from None
        except (ConnectionError, RuntimeError):
            # aiohttp's way to say that it is closed, from one of several places.
            lost = self._lost or LostError("the connection is closed")
            self.cut_off(lost)
            raise lost from None

    async def _deliver(self, texts: tuple[bytes, ...]) -> None:
        there: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with self._sending:
            if self._lost is not None:
                raise self._lost
            self._pings += 1
            name = b"%d" % self._pings
            self._pongs[name] = there
            try:
                for text in texts:
                    await self._socket.send_frame(text, WSMsgType.TEXT)
                await self._socket.ping(name)
            except BaseException:
                self._pongs.pop(name, None)
                there.cancel()
                raise
        try:
            await there
        finally:
            self._pongs.pop(name, None)

    async def answer(self, ping: bytes) -> None:
        """Answer a ping of the client's."""
        await self._socket.pong(ping)

    def ponged(self, name: bytes) -> None:
        """Note that the client has answered a ping, and so has all that went before it."""
        there = self._pongs.get(name)
        if there is not None and not there.done():
            there.set_result(None)

    def lost(self, lost: LostError) -> None:
        """Note that the connection is gone; whoever waits for something to be there is told."""
        if self._lost is None:
            self._lost = lost
        for there in self._pongs.values():
            if not there.done():
                there.set_exception(self._lost)

    def ended_by_client(self, code: int | None) -> None:
        """Note how the client ended it."""
        how = "the client closed the connection" + ("" if code is None else f" ({code})")
        self.lost(LostError(how, refused=code in BECAUSE_OF_A_MESSAGE))

    def cut_off(self, lost: LostError) -> None:
        """End it at once, whatever waits to be sent."""
        self.lost(lost)
        if self._transport is not None:
            self._transport.abort()

    async def end(self, code: int, reason: str) -> None:
        """Close it with a code and a reason, and let go of it whether or not the client does."""
        self.lost(LostError(f"this side closed the connection: {reason}"))
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close(code=code, message=reason.encode())
        except (TimeoutError, ConnectionError, RuntimeError):
            self.cut_off(LostError(reason))
