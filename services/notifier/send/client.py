"""One HTTP try: request -> answer. Nothing is raised but cancellation; nothing is followed or believed."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

import aiohttp

from services.clock import Clock
from services.notifier.model import Answer, Failure, Request
from services.notifier.record.verdict import failure_of
from services.notifier.send.addresses import BlockedAddressError, socket_factory
from services.notifier.send.exchange import MalformedReplyError, Wire

SAID_LENGTH = 200
_SECONDS = re.compile(r"[0-9]{1,9}")


class HookClient(Protocol):
    """What a sender needs of HTTP: a try whose outcome is a value."""

    async def send(self, request: Request) -> Answer:
        """Try once within `request.deadline`."""

    async def close(self) -> None:
        """Close every connection."""


class SocketClient(Protocol):
    """What a sender needs of websockets: those of this process, and a try on one whose outcome is a value."""

    @property
    def holder(self) -> str:
        """What this process is called in the lanes bound to its connections."""

    @property
    def bound(self) -> bool:
        """Whether any lane is bound to a connection of this process."""

    @property
    def others(self) -> bool:
        """Whether other processes have websockets too, as far as is known."""

    async def send(self, endpoint: str, subscription: str, request: Request) -> Answer:
        """Try once within `request.deadline`, on the connection the lane's endpoint names."""


class NoSockets:
    """A process without websockets."""

    holder = ""
    bound = others = False

    async def send(self, endpoint: str, subscription: str, request: Request) -> Answer:  # noqa: ARG002  # there is none
        """Answer that there is no connection."""
        return Answer(None, Failure.DISCONNECTED, "no client is connected here", 0)


class RestHookClient:
    """Keep-alive connections to all endpoints of one process."""

    def __init__(self, clock: Clock, *, private: bool, response_bytes: int) -> None:
        """Open lazily; `private` allows loopback and private networks, `response_bytes` caps what is read."""
        self._clock = clock
        connector = aiohttp.TCPConnector(
            socket_factory=socket_factory(private=private), limit=0, ttl_dns_cache=10, keepalive_timeout=30
        )
        self._wire = Wire(connector, response_bytes=response_bytes)

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()

    async def send(self, request: Request) -> Answer:
        """Try once within `request.deadline`; connect, headers and body together."""
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(request.deadline):
                reply = await self._wire.exchange(request)
        except (MalformedReplyError, TimeoutError, aiohttp.ClientError, ValueError, OSError) as error:
            failure, said = _classify(error, request.deadline)
            return Answer(None, failure, said[:SAID_LENGTH], self._took(started))
        status = reply.status
        if 200 <= status < 300:
            return Answer(status, None, f"answered {status}", self._took(started))
        retry_after = self._retry_after(reply.headers.get("Retry-After"))
        return Answer(status, failure_of(status), _in_words(status), self._took(started), retry_after)

    def _retry_after(self, value: str | None) -> float | None:
        if value is None:
            return None
        if _SECONDS.fullmatch(value.strip()):
            return float(value)
        try:
            at = parsedate_to_datetime(value)
            at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
            return max(0.0, _seconds(at, self._clock.now()))
        except (ValueError, OverflowError):
            return None  # whatever it says, it is no time

    def _took(self, started: float) -> int:
        return round((self._clock.monotonic() - started) * 1000)


def _seconds(at: datetime, now: datetime) -> float:
    return (at - now).total_seconds()


def _classify(error: Exception, deadline: float) -> tuple[Failure, str]:  # noqa: PLR0911  # one line a class
    match error:
        case aiohttp.ClientConnectorError():
            return _connect_failure(error)
        case TimeoutError():
            return Failure.TIMEOUT, f"no answer within {deadline:g} s"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | OSError():
            return Failure.RESET, "the connection was closed before an answer came"
        case aiohttp.ClientPayloadError():
            return Failure.PROTOCOL, "the answer's body broke off"
        case aiohttp.InvalidURL():
            return Failure.UNSENDABLE, "the URL cannot be requested"
        case MalformedReplyError():
            return Failure.PROTOCOL, f"the answer is not HTTP: {error}"
        case aiohttp.ClientError():
            return Failure.PROTOCOL, f"the answer is not HTTP: {type(error).__name__}"
        case _:
            return Failure.UNSENDABLE, f"the request cannot be sent: {type(error).__name__}"


def _connect_failure(error: aiohttp.ClientConnectorError) -> tuple[Failure, str]:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Failure.TLS, f"no TLS connection to {error.host}: {_tls_reason(error.certificate_error)}"
    cause = error.os_error
    if isinstance(cause, BlockedAddressError):
        return Failure.BLOCKED, str(cause)
    if isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(cause, socket.gaierror):
        return Failure.DNS, f"the name {error.host} does not resolve"
    if isinstance(error, aiohttp.ClientSSLError) or isinstance(cause, ssl.SSLError):
        return Failure.TLS, f"no TLS connection to {error.host}: {_tls_reason(cause)}"
    if isinstance(cause, ConnectionRefusedError):
        return Failure.CONNECT, f"{error.host}:{error.port} refuses connections"
    return (
        Failure.CONNECT,
        f"no connection to {error.host}:{error.port}: {cause.strerror or type(cause).__name__}",
    )


def _tls_reason(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message})"
    return type(cause).__name__


def _in_words(status: int) -> str:
    if 300 <= status < 400:
        return f"answered {status}: redirects are not followed"
    meaning = {
        401: "it does not accept our credentials",
        403: "it forbids this request",
        404: "there is nothing at this URL",
        410: "it is gone for good",
        413: "the notification is too large for it",
        415: "it does not take this content type",
        422: "it does not accept this content",
        429: "it asks us to slow down",
    }.get(status)
    return f"answered {status}" + (f": {meaning}" if meaning else "")
