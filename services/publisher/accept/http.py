"""Which requests does the publisher answer? FHIR's interactions over MeasureReport, Measure, Organization, Group.

Handlers are thin: read, examine, store, answer. Errors are raised and become OperationOutcomes further out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from aiohttp import hdrs, web

from schemas.capability import capability_statement
from schemas.outcome import FhirError, refuse
from services.clock import Clock
from services.database import Database
from services.fhir_http import json_response, read_body, read_form, version_headers
from services.principal import PRINCIPAL
from services.publisher.accept import answers
from services.publisher.accept.bundle import Asked, opened
from services.publisher.accept.examine import checked, parsed
from services.publisher.accept.limits import TYPES, Limits
from services.publisher.accept.lineage.http import LineageRoutes
from services.publisher.accept.patch import JSON_PATCH, Patch, operations
from services.publisher.accept.pressure import Pressure
from services.publisher.accept.queries import Queries, Query
from services.publisher.accept.reads import unchanged
from services.publisher.accept.requests import (
    if_match,
    logical_id,
    preference,
    query_of,
    replaced,
    traceparent,
)
from services.publisher.accept.storing import Change, Storing
from services.publisher.accept.validate import Validation
from services.publisher.derive import kind as kind_of
from services.publisher.store.availability import or_503
from services.publisher.store.model import REPORT, Stored, Write, Written
from services.publisher.store.write import Writer
from services.shown import is_lenient, takes

Handler = Callable[["FhirServer", web.Request], Awaitable[web.StreamResponse]]
C = TypeVar("C", bound=Change)


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
            one = f"{path}/{{id}}"
            out += [
                web.post(path, self.create),
                web.get(path, self.search),
                web.post(f"{path}/_search", self.search),
                web.get(f"{path}/_history", self.history),
                web.get(one, self.read),
                web.get(f"{one}/_history", self.history),
                web.get(f"{one}/_history/{{version}}", self.read),
            ]
            # At a type the search in the URL tells which resource is meant.
            for place in (path, one):
                out += [
                    web.put(place, self.update),
                    web.patch(place, self.patch),
                    web.delete(place, self.delete),
                ]
        lineage = LineageRoutes(self.writer, self.limits).routes(prefix)
        return lineage + out + Validation(self.writer, self.limits).routes(prefix)

    @_bounded
    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST [base]/Type."""
        return await self._store(request, self._counting(request, self._write(request, creates=True)))

    @_bounded
    async def update(self, request: web.Request) -> web.StreamResponse:
        """PUT [base]/Type/id and [base]/Type?search; creates what is not there."""
        return await self._store(request, self._counting(request, self._write(request, creates=False)))

    @_bounded
    async def patch(self, request: web.Request) -> web.StreamResponse:
        """PATCH [base]/Type/id and [base]/Type?search, by JSON Patch."""
        return await self._store(request, self._counting(request, self._patch(request)))

    @_bounded
    async def delete(self, request: web.Request) -> web.StreamResponse:
        """DELETE [base]/Type/id and [base]/Type?search; what is not there may be deleted as well, reports several at once."""
        return await self._store(request, self._counting(request, self._deletion(request)))

    @_bounded
    async def read(self, request: web.Request) -> web.StreamResponse:
        """GET [base]/Type/id and [base]/Type/id/_history/version."""
        named = request.match_info
        query = request.rel_url.raw_query_string
        asked = Query(named["type"], named["id"], named.get("version"), query=query)
        lenient = is_lenient(request.headers)
        return self._answer(request, await self._queries.one(asked, request[PRINCIPAL], lenient=lenient))

    @_bounded
    async def search(self, request: web.Request) -> web.StreamResponse:
        """GET [base]/Type?… and POST [base]/Type/_search."""
        query = request.rel_url.raw_query_string
        if request.method == hdrs.METH_POST:
            query = "&".join(part for part in (query, await read_form(request)) if part)
        asked = Query(request.match_info["type"], query=query)
        lenient = is_lenient(request.headers)
        return json_response(await self._queries.search(asked, request[PRINCIPAL], lenient=lenient))

    @_bounded
    async def history(self, request: web.Request) -> web.StreamResponse:
        """GET [base]/Type/_history and [base]/Type/id/_history."""
        named = request.match_info
        query = request.rel_url.raw_query_string
        asked = Query(named["type"], named.get("id"), history=True, query=query)
        lenient = is_lenient(request.headers)
        return json_response(await self._queries.history(asked, request[PRINCIPAL], lenient=lenient))

    @_bounded
    async def bundle(self, request: web.Request) -> web.StreamResponse:
        """POST [base]: a batch or a transaction. What it reads it finds as its changes have left it."""
        takes(request)
        self.pressure.require_room()
        text = await read_body(request, self.limits.bundle_bytes)
        inside = await opened(text, self.limits, self.clock.uuid7, self.base_url)
        asked = inside.entries if inside.type == "batch" else inside.all()
        changes = {place: each for place, each in enumerate(asked) if not isinstance(each, Query)}
        if inside.type == "batch":
            # All at once, in their order: they share a transaction, and each has its own outcome.
            each_one = (self._batch_entry(request, each) for each in changes.values())
            said = dict(zip(changes, await asyncio.gather(*each_one), strict=True))
        else:
            said = await self._transaction(request, changes)
        entries = [
            said[place] if place in said else await self._found(request, each)
            for place, each in enumerate(asked)
        ]
        answer: dict[str, Any] = {"resourceType": "Bundle", "type": f"{inside.type}-response"}
        return json_response(answer | {"entry": entries} if entries else answer)

    async def metadata(self, _request: web.Request) -> web.StreamResponse:
        """GET [base]/metadata."""
        return json_response(capability_statement(self.base_url))

    async def _transaction(
        self, request: web.Request, changes: dict[int, Change | FhirError]
    ) -> dict[int, dict[str, Any]]:
        wanted = [each for each in changes.values() if not isinstance(each, FhirError)]
        written = await self._stored(request, wanted) if wanted else []
        prefer = preference(request.headers)
        entries = [answers.entry(each, self.base_url, prefer) for each in written]
        return dict(zip(changes, entries, strict=True))

    async def _batch_entry(self, request: web.Request, change: Change | FhirError) -> dict[str, Any]:
        try:
            if isinstance(change, FhirError):
                raise change
            with or_503():
                (written,) = await self._stored(request, [change])
        except FhirError as error:
            return answers.refused_entry(error)
        return answers.entry(written, self.base_url, preference(request.headers))

    async def _found(self, request: web.Request, asked: Asked | FhirError) -> dict[str, Any]:
        assert isinstance(asked, Query)
        lenient = is_lenient(request.headers)
        return await self._queries.entry(asked, request[PRINCIPAL], lenient=lenient)

    async def _write(self, request: web.Request, *, creates: bool) -> Write:
        kind = request.match_info["type"]
        if creates:
            takes(request)
        id_, query = (None, None) if creates else _target(request)
        self.pressure.require_room()
        text = await read_body(request, self.limits.report_bytes)
        resource = await checked(await parsed(text, self.limits.json_depth), len(text), kind=kind)
        if id_ is not None and resource.get("id") != id_:
            said = f"the id is {resource.get('id')!r}; expected {id_!r}, the id in the URL"
            raise refuse(400, "invalid", said, f"{kind}.id")
        return Write(
            kind,
            id_ or self.clock.uuid7(),
            creates=creates,
            text=text,
            resource=resource,
            kind=kind_of(resource) if kind == REPORT else None,
            if_match=replaced(request.headers.get(hdrs.IF_MATCH), request.headers.get(hdrs.IF_NONE_MATCH)),
            search=query,
            if_none_exist=query_of(request.headers.get("If-None-Exist"), kind, self.base_url),
        )

    async def _patch(self, request: web.Request) -> Patch:
        id_, query = _target(request)
        self.pressure.require_room()
        if request.content_type != JSON_PATCH:
            said = f"Content-Type is {request.content_type}; expected {JSON_PATCH}"
            raise refuse(415, "not-supported", said)
        wanted = operations(await read_body(request, self.limits.report_bytes))
        match = if_match(request.headers.get(hdrs.IF_MATCH))
        return Patch(request.match_info["type"], id_, query, wanted, if_match=match)

    async def _deletion(self, request: web.Request) -> Write:
        id_, query = _target(request)
        self.pressure.require_room()
        match = if_match(request.headers.get(hdrs.IF_MATCH))
        return Write(
            request.match_info["type"],
            id_ or "",
            creates=False,
            text=b"",
            resource={},
            deletes=True,
            if_match=match,
            search=query,
        )

    async def _store(self, request: web.Request, change: Awaitable[Change]) -> web.Response:
        (written,) = await self._stored(request, [await change])
        return answers.response(written, self.base_url, preference(request.headers))

    async def _stored(self, request: web.Request, changes: Sequence[Change]) -> list[Written]:
        storing = Storing(self.database, self.writer, self.limits, self.pressure)
        return await storing.store(changes, request[PRINCIPAL], traceparent(request.headers))

    async def _counting(self, request: web.Request, change: Awaitable[C]) -> C:
        try:
            return await change
        except FhirError:
            answers.count(request.match_info["type"], "rejected")
            raise

    @property
    def _queries(self) -> Queries:
        return Queries(self.database, self.clock, self.base_url)

    def _answer(self, request: web.Request, found: Stored) -> web.Response:
        headers = version_headers(self.base_url, found.type, found.id, found.version, found.last_updated)
        if unchanged(found, request.headers):
            return web.Response(status=304, headers=headers)
        return json_response(found.body, headers=headers)


def _target(request: web.Request) -> tuple[str | None, str | None]:
    """Return the id in the URL, or the search that tells which resource is meant."""
    id_ = request.match_info.get("id")
    if id_ is None:
        return None, request.rel_url.raw_query_string
    takes(request)
    return logical_id(id_), None
