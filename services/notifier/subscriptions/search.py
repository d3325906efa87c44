"""Which Subscriptions does a search find? One grammar with reports: terms over facets, a page at a time by id.

What a column can answer by equality narrows the rows; the terms judge every row that is left, so that modifiers
mean here what they mean everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, unquote

import sqlalchemy as sa

from schemas.dates import bounds, stamp
from schemas.outcome import FhirError, Issue, operation_outcome, refuse
from schemas.search.grammar import CriteriaError, parse_search
from schemas.search.predicate import compile_terms
from schemas.search.subscription import SUBSCRIPTION, facets_of
from schemas.search.values import Query, Term, Text, Token
from services.database import Connection
from services.negotiation import require_json
from services.notifier import tables as t
from services.notifier.subscriptions.stored import Stored, stored
from services.principal import Principal

DEFAULT_COUNT: Final = 50
MOST: Final = 1000
"""Resources on one page, whatever `_count` asks for."""

_AFTER: Final = "_after"
"""Our own parameter, in `next` links only: the last id of the page before."""

_COLUMNS: Final = {
    "_id": t.subscription.c.id,
    "status": t.subscription.c.status,
    "url": t.subscription.c.endpoint,
    "payload": t.subscription.c.mime,
    "payload-type": t.subscription.c.content,
    "topic": t.subscription.c.criteria,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A search, understood."""

    query: Query
    count: int
    """Resources on a page; 0 asks for the total alone (R4 search.html 3.1.1.5.5)."""
    after: str | None
    understood: str
    """The query string without what was ignored: the `self` link."""
    ignored: Sequence[str]


@dataclass(frozen=True, slots=True)
class Page:
    """What was found."""

    found: Sequence[Stored]
    next: str | None
    """The id that the next page begins after, if there is one."""
    total: int | None
    """How many are found in all; `None` where that would take reading on."""


def understand(query: str, *, base_url: str, lenient: bool) -> Asked:
    """Return what a search asks; `query` is the part after `?`, as sent.

    Raises:
        FhirError: 400 naming everything in it that is not served.
    """
    parts = [part for part in query.split("&") if part]
    after = [unquote(part.partition("=")[2]) for part in parts if part.startswith(f"{_AFTER}=")]
    parts = [part for part in parts if not part.startswith(f"{_AFTER}=")]
    try:
        search = parse_search(
            "&".join(parts), base_url=base_url, lenient=lenient, parameters=SUBSCRIPTION, type="Subscription"
        )
    except CriteriaError as error:
        raise FhirError(400, *error.issues) from None
    count, ignored = _shape(search.result, lenient=lenient)
    ignored += search.ignored
    understood = "&".join(part for part in parts if part.partition("=")[0] not in ignored)
    return Asked(search.query, count, after[-1] if after else None, understood, ignored)


def _shape(result: Sequence[tuple[str, str]], *, lenient: bool) -> tuple[int, list[str]]:
    count, ignored = DEFAULT_COUNT, []
    for name, value in result:
        if name == "_count" and value.isascii() and value.isdecimal() and len(value) < 10:
            count = min(int(value), MOST)
        elif name == "_format":
            require_json(value)
        elif name not in {"_pretty", "_total"}:
            ignored.append(name)
    if ignored and not lenient:
        raise refuse(400, "not-supported", f"{', '.join(ignored)} is not served here; expected _count=n")
    return count, ignored


async def find(connection: Connection, asked: Asked, principal: Principal, now: datetime) -> Page:
    """Return one page of the Subscriptions that the principal may see and the search finds, by id."""
    s = t.subscription.c
    statement = sa.select(t.subscription).where(sa.not_(s.deleted), *_narrowed(asked.query.terms))
    if principal.role != "operator":
        statement = statement.where(s.client == principal.client)
    if asked.after is not None and asked.count:
        statement = statement.where(s.id > asked.after)
    holds = compile_terms(asked.query.terms)
    found: list[Stored] = []
    total = 0
    async for row in connection.stream(statement.order_by(s.id)):
        each = stored(row)
        if holds(_facets(each, row), now):
            total += 1
            if not asked.count:
                continue
            if len(found) == asked.count:
                return Page(found, found[-1].id, None)
            found.append(each)
    return Page(found, None, total if asked.after is None or not asked.count else None)


def _facets(each: Stored, row: Any) -> Any:
    updated = list(bounds(stamp(each.last_updated)))
    return facets_of(each.wire(), logical_id=each.id, topical=row.kind == "topic", updated=updated)


def _narrowed(terms: Sequence[Term]) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that every row found meets, from terms that ask for equality."""
    conditions: list[sa.ColumnElement[bool]] = []
    for term in terms:
        column = _COLUMNS.get(term.parameter.name)
        values = [_plain(value) for value in term.values]
        if column is not None and term.modifier is None and all(value is not None for value in values):
            conditions.append(column.in_(values))
    return conditions


def _plain(value: Any) -> str | None:
    match value:
        case Token(code=code):
            return code
        case Text(text=text):
            return text
        case _:
            return None


def result(asked: Asked, page: Page, *, base_url: str) -> dict[str, Any]:
    """Return the searchset Bundle. `total` is there when all of it is on this page, or nothing else is asked for."""
    path = f"{base_url}/Subscription"
    links = [{"relation": "self", "url": f"{path}?{asked.understood}" if asked.understood else path}]
    if page.next is not None:
        rest = f"{asked.understood}&" if asked.understood else ""
        links.append({"relation": "next", "url": f"{path}?{rest}{_AFTER}={quote(page.next)}"})
    entries: list[dict[str, Any]] = [
        {"fullUrl": f"{path}/{each.id}", "resource": each.wire(), "search": {"mode": "match"}}
        for each in page.found
    ]
    if asked.ignored:
        said = (f"{name} is not served here and was ignored" for name in asked.ignored)
        outcome = operation_outcome([Issue("warning", "not-supported", each) for each in said])
        entries.append({"resource": outcome, "search": {"mode": "outcome"}})
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
    if page.total is not None:
        bundle["total"] = page.total
    bundle["link"] = links
    return bundle | {"entry": entries} if entries else bundle
