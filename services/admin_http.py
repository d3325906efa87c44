"""Answers what supervisors and monitoring ask: is the process alive, may it be sent work, what are its numbers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.lifecycle import Lifecycle
from services.metrics import REGISTRY

Checks: TypeAlias = Callable[[], Awaitable[Mapping[str, str | None]]]
"""Answers the name of each check with `None` when it passes, else a sentence."""


def admin_app(lifecycle: Lifecycle, ready: Checks) -> web.Application:
    """Return the admin application: `/livez`, `/readyz`, `/metrics`.

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

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", _metrics)
    return app


def _answer(checks: Mapping[str, str | None]) -> web.Response:
    failed = any(said is not None for said in checks.values())
    body = orjson.dumps({"status": "fail" if failed else "pass", "checks": dict(checks)})
    return web.Response(body=body, status=503 if failed else 200, content_type="application/json")


async def _metrics(_request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})
