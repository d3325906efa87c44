"""The receiver: read, judge, write to disk, answer. In that order, so that a kill loses nothing it accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from socket import socket

from aiohttp import web

from services.cli.listen.faults import Faults
from services.cli.listen.order import Lanes
from services.cli.listen.reading import read_request
from services.cli.listen.record import Entry, Record
from services.clock import Clock

_KEPT_HEADERS = ("content-type", "webhook-id", "webhook-timestamp")
_LARGEST_BODY = 256 * 1024 * 1024


@dataclass(slots=True)
class Tally:
    """What a run came to."""

    received: int = 0
    duplicates: int = 0
    faulty: int = 0


class Receiver:
    """Takes every notification at every path."""

    def __init__(
        self, clock: Clock, faults: Faults, record: Record | None, lanes: Lanes, show: Callable[[Entry], None]
    ) -> None:
        """Take `lanes` as they were left by an earlier run, or fresh ones."""
        self._clock = clock
        self._faults = faults
        self._record = record
        self._lanes = lanes
        self._show = show
        self.tally = Tally()

    def app(self) -> web.Application:
        """Return the application that serves it."""
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self.receive)
        return app

    async def receive(self, request: web.Request) -> web.Response:
        """Take one request in."""
        arrived = self._clock.now()
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        code = None if self._faults.hang else self._faults.answer()
        reading = read_request(request.method, request.path, headers, body)
        judged = self._lanes.judge(reading, accepted=code is not None and code < 300)
        entry = Entry(
            at=arrived.isoformat(timespec="milliseconds"),
            method=request.method,
            path=request.path,
            headers={name: headers[name] for name in _KEPT_HEADERS if name in headers},
            header_names=tuple(headers),
            reading=reading,
            duplicate=judged.duplicate,
            problems=reading.problems + judged.problems,
            answered=code,
            body=body.decode(errors="replace"),
        )
        if self._record is not None:
            await self._record.append(entry)
        self._count(entry)
        self._show(entry)
        if code is None:
            await asyncio.Event().wait()  # until the sender gives up and the connection ends
            raise AssertionError  # an event that nobody can set
        if self._faults.delay:
            await self._clock.sleep(self._faults.delay)
        return web.Response(status=code)

    def _count(self, entry: Entry) -> None:
        self.tally.received += 1
        self.tally.duplicates += entry.duplicate
        self.tally.faulty += bool(entry.problems)


async def serve(receiver: Receiver, listening: socket, stopping: asyncio.Event) -> None:
    """Serve on a bound socket until `stopping`."""
    # A sender that hangs up ends its handler, so that requests left hanging do not pile up.
    runner = web.AppRunner(receiver.app(), access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        await stopping.wait()
    finally:
        await runner.cleanup()
