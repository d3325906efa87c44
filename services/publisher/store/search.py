"""Which stored resources does a search find? Pages of them for a client, ids for a conditional operation.

A page of reports is found in one of two ways. Where some term of the search finds few, the page begins with these:
all are sorted, and the rest is tested. Otherwise it walks along the order that is asked for, testing each report,
and has the page soon, since much is found; where that takes long, since what is found stands at the other end, it
begins with the term after all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import sqlalchemy as sa

from schemas.outcome import FhirError, Issue, refuse
from schemas.search.grammar import CriteriaError, parse_search
from schemas.search.resources import PARAMETERS
from schemas.search.result import Sort
from schemas.search.values import Query
from services.database import Connection
from services.principal import LOCAL, Principal
from services.publisher.store import others, versions
from services.publisher.store.index import ID
from services.publisher.store.model import REPORT, Stored
from services.publisher.store.order import Key, Order, Place, fits
from services.publisher.store.selection import Selection, selections, visible
from services.publisher.store.statements import among
from services.publisher.store.tables import report, resource

__all__ = ["Page", "Total", "Wanted", "find", "matching", "may_read", "readable", "sorts", "visible"]

COUNTED: Final = 5_000
"""Results that are counted unasked; a larger total is left out unless it is asked for."""

_FEW: Final = 5_000
"""What a term finds is few enough to begin with."""

_WALKED: Final = 2_000
"""Reports that are tested along the order before the page begins with a term after all."""

Total: TypeAlias = Literal["none", "bounded", "exact"]

REPORT_KEYS: Final = {
    "_id": report.c.id,
    "_lastUpdated": report.c.last_updated,
    "date": report.c.date_low,
    "period": report.c.period_low,
}
"""What reports can be sorted by; a period by its start."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search."""

    total: int | None
    """`None` when it is not known."""
    found: Sequence[Stored]
    next: Place | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which page of the results."""

    count: int
    sort: Sequence[Sort] = ()
    after: Place | None = None
    total: Total = "bounded"


async def find(tx: Connection, query: Query, principal: Principal, wanted: Wanted, now: datetime) -> Page:
    """Return a page of what a query finds and a principal may see.

    Raises:
        FhirError: 400 when `wanted.after` is no place in this order.
    """
    if query.type != REPORT:
        return await _others(tx, query, wanted, now)
    order = _order(REPORT_KEYS, wanted)
    chosen = selections(query, principal, now)
    plan = _Plan(tx, chosen, order, await _fewest(tx, chosen))
    total = await _total(plan, wanted)
    if not wanted.count or total == 0:
        return Page(total, (), None)
    rows = await plan.rows(wanted.count + 1)
    return await _page(tx, REPORT, rows, order, wanted, total)


async def may_read(tx: Connection, report_id: str, principal: Principal) -> bool:
    """Tell whether a principal is party to a report."""
    return bool(await readable(tx, [report_id], principal))


async def readable(tx: Connection, ids: Sequence[str], principal: Principal) -> set[str]:
    """Return those of these reports that a principal is party to."""
    statement = sa.select(report.c.id).where(among(report.c.id, "ids"), visible(principal))
    return set((await tx.execute(statement, {"ids": ids})).scalars())


async def matching(tx: Connection, kind: str, query: str, base_url: str) -> list[str]:
    """Return up to two ids of resources that a conditional operation's search finds.

    Raises:
        FhirError: 400 when the search cannot be understood or is not supported, as for any search, or names no
            parameter that selects.
    """
    if kind not in PARAMETERS:
        said = f"the search {kind}?{query} is not supported; expected one of {', '.join(PARAMETERS)}"
        raise FhirError(400, Issue("error", "not-supported", said))
    if "?" in query.partition("=")[0]:
        said = f"found {query!r}; expected the query alone, what stands after the ? of a search's URL"
        raise FhirError(400, Issue("error", "value", said))
    try:
        search = parse_search(query, base_url=base_url, lenient=False, parameters=PARAMETERS[kind], type=kind)
    except CriteriaError as error:
        raise FhirError(400, *error.issues) from None
    if search.ignored:
        # A search may do without; here another resource might be taken for the one that is meant.
        said = f"{', '.join(search.ignored)} has no value in the search {query!r}; expected one, or no such parameter"
        raise FhirError(400, Issue("error", "value", said))
    if not search.query.terms:
        raise FhirError(400, Issue("error", "value", f"the search {query!r} selects nothing in particular"))
    if kind != REPORT:
        statement = sa.select(resource.c.id).where(others.condition(search.query, _NEVER)).limit(2)
        return list((await tx.execute(statement)).scalars())
    chosen = selections(search.query, LOCAL, _NEVER)
    plan = _Plan(tx, chosen, _order(REPORT_KEYS, Wanted(2)), await _fewest(tx, chosen))
    return [row.id for row in await plan.rows(2)]


_NEVER = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
"""What `ap` counts from in a conditional search: the same answer whenever it is asked."""


def sorts(kind: str) -> Collection[str]:
    """Return the parameters that resources of a type can be sorted by."""
    return REPORT_KEYS if kind == REPORT else others.keys(kind)


def _order(keys: Mapping[str, sa.ColumnElement[Any]], wanted: Wanted) -> Order:
    named = [Key(keys[each.parameter], each.descending) for each in wanted.sort]
    if not any(each.parameter == ID for each in wanted.sort):
        named.append(Key(keys[ID], bool(named) and named[-1].descending))
    if wanted.after is not None and not fits(named, wanted.after):
        raise refuse(
            400, "value", "the page begins after no place in this order; follow the link as it was given"
        )
    return Order(named, wanted.after)


@dataclass(frozen=True, slots=True)
class _Fewest:
    """The selection that finds the fewest, as far as was counted."""

    selection: Selection
    count: int

    @property
    def few(self) -> bool:
        return self.count <= _FEW


async def _fewest(tx: Connection, chosen: Sequence[Selection]) -> _Fewest | None:
    """Return which selection to begin with, `None` when none of them finds anything by itself."""
    able = [each for each in chosen if each.counted is not None]
    if not able or all(each.by_row for each in chosen):
        return None
    counts = (
        sa.select(sa.func.count())
        .select_from(each.counted.with_only_columns(sa.literal(1)).limit(_FEW + 1).subquery())
        .scalar_subquery()
        for each in able
        if each.counted is not None
    )
    (row,) = (
        await tx.execute(sa.select(*(each.label(f"n{place}") for place, each in enumerate(counts))))
    ).all()
    place = min(range(len(able)), key=row.__getitem__)
    return _Fewest(able[place], row[place])


@dataclass(frozen=True, slots=True)
class _Plan:
    tx: Connection
    chosen: Sequence[Selection]
    order: Order
    fewest: _Fewest | None

    async def rows(self, most: int) -> Sequence[Any]:
        """Return the keys of the first reports after the place to begin after."""
        fewest = self.fewest
        if fewest is not None and fewest.few:
            return await self._from_found(most)
        walk = self._walk(most)
        if fewest is None or fewest.selection.links or all(each.by_row for each in self.chosen):
            return await self._all(walk)
        edge = await self._edge()
        if edge is None:
            return await self._all(walk)
        near = await self._all(walk.where(self.order.within(edge)))
        return near if len(near) == most else await self._from_found(most)

    async def _all(self, statement: sa.Select[Any]) -> Sequence[Any]:
        rows: Sequence[Any] = (await self.tx.execute(statement)).all()
        return rows

    def _selected(self) -> sa.Select[Any]:
        columns = [key.column.label(f"key{place}") for place, key in enumerate(self.order.keys)]
        return sa.select(report.c.id, *columns)

    def _walk(self, most: int) -> sa.Select[Any]:
        tests = (each.test for each in sorted(self.chosen, key=lambda each: not each.by_row))
        return self._selected().where(self.order.beyond, *tests).order_by(*self.order.by).limit(most)

    async def _edge(self) -> Any:
        """Return the first key of the report so many further on that it is better to begin with a term."""
        first = self.order.keys[0].column
        further = sa.select(first).where(self.order.beyond).order_by(*self.order.by).offset(_WALKED).limit(1)
        found = (await self.tx.execute(further)).scalar()
        return None if found is None else self.order.place([found])[0]

    async def _from_found(self, most: int) -> Sequence[Any]:
        statement = self._selected().where(self.order.beyond, *self.found())
        return await self._all(statement.order_by(*self.order.by).limit(most))

    def found(self) -> list[sa.ColumnElement[bool]]:
        """Return what is so of a report that is found, in the form that begins with the fewest."""
        if self.fewest is None:
            return [each.test for each in self.chosen]
        first = self.fewest.selection
        begin = first.test if first.begin is None else first.begin
        return [begin, *(each.test for each in self.chosen if each is not first)]


async def _total(plan: _Plan, wanted: Wanted) -> int | None:
    """Return how many are found: exactly if that is asked for, else where counting costs little."""
    if wanted.total == "none":
        return None
    every = sa.select(sa.literal(1)).select_from(report).where(*plan.found())
    if wanted.total == "bounded":
        if plan.fewest is not None and not plan.fewest.few:
            return None
        every = every.limit(COUNTED + 1)
    count = int(
        (await plan.tx.execute(sa.select(sa.func.count()).select_from(every.subquery()))).scalar_one()
    )
    return count if wanted.total == "exact" or count <= COUNTED else None


async def _others(tx: Connection, query: Query, wanted: Wanted, now: datetime) -> Page:
    """There are few of these: all that is found is counted and sorted."""
    order = _order(others.keys(query.type), wanted)
    where = others.condition(query, now)
    total = None
    if wanted.total != "none":
        total = int(
            (await tx.execute(sa.select(sa.func.count()).select_from(resource).where(where))).scalar_one()
        )
    if not wanted.count or total == 0:
        return Page(total, (), None)
    columns = [key.column.label(f"key{place}") for place, key in enumerate(order.keys)]
    statement = sa.select(resource.c.id, *columns).where(where, order.beyond).order_by(*order.by)
    rows = (await tx.execute(statement.limit(wanted.count + 1))).all()
    return await _page(tx, query.type, rows, order, wanted, total)


async def _page(
    tx: Connection, kind: str, rows: Sequence[Any], order: Order, wanted: Wanted, total: int | None
) -> Page:
    shown = rows[: wanted.count]
    bodies = await versions.newest(tx, kind, [row.id for row in shown])
    # Between two statements PostgreSQL may see that one was deleted.
    found = [body for row in shown if (body := bodies.get(row.id)) is not None and not body.deleted]
    return Page(total, found, order.place(shown[-1][1:]) if len(rows) > wanted.count else None)
