"""How a process starts, serves and ends: sockets first, then services, then loops; and back in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from aiohttp import web

from services import logs
from services.admin_http import admin_app
from services.clock import Clock
from services.fhir_http import fhir_application
from services.fixed_http import operation_definitions, search_parameters
from services.lifecycle import Lifecycle, Loop
from services.ports import bind
from services.settings import Settings

log = logs.get(__name__)

HTTP_DRAIN_SECONDS = 10.0
"""How long requests that have begun may take to finish once the process is told to stop."""


class Service(Protocol):
    """One service as its wiring returns it."""

    @property
    def loops(self) -> Sequence[Loop]:
        """What it does beside answering requests."""

    def mount(self, app: web.Application) -> None:
        """Add its routes below `/fhir`."""

    async def ready(self) -> Mapping[str, str | None]:
        """Answer its checks: a sentence for each that fails."""

    async def close(self) -> None:
        """Let go of everything it holds."""


@runtime_checkable
class Operated(Protocol):
    """A service that has pages for operators."""

    def mount_ops(self, admin: web.Application) -> None:
        """Add them to the admin application."""


Opener = Callable[[Settings, Clock, contextlib.AsyncExitStack], Awaitable[Sequence[Service]]]
"""Opens the services of a process; what has to be closed again goes onto the stack."""


async def serve(name: str, settings: Settings, clock: Clock, open_services: Opener) -> None:
    """Serve until SIGTERM or SIGINT: `/fhir` on one port, the admin pages on the other.

    Raises:
        PortError: a port cannot be had; nothing was opened yet.
    """
    lifecycle = Lifecycle(clock)
    async with contextlib.AsyncExitStack() as stack:
        public = stack.enter_context(bind(settings.host, settings.port, "VBPR_PORT"))
        admin = stack.enter_context(bind(settings.admin_host, settings.admin_port, "VBPR_ADMIN_PORT"))
        ports = {"port": public.getsockname()[1], "admin_port": admin.getsockname()[1]}
        settings = settings.model_copy(update=ports)
        opened = await stack.enter_async_context(contextlib.AsyncExitStack())
        services = await open_services(settings, clock, opened)
        await _start_admin(stack, admin, lifecycle, services, settings)
        stack.push_async_callback(opened.aclose)  # before the admin pages go: they tell how far the end is
        fhir = await _start_fhir(stack, public, clock, services, settings)
        for service in services:
            for loop in service.loops:
                lifecycle.add(loop)
        lifecycle.stop_on_signals()
        _freeze()
        print(  # noqa: T201  # the one line a person, or a script that asked for port 0, waits for
            f"{name}: FHIR at {settings.fhir_base}, health and metrics at "
            f"http://{settings.admin_host}:{settings.admin_port}",
            flush=True,
        )
        log.info("started", process=name, base=settings.fhir_base)
        async with asyncio.TaskGroup() as group:
            group.create_task(lifecycle.run(), name="loops")
            group.create_task(_stop_accepting(lifecycle, fhir), name="stop accepting")
    log.info("stopped", process=name)


async def _stop_accepting(lifecycle: Lifecycle, fhir: web.AppRunner) -> None:
    await lifecycle.stopping.wait()
    await fhir.cleanup()


async def _start_fhir(
    stack: contextlib.AsyncExitStack,
    bound: socket.socket,
    clock: Clock,
    services: Sequence[Service],
    settings: Settings,
) -> web.AppRunner:
    app = fhir_application(clock)
    for service in services:
        service.mount(app)
    for fixed in (operation_definitions, search_parameters):
        fixed(settings.fhir_base).mount(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=HTTP_DRAIN_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, bound).start()
    return runner


async def _start_admin(
    stack: contextlib.AsyncExitStack,
    bound: socket.socket,
    lifecycle: Lifecycle,
    services: Sequence[Service],
    settings: Settings,
) -> None:
    async def ready() -> dict[str, str | None]:
        checks: dict[str, str | None] = {}
        for service in services:
            checks.update(await service.ready())
        return checks

    named = [settings.admin_host, *(each.strip() for each in settings.admin_hosts.split(","))]
    app = admin_app(lifecycle, ready, named)
    for service in services:
        if isinstance(service, Operated):
            service.mount_ops(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, bound).start()


def _freeze() -> None:
    # What start-up made lives as long as the process: keep the collector from walking it again and again.
    gc.collect()
    gc.freeze()
    # A report is thousands of objects that are freed as their last use ends. At Python's own threshold of 700 the
    # collector walks them several times before that, a quarter of what reading a large one takes.
    gc.set_threshold(50_000, 20, 20)
