"""Which stored resources does a search find? Pages of them for a client, ids for a conditional operation.

A page of reports is found in one of two ways. Where some term of the search finds few, the page begins with these:
all are sorted, and the rest is tested. Otherwise it walks along the order that is asked for, testing each report,
and has the page soon, since much is found. What a report's own row tells is tested as far as it takes: all of them are
read within milliseconds. Where looking up takes long, since what is found stands at the other end, it begins with the
term after all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
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
from services.publisher.store.selection import Selection, Tested, beginnings, known_to, selections, visible
from services.publisher.store.several import Found
from services.publisher.store.statements import among
from services.publisher.store.tables import report, resource

__all__ = [
    "Page",
    "Total",
    "Wanted",
    "deletable",
    "find",
    "matching",
    "may_read",
    "readable",
    "sorts",
    "visible",
]

COUNTED: Final = 5_000
"""Results that are counted unasked; a larger total is left out unless it is asked for."""

_FEW: Final = 5_000
"""What a term finds is few enough to begin with."""

_SETS: Final = 2_000
"""Sets of a term that are counted before it is known to be no better to begin with than another."""

_WALKED: Final = 2_000
"""Reports for which something is looked up along the order before the page begins with a term after all."""

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
    plan = await _planned(tx, query, principal, now, _order(REPORT_KEYS, wanted))
    rows: Sequence[Any] = ()
    if plan.none:
        total: int | None = 0
    elif plan.few and wanted.count:
        total, rows = await plan.counted_rows(wanted.count + 1)
    else:
        total = await _total(plan, wanted)
        if wanted.count and total != 0:
            rows = await plan.rows(wanted.count + 1)
        if total is None and wanted.after is None and 0 < wanted.count >= len(rows):
            total = len(rows)
    return await _page(tx, REPORT, rows, plan.order, wanted, None if wanted.total == "none" else total)


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
    found = _condition(kind, query, base_url)
    if kind != REPORT:
        statement = sa.select(resource.c.id).where(others.condition(found, _NEVER)).limit(2)
        return list((await tx.execute(statement)).scalars())
    plan = await _planned(tx, found, LOCAL, _NEVER, _order(REPORT_KEYS, Wanted(2)))
    return [row.id for row in await plan.rows(2)]


async def deletable(tx: Connection, query: str, base_url: str, principal: Principal, most: int) -> Found:
    """Return what a conditional deletion's search finds: reports that the client may read or has published itself.

    Of all others it is to hear nothing, not even that they are there; `most` is how many ids are needed.

    Raises:
        FhirError: 400 as for `matching`.
    """
    order = _order(REPORT_KEYS, Wanted(most))
    plan = await _planned(tx, _condition(REPORT, query, base_url), LOCAL, _NEVER, order)
    plan = replace(plan, chosen=[*plan.chosen, *known_to(principal)])
    ids = [row.id for row in await plan.rows(most + 1)]
    return Found(ids, len(ids) if len(ids) <= most else await plan.count(COUNTED + 1), COUNTED)


def _condition(kind: str, query: str, base_url: str) -> Query:
    """Return the search of a conditional operation: it has to tell what is meant, and is never read leniently."""
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
    return search.query


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


async def _planned(tx: Connection, query: Query, principal: Principal, now: datetime, order: Order) -> _Plan:
    """Return how to find what a query asks: which of its terms to begin with is counted first."""
    ways = beginnings(query, principal)
    first = next(iter(ways), 0)
    if len(ways) > 1:
        sets = await _counted(tx, list(ways.values()), _SETS)
        first = min(zip(sets, ways, strict=True))[1]
    chosen = selections(query, principal, now, first)
    able = [(each, each.counted) for each in chosen if each.counted is not None]
    if not able:
        return _Plan(tx, chosen, order, None)
    found = await _counted(tx, [counted for _, counted in able], _FEW)
    place = min(range(len(able)), key=found.__getitem__)
    return _Plan(tx, chosen, order, _Fewest(able[place][0], found[place]))


async def _counted(tx: Connection, every: Sequence[sa.Select[Any]], most: int) -> Sequence[int]:
    """Return how many rows each has; one more than `most`, where there are more."""
    counts = (
        sa.select(sa.func.count())
        .select_from(each.with_only_columns(sa.literal(1)).limit(most + 1).subquery())
        .scalar_subquery()
        for each in every
    )
    statement = sa.select(*(each.label(f"n{place}") for place, each in enumerate(counts)))
    (row,) = (await tx.execute(statement)).all()
    return tuple(row)


@dataclass(frozen=True, slots=True)
class _Plan:
    tx: Connection
    chosen: Sequence[Selection]
    order: Order
    fewest: _Fewest | None

    @property
    def few(self) -> bool:
        """Some term finds few, so that it is to begin with."""
        return self.fewest is not None and self.fewest.count <= _FEW

    @property
    def none(self) -> bool:
        """Some term finds nothing."""
        return self.fewest is not None and not self.fewest.count

    async def rows(self, most: int) -> Sequence[Any]:
        """Return the ids and the keys of the first reports after the place to begin after."""
        if self.few:
            return await self._all(self._from_found(most))
        by_row = all(each.lookup is None for each in self.chosen)
        if by_row or self.fewest is None or self.fewest.selection.links:
            return await self._all(self._walk(most))
        edges = await self._edges()
        if edges is None:
            return await self._all(self._walk(most))
        near = await self._all(self._walk(most).where(self.order.between(*edges)))
        return near if len(near) == most else await self._all(self._from_found(most))

    async def counted_rows(self, most: int) -> tuple[int, Sequence[Any]]:
        """Return how many are found, with what `rows` returns, by looking for them once; where they are few."""
        found = self._found().cte("found")
        count = sa.select(sa.func.count()).select_from(found).scalar_subquery()
        order = self.order.over(found.c)
        page = sa.select(found, count.label("total")).where(order.beyond).order_by(*order.by).limit(most)
        rows = await self._all(page)
        if not rows:
            return 0 if self.order.after is None else await self.count(), rows
        return rows[0].total, rows

    async def count(self, most: int | None = None) -> int:
        """Return how many are found, as far as `most`."""
        every = sa.select(sa.literal(1)).select_from(report).where(*self._begun()).limit(most)
        count = sa.select(sa.func.count()).select_from(every.subquery())
        return int((await self.tx.execute(count)).scalar_one())

    async def _all(self, statement: sa.Select[Any]) -> Sequence[Any]:
        rows: Sequence[Any] = (await self.tx.execute(statement)).all()
        return rows

    def _selected(self) -> sa.Select[Any]:
        keys = (column.label(name) for name, column in self.order.named.items())
        return sa.select(report.c.id, *keys)

    def _along(self, selected: sa.Select[Any], most: int) -> sa.Select[Any]:
        """Walk along the order past what its own row rules out."""
        columns = Tested(report.c, but=self.order.keys[0].column.name)
        rows = (each.row(columns) for each in self.chosen)
        return selected.where(self.order.beyond, *rows).order_by(*self.order.by).limit(most)

    def _walk(self, most: int) -> sa.Select[Any]:
        lookups = (each.lookup(report.c) for each in self.chosen if each.lookup is not None)
        return self._along(self._selected(), most).where(*lookups)

    async def _edges(self) -> tuple[Place, Place] | None:
        """Return where the first of `_WALKED` reports stands that something is to be looked up for, and the last.

        The first by its first key; `None` when there are no more than these.
        """
        near = self._along(self._selected(), _WALKED + 1).cte("near")
        order, first = self.order.over(near.c), near.c[next(iter(self.order.named))]
        begin = (sa.func.max if order.keys[0].descending else sa.func.min)(first)
        told = (sa.select(each).select_from(near).scalar_subquery() for each in (sa.func.count(), begin))
        back = [key.column.asc() if key.descending else key.column.desc() for key in order.keys]
        rows = await self._all(sa.select(*told, *(key.column for key in order.keys)).order_by(*back).limit(1))
        if not rows or rows[0][0] <= _WALKED:
            return None
        return self.order.place(rows[0][1:2]), self.order.place(rows[0][2:])

    def _from_found(self, most: int) -> sa.Select[Any]:
        return self._found().where(self.order.beyond).order_by(*self.order.by).limit(most)

    def _found(self) -> sa.Select[Any]:
        return self._selected().where(*self._begun())

    def _begun(self) -> list[sa.ColumnElement[bool]]:
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
    if wanted.total == "exact":
        return await plan.count()
    if plan.fewest is not None and not plan.few:
        return None
    count = await plan.count(COUNTED + 1)
    return count if count <= COUNTED else None


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
    return Page(
        total, found, order.place(shown[-1][1 : 1 + len(order.keys)]) if len(rows) > wanted.count else None
    )
