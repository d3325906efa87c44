"""Which terms of a query can be looked up, and under which values: the plan by which a query is filed.

A *column* is one reading of one facet: all of it, the code of a token, the URL of a canonical. A term that
some reading can answer by equality becomes a lookup in that column. At most three terms of a query do, the most
selective first, so that the values an event has to be looked up under stay few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from itertools import product
from operator import attrgetter
from typing import Any, Final, TypeAlias

from schemas.facets import Facets
from schemas.search.parameters import Modifier
from schemas.search.predicate import equal_form, facet_name
from schemas.search.values import Canonical, MetricScore, Query, Term, Token

MOST_TERMS: Final = 3
"""Most terms of a query that are looked up."""

MOST_PLACES: Final = 16
"""Most combinations of values a query is filed under, unless its first term alone has more."""

_TERMS: Final = 10_000
"""Terms whose lookups are kept: many queries share a term."""

_SELECTIVE: Final = (
    "_id", "identifier", "contract", "provider", "subject-organization", "subject", "measure", "quality-measure",
    "provider-identifier", "evaluated-resource", "reporter", "payer", "payer-identifier", "metric-score",
    "threshold-gap", "metric", "payment-stream", "stage", "kind", "lob", "category", "status", "program-model", "cohort",
)  # fmt: skip
"""Parameters from the most selective to the least; those not named come last."""

_MANY: Final = frozenset(
    {"identifier", "evaluated-resource", "metric-score", "threshold-gap", "metric", "payment-stream",
     "program-model", "_tag", "_security", "_profile", "cohort", "provider-identifier", "payer-identifier"}
)  # fmt: skip
"""Parameters a report has many values of. One of them a query: two would multiply."""


class Reading(Enum):
    """How a facet value is looked up."""

    WHOLE = auto()
    CODE = auto()
    URL = auto()
    METRIC = auto()

    # Members are compared by identity; Enum would hash their names, in Python, each time a table is looked up.
    __hash__ = object.__hash__


Column: TypeAlias = tuple[str, Reading]
Signature: TypeAlias = tuple[Column, ...]
Place: TypeAlias = tuple[str, ...]
"""One value for each column of a signature."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a query is filed: under every one of the places; what is left of it must still hold."""

    signature: Signature
    places: tuple[Place, ...]
    residual: tuple[Term, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Lookup:
    term: Term
    column: Column
    values: tuple[str, ...]
    sufficient: bool
    """Whether equality in the column is all the term asks."""
    rank: tuple[int, str]
    """How selective it is: less is more."""
    many: bool
    """Whether a report has many values in the column."""


def plan(query: Query) -> Plan:
    """Return how the query is filed; without any term to look up it has one place, the empty one."""
    found = [(_lookup(term), term) for term in query.terms]
    lookups = [lookup for lookup, _ in found if lookup is not None]
    if len(lookups) > 1:
        lookups.sort(key=_by_rank)
    chosen: list[_Lookup] = []
    places = 1
    for lookup in lookups:
        if not chosen or _fits(lookup, chosen, places):
            chosen.append(lookup)
            places *= len(lookup.values)
    # By identity: a lookup is the same object for equal terms.
    answered = [each for each in chosen if each.sufficient]
    return Plan(
        tuple([each.column for each in chosen]),
        tuple(product(*[each.values for each in chosen])),
        tuple([term for lookup, term in found if lookup not in answered]),
    )


def read(facets: Facets, column: Column) -> tuple[str, ...]:
    """Return what an event with these facets is looked up under in the column, each value once."""
    name, reading = column
    found: Sequence[Any] = facets.get(name, ())
    match reading:
        case Reading.WHOLE:
            return tuple(dict.fromkeys(found))
        case Reading.CODE:
            return tuple({value.partition("|")[2] for value in found})
        case Reading.URL:
            return tuple({value.partition("|")[0] for value in found})
        case Reading.METRIC:
            return tuple({value[0].partition("|")[2] for value in found})


_by_rank = attrgetter("rank")


def _rank(term: Term) -> tuple[int, str]:
    name = term.parameter.name
    return (_SELECTIVE.index(name) if name in _SELECTIVE else len(_SELECTIVE), name)


def _fits(lookup: _Lookup, chosen: list[_Lookup], places: int) -> bool:
    if len(chosen) == MOST_TERMS or places * len(lookup.values) > MOST_PLACES:
        return False
    name, many = lookup.term.parameter.name, lookup.many
    return not any(each.term.parameter.name == name or (many and each.many) for each in chosen)


@lru_cache(_TERMS)
def _lookup(term: Term) -> _Lookup | None:
    """Return the lookup that is necessary for the term to hold, `None` when there is none."""
    if term.modifier in {Modifier.NOT, Modifier.MISSING}:
        return None
    equal = [equal_form(term, value) for value in term.values]
    if all(equal) and term.parameter.system is None:
        return _in(term, Reading.WHOLE, [form for forms in equal for form in forms], sufficient=True)
    tokens = [value for value in term.values if isinstance(value, Token) and value.code is not None]
    if len(tokens) == len(term.values):
        # One column for `settled` and `system|settled`: where the system was named it is checked afterwards.
        sufficient = all(value.system is None for value in tokens)
        return _in(term, Reading.CODE, [str(value.code) for value in tokens], sufficient=sufficient)
    canonicals = [value for value in term.values if isinstance(value, Canonical)]
    if len(canonicals) == len(term.values):
        sufficient = all(value.version is None for value in canonicals)
        return _in(term, Reading.URL, [value.url for value in canonicals], sufficient=sufficient)
    scores = [
        value for value in term.values if isinstance(value, MetricScore) and value.metric.code is not None
    ]
    if len(scores) == len(term.values):
        return _in(term, Reading.METRIC, [str(value.metric.code) for value in scores], sufficient=False)
    return None


def _in(term: Term, reading: Reading, values: list[str], *, sufficient: bool) -> _Lookup:
    return _Lookup(
        term,
        (facet_name(term), reading),
        tuple(dict.fromkeys(values)),
        sufficient,
        _rank(term),
        facet_name(term) in _MANY,
    )
