"""Does this report match this term? Terms compiled into functions over facets.

Matching runs these over the facets of an event, and whatever else has to judge a report does too. A term that
asks for a value never matches a report without one; only `:not` and `:missing=true` do.
Source: FHIR R4 search 3.1.1.4.5 to 3.1.1.4.17. Two readings are choices: `ge` and `le` are met by a Period that
overlaps the date asked for, and a canonical without `|version` means any version.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias, assert_never

from schemas.dates import moment, shifted
from schemas.facets import Facets, FacetValue, token
from schemas.search.parameters import Modifier, SearchType
from schemas.search.values import (
    Canonical,
    Date,
    MetricScore,
    Missing,
    Number,
    Prefix,
    Reference,
    Term,
    Text,
    Token,
    Value,
)

Predicate: TypeAlias = Callable[[Facets, datetime], bool]
"""Takes the facets and the moment `ap` counts from: the event's time, so that a replay decides the same."""

_Test: TypeAlias = Callable[[Any, datetime], bool]
"""Takes one facet value, in the form `schemas.facets` gives for the parameter's type."""


def compile_terms(terms: Iterable[Term]) -> Predicate:
    """Return the function that tells whether every term holds; no terms always do."""
    tests = tuple(compile_term(term) for term in terms)
    if not tests:
        return lambda _facets, _now: True
    if len(tests) == 1:
        return tests[0]
    return lambda facets, now: all(test(facets, now) for test in tests)


def compile_term(term: Term) -> Predicate:
    """Return the function that tells whether a report with these facets satisfies the term."""
    if term.modifier is Modifier.MISSING:
        return _missing(term)
    any_value = _any_value(term)
    if term.modifier is Modifier.NOT:
        return lambda facets, now: not any_value(facets, now)
    return any_value


def facet_name(term: Term) -> str:
    """Return the key of the facets a term looks at."""
    parameter = term.parameter
    if term.modifier is Modifier.IDENTIFIER:
        return parameter.identified_by or f"{parameter.name}:identifier"
    return parameter.name


def concerns(term: Term, found: FacetValue, now: datetime) -> bool:
    """Tell whether a term is about a value, met or not: about scores of the metrics it names, else about every one."""
    metrics = [_token(value.metric) for value in term.values if isinstance(value, MetricScore)]
    return not metrics or any(test(found[0], now) for test in metrics)


def equal_form(term: Term, value: Value) -> tuple[str, ...]:
    """Return the facet values that satisfy the value by being equal to it; none when it takes more than that."""
    match value:
        case Token(system=str(system), code=str(code)):
            return (token(system, code),)
        case Reference(forms=forms):
            return forms
        case Text(text=text) if term.parameter.type is SearchType.URI and term.modifier is None:
            return (text,)
        case _:
            return ()


def _missing(term: Term) -> Predicate:
    name = term.parameter.name
    identifier = f"{name}:identifier"  # a reference that only has an identifier is there
    wanted = {value.missing for value in term.values if isinstance(value, Missing)}
    return lambda facets, _now: (not (facets.get(name) or facets.get(identifier))) in wanted


def _any_value(term: Term) -> Predicate:
    name = facet_name(term)
    equal = [equal_form(term, value) for value in term.values]
    if all(equal):
        forms = frozenset(form for each in equal for form in each)
        return lambda facets, _now: any(found in forms for found in facets.get(name, ()))
    tests = tuple(_test(term, value) for value in term.values)
    if len(tests) == 1:
        (only,) = tests
        return lambda facets, now: any(only(found, now) for found in facets.get(name, ()))
    return lambda facets, now: any(test(found, now) for found in facets.get(name, ()) for test in tests)


def _test(term: Term, value: Value) -> _Test:  # noqa: PLR0911  # one return for each kind of value
    match value:
        case Token():
            return _token(value)
        case Reference(forms=forms):
            return lambda found, _now: found in forms
        case Canonical():
            return _canonical(value, below=term.modifier is Modifier.BELOW)
        case Text(text=text):
            return (
                _uri(text, term.modifier)
                if term.parameter.type is SearchType.URI
                else _string(text, term.modifier)
            )
        case Date():
            return _date(value)
        case Number():
            return _number(value)
        case MetricScore():
            return _metric_score(value)
        case Missing():
            raise AssertionError("a term under :missing has been compiled already")
        case _:
            assert_never(value)


