"""A crossing is told once: when a bound comes to be met that was not met before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.event import EventType
from schemas.facets import Facets
from schemas.fhir import METRIC_SYSTEM, OURS, THRESHOLD_TYPE_SYSTEM
from schemas.outcome import FhirError
from schemas.search.grammar import parse_filter
from schemas.search.values import Query
from schemas.topics import find
from services.notifier.match.explain import explain
from services.notifier.match.index import MatchIndex
from services.notifier.match.interest import Interest
from services.notifier.match.series import series_of
from services.notifier.subscriptions.admission import interest_terms

NOW = datetime(2026, 3, 2, tzinfo=UTC)
TOPIC = OURS + "SubscriptionTopic/metric-threshold"


@dataclass(frozen=True)
class Event:
    type: EventType
    facets: Facets
    previous_facets: Facets | None = None
    time: datetime = NOW


def scores(**metrics: str) -> Facets:
    return {
        "provider": ["Organization/p1"],
        "contract": ["http://x/C1"],
        "metric-score": [
            [f"{METRIC_SYSTEM}|{name.replace('_', '-')}", score, ""] for name, score in metrics.items()
        ],
    }


def gaps(**types: str) -> Facets:
    return {
        **scores(),
        "metric-score": [],
        "threshold-gap": [
            [f"{THRESHOLD_TYPE_SYSTEM}|{name.replace('_', '-')}", gap, ""] for name, gap in types.items()
        ],
    }


def watching(*filters: str, organisations: frozenset[str] = frozenset({"*"})) -> MatchIndex:
    topic = find(TOPIC)
    assert topic is not None
    terms = [term for text in filters for term in parse_filter(text, base_url="", expression="x")]
    index = MatchIndex()
    index.put(Interest.in_topic("s", organisations, Query("MeasureReport", tuple(terms)), topic))
    return index


def told(index: MatchIndex, now: Facets, *, superseded: Any = None, predecessor: Any = None) -> bool:
    event = Event(EventType.PUBLISHED, now, superseded)
    return index.match(event, predecessor) == ["s"]


def test_a_rating_that_falls_below_the_bound_is_told_once() -> None:
    index = watching("metric-score=star$lt3.5")
    assert told(index, scores(star="3.4"), superseded=scores(star="3.5"))
    assert not told(index, scores(star="3.3"), superseded=scores(star="3.4"))
    assert not told(index, scores(star="3.6"), superseded=scores(star="3.4"))
    assert told(index, scores(star="3.4"), superseded=scores(star="3.6"))


def test_without_a_superseded_report_the_predecessor_is_what_it_is_judged_against() -> None:
    index = watching("metric-score=star$lt3.5")
    assert told(index, scores(star="3.4"), predecessor=scores(star="4"))
    assert not told(index, scores(star="3.4"), predecessor=scores(star="3"))
    assert not told(index, scores(star="3.4"), superseded=scores(star="3"), predecessor=scores(star="4"))


def test_the_first_report_of_a_series_tells_of_the_bounds_it_meets() -> None:
    index = watching("metric-score=savings$lt0")
    assert told(index, scores(savings="-0.01"))
    assert not told(index, scores(savings="0"))
    assert told(index, scores(savings="-1"), predecessor=scores(star="4"))


def test_each_of_several_bounds_is_a_crossing_of_its_own() -> None:
    index = watching("metric-score=star$lt3.5,savings$lt0")
    before = scores(star="3", savings="5")
    assert told(index, scores(star="3", savings="-5"), superseded=before)
    assert not told(index, scores(star="2", savings="5"), superseded=before)


def test_bounds_given_apart_have_to_be_met_together() -> None:
    index = watching("metric-score=star$lt3.5", "metric-score=savings$lt0")
    before = scores(star="3", savings="5")
    assert told(index, scores(star="3", savings="-5"), superseded=before)
    assert not told(index, scores(star="4", savings="-5"), superseded=before)


OPEN, CLOSED, BEYOND = gaps(star_4="3"), gaps(star_4="0"), gaps(star_4="-1.5")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (OPEN, CLOSED, True),
        (OPEN, BEYOND, True),
        (OPEN, gaps(star_4="0.01"), False),
        (CLOSED, CLOSED, False),
        (CLOSED, BEYOND, False),
        (CLOSED, OPEN, False),
        (None, CLOSED, True),
        (None, OPEN, False),
        (gaps(), CLOSED, True),  # no gap was given before, or the report is from before gaps were read
        (gaps(star_5="0"), CLOSED, True),
        (OPEN, gaps(star_4="1", star_5="-1"), False),
        (gaps(star_4="3", star_5="5"), gaps(star_4="0", star_5="2"), True),
        (OPEN, scores(star_4="0"), False),  # a metric of the same code is no threshold
    ],
)
def test_a_gap_closes_when_it_comes_to_0_or_below(before: Facets | None, now: Facets, expected: bool) -> None:
    index = watching("threshold-gap=star-4$le0")
    assert told(index, now, predecessor=before) is expected
    assert told(index, now, superseded=before) is expected


def test_a_metric_and_a_gap_watched_together_have_both_to_be_met() -> None:
    index = watching("metric-score=star$ge4", "threshold-gap=star-4$le0")
    before = {**gaps(star_4="2"), "metric-score": scores(star="4")["metric-score"]}
    assert told(
        index, {**before, **gaps(star_4="0"), "metric-score": before["metric-score"]}, superseded=before
    )
    assert not told(index, {**CLOSED, **scores(star="3"), "threshold-gap": CLOSED["threshold-gap"]})


@pytest.mark.parametrize("before", [None, OPEN, CLOSED])
def test_an_explanation_shows_the_gap_that_came_before(before: Facets | None) -> None:
    topic, text = find(TOPIC), "threshold-gap=star-4$le0"
    assert topic is not None
    query = interest_terms("topic", TOPIC, (text,), base_url="")
    wanted = Interest.in_topic("s", frozenset({"*"}), query, topic)
    found = explain(wanted, (text,), Event(EventType.PUBLISHED, CLOSED), before)
    (check,) = (each for each in found.checks if each.name == "crossing")
    shown = "no report came before"
    if before is not None:
        shown = f"before: {THRESHOLD_TYPE_SYSTEM}|star-4 {before['threshold-gap'][0][1]}"
    assert (check.found, check.holds) == (shown, before is not CLOSED)


def test_other_filters_select_and_cross_nothing() -> None:
    index = watching("metric-score=star$lt3.5", "contract=http://x/C1")
    elsewhere = {**scores(star="3.4"), "contract": ["http://x/C2"]}
    assert not told(index, elsewhere, superseded=scores(star="4"))
    assert not told(index, scores(star="3.4"), superseded={**elsewhere})


def test_whoever_is_no_party_hears_of_no_crossing() -> None:
    index = watching("metric-score=star$lt3.5", organisations=frozenset({"Organization/p2"}))
    assert not told(index, scores(star="3.4"))


@pytest.mark.parametrize("kind", [EventType.WITHDRAWN, EventType.DELETED])
def test_a_report_that_goes_away_crosses_nothing(kind: EventType) -> None:
    index = watching("metric-score=star$lt3.5")
    assert index.match(Event(kind, scores(star="3.4"), scores(star="4"))) == []


def test_crossings_are_watched_only_while_somebody_asks() -> None:
    index = watching("metric-score=star$lt3.5")
    assert index.watches_crossings
    index.remove("s")
    assert not index.watches_crossings


@given(st.lists(st.decimals(-5, 5, places=2), min_size=1, max_size=20))
def test_along_a_series_it_is_told_as_often_as_it_comes_below(values: list[Any]) -> None:
    index = watching("metric-score=star$lt0")
    before, heard = None, 0
    for value in values:
        now = scores(star=str(value))
        heard += told(index, now, predecessor=before)
        before = now
    below = [value < 0 for value in values]
    assert heard == sum(now and not was for was, now in zip([False, *below], below, strict=False))


def test_a_subscription_without_a_bound_is_refused() -> None:
    with pytest.raises(FhirError) as caught:
        interest_terms("topic", TOPIC, ("contract=http://x/C1",), base_url="")
    assert "metric-score=weighted-avg-star$lt3.5 or threshold-gap=star-4$le0" in str(caught.value)
    query = interest_terms("topic", TOPIC, ("threshold-gap=star-4$le0",), base_url="")
    assert [term.parameter.name for term in query.terms] == ["threshold-gap"]


def test_reports_of_one_measure_contract_provider_and_start_follow_one_another() -> None:
    def series(**changed: Any) -> str | None:
        start, end = "2026-01-01T00:00:00.000Z", "2026-04-01T00:00:00.000Z"
        facets: dict[str, Any] = {
            "contract": ["c"],
            "provider": ["p"],
            "measure": ["m|1"],
            "period": [[start, end]],
        }
        return series_of({**facets, **changed})

    assert series() == series(measure=["m|2"])
    assert series() == series(period=[["2026-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"]])
    others = [
        series(contract=["d"]),
        series(provider=["q"]),
        series(measure=["n"]),
        series(period=[["2025", None]]),
    ]
    assert len({series(), *others}) == 5
    assert series(provider=[]) is None
