"""What would be possible? A bare aiohttp client loop, and an aiohttp handler that does nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from benchmarks.sink import RunningSink, beside
from services.clock import SystemClock


async def client_loop(sink: RunningSink, *, requests: int, concurrency: int, body: bytes) -> float:
    """Return the POSTs a second of `concurrency` loops that only post this body to the endpoint."""
    await sink.forget()
    clock = SystemClock()
    each = max(1, requests // concurrency)

    async def post(session: aiohttp.ClientSession, name: int) -> None:
        url = f"{sink.urls[name % len(sink.urls)]}/hook"
        for number in range(1, each + 1):
            headers = {"webhook-id": f"bare{name}_{number}-{number}", "Content-Type": "application/fhir+json"}
            async with session.post(url, data=body, headers=headers) as answer:
                await answer.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        started = clock.monotonic()
        await asyncio.gather(*(post(session, name) for name in range(concurrency)))
        took = clock.monotonic() - started
    ledger = await sink.ledger(each * concurrency, within=5)
    assert ledger.events == each * concurrency
    return ledger.events / took


@contextlib.asynccontextmanager
async def empty_handler() -> AsyncIterator[str]:
    """Run a server in another process that reads a request and answers 201; yields its URL."""
    async with beside("benchmarks.bare") as urls:
        yield urls[0]


async def _serve() -> None:
    async def handle(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=201)

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/fhir/MeasureReport", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    from services.event_loop import run_until_complete

    run_until_complete(_serve())
