"""How does a search become SQL? Terms over the tables of the index, one subquery a term. Pure.

The meaning of every comparison is that of `schemas.search.predicate`; a test holds the two together.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

import sqlalchemy as sa

from schemas.dates import moment
from schemas.search.parameters import Modifier, SearchType
from schemas.search.predicate import approximate, facet_name
from schemas.search.values import (
    Canonical,
    Date,
    MetricScore,
    Missing,
    Number,
    Prefix,
    Query,
    Reference,
    Term,
    Text,
    Token,
    Value,
)
from services.publisher.store.index import (
    AFTER_ALL,
    BEFORE_ALL,
    DATES,
    ID,
    IDENTIFIER,
    LAST_UPDATED,
    METRIC_SCORE,
    OWN,
    key,
    milliseconds,
    short,
    sortable,
)
from services.publisher.store.tables import date_facet, own_facet, report, score_facet, shared_facet

Condition = sa.ColumnElement[bool]


def condition(query: Query, now: datetime) -> Condition:
    """Return what must be true of a row of `report`; `now` is what `ap` counts from."""
    return sa.and_(sa.true(), *(_term(term, now) for term in query.terms))


def _term(term: Term, now: datetime) -> Condition:
    name = term.parameter.name
    if term.modifier is Modifier.MISSING:
        there = _there(name)
        wanted = {value.missing for value in term.values if isinstance(value, Missing)}
        return ~there if True in wanted else there
    found = _found(term, now)
    return ~found if term.modifier is Modifier.NOT else found


def _there(name: str) -> Condition:
    """The parameter has a value, or a reference of it an identifier."""
    if name in {ID, LAST_UPDATED}:
        return sa.true()
    if name == METRIC_SCORE:
        return report.c.id.in_(sa.select(score_facet.c.report_id))
    table = _table(name)
    return _of(table, table.c.parameter.in_((name, name + IDENTIFIER)))


def _table(name: str) -> sa.Table:
    if name in DATES:
        return date_facet
    return own_facet if name in OWN else shared_facet


def _of(table: sa.Table, condition: Condition) -> Condition:
    if table is shared_facet:
        return report.c.facet_set.in_(sa.select(shared_facet.c.facet_set).where(condition))
    return report.c.id.in_(sa.select(table.c.report_id).where(condition))


def _found(term: Term, now: datetime) -> Condition:
    """One of the values of a term has an entry."""
    name = facet_name(term)
    if name == ID:
        return report.c.id.in_([value.code for value in term.values if isinstance(value, Token)])
    if name == LAST_UPDATED:
        return sa.or_(*(_last_updated(value, now) for value in term.values if isinstance(value, Date)))
    if name == METRIC_SCORE:
        return _of(score_facet, sa.or_(*(_value(score_facet, term, value, now) for value in term.values)))
    table = _table(name)
    any_value = sa.or_(*(_value(table, term, value, now) for value in term.values))
    return _of(table, (table.c.parameter == name) & any_value)


def _value(
    table: sa.Table, term: Term, value: Value, now: datetime
) -> Condition:  # one return a kind of value
    below = term.modifier is Modifier.BELOW
    match value:
        case Token():
            return _token(table, value)
        case Reference(forms=forms):
            return table.c.value.in_([key(form) for form in forms])
        case Canonical():
            return _canonical(table, value, below=below)
        case Text(text=text):
            if term.parameter.type is SearchType.STRING:
                raise AssertionError("no parameter is a string; one needs a folded column first")
            return _starts(table.c.value, text) if below else table.c.value == key(text)
        case Date():
            return _date(value, now)
        case MetricScore(metric=metric, score=score, unit=unit):
            of_unit = sa.true() if unit is None else score_facet.c.unit == key(unit)
            return sa.and_(_token(table, metric), _number(score), of_unit)
        case Number():
            raise AssertionError("no parameter of MeasureReport is a number; one needs a table first")
        case Missing():
            raise AssertionError("a term under :missing is no comparison")
        case _:
            assert_never(value)


def _token(table: sa.Table, wanted: Token) -> Condition:
    parts: list[Condition] = []
    if wanted.code is not None:
        parts.append(table.c.value == key(wanted.code))
    if wanted.system is not None:
        system = key(wanted.system)
        parts.append(table.c.system == (short(system) if table is score_facet else system))
    return sa.and_(sa.true(), *parts)


def _canonical(table: sa.Table, wanted: Canonical, *, below: bool) -> Condition:
    same = table.c.value == key(wanted.url)
    if wanted.version is None:
        return same
    exact = table.c.system == wanted.version
    return same & (exact | _starts(table.c.system, f"{wanted.version}.") if below else exact)


def _starts(column: sa.ColumnElement[str], text: str) -> Condition:
    """LIKE would ignore case on SQLite and read `%` and `_`."""
    return sa.func.substr(column, 1, len(text)) == text


def _plain(column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """The column keeps its collation; what it is compared with must not be cast to a type that names one."""
    return sa.type_coerce(column, sa.Text())


def _date(wanted: Date, now: datetime) -> Condition:  # noqa: PLR0911  # one line for each of FHIR's nine prefixes
    low, high = date_facet.c.low, date_facet.c.high
    first, last = milliseconds(wanted.low), milliseconds(wanted.high)
    contained = sa.and_(low != BEFORE_ALL, high != AFTER_ALL, low >= first, high <= last)
    match wanted.prefix:
        case Prefix.EQ:
            return contained
        case Prefix.NE:
            return ~contained
        case Prefix.GT:
            return high > last
        case Prefix.LT:
            return low < first
        case Prefix.GE:
            return high > first
        case Prefix.LE:
            return low < last
        case Prefix.SA:
            return sa.and_(low != BEFORE_ALL, low >= last)
        case Prefix.EB:
            return sa.and_(high != AFTER_ALL, high <= first)
        case Prefix.AP:
            start, end = (milliseconds(bound) for bound in approximate(wanted, now))
            return sa.and_(low < end, high > start)
        case _:
            assert_never(wanted.prefix)


def _last_updated(wanted: Date, now: datetime) -> Condition:  # noqa: PLR0911  # as `_date`
    """The moment a version was stored: one millisecond, `[at, at + 1)`."""
    at, low, high = report.c.last_updated, moment(wanted.low), moment(wanted.high)
    match wanted.prefix:
        case Prefix.EQ:
            return sa.and_(at >= low, at < high)
        case Prefix.NE:
            return sa.or_(at < low, at >= high)
        case Prefix.GT | Prefix.SA:
            return at >= high
        case Prefix.LT | Prefix.EB:
            return at < low
        case Prefix.GE:
            return at >= low
        case Prefix.LE:
            return at < high
        case Prefix.AP:
            start, end = approximate(wanted, now)
            return sa.and_(at < moment(end), at >= moment(start))
        case _:
            assert_never(wanted.prefix)


def _number(wanted: Number) -> Condition:  # noqa: PLR0911  # one line for each of FHIR's prefixes
    number, value = _plain(score_facet.c.number), sortable(wanted.value)
    within = sa.and_(number >= sortable(wanted.low), number < sortable(wanted.high))
    match wanted.prefix:
        case Prefix.EQ:
            return within
        case Prefix.NE:
            return ~within
        case Prefix.GT | Prefix.SA:
            return number > value
        case Prefix.LT | Prefix.EB:
            return number < value
        case Prefix.GE:
            return number >= value
        case Prefix.LE:
            return number <= value
        case Prefix.AP:
            slack = abs(wanted.value) / 10
            return number.between(sortable(wanted.value - slack), sortable(wanted.value + slack))
        case _:
            assert_never(wanted.prefix)
