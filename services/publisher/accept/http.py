"""Which requests does the publisher answer? FHIR's interactions over MeasureReport, Measure, Organization, Group.

Handlers are thin: read, examine, store, answer. Errors are raised and become OperationOutcomes further out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from aiohttp import hdrs, web

from schemas.capability import capability_statement
from schemas.dates import stamp
from schemas.facets import EVERY_ORGANISATION
from schemas.outcome import FhirError, refuse
from services.clock import Clock
from services.database import Database
from services.fhir_http import json_response, read_body, version_headers
from services.principal import PRINCIPAL, Principal
from services.publisher.accept import answers
from services.publisher.accept.bundle import TYPES, Limits, opened
from services.publisher.accept.examine import checked, parsed
from services.publisher.accept.pressure import Pressure
from services.publisher.accept.requests import if_match, logical_id, preference, traceparent
from services.publisher.accept.search import result, understand
from services.publisher.accept.validate import Validation
from services.publisher.derive import kind as kind_of
from services.publisher.store import search, versions
from services.publisher.store.availability import or_503
from services.publisher.store.model import REPORT, Stored, Write, Written
from services.publisher.store.write import Writer

_FORM = "application/x-www-form-urlencoded"

Handler = Callable[["FhirServer", web.Request], Awaitable[web.StreamResponse]]


def _bounded(handler: Handler) -> Handler:
    """Answer 503 instead of 500 when it is the database that failed."""

    @wraps(handler)
    async def bounded(self: FhirServer, request: web.Request) -> web.StreamResponse:
        with or_503():
            return await handler(self, request)

    return bounded


@dataclass(frozen=True, slots=True)
class FhirServer:
    """The publisher's part of the FHIR base."""

    database: Database
    writer: Writer
    clock: Clock
    base_url: str
    limits: Limits
    pressure: Pressure

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Return the routes under the base's path, `/fhir` say."""
        out = [
            web.post(prefix or "/", self.bundle),
            web.post(f"{prefix}/", self.bundle),
            web.get(f"{prefix}/metadata", self.metadata),
        ]
        for kind in TYPES:
            path = f"{prefix}/{{type:{kind}}}"
            out += [
                web.post(path, self.create),
                web.get(path, self.search),
                web.post(f"{path}/_search", self.search),
                web.put(f"{path}/{{id}}", self.update),
                web.get(f"{path}/{{id}}", self.read),
                web.get(f"{path}/{{id}}/_history/{{version}}", self.vread),
            ]
        return out + Validation(self.database, self.limits, self.base_url).routes(prefix)

    @_bounded
    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST [base]/Type."""
        write = await self._counting(request, self._write(request, None))
        return await self._store(request, write)

    @_bounded
    async def update(self, request: web.Request) -> web.StreamResponse:
        """PUT [base]/Type/id; creates what is not there."""
        write = await self._counting(request, self._write(request, logical_id(request.match_info["id"])))
        return await self._store(request, write)

    @_bounded
    async def read(self, request: web.Request) -> web.StreamResponse:
        """GET [base]/Type/id."""
        kind, id_ = request.match_info["type"], request.match_info["id"]
        async with self.database.read() as tx:
            found = (await versions.newest(tx, kind, [id_])).get(id_)
            await self._require_visible(tx, kind, id_, found, request[PRINCIPAL])
        return self._answer(request, kind, id_, found)

    @_bounded
    async def vread(self, request: web.Request) -> web.StreamResponse:
        """GET [base]/Type/id/_history/version."""
        kind, id_, number = (request.match_info[name] for name in ("type", "id", "version"))
        found = None
        async with self.database.read() as tx:
            if number.isdecimal() and len(number) < 10:
                found = await versions.version(tx, kind, id_, int(number))
            await self._require_visible(tx, kind, id_, found, request[PRINCIPAL])
        return self._answer(request, kind, f"{id_}/_history/{number}", found)

    @_bounded
    async def search(self, request: web.Request) -> web.StreamResponse:
        """GET [base]/Type?… and POST [base]/Type/_search."""
        kind = request.match_info["type"]
        query = request.rel_url.raw_query_string
        if request.method == hdrs.METH_POST:
            query = "&".join(part for part in (query, await self._form(request)) if part)
        asked = understand(kind, query, base_url=self.base_url, lenient=preference(request.headers).lenient)
        now = self.clock.now()
        async with self.database.read() as tx:
            if asked.query is None:
                page = await search.others(tx, kind, asked.pairs, asked.order)
            else:
                page = await search.reports(tx, asked.query, request[PRINCIPAL], asked.order, now)
        return json_response(result(asked, page, base_url=self.base_url, now=stamp(now)))

    @_bounded
    async def bundle(self, request: web.Request) -> web.StreamResponse:
        """POST [base]: a batch or a transaction."""
        self.pressure.require_room()
        text = await read_body(request, self.limits.bundle_bytes)
        inside = await opened(text, self.limits, self.clock.uuid7)
        if inside.type == "transaction":
            written = await self._stored(request, inside.writes())
            entries = [answers.entry(each, self.base_url, preference(request.headers)) for each in written]
        else:
            # All at once, in their order: they share a transaction, and each has its own outcome.
            asked = (self._batch_entry(request, each) for each in inside.outcomes)
            entries = list(await asyncio.gather(*asked))
        said: dict[str, Any] = {"resourceType": "Bundle", "type": f"{inside.type}-response"}
        return json_response(said | {"entry": entries} if entries else said)

    async def metadata(self, _request: web.Request) -> web.StreamResponse:
        """GET [base]/metadata."""
        return json_response(capability_statement(self.base_url))

    async def _batch_entry(self, request: web.Request, outcome: Write | FhirError) -> dict[str, Any]:
        try:
            if isinstance(outcome, FhirError):
                raise outcome
            (written,) = await self._stored(request, [outcome])
        except FhirError as error:
            return answers.refused_entry(error)
        return answers.entry(written, self.base_url, preference(request.headers))

    async def _write(self, request: web.Request, id_: str | None) -> Write:
        kind = request.match_info["type"]
        self.pressure.require_room()
        text = await read_body(request, self.limits.report_bytes)
        resource = await checked(await parsed(text, self.limits.json_depth), len(text), kind=kind)
        if id_ is not None and resource.get("id") != id_:
            said = f"the id is {resource.get('id')!r}; expected {id_!r}, the id in the URL"
            raise refuse(400, "invalid", said, f"{kind}.id")
        return Write(
            kind,
            id_ or self.clock.uuid7(),
            creates=id_ is None,
            text=text,
            resource=resource,
            kind=kind_of(resource) if kind == REPORT else None,
            if_match=if_match(request.headers.get(hdrs.IF_MATCH)),
            if_none_exist=request.headers.get("If-None-Exist"),
        )

    async def _store(self, request: web.Request, write: Write) -> web.Response:
        (written,) = await self._stored(request, [write])
        return answers.response(written, self.base_url, preference(request.headers))

    async def _stored(self, request: web.Request, writes: list[Write]) -> list[Written]:
        try:
            written = await self.writer.write(
                writes, request[PRINCIPAL], traceparent=traceparent(request.headers)
            )
        except FhirError:
            for write in writes:
                answers.count(write.type, "rejected")
            raise
        for each in written:
            answers.counted(each)
            self.pressure.pending += each.stored.type == REPORT
        return written

    async def _counting(self, request: web.Request, write: Awaitable[Write]) -> Write:
        try:
            return await write
        except FhirError:
            answers.count(request.match_info["type"], "rejected")
            raise

    async def _form(self, request: web.Request) -> str:
        if request.content_type != _FORM:
            raise refuse(415, "not-supported", f"Content-Type is {request.content_type}; expected {_FORM}")
        return (await request.text()).strip()

    async def _require_visible(
        self, tx: Any, kind: str, id_: str, found: Stored | None, principal: Principal
    ) -> None:
        """Answer about a report that is not for this principal as if it were not there."""
        if kind != REPORT or found is None or EVERY_ORGANISATION in principal.organisations:
            return
        if not await search.may_read(tx, id_, principal):
            raise _not_there(kind, id_)

    def _answer(self, request: web.Request, kind: str, id_: str, found: Stored | None) -> web.Response:
        if found is None:
            raise _not_there(kind, id_)
        if found.deleted:
            raise refuse(410, "deleted", f"{kind}/{id_} was deleted")
        headers = version_headers(self.base_url, kind, found.id, found.version, found.last_updated)
        if headers[hdrs.ETAG] in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers=headers)
        return json_response(found.body, headers=headers)


def _not_there(kind: str, id_: str) -> FhirError:
    return refuse(404, "not-found", f"{kind}/{id_} is not known here")
