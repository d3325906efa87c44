"""What a receiver can do instead of answering as it should."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

from services.clock import SystemClock

Manner: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

REFUSALS = (500, 503, 429, 408, 401, 302)
"""Statuses of an endpoint that is at fault itself: all of them mean "later"."""

HUGE = 64 * 2**20
"""Bytes of a body that is far larger than anybody should read."""

_CHUNK = bytes(65_536)


async def hang(_request: web.Request) -> web.StreamResponse:
    """Never answer, not even once the sender has hung up."""
    await asyncio.Event().wait()
    return web.Response()


async def reset(request: web.Request) -> web.StreamResponse:
    """Cut the connection."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def drip(request: web.Request) -> web.StreamResponse:
    """Say 200 and a byte a second from there on."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    with contextlib.suppress(ConnectionError):
        for _ in range(30):
            await answer.write(b".")
            await SystemClock().sleep(1)  # the fault itself: a byte a second
    return answer


async def babble(request: web.Request) -> Babble:
    """Say 200 and a huge body; tell how much of it went out before the connection was closed."""
    answer = Babble()
    await answer.prepare(request)
    with contextlib.suppress(ConnectionError):
        while answer.written < HUGE:
            await answer.write(_CHUNK)
            answer.written += len(_CHUNK)
    return answer


class Babble(web.StreamResponse):
    """A huge answer."""

    written = 0
    """Bytes that went out."""
