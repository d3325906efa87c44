"""One HTTP/1.1 exchange: bytes out, status and headers back, on aiohttp's connections but without its session.

Nine tenths of what `aiohttp.ClientSession` costs a request lies above its connections. What is used of aiohttp
here, and nothing else: `TCPConnector.connect` (pools, DNS, happy eyeballs, TLS, the socket factory that guards
addresses); `ClientRequest` as the description of where to connect; of the connection its `protocol`
(`set_response_params`, `read`, `should_close`, `abort`) with the parser in C; and the body's stream. Little of it
is in aiohttp's reference, so its version is pinned, and `tests/service/test_send_exchange.py` holds it to this.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from multidict import CIMultiDictProxy
from yarl import URL

from services.notifier.model import Request

_URL: Final = re.compile(r"(https?://[^/?#\\\s]+)([^#]*)", re.IGNORECASE)
_PLAIN: Final = re.compile(r"/[\x21-\x7e]*")
_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_NAME: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PLACES: Final = 4096
"""Most endpoints whose description is kept; one that was forgotten is made again."""
_LARGE: Final = 2**14
"""Bytes of a body that is not worth copying."""
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; the body was read no further than allowed, and is not kept."""

    status: int
    headers: CIMultiDictProxy[str]


class MalformedReplyError(Exception):
    """What came back is not HTTP."""


class Wire:
    """Kept connections to all endpoints of one process."""

    def __init__(self, connector: aiohttp.TCPConnector, *, response_bytes: int) -> None:
        """Take the connector, to be closed by `close`; at most `response_bytes` of a body are read."""
        self._connector = connector
        self._response_bytes = response_bytes
        self._places: dict[str, aiohttp.ClientRequest] = {}
        self._used: WeakSet[ResponseHandler] = WeakSet()

    async def close(self) -> None:
        """Close every connection."""
        await self._connector.close()

    async def exchange(self, request: Request) -> Reply:
        """Send a request and read its answer; the caller bounds the time, and an end before the end aborts.

        A kept connection may have been closed by its peer in the very moment it was used again. When nothing was
        answered on it, the request is sent once more: every request carries its idempotency key.

        Raises:
            ValueError: the request cannot be put on the wire.
            MalformedReplyError: the answer is not HTTP.
            aiohttp.ClientError: no connection, or it ended before the answer did.
        """
        origin, target = _split(request.url)
        place = self._place(origin)
        lines = [f"{request.method} {target} HTTP/1.1", f"Host: {place.headers['Host']}"]
        sent = _buffers(_head(lines, request.headers, len(request.body)), request.body)
        connection, kept = await self._connected(place)
        try:
            return await self._talk(connection, sent)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            if not kept:
                raise
        connection, _ = await self._connected(place)
        return await self._talk(connection, sent)

    def _place(self, origin: str) -> aiohttp.ClientRequest:
        place = self._places.get(origin)
        if place is None:
            if len(self._places) >= _PLACES:
                self._places.clear()
            loop = asyncio.get_running_loop()
            place = self._places[origin] = aiohttp.ClientRequest("POST", URL(origin), loop=loop)
        return place

    async def _connected(self, place: aiohttp.ClientRequest) -> tuple[Connection, bool]:
        """Return a connection, and whether it has been used before."""
        while True:
            connection = await self._connector.connect(place, [], _NO_TIMEOUT)
            protocol = connection.protocol
            assert protocol is not None
            if protocol not in self._used:
                self._used.add(protocol)
                return connection, False
            if not protocol.should_close:
                return connection, True
            _abort(connection)  # it said something unasked: that is no answer to what is sent now

    async def _talk(self, connection: Connection, sent: Sequence[bytes]) -> Reply:
        protocol = connection.protocol
        assert protocol is not None
        assert protocol.transport is not None
        transport = protocol.transport
        try:
            protocol.set_response_params(read_until_eof=True, auto_decompress=False)
            transport.writelines(sent)
            message, body = await protocol.read()
            while 100 <= message.code < 200 and message.code != 101:
                message, body = await protocol.read()
            whole = await self._read_through(body)
        except HttpProcessingError as error:
            _abort(connection)
            raise MalformedReplyError(type(error.__cause__ or error).__name__) from error
        except BaseException:
            _abort(connection)
            raise
        if whole and not transport.get_write_buffer_size():
            connection.release()
        else:
            _abort(connection)  # it has more to say, or answered without having heard it all
        return Reply(message.code, message.headers)

    async def _read_through(self, body: StreamReader) -> bool:
        """Read a body up to what is allowed; tell whether that was all of it."""
        left = self._response_bytes
        while not body.at_eof():
            left -= len(await body.readany())
            if left < 0:
                return False
        return True


def _abort(connection: Connection) -> None:
    # Closing would wait for what is still to be written, and a peer that hangs never takes it.
    if connection.protocol is not None:
        connection.protocol.abort()
    connection.close()


def _split(url: str) -> tuple[str, str]:
    """Return scheme, host and port of a URL, and the request target."""
    found = _URL.fullmatch(url.partition("#")[0])
    if found is None:
        raise ValueError("not an absolute http or https URL")
    origin, target = found.groups()
    if not target.startswith("/"):
        target = f"/{target}"
    return origin, target if _PLAIN.fullmatch(target) else quote(target, safe=_VISIBLE)


def _buffers(head: bytes, body: bytes) -> Sequence[bytes]:
    # One buffer is written sooner than two; but to copy a large body takes longer than that.
    return (head, body) if len(body) > _LARGE else (head + body,)


def _head(lines: list[str], headers: Iterable[tuple[str, str]], length: int) -> bytes:
    for name, value in headers:
        if _NAME.fullmatch(name) is None or _CONTROL.search(value) is not None:
            raise ValueError("a header that cannot be sent")  # never the value: it may be a secret
        lines.append(f"{name}: {value}")
    lines.append(f"Accept: */*\r\nContent-Length: {length}\r\n\r\n")
    return "\r\n".join(lines).encode()
