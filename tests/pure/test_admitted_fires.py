"""What is admitted and can be satisfied fires; index, plain evaluation and explanation never disagree.

Subscriptions are written as their clients write them and go through admission; for each one a report is made
that meets every term of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.dates import bounds
from schemas.event import EventType
from schemas.facets import Facets, token
from schemas.fhir import (
    METRIC_SYSTEM,
    REPORT_KIND_SYSTEM,
    REPORT_STAGE_SYSTEM,
    STATUS_SYSTEM,
    THRESHOLD_TYPE_SYSTEM,
)
from schemas.topics import topics
from services.notifier.match.explain import explain
from services.notifier.match.index import MatchIndex
from services.notifier.match.interest import Interest
from services.notifier.subscriptions.admission import admit, interest, term_texts
from services.notifier.subscriptions.channels import EndpointPolicy
from tests.linear import fires
from tests.notifying import topical

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BASE = "https://vbpr.example/fhir"
POLICY = EndpointPolicy(allow_http=False, allow_private=False)
HOOK = "https://provider.example/hook"


@dataclass(frozen=True)
class Event:
    type: EventType
    facets: Facets
    previous_facets: Facets | None = None
    time: datetime = NOW


@dataclass(frozen=True)
class Wish:
    """A term as a client writes it, and facets that meet it."""

    text: str
    met_by: dict[str, list[Any]] = field(default_factory=dict)


def one_of(*values: str) -> st.SearchStrategy[str]:
    return st.sampled_from(values)


def wish(name: str, value: str, found: Any) -> Wish:
    return Wish(f"{name}={value}", {name.partition(":")[0]: [found]})


def coded(name: str, system: str, code: str) -> st.SearchStrategy[Wish]:
    found = token(system, code)
    forms = [wish(name, code, found), wish(name, found, found), wish(name, f"{found},other", found)]
    if name not in {"stage", "kind", "status"}:
        forms.append(wish(name, f"{system}|", found))
    else:
        forms = forms[:2]
    return st.sampled_from(forms)


def dated(name: str) -> st.SearchStrategy[Wish]:
    day = list(bounds("2026-02-15"))
    values = ("2026-02", "ne2025", "gt2026-02-14", "lt2026-02-16", "ge2026-02-15", "le2026-02-15", "sa2026-02-14",
              "eb2026-02-16", "ap2026-02-15", "2025,2026-02-15")  # fmt: skip
    return st.sampled_from([wish(name, value, day) for value in values])


def scored(prefix_and_score: str, found: str) -> Wish:
    return wish("metric-score", f"star${prefix_and_score}", [f"{METRIC_SYSTEM}|star", found, ""])


def missed(prefix_and_gap: str, found: str) -> Wish:
    return wish("threshold-gap", f"star-4${prefix_and_gap}", [f"{THRESHOLD_TYPE_SYSTEM}|star-4", found, "%"])


SCORES = [
    scored("lt3.5", "3.4"), scored("3.50", "3.5"), scored("ge3.5", "3.5"), scored("ne3", "4"), scored("gt-1", "0"),
    scored("ap100", "95"), scored("eb2", "1"),
]  # fmt: skip

GAPS = [missed("le0", "0"), missed("lt3||%25", "2.5"), missed("gt-1", "3"), missed("ne3", "-2")]

WISHES: dict[str, st.SearchStrategy[Wish]] = {
    "contract": st.just(wish("contract", "https://payer.example/C1", "https://payer.example/C1")),
    "provider": st.sampled_from(
        [
            wish("provider", "p1", "Organization/p1"),
            wish("provider", f"{BASE}/Organization/p1", "Organization/p1"),
            wish("provider:Organization", "p1", "Organization/p1"),
            wish("provider", "https://else.example/Organization/1", "https://else.example/Organization/1"),
        ]
    ),
    "stage": one_of("interim", "final", "settled").flatmap(lambda code: coded("stage", REPORT_STAGE_SYSTEM, code)),
    "kind": coded("kind", REPORT_KIND_SYSTEM, "quality"),
    "status": coded("status", STATUS_SYSTEM, "complete"),
    "lob": coded("lob", "https://nahdo.org/sopt", "1"),
    "identifier": coded("identifier", "urn:x", "a"),
    "metric": coded("metric", METRIC_SYSTEM, "star"),
    "measure": st.sampled_from(
        [
            wish("measure", "https://x.example/M", "https://x.example/M|2"),
            wish("measure", "https://x.example/M|2", "https://x.example/M|2"),
            wish("measure:below", "https://x.example/M|2", "https://x.example/M|2.1"),
        ]
    ),
    "period": dated("period"),
    "date": dated("date"),
    "paid-through": dated("paid-through"),
    "metric-score": st.sampled_from(SCORES),
    "threshold-gap": st.sampled_from(GAPS),
    "cohort": st.sampled_from([Wish("cohort:missing=true"), Wish("cohort:not=hmo"), Wish("cohort:not=hmo,ppo")]),
    "_tag": st.sampled_from([Wish("_tag=urn:t|a&_tag=urn:t|b", {"_tag": ["urn:t|a", "urn:t|b"]})]),
}  # fmt: skip


@st.composite
def wishes(draw: st.DrawFn) -> list[Wish]:
    names = draw(st.lists(st.sampled_from(sorted(WISHES)), max_size=5, unique=True))
    return [draw(WISHES[name]) for name in names]


@st.composite
def subscriptions(draw: st.DrawFn) -> tuple[dict[str, Any], list[Wish]]:
    """A Subscription as it is sent, and what it asks."""
    asked = draw(wishes())
    if draw(st.booleans()):
        query = "&".join(each.text for each in asked)
        resource = {
            "resourceType": "Subscription",
            "status": "requested",
            "reason": "test",
            "criteria": f"MeasureReport?{query}" if query else "MeasureReport",
            "channel": {"type": "rest-hook", "endpoint": HOOK, "payload": "application/fhir+json"},
        }
        return resource, asked
    form = draw(st.sampled_from(["{}", "MeasureReport.{}", "MeasureReport?{}"]))
    texts = [part for each in asked for part in each.text.split("&")]
    topic = draw(st.sampled_from(list(topics().values())))
    if topic.crosses and not any(text.startswith(topic.crosses) for text in texts):
        bound = draw(WISHES[draw(st.sampled_from(topic.crosses))])
        asked, texts = [*asked, bound], [*texts, bound.text]
    return {**topical(HOOK, *(form.format(text) for text in texts)), "criteria": topic.url}, asked


def admitted(resource: dict[str, Any], organisations: frozenset[str]) -> tuple[Interest, tuple[str, ...]]:
    found = admit(resource, base_url=BASE, policy=POLICY, now=NOW)
    wanted = interest(
        "s",
        organisations,
        found.kind,
        found.criteria,
        found.filters,
        base_url=BASE,
        ends_at=found.ends_at,
    )
    return wanted, term_texts(found.kind, found.criteria, found.filters)


def index_of(wanted: Interest) -> MatchIndex:
    index = MatchIndex()
    index.put(wanted)
    return index


organisations = st.sampled_from([frozenset({"*"}), frozenset({"Organization/payer"})])


@settings(max_examples=400, deadline=None)
@given(subscriptions(), organisations)
@pytest.mark.requirement("R-031", "R-041", "R-043", "R-044", "R-050")
def test_for_every_admitted_subscription_there_is_a_report_that_fires_it(
    sent: tuple[dict[str, Any], list[Wish]], organisations: frozenset[str]
) -> None:
    resource, asked = sent
    wanted, texts = admitted(resource, organisations)
    facets: dict[str, list[Any]] = {"payer": ["Organization/payer"]}
    for each in asked:
        for name, values in each.met_by.items():
            facets.setdefault(name, []).extend(values)
    trigger = wanted.audience.triggers[0]
    settled = {**facets, "stage": [token(REPORT_STAGE_SYSTEM, trigger.previously or "final")]}
    event = Event(trigger.event, facets, settled if trigger.previously else None)
    assert index_of(wanted).match(event) == ["s"], resource
    assert explain(wanted, texts, event, None).fires
    nobody = Interest(
        "s",
        frozenset({"Organization/x"}),
        wanted.query,
        wanted.audience,
    )
    assert index_of(nobody).match(event) == []


@st.composite
def reports(draw: st.DrawFn) -> Facets:
    """Facets that meet some wishes, the subscriber's perhaps among them."""
    found: dict[str, list[Any]] = {"payer": [draw(one_of("Organization/payer", "Organization/other"))]}
    for each in draw(wishes()):
        for name, values in each.met_by.items():
            found.setdefault(name, []).extend(values)
    return found


