"""How does a search become SQL? Terms over the table `facet`, one subquery a term. Pure.

The meaning of every comparison is that of `schemas.search.predicate`; a test holds the two together.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

import sqlalchemy as sa

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
from services.publisher.store.index import AFTER_ALL, BEFORE_ALL, IDENTIFIER, indexed, sortable
from services.publisher.store.tables import facet, report

Condition = sa.ColumnElement[bool]


def condition(query: Query, now: datetime) -> Condition:
    """Return what must be true of a row of `report`; `now` is what `ap` counts from."""
    return sa.and_(sa.true(), *(_term(term, now) for term in query.terms))


def _term(term: Term, now: datetime) -> Condition:
    name = term.parameter.name
    if term.modifier is Modifier.MISSING:
        there = _has(facet.c.parameter.in_((name, name + IDENTIFIER)))
        wanted = {value.missing for value in term.values if isinstance(value, Missing)}
        return ~there if True in wanted else there
    any_value = sa.or_(*(_value(term, value, now) for value in term.values))
    found = _has((facet.c.parameter == facet_name(term)) & any_value)
    return ~found if term.modifier is Modifier.NOT else found


def _has(of_facet: Condition) -> Condition:
    return report.c.id.in_(sa.select(facet.c.report_id).where(of_facet))


def _value(term: Term, value: Value, now: datetime) -> Condition:  # noqa: PLR0911  # one return a kind of value
    match value:
        case Token():
            return _token(value)
        case Reference(forms=forms):
            return facet.c.value.in_([indexed(form) for form in forms])
        case Canonical():
            return _canonical(value, below=term.modifier is Modifier.BELOW)
        case Text(text=text):
            return _text(term, text)
        case Date():
            return _date(value, now)
        case Number():
            return _number(value)
        case MetricScore(metric=metric, score=score, unit=unit):
            of_unit = sa.true() if unit is None else facet.c.unit == unit
            return sa.and_(_token(metric), _number(score), of_unit)
        case Missing():
            raise AssertionError("a term under :missing is no comparison")
        case _:
            assert_never(value)


def _token(wanted: Token) -> Condition:
    parts: list[Condition] = []
    if wanted.code is not None:
        parts.append(facet.c.value == indexed(wanted.code))
    if wanted.system is not None:
        parts.append(facet.c.system == wanted.system)
    return sa.and_(sa.true(), *parts)


def _canonical(wanted: Canonical, *, below: bool) -> Condition:
    same = facet.c.value == indexed(wanted.url)
    if wanted.version is None:
        return same
    exact = facet.c.system == wanted.version
    return same & (exact | _starts(facet.c.system, f"{wanted.version}.") if below else exact)


def _text(term: Term, text: str) -> Condition:
    if term.parameter.type is SearchType.STRING:
        raise AssertionError("no parameter of MeasureReport is a string; one needs a folded column first")
    if term.modifier is Modifier.BELOW:
        return _starts(facet.c.value, text)
    return facet.c.value == indexed(text)


def _starts(column: sa.ColumnElement[str], text: str) -> Condition:
    """LIKE would ignore case on SQLite and read `%` and `_`."""
    return sa.func.substr(column, 1, len(text)) == text


def _plain(column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """The column keeps its collation; what it is compared with must not be cast to a type that names one."""
    return sa.type_coerce(column, sa.Text())


def _date(wanted: Date, now: datetime) -> Condition:  # noqa: PLR0911  # one line for each of FHIR's nine prefixes
    low, high = _plain(facet.c.low), _plain(facet.c.high)
    contained = sa.and_(low != BEFORE_ALL, high != AFTER_ALL, low >= wanted.low, high <= wanted.high)
    match wanted.prefix:
        case Prefix.EQ:
            return contained
        case Prefix.NE:
            return ~contained
        case Prefix.GT:
            return high > wanted.high
        case Prefix.LT:
            return low < wanted.low
        case Prefix.GE:
            return high > wanted.low
        case Prefix.LE:
            return low < wanted.high
        case Prefix.SA:
            return sa.and_(low != BEFORE_ALL, low >= wanted.high)
        case Prefix.EB:
            return sa.and_(high != AFTER_ALL, high <= wanted.low)
        case Prefix.AP:
            start, end = approximate(wanted, now)
            return sa.and_(low < end, high > start)
        case _:
            assert_never(wanted.prefix)


def _number(wanted: Number) -> Condition:  # noqa: PLR0911  # one line for each of FHIR's prefixes
    number, value = _plain(facet.c.number), sortable(wanted.value)
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
