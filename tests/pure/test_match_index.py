"""The index finds exactly what the plain evaluation finds, through any sequence of writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.dates import period_bounds
from schemas.event import EventType, ReportEvent
from schemas.facets import Facets, token
from schemas.fhir import METRIC_SYSTEM, OURS, REPORT_STAGE_SYSTEM, STATUS_SYSTEM
from schemas.search.grammar import parse_criteria
from schemas.search.values import Query
from schemas.topics import Topic, find
from services.notifier.match.columns import MOST_PLACES, MOST_TERMS, plan
from services.notifier.match.index import MatchIndex
from services.notifier.match.interest import Interest
from tests.linear import fired

NOW = datetime(2026, 3, 2, tzinfo=UTC)
EVERYONE = frozenset({"*"})
P1 = frozenset({"Organization/p1"})
SETTLED, FINAL, WITHDRAWN = (token(REPORT_STAGE_SYSTEM, each) for each in ("settled", "final", "withdrawn"))


@dataclass(frozen=True)
class Event:
    type: EventType
    facets: Facets
    previous_facets: Facets | None = None
    time: datetime = NOW


def query(text: str = "") -> Query:
    return parse_criteria(f"MeasureReport?{text}", base_url="https://fhir.example.org")


def topic(name: str) -> Topic:
    found = find(f"{OURS}SubscriptionTopic/{name}")
    assert found is not None
    return found


def facets(stage: str = FINAL, **more: Any) -> Facets:
    return {
        "payer": ["Organization/a"],
        "provider": ["Organization/p1"],
        "contract": ["http://x/C1"],
        "stage": [stage],
        **more,
    }


def index_of(*interests: Interest) -> MatchIndex:
    index = MatchIndex()
    for interest in interests:
        index.put(interest)
    return index


def classic(text: str = "", organisations: frozenset[str] = EVERYONE, name: str = "s") -> Interest:
    return Interest.classic(name, organisations, query(text))


def in_topic(name: str, text: str = "", organisations: frozenset[str] = EVERYONE) -> Interest:
    return Interest.in_topic("s", organisations, query(text), topic(name))


def test_criteria_never_reach_beyond_the_subscribers_organisations() -> None:
    mine, other, nobody = P1, frozenset({"Organization/p2"}), frozenset[str]()
    index = index_of(
        classic(organisations=mine, name="mine"),
        classic("provider=p1", organisations=other, name="other"),
        classic(organisations=nobody, name="nobody"),
        classic("provider=p1", name="everyone"),
        classic(organisations=frozenset({"Organization/a"}), name="payer"),
    )
    assert index.match(Event(EventType.PUBLISHED, facets())) == ["everyone", "mine", "payer"]


def test_a_report_without_parties_reaches_only_who_may_see_all() -> None:
    index = index_of(classic(organisations=P1, name="mine"), classic(name="everyone"))
    assert index.match(Event(EventType.PUBLISHED, {"stage": [FINAL]})) == ["everyone"]


def test_what_it_was_is_shown_to_the_parties_of_what_it_is() -> None:
    index = index_of(in_topic("report-available", organisations=P1))
    was = facets()
    assert index.match(Event(EventType.WITHDRAWN, facets(WITHDRAWN), was)) == ["s"]
    assert index.match(Event(EventType.WITHDRAWN, facets(WITHDRAWN, provider=["Organization/p2"]), was)) == []


def test_classic_criteria_judge_the_new_version_only() -> None:
    index = index_of(classic("status=complete"))
    complete, pending = (
        facets(status=[token(STATUS_SYSTEM, "complete")]),
        facets(status=[token(STATUS_SYSTEM, "pending")]),
    )
    assert index.match(Event(EventType.PUBLISHED, complete)) == ["s"]
    assert index.match(Event(EventType.PUBLISHED, complete, complete)) == ["s"]
    assert index.match(Event(EventType.PUBLISHED, pending, complete)) == []
    assert index.match(Event(EventType.WITHDRAWN, pending, complete)) == []


def test_classic_criteria_never_fire_on_a_delete_and_on_every_other_event() -> None:
    index = index_of(classic())
    for kind in EventType:
        assert index.match(Event(kind, facets(), facets())) == ([] if kind is EventType.DELETED else ["s"])


@pytest.mark.parametrize(
    ("name", "kind", "before", "after", "told"),
    [
        ("report-available", EventType.PUBLISHED, None, FINAL, True),
        ("report-available", EventType.SETTLED, FINAL, SETTLED, True),
        ("report-available", EventType.CORRECTED, SETTLED, SETTLED, True),
        ("report-available", EventType.WITHDRAWN, FINAL, WITHDRAWN, True),
        ("report-available", EventType.DELETED, FINAL, FINAL, True),
        ("report-settled", EventType.PUBLISHED, None, FINAL, False),
        ("report-settled", EventType.SETTLED, None, SETTLED, True),
        ("report-settled", EventType.CORRECTED, SETTLED, FINAL, True),
        ("report-settled", EventType.WITHDRAWN, SETTLED, WITHDRAWN, True),
        ("report-settled", EventType.WITHDRAWN, FINAL, WITHDRAWN, False),
        ("report-settled", EventType.WITHDRAWN, None, WITHDRAWN, False),
        ("report-settled", EventType.DELETED, SETTLED, SETTLED, True),
        ("report-settled", EventType.DELETED, None, SETTLED, True),
        ("report-settled", EventType.DELETED, WITHDRAWN, WITHDRAWN, False),
        ("report-corrected", EventType.CORRECTED, SETTLED, SETTLED, True),
        ("report-corrected", EventType.SETTLED, FINAL, SETTLED, False),
        ("report-corrected", EventType.WITHDRAWN, SETTLED, WITHDRAWN, False),
        ("report-withdrawn", EventType.WITHDRAWN, FINAL, WITHDRAWN, True),
        ("report-withdrawn", EventType.DELETED, SETTLED, SETTLED, True),
        ("report-withdrawn", EventType.CORRECTED, SETTLED, SETTLED, False),
    ],
)
def test_a_topic_follows_its_triggers(
    name: str, kind: EventType, before: str | None, after: str, *, told: bool
) -> None:
    event = Event(kind, facets(after), None if before is None else facets(before))
    assert index_of(in_topic(name)).match(event) == (["s"] if told else [])


def test_whoever_was_told_of_a_report_is_told_that_it_is_gone() -> None:
    index = index_of(in_topic("report-available", "stage=settled"))
    settled, withdrawn = facets(SETTLED), facets(WITHDRAWN)
    assert index.match(Event(EventType.SETTLED, settled)) == ["s"]
    assert index.match(Event(EventType.WITHDRAWN, withdrawn, settled)) == ["s"]
    assert index.match(Event(EventType.WITHDRAWN, withdrawn, facets(FINAL))) == []
    assert index.match(Event(EventType.CORRECTED, facets(FINAL), settled)) == []


def test_approximate_dates_count_from_the_event_so_that_a_replay_matches_the_same() -> None:
    index = index_of(classic("period=ap2026-02-15"))
    covered = facets(period=[period_bounds("2026-02-01", "2026-02-10")])
    assert index.match(Event(EventType.PUBLISHED, covered)) == []
    assert index.match(Event(EventType.PUBLISHED, covered, time=datetime(2026, 12, 1, tzinfo=UTC))) == ["s"]


def test_the_event_that_crosses_the_log_can_be_matched_as_it_is() -> None:
    event = ReportEvent(
        id="1", type=EventType.SETTLED, source="p", subject="MeasureReport/r/_history/1", time=NOW,
        contract="http://x/C1", interaction="create", facets=facets(SETTLED), previous_facets=None, body=b"{}",
    )  # fmt: skip
    index = index_of(classic("contract=http://x/C1&stage=settled"), classic("stage=final", name="t"))
    assert index.match(event) == ["s"]


def test_a_subscription_that_is_written_again_wants_what_it_says_now() -> None:
    index = index_of(classic("stage=final"), classic("stage=settled"))
    assert index.match(Event(EventType.PUBLISHED, facets(FINAL))) == []
    assert index.match(Event(EventType.SETTLED, facets(SETTLED))) == ["s"]
    assert (len(index), "s" in index) == (1, True)
    index.remove("s")
    index.remove("never there")
    assert (len(index), "s" in index) == (0, False)
    assert index.match(Event(EventType.SETTLED, facets(SETTLED))) == []


@pytest.mark.requirement("R-077")
def test_what_is_accepted_at_the_end_or_after_fires_nothing() -> None:
    tick = timedelta(microseconds=1)
    ending = Interest.classic("ending", EVERYONE, query(), ends_at=NOW)
    below = query("metric-score=star$lt3.5")
    crossing = Interest.in_topic("crossing", EVERYONE, below, topic("metric-threshold"), ends_at=NOW)
    index = index_of(ending, crossing, classic(name="going-on"))
    scored: Facets = {**facets(), "metric-score": [[f"{METRIC_SYSTEM}|star", "3.4", ""]]}
    for time, told in [(NOW - tick, True), (NOW, False), (NOW + tick, False)]:
        found = index.match(Event(EventType.PUBLISHED, scored, time=time), facets())
        assert found == (["crossing", "ending", "going-on"] if told else ["going-on"])
    index.put(replace(ending, ends_at=None))
    assert "ending" in index.match(Event(EventType.PUBLISHED, scored)), "its end was taken back"


class Counted(dict[str, Any]):
    """Facets that count how often they are asked for one parameter."""

    asked = 0

    def get(self, name: str, default: Any = None) -> Any:
        self.asked += name == "period"
        return super().get(name, default)


def test_the_cost_of_a_match_follows_its_matches_and_not_the_subscriptions() -> None:
    index = MatchIndex()
    for number in range(2_000):
        text = f"contract=http://x/C{number}&period=ge2026-01-{number % 28 + 1:02d}"
        index.put(Interest.classic(f"s{number}", EVERYONE, query(text)))
    for number in range(2_000):
        index.put(Interest.classic(f"t{number}", EVERYONE, query("stage=final&period=lt2020")))
    counted = Counted(facets(period=[period_bounds("2026-01-01", "2026-12-31")]))
    assert index.match(Event(EventType.PUBLISHED, counted)) == ["s1"]
    assert (
        counted.asked == 2
    )  # once for the one with that contract, once for the 2,000 that share a condition


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", []),
        ("period=ge2026", []),
        ("stage:not=settled", []),
        ("stage:missing=true", []),
        ("lob=https://nahdo.org/sopt|", []),
        ("stage=settled", ["stage"]),
        ("stage=settled&contract=http://x/C", ["contract", "stage"]),
        ("status=complete&stage=settled&kind=quality&contract=http://x/C", ["contract", "stage", "kind"]),
        ("metric=a&payment-stream=b&identifier=c", ["identifier"]),
        ("_tag=a&_tag=b", ["_tag"]),
        ("metric-score=star$lt3.5", ["metric-score"]),
        ("threshold-gap=star-4$le0", ["threshold-gap"]),
        ("reporter:identifier=urn:x|1", ["reporter:identifier"]),
    ],
)
def test_the_most_selective_terms_are_looked_up(text: str, columns: list[str]) -> None:
    assert [name for name, _ in plan(query(text)).signature] == columns


def test_a_subscription_is_filed_in_few_places_however_many_values_it_names() -> None:
    many = ",".join(f"Organization/{number}" for number in range(100))
    planned = plan(query(f"provider={many}&stage=settled,final&lob=1,2,5&kind=quality"))
    assert len(planned.places) == 100
    combined = plan(
        query("stage=settled,final,interim&kind=quality,performance&lob=1,2,5&status=complete,error")
    )
    assert len(combined.signature) <= MOST_TERMS
    assert len(combined.places) <= MOST_PLACES


# --- against the plain evaluation --------------------------------------------------------------------------

CONTRACTS = ["http://x/C1", "http://x/C2"]
PROVIDERS = ["Organization/p1", "Organization/p2", "https://else.org/Organization/p1"]
STAGES = ["interim", "final", "settled", "withdrawn"]
METRICS = ["star", "mlr"]
SCORES = ["3.4", "3.5", "3.50", "4", "-1"]
DAYS = ["2026-01-01", "2026-02-15", "2026-02-28", "2026-03"]

TERMS = [
    *(f"contract={','.join(CONTRACTS[:count])}" for count in (1, 2)),
    "contract:below=http://x/",
    "provider=p1",
    "provider=p1,p2",
    "provider=https://else.org/Organization/p1",
    "provider:missing=true",
    "provider:identifier=urn:npi|1",
    "provider:identifier=1",
    "payer=Organization/a",
    "reporter=1",
    *(f"stage={stage}" for stage in STAGES),
    "stage=settled,final",
    f"stage={SETTLED}",
    f"stage={SETTLED},final",
    "stage:not=settled",
    "stage:missing=true",
    "lob=1",
    "lob=|1",
    "lob=urn:sopt|1,2",
    "lob=urn:sopt|",
    "measure=http://x/M",
    "measure=http://x/M|1",
    "measure:below=http://x/M|1",
    "metric=star",
    f"metric={METRIC_SYSTEM}|star,mlr",
    "metric:not=star",
    "metric-score=star$lt3.5",
    "metric-score=star$3.5,mlr$gt1",
    f"metric-score={METRIC_SYSTEM}|star$ne3.5||USD",
    "metric-score=star$ap3.6",
    "_tag=urn:t|a",
    "_tag=a,b",
    *(f"period={prefix}{day}" for prefix in ("", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap") for day in DAYS[1:2]),
    "period=2025,2026-02",
    "period=ge2026-02&period=le2026-03",
    "date=ne2026",
]  # fmt: skip


def some(options: Sequence[Any], most: int = 2) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(options), max_size=most, unique_by=str)


def facet_lists() -> dict[str, st.SearchStrategy[list[Any]]]:
    return {
        "payer": some(["Organization/a", "Organization/b"]),
        "provider": some(PROVIDERS),
        "provider-identifier": some(["urn:npi|1", "urn:tin|1", "|1"]),
        "reporter": some(["Organization/1", "Location/1", "Organization/2"]),
        "contract": some(CONTRACTS, 1),
        "stage": some([token(REPORT_STAGE_SYSTEM, stage) for stage in STAGES], 1),
        "lob": some(["urn:sopt|1", "urn:sopt|2", "|1", "urn:else|1"]),
        "measure": some(["http://x/M", "http://x/M|1", "http://x/M|1.2", "http://x/M2|1"], 1),
        "metric": some([f"{METRIC_SYSTEM}|star", f"{METRIC_SYSTEM}|mlr", "urn:local|star"], 3),
        "metric-score": some(
            [
                [f"{system}|{metric}", score, unit]
                for system in (METRIC_SYSTEM, "urn:local")
                for metric in METRICS
                for score in SCORES
                for unit in ("", "USD")
            ],
            3,
        ),
        "_tag": some(["urn:t|a", "urn:t|b", "|a"]),
        "period": some([period_bounds(low, high) for low in (*DAYS, None) for high in (*DAYS, None)], 1),
        "date": some([period_bounds(day, day) for day in DAYS], 1),
    }


all_facets = st.fixed_dictionaries(facet_lists()).map(
    lambda found: {name: values for name, values in found.items() if values}
)
events = st.builds(
    Event,
    st.sampled_from(EventType),
    all_facets,
    st.none() | all_facets,
    st.sampled_from([NOW, datetime(2027, 1, 1, tzinfo=UTC)]),
)
queries = some(TERMS, 4).map(lambda terms: query("&".join(terms)))
organisations = st.frozensets(st.sampled_from(["*", "Organization/a", *PROVIDERS]), max_size=3)
topics = st.sampled_from(["report-available", "report-settled", "report-corrected", "report-withdrawn"]).map(
    topic
)
ends = st.sampled_from([None, NOW, NOW + timedelta(microseconds=1), datetime(2027, 1, 2, tzinfo=UTC)])
interests = st.one_of(
    st.builds(Interest.classic, st.just("?"), organisations, queries, ends_at=ends),
    st.builds(Interest.in_topic, st.just("?"), organisations, queries, topics, ends_at=ends),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.none() | interests), max_size=25),
    st.lists(events, min_size=1, max_size=4),
)
def test_the_index_finds_what_the_plain_evaluation_finds(
    writes: list[tuple[int, Interest | None]], seen: list[Event]
) -> None:
    index, kept = MatchIndex(), dict[str, Interest]()
    for number, interest in writes:
        name = f"s{number}"
        if interest is None:
            index.remove(name)
            kept.pop(name, None)
        else:
            kept[name] = replace(interest, subscription=name)
            index.put(kept[name])
    assert len(index) == len(kept)
    for event in seen:
        assert index.match(event) == fired(kept.values(), event)


@settings(max_examples=20, deadline=None)
@given(events)
def test_every_kind_of_term_alone_is_found_as_the_plain_evaluation_finds_it(event: Event) -> None:
    every = [Interest.classic(text, EVERYONE, query(text)) for text in TERMS]
    assert index_of(*every).match(event) == fired(every, event)


@settings(max_examples=50, deadline=None)
@given(st.lists(interests, max_size=10), events)
def test_after_the_last_subscription_has_gone_nothing_is_left(gone: list[Interest], event: Event) -> None:
    named = [replace(interest, subscription=str(number)) for number, interest in enumerate(gone)]
    index = index_of(*named)
    for interest in named:
        index.remove(interest.subscription)
    assert index.match(event) == []
    assert index._audiences == {}
    assert index._ends == {}
    assert len(index._conditions) == 0
