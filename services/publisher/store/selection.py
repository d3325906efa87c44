"""Which reports does a search select? Each of its terms as SQL, in the two ways a plan needs it. Pure.

One *begins* with what satisfies a term, by an index, and can be counted; a *test* tells of one report whether it does,
by one lookup. A plan begins with one selection, or with the order that is asked for, and tests the rest.

What reports share is asked of the sets: all such terms together are one selection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from schemas.facets import EVERY_ORGANISATION, PARTIES
from schemas.fhir import REPORT_KIND_SYSTEM, REPORT_STAGE_SYSTEM
from schemas.search.parameters import Modifier
from schemas.search.predicate import facet_name
from schemas.search.values import Missing, Query, Term, Token
from services.principal import Principal
from services.publisher.store import criteria
from services.publisher.store.criteria import Columns, Condition
from services.publisher.store.index import DATES, HAS, ID, LAST_UPDATED, MANY_DATES, METRIC_SCORE, OWN, key
from services.publisher.store.tables import date_facet, own_facet, report, score_facet, shared_facet

_OF_ROW: Final = {"stage": REPORT_STAGE_SYSTEM, "kind": REPORT_KIND_SYSTEM}
"""Codes that stand in the report's own row, with their systems."""

Entry = Callable[[Columns], Condition]


@dataclass(frozen=True, slots=True)
class Selection:
    """Terms as SQL."""

    test: Condition
    """Of a row of `report`."""
    begin: Condition | None = None
    """The same of a row of `report`, in the form that leads to it by an index; `None` when it is so of nearly all."""
    counted: sa.Select[Any] | None = None
    """One row for each id, in any order, for as long as somebody counts."""
    links: bool = False
    """What it begins with are ids, each to be looked up: where they are many, testing report by report is no slower."""
    by_row: bool = False
    """The test looks at the row alone, which costs next to nothing."""


def selections(query: Query, principal: Principal, now: datetime) -> list[Selection]:
    """Return what must be true of a report, as selections that all have to hold; none for every report."""
    out: list[Selection] = []
    shared: list[_OfSets] = []
    dates: dict[str, list[Term]] = {}
    for term in query.terms:
        name = facet_name(term)
        if (of_sets := None if name in _OF_ROW else _of_sets(term, name)) is not None:
            shared.append(of_sets)
        elif name in DATES - MANY_DATES:
            dates.setdefault(name, []).append(term)
        else:
            out.append(_alone(term, name, now))
    out += [_dated(name, terms, now) for name, terms in dates.items()]
    if EVERY_ORGANISATION not in principal.organisations:
        shared.append(_visible(principal))
    if shared:
        out.append(_sets(shared))
    return out


def visible(principal: Principal) -> Condition:
    """Return what is so of a row of `report` that a principal is party to, found by an index."""
    if EVERY_ORGANISATION in principal.organisations:
        return sa.true()
    mine = _visible(principal).entry(shared_facet.c)
    return report.c.facet_set.in_(sa.select(shared_facet.c.facet_set).where(mine))


def _alone(term: Term, name: str, now: datetime) -> Selection:
    if name in _OF_ROW:
        return _coded(term, name)
    if name in {ID, LAST_UPDATED}:
        return _named(term) if name == ID else _stored(term, now)
    if name in MANY_DATES:
        return _one_of_many(term, now)
    if name == METRIC_SCORE:
        return _linked(score_facet, lambda columns: criteria.score(columns, term))
    assert name in OWN
    ids = sa.select(own_facet.c.report_id).where(criteria.facet(own_facet.c, term))
    # What few reports share is found once, and looked up there. The form of the test keeps planners from more.
    found = report.c.id.in_(ids).is_(sa.true())
    if term.modifier is Modifier.NOT:
        return Selection(~found)
    return Selection(found, report.c.id.in_(ids), ids)


def _named(term: Term) -> Selection:
    if term.modifier is Modifier.MISSING:
        return Selection(_always(not _missing(term)), by_row=True)
    wanted = criteria.ids(term)
    if term.modifier is Modifier.NOT:
        return Selection(report.c.id.not_in(wanted), by_row=True)
    row = report.alias()
    ids = sa.select(row.c.id).where(row.c.id.in_(wanted))
    return Selection(report.c.id.in_(wanted), report.c.id.in_(wanted), ids)


def _stored(term: Term, now: datetime) -> Selection:
    if term.modifier is Modifier.MISSING:
        return Selection(_always(not _missing(term)), by_row=True)
    row = report.alias()
    ids = sa.select(row.c.id).where(criteria.last_updated(row.c.last_updated, term, now))
    then = criteria.last_updated(report.c.last_updated, term, now)
    return Selection(then, then, ids, by_row=True)


