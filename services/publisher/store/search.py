"""Which stored resources does a search find? Pages of them for a client, ids for a conditional operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl

import sqlalchemy as sa

from schemas.facets import EVERY_ORGANISATION
from schemas.outcome import FhirError, Issue
from schemas.search.grammar import parse_search
from schemas.search.values import Query
from services.database import Connection
from services.principal import Principal
from services.publisher.store import versions
from services.publisher.store.criteria import Condition, condition
from services.publisher.store.index import key
from services.publisher.store.model import REPORT, Stored
from services.publisher.store.tables import contract, identifier, report, resource

PARTY_TYPES = ("Measure", "Organization", "Group")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the last page ended; the next begins after it, whatever was stored meanwhile."""

    last_updated: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search."""

    total: int
    found: Sequence[Stored]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class Order:
    """How many, in which order, from where."""

    count: int
    newest_first: bool = False
    after: Cursor | None = None


async def reports(tx: Connection, query: Query, principal: Principal, order: Order, now: datetime) -> Page:
    """Return the reports that a principal may see and a query finds."""
    return await _page(tx, REPORT, report, condition(query, now) & _visible(principal), order)


async def others(tx: Connection, kind: str, pairs: Sequence[tuple[str, str]], order: Order) -> Page:
    """Return the Measures, Organizations or Groups found by `_id`, `identifier` or (Measure) `url`.

    Raises:
        FhirError: 400 naming every parameter that is not supported.
    """
    return await _page(tx, kind, resource, _of_type(kind, pairs), order)


async def may_read(tx: Connection, report_id: str, principal: Principal) -> bool:
    """Tell whether a principal is party to a report."""
    statement = sa.select(report.c.id).where(report.c.id == report_id, _visible(principal))
    return (await tx.execute(statement)).scalar_one_or_none() is not None


async def matching(tx: Connection, kind: str, query: str, base_url: str) -> list[str]:
    """Return up to two ids of resources that a conditional operation's search finds.

    Raises:
        FhirError: 400 or 422 when the search cannot be understood, or names no parameter that selects.
    """
    if kind == REPORT:
        search = parse_search(query, base_url=base_url, lenient=False)
        if not search.query.terms:
            raise FhirError(
                400, Issue("error", "value", f"the search {query!r} selects nothing in particular")
            )
        statement = sa.select(report.c.id).where(condition(search.query, _NEVER))
    else:
        pairs = parse_qsl(query, keep_blank_values=True)
        if kind not in PARTY_TYPES or not pairs:
            said = f"the search {kind}?{query} is not supported; expected one of {', '.join((REPORT, *PARTY_TYPES))}"
            raise FhirError(400, Issue("error", "not-supported", said))
        statement = sa.select(resource.c.id).where(_of_type(kind, pairs))
    return list((await tx.execute(statement.limit(2))).scalars())


_NEVER = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
"""What `ap` counts from in a conditional search: the same answer whenever it is asked."""


def _visible(principal: Principal) -> Condition:
    if EVERY_ORGANISATION in principal.organisations:
        return sa.true()
    mine = sorted(principal.organisations)
    return report.c.payer.in_(mine) | report.c.provider.in_(mine)


def _of_type(kind: str, pairs: Sequence[tuple[str, str]]) -> Condition:
    conditions: list[Condition] = [resource.c.type == kind, ~resource.c.deleted]
    issues = []
    for name, value in pairs:
        values = value.split(",")
        if name == "_id":
            conditions.append(resource.c.id.in_(values))
        elif name == "identifier":
            conditions.append(resource.c.id.in_(_identified(kind, values)))
        elif name == "url" and kind == "Measure":
            keys = [each.partition("|")[0] for each in values]
            conditions.append(
                resource.c.id.in_(sa.select(contract.c.measure_id).where(contract.c.key.in_(keys)))
            )
        else:
            known = "_id, identifier and url" if kind == "Measure" else "_id and identifier"
            said = f"{name} is not a search parameter of {kind} here; expected {known}"
            issues.append(Issue("error", "not-supported", said))
    if issues:
        raise FhirError(400, *issues)
    return sa.and_(*conditions)


def _identified(kind: str, values: Sequence[str]) -> sa.Select[tuple[str]]:
    """FHIR's token: `value`, `system|value`, `|value` (no system) or `system|`."""
    options = []
    for text in values:
        system, bar, value = text.rpartition("|")
        same = identifier.c.value == key(value) if value else sa.true()
        options.append(same & (identifier.c.system == system) if bar else same)
    return sa.select(identifier.c.id).where(identifier.c.type == kind).where(sa.or_(*options))


async def _page(tx: Connection, kind: str, table: sa.Table, where: Condition, order: Order) -> Page:
    total = (await tx.execute(sa.select(sa.func.count()).select_from(table).where(where))).scalar_one()
    if not total or not order.count:
        return Page(total, (), None)
    # The page's keys first: SQLite would rather begin with every version there is than with what is found.
    statement = sa.select(table.c.id, table.c.last_updated).where(where).limit(order.count + 1)
    position = sa.tuple_(table.c.last_updated, table.c.id)
    if order.after is not None:
        edge = sa.tuple_(
            sa.literal(order.after.last_updated, table.c.last_updated.type), sa.literal(order.after.id)
        )
        statement = statement.where(position < edge if order.newest_first else position > edge)
    columns = (table.c.last_updated, table.c.id)
    statement = statement.order_by(*(each.desc() if order.newest_first else each.asc() for each in columns))
    rows = (await tx.execute(statement)).all()
    page = rows[: order.count]
    bodies = await versions.newest(tx, kind, [row.id for row in page])
    found = [bodies[row.id] for row in page]
    more = len(rows) > order.count
    return Page(total, found, Cursor(page[-1].last_updated, page[-1].id) if more else None)
