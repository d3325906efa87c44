"""Is this Subscription one that will be honoured? What was asked, or every reason why not.

Classic or topic is told by `Subscription.criteria`: a search string or an absolute URI
(Subscriptions R5 Backport, components; requirements R-030, R-031, R-057, R-059).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from schemas.dates import bounds, moment
from schemas.fhir import BACKPORT_FILTER, LATEST_ONLY
from schemas.outcome import FhirError, Issue
from schemas.search.grammar import CriteriaError, parse_criteria, parse_filter
from schemas.search.parameters import MEASURE_REPORT
from schemas.search.syntax import pairs
from schemas.search.values import Query, Term
from schemas.structure.gate import check_structure
from schemas.topics import Topic, find, topics
from services.notifier.match.interest import Interest
from services.notifier.model import Status, SubscriptionKind
from services.notifier.subscriptions.channels import AskedChannel, EndpointPolicy, read_channel

_FILTERS = 10_000
"""Texts of filters whose terms are kept."""

_TOPIC = re.compile(r"(https?|urn):\S+")
_SERVING = re.compile(
    r"http://hl7\.org/fhir/(uv/subscriptions-backport/StructureDefinition/backport-.+"
    r"|[0-9.]+/StructureDefinition/extension-Subscription\.(topic|filterBy|channelType|endpoint|parameter"
    r"|heartbeatPeriod|timeout|contentType|content|maxCount))"
)
"""The guide's extensions, and as extensions those elements of R5's Subscription that say the same."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A Subscription as asked for, all of which will be honoured."""

    kind: SubscriptionKind
    asked: Status
    """What the client wants it to be: `requested` or `off`; `active` is read as `requested`."""
    criteria: str
    filters: tuple[str, ...]
    channel: AskedChannel
    ends_at: datetime | None
    resource: Mapping[str, Any]
    """As sent, without what the server manages: id, version, time, status, error."""


def admit(resource: dict[str, Any], *, base_url: str, policy: EndpointPolicy, now: datetime) -> Admitted:
    """Return what was asked, `now`: an `end` has to lie ahead.

    Raises:
        FhirError: 400 for what is not a Subscription by its structure, 422 for what will not be honoured; every
            finding at once, each with its element.
    """
    if structural := check_structure(resource):
        raise FhirError(400, *structural)
    criteria = str(resource["criteria"])
    kind: SubscriptionKind = "topic" if _TOPIC.fullmatch(criteria) else "classic"
    filters = _filters(resource)
    status, issues = _status(resource["status"])
    channel, found = read_channel(resource["channel"], kind, policy)
    ends_at, late = _end(resource, now, status)
    issues += [*found, *late, *_elements(resource, kind), *_told_for_itself(criteria, channel)]
    try:
        interest_terms(kind, criteria, filters, base_url=base_url)
    except FhirError as error:
        malformed = error.status == 400
        raise FhirError(400 if malformed and not issues else 422, *error.issues, *issues) from None
    if issues:
        raise FhirError(422, *issues)
    return Admitted(kind, status, criteria, filters, channel, ends_at, _kept(resource))


def interest_terms(
    kind: SubscriptionKind, criteria: str, filters: tuple[str, ...], *, base_url: str
) -> Query:
    """Return what the criteria, or the topic's filters, ask of a report.

    Raises:
        FhirError: they ask for what is not served.
    """
    if kind == "classic":
        return parse_criteria(criteria, base_url=base_url)
    topic = _topic(criteria)
    terms: list[Term] = []
    issues: list[Issue] = []
    for place, text in enumerate(filters):
        at = f"Subscription.criteria.extension[{place}]"
        try:
            found, misplaced = _parsed(topic, text, base_url)
        except CriteriaError as error:
            issues += (replace(issue, expression=at) for issue in error.issues)
            continue
        terms += found
        for name in misplaced:
            said = f"{topic.title!r} cannot be filtered by {name}"
            issues.append(Issue("error", "not-supported", said, at))
    if topic.crosses and not issues and all(term.parameter.name not in topic.crosses for term in terms):
        such = (f"{name}={MEASURE_REPORT[name].example}" for name in topic.crosses)
        said = f"{topic.title!r} needs a filter that gives the bound to watch, such as {' or '.join(such)}"
        issues.append(Issue("error", "required", said, "Subscription.criteria"))
    if issues:
        raise FhirError(422, *issues)
    return Query("MeasureReport", tuple(terms))


@lru_cache(_FILTERS)
def _parsed(topic: Topic, text: str, base_url: str) -> tuple[tuple[Term, ...], tuple[str, ...]]:
    """Return a filter's terms, and those parameters of it that the topic does not allow.

    Many Subscriptions have the same filter, and then share one.
    """
    terms = parse_filter(text, base_url=base_url, expression="")
    names = (term.parameter.name for term in terms)
    return terms, tuple(name for name in names if name not in topic.can_filter_by)


def term_texts(kind: SubscriptionKind, criteria: str, filters: tuple[str, ...]) -> tuple[str, ...]:
    """Return the text of every term of admitted criteria or filters, in the order of `interest_terms`."""
    queries = [criteria.partition("?")[2]] if kind == "classic" else [_query_of(each) for each in filters]
    return tuple(
        f"{name.removeprefix('MeasureReport.')}={value}"
        for query in queries
        for name, value in pairs(query)
        if kind == "topic" or name != "_format"
    )