def _coded(term: Term, name: str) -> Selection:
    """A code that every report has once, in its own row."""
    if term.modifier is Modifier.MISSING:
        return Selection(_always(not _missing(term)), by_row=True)
    codes = [
        value.code
        for value in term.values
        if isinstance(value, Token) and value.system in {None, _OF_ROW[name]}
    ]
    column: sa.ColumnElement[str] = report.c[name]
    if None in codes:  # `system|`: any code
        found: Condition = sa.true()
    else:
        found = column.in_([code for code in codes if code is not None])
    return Selection(~found if term.modifier is Modifier.NOT else found, by_row=True)


def _dated(name: str, terms: Sequence[Term], now: datetime) -> Selection:
    """What several terms ask of a date that a report has once, that date has to satisfy."""
    stretch, row = (
        criteria.Stretch(rows.c[f"{name}_low"], rows.c[f"{name}_high"], bounded=name == "date")
        for rows in (report, report.alias())
    )
    then = sa.and_(*(criteria.date(stretch, term, now) for term in terms))
    counted = sa.select(row.low).where(*(criteria.date(row, term, now) for term in terms))
    return Selection(then, then, counted, by_row=True)


def _one_of_many(term: Term, now: datetime) -> Selection:
    name = term.parameter.name
    return _linked(
        date_facet,
        lambda columns: sa.and_(
            columns.parameter == name, criteria.date(criteria.Stretch(columns.low, columns.high), term, now)
        ),
    )


def _linked(table: sa.Table, entry: Entry) -> Selection:
    ids = sa.select(table.c.report_id).where(entry(table.c))
    test = criteria.there(table, lambda columns: columns.report_id == report.c.id, entry)
    return Selection(test, report.c.id.in_(ids), ids, links=True)


def _always(value: bool) -> Condition:  # the truth itself
    return sa.true() if value else sa.false()


def _missing(term: Term) -> bool:
    return any(value.missing for value in term.values if isinstance(value, Missing))


@dataclass(frozen=True, slots=True)
class _OfSets:
    """What an entry of a set says, or what none of its entries may say."""

    entry: Entry
    none: bool = False
    common: bool = False
    """Nearly every set has it, so that it is the last one to begin with."""


_COMMON: Final = frozenset({"status", "category", "_profile", "lob"})


def _of_sets(term: Term, name: str) -> _OfSets | None:
    """Return what is asked of sets, `None` when the term is not about what reports share."""
    if term.modifier is Modifier.MISSING and name not in {ID, LAST_UPDATED}:
        return _OfSets(_has(term.parameter.name), none=_missing(term), common=True)
    if name in DATES or name in {ID, LAST_UPDATED, METRIC_SCORE}:
        return None
    if name not in OWN:
        return _OfSets(
            lambda columns: criteria.facet(columns, term),
            none=term.modifier is Modifier.NOT,
            common=name in _COMMON,
        )
    systems = [value.system for value in term.values if isinstance(value, Token) and value.code is None]
    if len(systems) < len(term.values):
        return None
    # `identifier=system|`: the sets tell which systems a report has identifiers of.
    return _OfSets(
        lambda columns: sa.and_(
            columns.parameter == HAS,
            columns.value == name,
            columns.system.in_([key(system or "") for system in systems]),
        ),
        none=term.modifier is Modifier.NOT,
        common=True,
    )


def _has(name: str) -> Entry:
    """The parameter has a value, or a reference of it an identifier."""
    names = (name, f"{name}:identifier")
    inside = {each for each in names if each in OWN or each in DATES or each == METRIC_SCORE}
    if inside:
        return lambda columns: sa.and_(columns.parameter == HAS, columns.value.in_(sorted(inside)))
    return lambda columns: columns.parameter.in_(names)


def _visible(principal: Principal) -> _OfSets:
    mine = sorted(map(key, principal.organisations))
    return _OfSets(lambda columns: sa.and_(columns.parameter.in_(PARTIES), columns.value.in_(mine)))


def _sets(asked: Sequence[_OfSets]) -> Selection:
    """Every set has a kind: where only things are ruled out, that is what to begin with."""
    wanted = sorted((each for each in asked if not each.none), key=lambda each: each.common)
    rest: Iterable[_OfSets] = (*wanted[1:], *(each for each in asked if each.none))
    begin = wanted[0].entry if wanted else lambda columns: columns.parameter == "kind"
    first, counted = shared_facet.alias(), report.alias()
    sets = sa.select(first.c.facet_set).where(begin(first.c), *(_test(each, first.c) for each in rest))
    return Selection(
        sa.and_(*(_test(each, report.c) for each in asked)),
        report.c.facet_set.in_(sets),
        sets.with_only_columns(sa.literal(1)).join(counted, counted.c.facet_set == first.c.facet_set),
    )


def _test(asked: _OfSets, columns: Columns) -> Condition:
    has = criteria.there(shared_facet, lambda entry: entry.facet_set == columns.facet_set, asked.entry)
    return ~has if asked.none else has
