"""How does one term of a search become SQL? Comparisons over the columns of the index. Pure.

The meaning of every comparison is that of `schemas.search.predicate`; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, assert_never

import sqlalchemy as sa

from schemas.dates import moment
from schemas.search.parameters import Modifier, SearchType
from schemas.search.predicate import approximate, facet_name, plain_text
from schemas.search.values import (
    Canonical,
    Date,
    MetricScore,
    Number,
    Prefix,
    Reference,
    Term,
    Text,
    Token,
    Value,
)
from services.publisher.store.index import (
    AFTER_ALL,
    BEFORE_ALL,
    LONGEST_DATE,
    NO_DATE,
    STRING_HEAD,
    key,
    milliseconds,
    scored,
    scored_in,
    sortable,
)

Condition: TypeAlias = sa.ColumnElement[bool]
Columns: TypeAlias = Any
"""The columns of a table of the index, or of an alias of it."""


def facet(columns: Columns, term: Term) -> Condition:
    """Return what is so of an entry that satisfies a token, reference, uri or string term: one of its values."""
    same = (_facet_value(columns, term, value) for value in term.values)
    return sa.and_(columns.parameter == facet_name(term), sa.or_(*same))


@dataclass(frozen=True, slots=True)
class Stretch:
    """The two columns of a date."""

    low: sa.ColumnElement[int]
    high: sa.ColumnElement[int]
    bounded: bool = False
    """No such date is longer than a year."""


def date(stretch: Stretch, term: Term, now: datetime) -> Condition:
    """Return what is so of a stretch of time that satisfies a date term; `now` is what `ap` counts from."""
    return sa.or_(*(_date(stretch, value, now) for value in term.values if isinstance(value, Date)))


def score(columns: Columns, term: Term) -> Condition:
    """Return what is so of an entry that satisfies a term on a metric and its score, or a threshold and its gap."""
    name = term.parameter.name
    return sa.or_(*(_score(columns, name, value) for value in term.values if isinstance(value, MetricScore)))


def last_updated(column: sa.ColumnElement[datetime], term: Term, now: datetime) -> Condition:
    """Return what is so of when a version was stored."""
    return sa.or_(*(_last_updated(column, value, now) for value in term.values if isinstance(value, Date)))


def tokens(columns: Columns, values: tuple[Value, ...]) -> Condition:
    """Return what is so of an entry with one of these codes."""
    return sa.or_(*(_token(columns, value) for value in values if isinstance(value, Token)))


def ids(term: Term) -> list[str]:
    """Return the ids that an `_id` names."""
    return [value.code for value in term.values if isinstance(value, Token) and value.code is not None]


def _facet_value(columns: Columns, term: Term, value: Value) -> Condition:
    below = term.modifier is Modifier.BELOW
    match value:
        case Token():
            return _token(columns, value)
        case Reference(forms=forms):
            found: Condition = columns.value.in_([key(form) for form in forms])
            return found
        case Canonical():
            return _canonical(columns, value, below=below)
        case Text(text=text) if term.parameter.type is SearchType.STRING:
            return _string(columns, text, term.modifier)
        case Text(text=text):
            same: Condition = _starts(columns.value, text) if below else columns.value == key(text)
            return same
        case _:
            raise AssertionError(f"{term.parameter.name} has no {type(value).__name__} in this table")


def _token(columns: Columns, wanted: Token) -> Condition:
    parts: list[Condition] = []
    if wanted.code is not None:
        parts.append(columns.value == key(wanted.code))
    if wanted.system is not None:
        parts.append(columns.system == key(wanted.system))
    return sa.and_(sa.true(), *parts)


def _canonical(columns: Columns, wanted: Canonical, *, below: bool) -> Condition:
    same: Condition = columns.value == key(wanted.url)
    if wanted.version is None:
        return same
    exact = columns.system == wanted.version
    return sa.and_(same, exact | _starts(columns.system, f"{wanted.version}.") if below else exact)


def _string(columns: Columns, text: str, modifier: Modifier | None) -> Condition:
    if modifier is Modifier.EXACT:
        return sa.and_(columns.value == plain_text(text)[:STRING_HEAD], columns.said == text)
    folded = plain_text(text)
    if modifier is Modifier.CONTAINS:
        found: Condition = columns.system.contains(folded, autoescape=True)
        return found
    head = _starts(columns.value, folded[:STRING_HEAD])
    return head if len(folded) <= STRING_HEAD else sa.and_(head, _begins(columns.system, folded))


def _starts(column: Columns, text: str) -> Condition:
    """A range of the index, and then the text itself: LIKE would ignore case on SQLite and read `%` and `_`."""
    found: Condition = sa.and_(column >= text, column < text + _LAST_CHARACTER, _begins(column, text))
    return found


def _begins(column: sa.ColumnElement[str], text: str) -> Condition:
    same: Condition = sa.func.substr(column, 1, len(text)) == text
    return same


_LAST_CHARACTER = "\U0010ffff"


def _plain(column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """The column keeps its collation; what it is compared with must not be cast to a type that names one."""
    return sa.type_coerce(column, sa.Text())


def _date(stretch: Stretch, wanted: Date, now: datetime) -> Condition:  # noqa: PLR0911  # one line for each of FHIR's nine prefixes
    """What is implied gives a range of an index its other end: a short date that ends late begins late."""
    low, high, bounded = stretch.low, stretch.high, stretch.bounded
    first, last = milliseconds(wanted.low), milliseconds(wanted.high)
    match wanted.prefix:
        case Prefix.EQ:
            return sa.and_(low != BEFORE_ALL, high != AFTER_ALL, low >= first, high <= last, low < last)
        case Prefix.NE:
            contained = sa.and_(low != BEFORE_ALL, high != AFTER_ALL, low >= first, high <= last)
            return sa.and_(~contained, low != NO_DATE[0])
        case Prefix.GT:
            return sa.and_(high > last, low > last - LONGEST_DATE) if bounded else high > last
        case Prefix.LT:
            return low < first
        case Prefix.GE:
            return sa.and_(high > first, low > first - LONGEST_DATE) if bounded else high > first
        case Prefix.LE:
            return low < last
        case Prefix.SA:
            return sa.and_(low != BEFORE_ALL, low != NO_DATE[0], low >= last)
        case Prefix.EB:
            return sa.and_(high != AFTER_ALL, high != NO_DATE[1], high <= first, low < first)
        case Prefix.AP:
            start, end = (milliseconds(bound) for bound in approximate(wanted, now))
            return sa.and_(low < end, high > start)
        case _:
            assert_never(wanted.prefix)


def _last_updated(at: sa.ColumnElement[datetime], wanted: Date, now: datetime) -> Condition:  # noqa: PLR0911  # as `_date`
    """The moment a version was stored: one millisecond, `[at, at + 1)`."""
    low, high = moment(wanted.low), moment(wanted.high)
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


def _score(columns: Columns, name: str, wanted: MetricScore) -> Condition:
    parts = [_number(columns, wanted.score)]
    if wanted.metric.code is not None:
        parts.append(columns.value == scored(name, wanted.metric.code))
    if wanted.metric.system is not None:
        parts.append(columns.system == scored_in(name, wanted.metric.system))
    if wanted.unit is not None:
        parts.append(columns.unit == key(wanted.unit))
    return sa.and_(*parts)


def _number(columns: Columns, wanted: Number) -> Condition:  # noqa: PLR0911  # one line for each of FHIR's prefixes
    number, value = _plain(columns.number), sortable(wanted.value)
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


Probe: TypeAlias = Callable[[Columns], Condition]


def there(table: sa.Table, row: Callable[[Columns], Condition], entry: Probe) -> Condition:
    """Return that `table` has an entry for the row at hand; looked up row by row, whatever a planner thinks.

    `row` ties an entry to the row. A subquery that gives a value is never turned into a join.
    """
    one = table.alias()
    found = sa.select(sa.literal(1)).select_from(one).where(row(one.c), entry(one.c)).limit(1)
    return found.scalar_subquery().is_not(None)
