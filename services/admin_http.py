"""Answers what supervisors and monitoring ask: is the process alive, may it be sent work, what are its numbers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

import orjson
from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.lifecycle import Lifecycle
from services.metrics import REGISTRY
from services.trusted_hosts import trusted

Checks: TypeAlias = Callable[[], Awaitable[Mapping[str, str | None]]]
"""Answers the name of each check with `None` when it passes, else a sentence."""


_FOR_MACHINES: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked under whatever name a probe or a scraper has for this process."""


def admin_app(lifecycle: Lifecycle, ready: Checks, hosts: Collection[str] = ()) -> web.Application:
    """Return the admin application: `/livez`, `/readyz`, `/metrics`.

    All that is added is for browsers, and served under an address, `localhost` and the names in `hosts` alone.

    `/livez` fails only for what a restart may cure: a loop that has gone silent. `/readyz` fails for what
    keeps the process from its work, whoever's fault it is, and from the moment it is told to stop.
    """

    async def livez(_request: web.Request) -> web.Response:
        stuck = dict.fromkeys(lifecycle.stuck(), "has been silent for too long")
        return _answer(stuck)

    async def readyz(_request: web.Request) -> web.Response:
        checks = dict(await ready())
        checks["stopping"] = "the process is ending" if lifecycle.stopping.is_set() else None
        return _answer(checks)

    app = web.Application(middlewares=[_under(hosts)])
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", _metrics)
    return app


def _under(hosts: Collection[str]) -> Any:
    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        asked = request.headers.get(hdrs.HOST, "")
        if request.path in _FOR_MACHINES or trusted(asked, hosts):
            return await handler(request)
        said = (
            f"This page is not served under the name {asked[:100]!r}, which may not be this machine's own. Open it "
            "under the machine's address, or have VBPR_ADMIN_HOSTS say the name.\n"
        )
        return web.Response(status=421, text=said, headers={"X-Content-Type-Options": "nosniff"})

    return middleware


def _answer(checks: Mapping[str, str | None]) -> web.Response:
    failed = any(said is not None for said in checks.values())
    body = orjson.dumps({"status": "fail" if failed else "pass", "checks": dict(checks)})
    return web.Response(body=body, status=503 if failed else 200, content_type="application/json")


async def _metrics(_request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})