def _token(wanted: Token) -> _Test:
    match wanted:
        case Token(system=None, code=code):
            return lambda found, _now: found.partition("|")[2] == code
        case Token(system=system, code=None):
            start = f"{system}|"
            return lambda found, _now: found.startswith(start)
        case _:
            form = f"{wanted.system}|{wanted.code}"
            return lambda found, _now: found == form


def _canonical(wanted: Canonical, *, below: bool) -> _Test:
    url, version = wanted.url, wanted.version
    if version is None:
        return lambda found, _now: found.partition("|")[0] == url
    form = f"{url}|{version}"
    if below:
        return lambda found, _now: found == form or found.startswith(f"{form}.")
    return lambda found, _now: found == form


def _uri(text: str, modifier: Modifier | None) -> _Test:
    if modifier is Modifier.BELOW:
        return lambda found, _now: found.startswith(text)
    return lambda found, _now: found == text


def _string(text: str, modifier: Modifier | None) -> _Test:
    if modifier is Modifier.EXACT:
        return lambda found, _now: found == text
    plain = plain_text(text)
    if modifier is Modifier.CONTAINS:
        return lambda found, _now: plain in plain_text(found)
    return lambda found, _now: plain_text(found).startswith(plain)


def plain_text(text: str) -> str:
    """Return the text without case and accents, as a string search compares it."""
    return "".join(
        each for each in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(each)
    )


def _date(wanted: Date) -> _Test:  # noqa: C901, PLR0911  # one line for each of FHIR's nine prefixes
    low, high = wanted.low, wanted.high

    def contained(found: Any, _now: datetime) -> bool:
        return found[0] is not None and found[1] is not None and low <= found[0] and found[1] <= high

    match wanted.prefix:
        case Prefix.EQ:
            return contained
        case Prefix.NE:
            return lambda found, now: not contained(found, now)
        case Prefix.GT:
            return lambda found, _now: found[1] is None or found[1] > high
        case Prefix.LT:
            return lambda found, _now: found[0] is None or found[0] < low
        case Prefix.GE:
            return lambda found, _now: found[1] is None or found[1] > low
        case Prefix.LE:
            return lambda found, _now: found[0] is None or found[0] < high
        case Prefix.SA:
            return lambda found, _now: found[0] is not None and found[0] >= high
        case Prefix.EB:
            return lambda found, _now: found[1] is not None and found[1] <= low
        case Prefix.AP:
            return _approximate_date(wanted)
        case _:
            assert_never(wanted.prefix)


def approximate(wanted: Date, now: datetime) -> tuple[str, str]:
    """Return the bounds of `ap`: wider on both sides by a tenth of the time between now and the date."""
    low, high = moment(wanted.low), moment(wanted.high)
    slack = abs(now - low) / 10
    return shifted(low, -slack), shifted(high, slack)


def _approximate_date(wanted: Date) -> _Test:
    def test(found: Any, now: datetime) -> bool:
        low, high = approximate(wanted, now)
        return (found[0] is None or found[0] < high) and (found[1] is None or low < found[1])

    return test


def _number(wanted: Number) -> _Test:
    compare = _comparison(wanted)
    return lambda found, _now: compare(Decimal(found))


def _comparison(wanted: Number) -> Callable[[Decimal], bool]:  # noqa: PLR0911  # one line for each of FHIR's prefixes
    value, low, high = wanted.value, wanted.low, wanted.high
    match wanted.prefix:
        case Prefix.EQ:
            return lambda found: low <= found < high
        case Prefix.NE:
            return lambda found: not low <= found < high
        case Prefix.GT | Prefix.SA:
            return lambda found: found > value
        case Prefix.LT | Prefix.EB:
            return lambda found: found < value
        case Prefix.GE:
            return lambda found: found >= value
        case Prefix.LE:
            return lambda found: found <= value
        case Prefix.AP:
            slack = abs(value) / 10
            return lambda found: abs(found - value) <= slack
        case _:
            assert_never(wanted.prefix)


def _metric_score(wanted: MetricScore) -> _Test:
    metric, score, unit = _token(wanted.metric), _number(wanted.score), wanted.unit
    return lambda found, now: (
        metric(found[0], now) and (unit is None or found[2] == unit) and score(found[1], now)
    )