@settings(max_examples=400, deadline=None)
@given(
    subscriptions(),
    organisations,
    st.sampled_from(EventType),
    reports(),
    st.none() | reports(),
    st.none() | reports(),
    st.none() | st.integers(-1, 1),
)
@pytest.mark.requirement("R-024", "R-031", "R-077", "R-186")
def test_index_plain_evaluation_and_explanation_agree_on_every_pair(
    sent: tuple[dict[str, Any], list[Wish]],
    organisations: frozenset[str],
    kind: EventType,
    facets: Facets,
    previous: Facets | None,
    predecessor: Facets | None,
    after_end: int | None,
) -> None:
    """`after_end`: how many microseconds after the `end` of the Subscription, if it has one."""
    end = {} if after_end is None else {"end": (NOW + timedelta(hours=1)).isoformat()}
    wanted, texts = admitted(sent[0] | end, organisations)
    time = NOW if after_end is None else NOW + timedelta(hours=1, microseconds=after_end)
    event = Event(kind, facets, previous, time)
    found = index_of(wanted).match(event, predecessor) == ["s"]
    assert found == explain(wanted, texts, event, predecessor).fires
    assert found == (fires(wanted, event) and crosses(wanted, event, predecessor))


def crosses(wanted: Interest, event: Event, predecessor: Facets | None) -> bool:
    """Plainly: is a bound met that was not met before, evaluated one value at a time by a topic without bounds?"""
    if not wanted.audience.crosses:
        return True
    before = predecessor if event.previous_facets is None else event.previous_facets
    for term in wanted.query.terms:
        if term.parameter.name not in wanted.audience.crosses:
            continue
        for value in term.values:
            (metric, wanted_score) = value.metric, value.score  # type: ignore[union-attr]  # a bound is a MetricScore
            meets = [
                any(
                    found[0].partition("|")[2] == metric.code
                    and _meets(wanted_score.prefix.value, float(found[1]), wanted_score)
                    for found in values_of(judged, term.parameter.name)
                )
                for judged in (event.facets, before)
            ]
            if meets == [True, False]:
                return True
    return False


def values_of(facets: Facets | None, name: str) -> Any:
    return () if facets is None else facets.get(name, ())


def _meets(prefix: str, found: float, wanted: Any) -> bool:
    value, low, high = float(wanted.value), float(wanted.low), float(wanted.high)
    return {
        "eq": low <= found < high,
        "ne": not low <= found < high,
        "gt": found > value,
        "lt": found < value,
        "ge": found >= value,
        "le": found <= value,
        "sa": found > value,
        "eb": found < value,
        "ap": abs(found - value) <= abs(value) / 10,
    }[prefix]
