"""Which Measures, Organizations and Groups does a search find? A condition on `resource`. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from schemas.search.parameters import Modifier, SearchType
from schemas.search.predicate import facet_name
from schemas.search.resources import PARAMETERS
from schemas.search.values import Missing, Query, Term
from services.publisher.store import criteria
from services.publisher.store.criteria import Condition
from services.publisher.store.index import BEFORE_ALL, ID, IDENTIFIER, LAST_UPDATED
from services.publisher.store.tables import resource, resource_date, resource_facet


def condition(query: Query, now: datetime) -> Condition:
    """Return what must be true of a row of `resource`; `now` is what `ap` counts from."""
    terms = (_term(query.type, term, now) for term in query.terms)
    return sa.and_(resource.c.type == query.type, ~resource.c.deleted, *terms)


def keys(kind: str) -> dict[str, sa.ColumnElement[Any]]:
    """Return what resources of a type can be sorted by: each parameter, by its lowest value."""
    return {name: _key(kind, name, parameter.type) for name, parameter in PARAMETERS[kind].items()}


def _key(kind: str, name: str, type_: SearchType) -> sa.ColumnElement[Any]:
    if name == ID:
        return resource.c.id
    if name == LAST_UPDATED:
        return resource.c.last_updated
    table = resource_date if type_ is SearchType.DATE else resource_facet
    column: sa.ColumnElement[Any] = table.c.low if type_ is SearchType.DATE else table.c.value
    lowest = (
        sa.select(sa.func.min(column))
        .where(table.c.type == kind, table.c.id == resource.c.id, table.c.parameter == name)
        .scalar_subquery()
    )
    return sa.func.coalesce(lowest, BEFORE_ALL if type_ is SearchType.DATE else "", type_=column.type)


def _term(kind: str, term: Term, now: datetime) -> Condition:
    name = term.parameter.name
    if term.modifier is Modifier.MISSING:
        missing = any(value.missing for value in term.values if isinstance(value, Missing))
        there = sa.true() if name in {ID, LAST_UPDATED} else _there(kind, term)
        return ~there if missing else there
    if name == ID:
        found: Condition = resource.c.id.in_(criteria.ids(term))
    elif name == LAST_UPDATED:
        found = criteria.last_updated(resource.c.last_updated, term, now)
    elif term.parameter.type is SearchType.DATE:
        found = _of(
            resource_date,
            kind,
            lambda columns: sa.and_(
                columns.parameter == name,
                criteria.date(criteria.Stretch(columns.low, columns.high), term, now),
            ),
        )
    else:
        found = _of(resource_facet, kind, partial(criteria.facet, term=term))
    return ~found if term.modifier is Modifier.NOT else found


def _there(kind: str, term: Term) -> Condition:
    names = (facet_name(term), term.parameter.name + IDENTIFIER)
    table = resource_date if term.parameter.type is SearchType.DATE else resource_facet
    return _of(table, kind, lambda columns: columns.parameter.in_(names))


def _of(table: sa.Table, kind: str, entry: Callable[[Any], Condition]) -> Condition:
    return resource.c.id.in_(sa.select(table.c.id).where(table.c.type == kind, entry(table.c)))
