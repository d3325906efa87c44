"""What does a GET find? The same, whether it is a request by itself or an entry of a Bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import hdrs

from schemas.outcome import FhirError
from services.clock import Clock
from services.database import Database
from services.principal import Principal
from services.publisher.accept import answers, history, reads
from services.publisher.accept.search.searching import Searching
from services.publisher.store import history as kept
from services.publisher.store import versions
from services.publisher.store.availability import or_503
from services.publisher.store.model import Stored
from services.shown import shown


@dataclass(frozen=True, slots=True)
class Query:
    """A GET: of one resource, one of its versions, its history, a type's history, or a search."""

    type: str
    id: str | None = None
    version: str | None = None
    history: bool = False
    query: str = ""
    """The part of the URL after `?`."""
    conditions: Mapping[str, str] | None = None
    """`If-None-Match` and `If-Modified-Since`."""


@dataclass(frozen=True, slots=True)
class Queries:
    """Answers GETs."""

    database: Database
    clock: Clock
    base_url: str

    async def one(self, asked: Query, principal: Principal, *, lenient: bool) -> Stored:
        """Return the resource or the version that is asked for, or the part of it that is.

        Raises:
            FhirError: 400 or 406, as `shown` says; 404 or 410, as `reads` says.
        """
        assert asked.id is not None
        async with self.database.read() as tx:
            if asked.version is None:
                found = await reads.current(tx, asked.type, asked.id, principal)
            else:
                found = await reads.version(tx, asked.type, asked.id, asked.version, principal)
        part = shown(asked.type, asked.query, lenient=lenient)
        return found if part.whole else replace(found, body=part.of(found.body, asked.type))

    async def search(self, asked: Query, principal: Principal, *, lenient: bool) -> dict[str, Any]:
        """Return the searchset.

        Raises:
            FhirError: 400 naming everything that is not supported.
        """
        searching = Searching(self.database, self.clock, self.base_url)
        return await searching.searchset(asked.type, asked.query, principal, lenient=lenient)

    async def history(self, asked: Query, principal: Principal, *, lenient: bool) -> dict[str, Any]:
        """Return the history; of a deleted resource too.

        Raises:
            FhirError: 400 naming everything that is not supported; 404 for an unknown resource.
        """
        wanted, understood = history.understand(asked.type, asked.id, asked.query, lenient=lenient)
        async with self.database.read() as tx:
            if asked.id is not None:
                await reads.require_visible(tx, asked.type, asked.id, principal)
                if not await versions.current(tx, asked.type, [asked.id]):
                    raise reads.not_there(asked.type, asked.id)
            page = await kept.page(tx, wanted, principal)
        return history.bundle(wanted, page, understood, base_url=self.base_url)

    async def entry(self, asked: Query | FhirError, principal: Principal, *, lenient: bool) -> dict[str, Any]:
        """Return the entry that answers a GET in a Bundle, whatever it finds."""
        try:
            if isinstance(asked, FhirError):
                raise asked
            with or_503():
                return await self._entry(asked, principal, lenient=lenient)
        except FhirError as error:
            return answers.refused_entry(error)

    async def _entry(self, asked: Query, principal: Principal, *, lenient: bool) -> dict[str, Any]:
        if asked.history:
            return answers.found_entry(await self.history(asked, principal, lenient=lenient))
        if asked.id is None:
            return answers.found_entry(await self.search(asked, principal, lenient=lenient))
        found = await self.one(asked, principal, lenient=lenient)
        same = reads.unchanged(found, asked.conditions or {})
        return answers.read_entry(found, self.base_url, unchanged=same)


def conditions(if_none_match: str | None, if_modified_since: str | None) -> dict[str, str]:
    """Return what an entry's request says as headers say it."""
    named = {hdrs.IF_NONE_MATCH: if_none_match, hdrs.IF_MODIFIED_SINCE: if_modified_since}
    return {str(name): value for name, value in named.items() if value is not None}
