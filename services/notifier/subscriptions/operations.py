"""`$status`, `$events` and `$resend` on Subscription.

Source: Subscriptions R5 Backport 1.1.0 and its CI build, OperationDefinitions (R-140…R-156).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import hdrs, web

from schemas.outcome import operation_outcome, refuse
from schemas.raw_json import parse
from services.clock import Clock
from services.database import Database
from services.fhir_http import json_response, read_body
from services.notifier.render.queries import events_history, status_searchset
from services.notifier.subscriptions.kept import MOST_STANDINGS, kept_events, standing, standings
from services.notifier.subscriptions.parameters import Inputs, from_query, from_resource
from services.notifier.subscriptions.requests import logical_id
from services.notifier.subscriptions.resending import Range, send_again
from services.notifier.subscriptions.stored import visible
from services.principal import PRINCIPAL
from services.wakeup import Wakeup

MOST_BYTES = 64 * 1024
_OF_STATUS = ("id", "status")
_NUMBERS = ("eventsSinceNumber", "eventsUntilNumber")
_INSTANTS = ("eventsSinceInstant", "eventsUntilInstant")
_LAST = 2**62
"""Above every event number."""


class OperationRoutes:
    """The handlers; `owed` is set when there is something to send again."""

    def __init__(self, database: Database, clock: Clock, *, base: str, depth: int, owed: Wakeup) -> None:
        """Take the notifier's database; `depth` bounds the nesting of what is sent."""
        self._database = database
        self._clock = clock
        self._base = base
        self._depth = depth
        self._owed = owed

    def mount(self, app: web.Application) -> None:
        """Add the routes at the path of the base URL."""
        every = f"{urlsplit(self._base).path}/Subscription"
        for method in (hdrs.METH_GET, hdrs.METH_POST):
            app.router.add_route(method, f"{every}/$status", self.status_of_many)
            app.router.add_route(method, every + "/{id}/$status", self.status_of_one)
            app.router.add_route(method, every + "/{id}/$events", self.events)
        app.router.add_post(every + "/{id}/$resend", self.resend)

    async def status_of_many(self, request: web.Request) -> web.Response:
        """Answer for the Subscriptions of these ids and statuses, up to a bound; one that is not there adds nothing."""
        given = await self.inputs(request, *_OF_STATUS)
        ids, statuses = set(given.all("id")), set(given.statuses("status"))
        if len(ids) > MOST_STANDINGS:
            raise refuse(400, "too-costly", f"{len(ids)} ids are given; expected at most {MOST_STANDINGS}")
        async with self._database.read() as connection:
            found, more = await standings(connection, request[PRINCIPAL], ids, statuses)
        query = f"?{request.query_string}" if request.query_string else ""
        url = f"{self._base}/Subscription/$status{query}"
        now = self._clock.now()
        return json_response(status_searchset(found, more=more, url=url, base=self._base, now=now))

    async def status_of_one(self, request: web.Request) -> web.Response:
        """Answer for one; `id` and `status` are read by the type's operation only (R-140)."""
        await self.inputs(request, *_OF_STATUS)
        of = logical_id(request)
        async with self._database.read() as connection:
            await visible(connection, request[PRINCIPAL], of)
            found = await standing(connection, of)
        url = f"{self._base}/Subscription/{of}/$status"
        return json_response(status_searchset([found], url=url, base=self._base, now=self._clock.now()))

    async def events(self, request: web.Request) -> web.Response:
        """Answer with the events of a range of numbers; without bounds, with all that is kept."""
        given, of = await self.inputs(request, *_NUMBERS, "content"), logical_id(request)
        wanted = _range(given)
        content = given.content("content")
        async with self._database.read() as connection:
            await visible(connection, request[PRINCIPAL], of)
            found = await standing(connection, of)
            kept = await kept_events(connection, found, wanted.first, wanted.last)
        bundle = events_history(
            found, kept.owed, content=content, remarks=kept.remarks, base=self._base, now=self._clock.now()
        )
        return json_response(bundle)

    async def resend(self, request: web.Request) -> web.Response:
        """Have settled events sent again under their own numbers; an OperationOutcome says what will be."""
        given, of = await self.inputs(request, *_NUMBERS, *_INSTANTS), logical_id(request)
        wanted = _range(given)
        async with self._database.read() as connection:
            row = await visible(connection, request[PRINCIPAL], of)
        issues = await send_again(self._database, self._clock, row, wanted, request[PRINCIPAL])
        self._owed.set()
        return json_response(operation_outcome(issues))

    async def inputs(self, request: web.Request, *known: str) -> Inputs:
        """Return what an operation was called with; a POST may come without a body."""
        given = from_query(request, *known)
        if request.method == hdrs.METH_GET or not request.can_read_body:
            return given
        return from_resource(parse(await read_body(request, MOST_BYTES), max_depth=self._depth), *known)


def _range(given: Inputs) -> Range:
    since, until = _INSTANTS
    first, last = (given.number(name) for name in _NUMBERS)
    wanted = Range(
        1 if first is None else max(first, 1),
        _LAST if last is None else last,
        given.instant(since),
        given.instant(until, after=True),
    )
    wanted.check()
    return wanted
