"""`/fhir/Subscription`: create, read, update, delete, and search by what a subscriber looks for.

Source: R4 http.html; Subscriptions R5 Backport 1.1 (R-001, R-010…R-016).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from schemas.outcome import refuse
from schemas.raw_json import parse
from services.fhir_http import json_response, read_body, version_headers
from services.notifier import tables as t
from services.notifier.subscriptions.admission import Admitted, admit
from services.notifier.subscriptions.channels import EndpointPolicy
from services.notifier.subscriptions.store import Stored, SubscriptionStore
from services.principal import PRINCIPAL

MOST_BYTES = 256 * 1024
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_ETAG = re.compile(r'W/"(\d+)"')
_SEARCHED = {
    "_id": t.subscription.c.id,
    "status": t.subscription.c.status,
    "url": t.subscription.c.endpoint,
    "criteria": t.subscription.c.criteria,
}


class SubscriptionRoutes:
    """The handlers; `changed` is called after each write, so that handshakes start at once."""

    def __init__(
        self,
        store: SubscriptionStore,
        *,
        base: str,
        policy: EndpointPolicy,
        depth: int,
        changed: Callable[[], None],
    ) -> None:
        """Take what admission and the store need."""
        self._store = store
        self._base = base
        self._policy = policy
        self._depth = depth
        self._changed = changed

    def mount(self, app: web.Application) -> None:
        """Add the routes at the path of the base URL."""
        every = f"{urlsplit(self._base).path}/Subscription"
        one = every + "/{id}"
        app.router.add_post(every, self.create)
        app.router.add_get(every, self.search)
        app.router.add_get(one, self.read)
        app.router.add_put(one, self.update)
        app.router.add_delete(one, self.delete)

    async def create(self, request: web.Request) -> web.Response:
        """POST: 201 with the resource, status `requested` for a topic, `active` for classic criteria."""
        admitted, _ = await self._admitted(request)
        stored = await self._store.create(request[PRINCIPAL], admitted)
        self._changed()
        return self._answer(stored, 201)

    async def read(self, request: web.Request) -> web.Response:
        """GET one."""
        return self._answer(await self._store.read(request[PRINCIPAL], _logical_id(request)), 200)

    async def update(self, request: web.Request) -> web.Response:
        """PUT: replaces, re-activates, switches off, or creates under the given id."""
        logical_id = _logical_id(request)
        admitted, sent = await self._admitted(request)
        if (found := sent.get("id")) != logical_id:
            said = f"found id {found!r}; expected {logical_id!r}, the one in the URL"
            raise refuse(400, "value", said, "Subscription.id")
        stored, created = await self._store.update(
            request[PRINCIPAL], logical_id, admitted, sent["status"], _if_match(request)
        )
        self._changed()
        return self._answer(stored, 201 if created else 200)

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE: 204, whether or not it existed."""
        await self._store.delete(request[PRINCIPAL], _logical_id(request))
        self._changed()
        return web.Response(status=204)

    async def search(self, request: web.Request) -> web.Response:
        """GET by `_id`, `status`, `url` or `criteria`: exact, commas are OR."""
        conditions = []
        for name, value in request.query.items():
            if name == "_format":
                continue
            if name not in _SEARCHED:
                said = f"Subscription cannot be searched by {name}; expected one of {', '.join(_SEARCHED)}"
                raise refuse(400, "not-supported", said)
            conditions.append(_SEARCHED[name].in_(value.split(",")))
        found = await self._store.search(request[PRINCIPAL], *conditions)
        return json_response(_searchset(found, str(request.rel_url.query_string), self._base))

    async def _admitted(self, request: web.Request) -> tuple[Admitted, dict[str, Any]]:
        sent = parse(await read_body(request, MOST_BYTES), max_depth=self._depth)
        if (found := sent.get("resourceType")) != "Subscription":
            raise refuse(400, "value", f"found resourceType {found!r}; expected Subscription", "Subscription")
        return admit(sent, base_url=self._base, policy=self._policy), sent

    def _answer(self, stored: Stored, status: int) -> web.Response:
        headers = version_headers(
            self._base, "Subscription", stored.id, stored.version, stored.last_updated, location=status == 201
        )
        return json_response(stored.wire(), status=status, headers=headers)


def _searchset(found: list[Stored], query: str, base: str) -> dict[str, Any]:
    url = f"{base}/Subscription" + (f"?{query}" if query else "")
    entries = [
        {
            "fullUrl": f"{base}/Subscription/{stored.id}",
            "resource": stored.wire(),
            "search": {"mode": "match"},
        }
        for stored in found
    ]
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(found),
        "link": [{"relation": "self", "url": url}],
    }
    return {**bundle, "entry": entries} if entries else bundle


def _logical_id(request: web.Request) -> str:
    found = request.match_info["id"]
    if _ID.fullmatch(found) is None:
        raise refuse(
            400, "value", f"{found!r} is not an id: 1 to 64 letters, digits, '-' or '.'", "Subscription.id"
        )
    return found


def _if_match(request: web.Request) -> int | None:
    value = request.headers.get("If-Match")
    if value is None:
        return None
    found = _ETAG.fullmatch(value.strip())
    if found is None:
        raise refuse(400, "value", f'If-Match is {value!r}; expected W/"version"')
    return int(found[1])