def _query_of(text: str) -> str:
    return text.removeprefix("MeasureReport?")


def interest(
    subscription: str,
    organisations: frozenset[str],
    kind: SubscriptionKind,
    criteria: str,
    filters: tuple[str, ...],
    *,
    base_url: str,
    ends_at: datetime | None = None,
) -> Interest:
    """Return an admitted subscription as the match index knows it."""
    query = interest_terms(kind, criteria, filters, base_url=base_url)
    if kind == "classic":
        return Interest.classic(subscription, organisations, query, ends_at=ends_at)
    return Interest.in_topic(subscription, organisations, query, _topic(criteria), ends_at=ends_at)


def _topic(criteria: str) -> Topic:
    topic = find(criteria)
    if topic is None:
        known = ", ".join(topics())
        raise FhirError(
            422,
            Issue(
                "error",
                "not-supported",
                f"found topic {criteria}; expected one of {known}",
                "Subscription.criteria",
            ),
        )
    return topic


def _filters(resource: dict[str, Any]) -> tuple[str, ...]:
    extensions = resource.get("_criteria", {}).get("extension", [])
    return tuple(
        str(item.get("valueString", "")) for item in extensions if item.get("url") == BACKPORT_FILTER
    )


def _elements(resource: dict[str, Any], kind: SubscriptionKind) -> list[Issue]:
    issues = [
        *_modifiers(resource, "Subscription"),
        *_modifiers(resource["channel"], "Subscription.channel"),
        *_misplaced(resource),
    ]
    for place, item in enumerate(resource.get("_criteria", {}).get("extension", [])):
        at = f"Subscription.criteria.extension[{place}]"
        if item.get("url") != BACKPORT_FILTER:
            issues.append(Issue("error", "not-supported", f"extension {item.get('url')} is not served", at))
        elif kind == "classic":
            said = "filters belong to topic Subscriptions; put the search into the criteria"
            issues.append(Issue("error", "not-supported", said, at))
    return issues


def _misplaced(resource: dict[str, Any]) -> list[Issue]:
    """Return an issue for each extension that would say how it is to be served, where none is read.

    A filter passed over would tell more than was asked for. Extensions that are nobody's concern but the client's are kept.
    """
    return [
        Issue(
            "error",
            "not-supported",
            f"extension {url} is not read here; filters stand on criteria, all else on channel and its payload",
            f"{at}.extension[{place}]",
        )
        for at, element in _unread(resource)
        for place, item in enumerate(element.get("extension", []))
        if (url := str(item.get("url"))) == LATEST_ONLY or _SERVING.fullmatch(url) is not None
    ]


_READ = {"Subscription": {"_criteria"}, "Subscription.channel": {"_type", "_payload"}}
"""Primitive elements whose extensions are judged one by one; so are the channel's own."""


def _unread(resource: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the resource, and each primitive of it and of its channel, whose extensions serve nothing."""
    yield "Subscription", resource
    for at, element in (("Subscription", resource), ("Subscription.channel", resource["channel"])):
        for name, found in element.items():
            if name.startswith("_") and name not in _READ[at]:
                several = isinstance(found, list)
                for place, each in enumerate(found if several else [found]):
                    if each is not None:  # of several, those without an extension
                        yield f"{at}.{name[1:]}" + (f"[{place}]" if several else ""), each


def _modifiers(element: dict[str, Any], at: str) -> list[Issue]:
    """Return an issue for each modifier extension: it changes what the element means, and none is known here (R4 extensibility.html)."""
    return [
        Issue(
            "error",
            "not-supported",
            f"found modifier extension {item.get('url')}; expected none, for none is understood",
            f"{at}.modifierExtension[{place}]",
        )
        for place, item in enumerate(element.get("modifierExtension", []))
    ]


def _told_for_itself(criteria: str, channel: AskedChannel) -> list[Issue]:
    topic = find(criteria)
    if not channel.latest_only or topic is None or not topic.crosses:
        return []
    said = f"latest-only is not served for {topic.title!r}: each crossing is told for itself"
    return [Issue("error", "business-rule", said, "Subscription.channel.extension")]


def _end(resource: dict[str, Any], now: datetime, asked: Status) -> tuple[datetime | None, list[Issue]]:
    """Return when it ends; one that is switched off may have ended."""
    if "end" not in resource:
        return None, []
    ends_at = moment(bounds(resource["end"])[0])
    if ends_at > now or asked is Status.OFF:
        return ends_at, []
    said = f"found {resource['end']}, which has passed; expected an instant ahead, or none"
    return ends_at, [Issue("error", "business-rule", said, "Subscription.end")]


def _status(found: str) -> tuple[Status, list[Issue]]:
    if found == Status.OFF:
        return Status.OFF, []
    if found in {Status.REQUESTED, Status.ACTIVE}:  # `active`: R-076, and what the guide's examples send
        return Status.REQUESTED, []
    said = f"found status {found}; a client asks for requested or off"
    return Status.REQUESTED, [Issue("error", "value", said, "Subscription.status")]


_MANAGED = frozenset({"id", "status", "error"})


def _kept(resource: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in resource.items() if name not in _MANAGED}
    meta = {
        name: value
        for name, value in kept.pop("meta", {}).items()
        if name not in {"versionId", "lastUpdated"}
    }
    return {**kept, "meta": meta} if meta else kept
