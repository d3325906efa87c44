"""The plain evaluation of criteria: every term of every subscription against every event, one after another.

Written apart from the product: it shares the parsed terms and the facets with it and nothing else. It parses
bounds into moments instead of comparing text, and it knows no index.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from schemas.event import EventType
from schemas.search.values import (
    Canonical,
    Date,
    MetricScore,
    Missing,
    Number,
    Query,
    Reference,
    Term,
    Text,
    Token,
)
from services.notifier.match.interest import EventView, Interest

STAGE = "https://vbpr-subscriptions.org/fhir/CodeSystem/report-stage|"
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def fired(interests: Iterable[Interest], event: EventView) -> list[str]:
    return sorted(interest.subscription for interest in interests if fires(interest, event))


def fires(interest: Interest, event: EventView) -> bool:
    if interest.ends_at is not None and not event.time < interest.ends_at:
        return False
    parties = {"*"} | set(event.facets.get("payer", [])) | set(event.facets.get("provider", []))
    if not parties & interest.organisations or not accepted(interest, event):
        return False
    if satisfied(interest.query, event.facets, event.time):
        return True
    gone = event.type in {EventType.WITHDRAWN, EventType.DELETED}
    if not (gone and interest.audience.also_previous) or event.previous_facets is None:
        return False
    return satisfied(interest.query, event.previous_facets, event.time)


def accepted(interest: Interest, event: EventView) -> bool:
    for trigger in interest.audience.triggers:
        if trigger.event != event.type:
            continue
        before = event.facets if event.previous_facets is None else event.previous_facets
        if not trigger.previously or STAGE + trigger.previously in before.get("stage", []):
            return True
    return False


def satisfied(query: Query, facets: Any, now: datetime) -> bool:
    return all(term_holds(term, facets, now) for term in query.terms)


def term_holds(term: Term, facets: Any, now: datetime) -> bool:
    name = term.parameter.name
    if term.modifier == "missing":
        (value,) = term.values
        assert isinstance(value, Missing)
        absent = len(facets.get(name, [])) == 0 and len(facets.get(name + ":identifier", [])) == 0
        return absent == value.missing
    key = name
    if term.modifier == "identifier":
        key = f"{name}-identifier" if name in {"payer", "provider"} else f"{name}:identifier"
    hit = False
    for found in facets.get(key, []):
        for value in term.values:
            hit = hit or value_holds(term, value, found, now)
    return not hit if term.modifier == "not" else hit


def value_holds(term: Term, value: Any, found: Any, now: datetime) -> bool:  # noqa: PLR0911  # one kind of value after another
    if isinstance(value, Token):
        return token_holds(value, found)
    if isinstance(value, Reference):
        return found in value.forms
    if isinstance(value, Canonical):
        url, _, version = found.partition("|")
        if url != value.url:
            return False
        if value.version is None or value.version == version:
            return True
        return term.modifier == "below" and version[: len(value.version) + 1] == value.version + "."
    if isinstance(value, Text):
        return (
            bool(found[: len(value.text)] == value.text) if term.modifier == "below" else found == value.text
        )
    if isinstance(value, Date):
        return date_holds(value, found, now)
    if isinstance(value, Number):
        return number_holds(value, Decimal(found))
    assert isinstance(value, MetricScore)
    code, score, unit = found
    if value.unit is not None and value.unit != unit:
        return False
    return token_holds(value.metric, code) and number_holds(value.score, Decimal(score))


def token_holds(value: Token, found: str) -> bool:
    at = found.index("|")
    system, code = found[:at], found[at + 1 :]
    if value.system is not None and value.system != system:
        return False
    return value.code is None or value.code == code


def date_holds(value: Date, found: list[str | None], now: datetime) -> bool:
    s0, s1 = when(value.low, FIRST), when(value.high, LAST)
    t0, t1 = when(found[0], FIRST), when(found[1], LAST)
    closed = found[0] is not None and found[1] is not None
    inside = closed and s0 <= t0 and t1 <= s1
    if value.prefix == "ap":
        slack = abs((now - s0) / 10)
        return t0 < s1 + slack and s0 - slack < t1
    return {
        "eq": inside,
        "ne": not inside,
        "gt": t1 > s1,
        "lt": t0 < s0,
        "ge": t1 > s0,
        "le": t0 < s1,
        "sa": t0 >= s1 and found[0] is not None,
        "eb": t1 <= s0 and found[1] is not None,
    }[value.prefix]


def when(bound: str | None, otherwise: datetime) -> datetime:
    return (
        otherwise if bound is None else datetime.strptime(bound, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    )


def number_holds(value: Number, found: Decimal) -> bool:
    inside = value.low <= found < value.high
    return {
        "eq": inside,
        "ne": not inside,
        "gt": found > value.value,
        "sa": found > value.value,
        "lt": found < value.value,
        "eb": found < value.value,
        "ge": found >= value.value,
        "le": found <= value.value,
        "ap": abs(found - value.value) * 10 <= abs(value.value),
    }[value.prefix]
