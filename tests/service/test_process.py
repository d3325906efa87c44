"""How a process shows that it lives, is ready, and ends in order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from services import process
from services.admin_http import admin_app
from services.clock import Clock, SystemClock
from services.lifecycle import Lifecycle, Loop
from services.ports import PortError
from services.settings import Settings
from tests.clock import ManualClock
from tests.conditions import eventually


async def _idle() -> bool:
    return False


class Slow:
    """A service with one route that answers when it is let go, and one loop."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.let_go = asyncio.Event()
        self.closing = asyncio.Event()
        self.may_close = asyncio.Event()
        self.closed = False
        self.loops = [Loop("idle", _idle)]
        self.trouble: str | None = None

    def mount(self, app: web.Application) -> None:
        app.router.add_get("/fhir/slow", self._slow)

    async def ready(self) -> Mapping[str, str | None]:
        return {"trouble": self.trouble}

    async def close(self) -> None:
        self.closing.set()
        await self.may_close.wait()
        self.closed = True

    async def _slow(self, _request: web.Request) -> web.Response:
        self.asked.set()
        await self.let_go.wait()
        return web.Response(text="done")


async def asked(app: web.Application, path: str) -> tuple[int, str]:
    async with TestClient(TestServer(app)) as client, client.get(path) as response:
        return response.status, await response.text()


async def test_readyz_names_what_fails_and_turns_when_the_process_is_told_to_stop(clock: ManualClock) -> None:
    service = Slow()
    lifecycle = Lifecycle(clock)
    assert (await asked(admin_app(lifecycle, service.ready), "/readyz"))[0] == 200
    service.trouble = "the disk is full"
    status, body = await asked(admin_app(lifecycle, service.ready), "/readyz")
    assert status == 503
    assert '"trouble":"the disk is full"' in body
    service.trouble = None
    lifecycle.stop()
    assert (await asked(admin_app(lifecycle, service.ready), "/readyz"))[0] == 503


async def test_livez_fails_only_for_a_loop_that_went_silent(clock: ManualClock) -> None:
    lifecycle = Lifecycle(clock)
    hanging = asyncio.Event()

    async def hang() -> bool:
        await hanging.wait()
        return False

    lifecycle.add(Loop("hanging", hang, patience=30))
    running = asyncio.create_task(lifecycle.run())
    await clock.advance(29)
    assert (await asked(admin_app(lifecycle, Slow().ready), "/livez"))[0] == 200
    await clock.advance(2)
    status, body = await asked(admin_app(lifecycle, Slow().ready), "/livez")
    assert status == 503
    assert "hanging" in body
    hanging.set()
    lifecycle.stop()
    await running


async def test_a_loop_that_goes_on_failing_is_logged_now_and_then_and_so_is_its_end(
    clock: ManualClock,
) -> None:
    lifecycle = Lifecycle(clock)
    well = False

    async def step() -> bool:
        if not well:
            raise ConnectionResetError
        return False

    loop = lifecycle.add(Loop("reading", step))
    with capture_logs() as logs:
        running = asyncio.create_task(lifecycle.run())
        for _ in range(45):  # rounds, each ended by a wake-up
            await clock.advance(1)
            loop.wake.set()
            await clock.advance(0)
        assert loop.failing_since is not None
        told = [line["for_seconds"] for line in logs if line["event"] == "loop_failed"]
        assert told == [0.0, 30.0]
        well = True
        loop.wake.set()
        await eventually(lambda: loop.failing_since is None, what="a round that goes well")
        lifecycle.stop()
        await running
    assert [line["after_seconds"] for line in logs if line["event"] == "loop_goes_on"] == [45.0]


async def test_metrics_are_prometheus_text(clock: ManualClock) -> None:
    status, body = await asked(admin_app(Lifecycle(clock), Slow().ready), "/metrics")
    assert status == 200
    assert "# TYPE vbpr_notifications_owed gauge" in body


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8081", 200), ("[::1]:8081", 200), ("10.1.2.3", 200), ("localhost:8081", 200), ("LOCALHOST.", 200),
        ("ops.clinic.example:8081", 200), ("elsewhere.example:8081", 421), ("127.0.0.1.elsewhere.example", 421),
        ("ops.clinic.example.elsewhere.example", 421), ("notlocalhost", 421), ("[", 421), ("", 421),
    ],
)  # fmt: skip
async def test_pages_for_browsers_are_served_under_names_of_ours_only(
    clock: ManualClock, host: str, status: int
) -> None:
    """DNS rebinding: a page from elsewhere has its own name lead here, to read what is served."""
    app = admin_app(Lifecycle(clock), Slow().ready, ["127.0.0.1", "ops.clinic.example"])
    app.router.add_get("/ops", _page)
    async with TestClient(TestServer(app)) as client:
        async with client.get("/ops", headers={"Host": host}) as response:
            assert (response.status, "VBPR_ADMIN_HOSTS" in await response.text()) == (status, status == 421)
        for path in ("/livez", "/readyz", "/metrics"):
            async with client.get(path, headers={"Host": host}) as response:
                assert response.status == 200


async def _page(_request: web.Request) -> web.Response:
    return web.Response(text="the page")


async def _opened(
    service: Slow, started: Callable[[Settings], None], settings: Settings, stack: AsyncExitStack
) -> Sequence[process.Service]:
    stack.push_async_callback(service.close)
    started(settings)
    return (service,)


async def test_sigterm_finishes_what_has_begun_refuses_what_is_new_and_closes_with_the_admin_pages_last() -> (
    None
):
    service = Slow()
    known: list[Settings] = []

    def open_it(
        settings: Settings, _clock: Clock, stack: AsyncExitStack
    ) -> Awaitable[Sequence[process.Service]]:
        return _opened(service, known.append, settings, stack)

    serving = asyncio.create_task(
        process.serve("test", Settings(port=0, admin_port=0), SystemClock(), open_it)
    )
    await eventually(lambda: bool(known), what="the start")
    (settings,) = known
    assert settings.port != 0
    async with aiohttp.ClientSession() as session:

        async def ready() -> bool:
            try:
                async with session.get(f"http://127.0.0.1:{settings.admin_port}/readyz") as response:
                    return response.status == 200
            except aiohttp.ClientError:
                return False

        await eventually(ready, what="/readyz")
        begun = asyncio.create_task(session.get(f"{settings.fhir_base}/slow"))
        await service.asked.wait()
        os.kill(os.getpid(), signal.SIGTERM)

        async def refused() -> bool:
            _, writer = await asyncio.open_connection("127.0.0.1", settings.port)
            writer.close()
            return False

        with pytest.raises(ConnectionRefusedError):
            await eventually(refused, what="refusing new connections")
        assert not service.closed
        service.let_go.set()
        async with await begun as response:
            assert await response.text() == "done"
        await service.closing.wait()
        async with session.get(f"http://127.0.0.1:{settings.admin_port}/readyz") as response:
            assert response.status == 503
            assert "the process is ending" in await response.text()
        service.may_close.set()
        await serving
    assert service.closed


async def test_a_port_in_use_is_said_before_anything_is_opened() -> None:
    opened: list[Settings] = []

    def open_it(
        settings: Settings, _clock: Clock, stack: AsyncExitStack
    ) -> Awaitable[Sequence[process.Service]]:
        return _opened(Slow(), opened.append, settings, stack)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=f"Port {port} on 127.0.0.1 is in use.*VBPR_ADMIN_PORT"):
            await process.serve("test", Settings(port=0, admin_port=port), SystemClock(), open_it)
    assert opened == []
