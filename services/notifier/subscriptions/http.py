"""`/fhir/Subscription`: create, read, update, patch, delete, search, history.

Source: R4 http.html; Subscriptions R5 Backport 1.1 (R-001, R-010…R-016).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import hdrs, web

from schemas.json_patch import apply_patch
from schemas.outcome import FhirError, refuse
from schemas.raw_json import parse
from schemas.subset import is_part
from services.clock import Clock
from services.database import Connection, Database
from services.fhir_http import json_response, read_body, read_form, version_headers
from services.notifier.subscriptions import search, versions
from services.notifier.subscriptions.admission import Admitted, admit
from services.notifier.subscriptions.channels import EndpointPolicy
from services.notifier.subscriptions.history import history_bundle, understand
from services.notifier.subscriptions.requests import if_match, logical_id, replaces, unconditional
from services.notifier.subscriptions.store import SubscriptionStore
from services.notifier.subscriptions.stored import Stored, stored_version, visible
from services.principal import PRINCIPAL
from services.shown import is_lenient, shown, takes

MOST_BYTES = 256 * 1024
_ATTEMPTS = 5
_PATCH = "application/json-patch+json"


class SubscriptionRoutes:
    """The handlers; `changed` is called after each write, so that handshakes start at once.

    `ends` is called after the write of a Subscription with an `end`, so that somebody waits for it.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        base: str,
        policy: EndpointPolicy,
        depth: int,
        changed: Callable[[], None],
        ends: Callable[[], None],
    ) -> None:
        """Take what admission and the store need."""
        self._database = database
        self._clock = clock
        self._store = SubscriptionStore(database, clock)
        self._base = base
        self._policy = policy
        self._depth = depth
        self._changed = changed
        self._ends = ends

    def mount(self, app: web.Application) -> None:
        """Add the routes at the path of the base URL."""
        every = f"{urlsplit(self._base).path}/Subscription"
        one = every + "/{id}"
        app.router.add_post(every, self.create)
        app.router.add_get(every, self.search)
        app.router.add_post(f"{every}/_search", self.search)
        app.router.add_get(one, self.read)
        app.router.add_put(one, self.update)
        app.router.add_patch(one, self.patch)
        app.router.add_delete(one, self.delete)
        app.router.add_get(f"{every}/_history", self.history_of_all)
        app.router.add_get(f"{one}/_history", self.history)
        app.router.add_get(one + "/_history/{version}", self.vread)

    async def create(self, request: web.Request) -> web.Response:
        """POST: 201 with the resource, status `requested` for a topic, `active` for classic criteria."""
        takes(request)
        unconditional(request)
        admitted = self._admitted(await self._sent(request))
        made = await self._store.create(request[PRINCIPAL], admitted)
        self._wake(admitted)
        return self._answer(made, 201)

    async def read(self, request: web.Request) -> web.Response:
        """GET one."""
        return self._answer_to_read(request, await self._store.read(request[PRINCIPAL], logical_id(request)))

    async def vread(self, request: web.Request) -> web.Response:
        """GET one of its versions; 410 for the version that says that it was deleted."""
        of, number = logical_id(request), request.match_info["version"]
        row = None
        async with self._database.read() as connection:
            await visible(connection, request[PRINCIPAL], of, deleted=True)
            if number.isdecimal() and len(number) < 10:
                row = await versions.one(connection, of, int(number))
        if row is None:
            raise refuse(
                404, "not-found", f"Subscription/{of} has no version {number}, or it is no longer kept"
            )
        if row.deleted:
            raise refuse(410, "deleted", f"Subscription/{of} was deleted")
        return self._answer_to_read(request, stored_version(row))

    async def history(self, request: web.Request) -> web.Response:
        """GET its versions, newest first, a page at a time; a deleted one has a history too."""
        of = logical_id(request)
        async with self._database.read() as connection:
            await visible(connection, request[PRINCIPAL], of, deleted=True)
            return await self._history(connection, request, of)

    async def history_of_all(self, request: web.Request) -> web.Response:
        """GET the versions of every Subscription that the client may see, newest first, a page at a time."""
        async with self._database.read() as connection:
            return await self._history(connection, request, None)

    async def _history(self, connection: Connection, request: web.Request, of: str | None) -> web.Response:
        asked = understand(request.rel_url.raw_query_string, lenient=is_lenient(request.headers))
        rows, total = await versions.history(connection, asked.wanted(of, request[PRINCIPAL]))
        found = [stored_version(row) for row in rows]
        return json_response(history_bundle(found, of, total, asked, base=self._base))

    async def update(self, request: web.Request) -> web.Response:
        """PUT: replaces, re-activates, switches off, or creates under the given id."""
        takes(request)
        of, sent = logical_id(request), await self._sent(request)
        admitted = self._admitted(sent)
        if (found := sent.get("id")) != of:
            raise refuse(
                400, "value", f"found id {found!r}; expected {of!r}, the one in the URL", "Subscription.id"
            )
        made, created = await self._store.update(
            request[PRINCIPAL], of, admitted, sent["status"], replaces(request)
        )
        self._wake(admitted)
        return self._answer(made, 201 if created else 200)

    async def patch(self, request: web.Request) -> web.Response:
        """PATCH by JSON Patch: what comes of it is judged like an update."""
        takes(request)
        if request.content_type != _PATCH:
            raise refuse(415, "not-supported", f"Content-Type is {request.content_type}; expected {_PATCH}")
        of, match = logical_id(request), if_match(request)
        operations = _operations(await read_body(request, MOST_BYTES))
        for _ in range(_ATTEMPTS):
            before = await self._store.read(request[PRINCIPAL], of)
            if match not in {None, before.version}:
                raise refuse(
                    412, "conflict", f"Subscription/{of} is at version {before.version}, not {match}"
                )
            wanted = apply_patch(before.wire(), operations)
            if wanted.get("id") != of:
                raise refuse(422, "business-rule", "a patch cannot change the id", "Subscription.id")
            admitted = self._admitted(wanted)
            made = await self._store.replace_version(
                request[PRINCIPAL], of, admitted, wanted["status"], before.version
            )
            if made is not None:
                self._wake(admitted)
                return self._answer(made, 200)
        raise refuse(409, "conflict", f"others keep writing Subscription/{of}; send the patch again")

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE: 204, whether or not it existed; with `If-Match`, of that version only."""
        takes(request)
        await self._store.delete(request[PRINCIPAL], logical_id(request), if_match(request))
        self._changed()
        return web.Response(status=204)

    async def search(self, request: web.Request) -> web.Response:
        """GET, or POST to `_search`: a page of what is found, by id."""
        query = request.rel_url.raw_query_string
        if request.method == hdrs.METH_POST:
            query = "&".join(part for part in (query, await read_form(request)) if part)
        asked = search.understand(query, base_url=self._base, lenient=is_lenient(request.headers))
        async with self._database.read() as connection:
            page = await search.find(connection, asked, request[PRINCIPAL], self._clock.now())
        return json_response(search.result(asked, page, base_url=self._base))

    def _wake(self, written: Admitted) -> None:
        self._changed()
        if written.ends_at is not None:
            self._ends()

    async def _sent(self, request: web.Request) -> dict[str, Any]:
        return parse(await read_body(request, MOST_BYTES), max_depth=self._depth)

    def _admitted(self, sent: dict[str, Any]) -> Admitted:
        if (found := sent.get("resourceType")) != "Subscription":
            raise refuse(400, "value", f"found resourceType {found!r}; expected Subscription", "Subscription")
        if (part := is_part(sent)) is not None:
            raise FhirError(422, part)
        return admit(sent, base_url=self._base, policy=self._policy, now=self._clock.now())

    def _answer(self, made: Stored, status: int) -> web.Response:
        headers = version_headers(
            self._base, "Subscription", made.id, made.version, made.last_updated, location=status == 201
        )
        return json_response(made.wire(), status=status, headers=headers)

    def _answer_to_read(self, request: web.Request, found: Stored) -> web.Response:
        part = shown("Subscription", request.query_string, lenient=is_lenient(request.headers))
        answer = self._answer(found, 200)
        if not part.whole:
            answer.body = part.of(orjson.dumps(found.wire()), "Subscription")
        if answer.headers[hdrs.ETAG] in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers={hdrs.ETAG: answer.headers[hdrs.ETAG]})
        return answer


def _operations(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as wrong:
        raise refuse(400, "invalid", f"the body is not JSON: {wrong}") from None
