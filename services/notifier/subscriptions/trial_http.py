"""`$preview` and `$explain` on Subscription: this project's own operations.

What they answer is a Parameters; its names are those of the dataclasses behind it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from aiohttp import hdrs, web

from schemas.facets import parties
from schemas.outcome import refuse
from schemas.raw_json import parse
from services.clock import Clock
from services.database import Database
from services.fhir_http import json_response, read_body
from services.notifier.match.interest import Interest
from services.notifier.model import SubscriptionKind
from services.notifier.render.backport import instant
from services.notifier.subscriptions.admission import admit, interest, term_texts
from services.notifier.subscriptions.channels import EndpointPolicy
from services.notifier.subscriptions.parameters import Inputs, from_query, from_resource
from services.notifier.subscriptions.requests import logical_id
from services.notifier.subscriptions.stored import visible
from services.notifier.subscriptions.trial import Preview, event_of, explained, preview
from services.principal import PRINCIPAL

MOST_BYTES: Final = 256 * 1024
_SPAN: Final = ("since", "until")
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)
_TIMES: Final = ("since", "until")
_REPORT = re.compile(r"(?:MeasureReport/)?(?P<id>[A-Za-z0-9.-]{1,64})(?:/_history/(?P<version>[0-9]{1,9}))?")


class TrialRoutes:
    """The handlers."""

    def __init__(
        self, database: Database, clock: Clock, *, base: str, policy: EndpointPolicy, depth: int
    ) -> None:
        """Take what admission needs."""
        self._database = database
        self._clock = clock
        self._base = base
        self._policy = policy
        self._depth = depth

    def mount(self, app: web.Application) -> None:
        """Add the routes at the path of the base URL."""
        every = f"{urlsplit(self._base).path}/Subscription"
        app.router.add_post(f"{every}/$preview", self.preview_new)
        for method in (hdrs.METH_GET, hdrs.METH_POST):
            app.router.add_route(method, every + "/{id}/$preview", self.preview_one)
            app.router.add_route(method, every + "/{id}/$explain", self.explain)

    async def preview_new(self, request: web.Request) -> web.Response:
        """Answer for a Subscription that is not there yet: the body, or its parameter `subscription`."""
        sent = parse(await read_body(request, MOST_BYTES), max_depth=self._depth)
        given = from_query(request, *_SPAN)
        if sent.get("resourceType") == "Parameters":
            given = from_resource(sent, *_SPAN, "subscription")
            sent = dict(given.resources.get("subscription", {}))
        if (found := sent.get("resourceType")) != "Subscription":
            raise refuse(
                400,
                "value",
                f"found {found!r}; expected a Subscription, or Parameters with one",
                "Subscription",
            )
        asked = admit(sent, base_url=self._base, policy=self._policy, now=self._clock.now())
        wanted = interest(
            "preview",
            request[PRINCIPAL].organisations,
            asked.kind,
            asked.criteria,
            asked.filters,
            base_url=self._base,
            ends_at=asked.ends_at,
        )
        return await self._previewed(wanted, given)

    async def preview_one(self, request: web.Request) -> web.Response:
        """Answer for a Subscription that is there, as it is now."""
        of, given = logical_id(request), await self._inputs(request, *_SPAN)
        async with self._database.read() as connection:
            row = await visible(connection, request[PRINCIPAL], of)
        return await self._previewed(self._interest(row), given)

    async def explain(self, request: web.Request) -> web.Response:
        """Answer why the newest version of a report, or the version named, fired the Subscription or not."""
        of, given = logical_id(request), await self._inputs(request, "report")
        # A notification names its report by our own base, and so may whoever asks about it.
        asked = (given.one("report") or "").removeprefix(f"{self._base}/")
        named = _REPORT.fullmatch(asked)
        if named is None:
            raise refuse(
                400,
                "value" if asked else "required",
                f"report is {asked!r}; expected MeasureReport/id, with /_history/version or without",
            )
        version = None if named["version"] is None else int(named["version"])
        principal = request[PRINCIPAL]
        async with self._database.read() as connection:
            row = await visible(connection, principal, of)
            event = await event_of(connection, named["id"], version)
            # Of a report that is not for the caller nothing is said, not even that it is there.
            if event is None or not principal.may_see(parties(event.facets)):
                raise refuse(404, "not-found", f"no event of {asked} is kept here")
            texts = term_texts(row.kind, row.criteria, tuple(orjson.loads(row.filters)))
            why, number = await explained(connection, self._interest(row), texts, event)
        checks = [
            {
                "name": "check",
                "part": [
                    {"name": "name", "valueString": check.name},
                    {"name": "expected", "valueString": check.expected},
                    {"name": "found", "valueString": check.found},
                    {"name": "holds", "valueBoolean": check.holds},
                ],
            }
            for check in why.checks
        ]
        told = [] if number is None else [{"name": "event-number", "valueString": str(number)}]
        return _answer(
            {"name": "report", "valueReference": {"reference": event.report}},
            {"name": "fires", "valueBoolean": why.fires},
            *told,
            *checks,
        )

    async def _inputs(self, request: web.Request, *known: str) -> Inputs:
        given = from_query(request, *known)
        if request.method == hdrs.METH_POST and request.can_read_body:
            return from_resource(parse(await read_body(request, MOST_BYTES), max_depth=self._depth), *known)
        return given

    async def _previewed(self, wanted: Interest, given: Inputs) -> web.Response:
        since, until = given.instant("since") or _EARLIEST, given.instant("until") or _LATEST
        async with self._database.read() as connection:
            found = await preview(connection, wanted, since, until)
        return _answer(*_shown(found))

    def _interest(self, row: Any) -> Interest:
        kind: SubscriptionKind = row.kind
        organisations = frozenset(orjson.loads(row.organisations))
        filters = tuple(orjson.loads(row.filters))
        return interest(
            row.id, organisations, kind, row.criteria, filters, base_url=self._base, ends_at=row.ends_at
        )


def _shown(found: Preview) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = [
        {"name": "looked-at", "valueUnsignedInt": found.looked_at},
        {"name": "fired", "valueUnsignedInt": found.fired},
        {"name": "complete", "valueBoolean": not found.cut},
    ]
    return shown + [
        {
            "name": "event",
            "part": [
                {"name": "focus", "valueReference": {"reference": event.report}},
                {"name": "type", "valueCode": event.type.value},
                {"name": "timestamp", "valueInstant": instant(event.time)},
            ],
        }
        for event in found.listed
    ]


def _answer(*parameters: dict[str, Any]) -> web.Response:
    return json_response({"resourceType": "Parameters", "parameter": list(parameters)})
