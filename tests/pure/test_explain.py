"""What an explanation lists of a report with many values: always what the subscriber asked after."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from schemas.event import EventType
from schemas.facets import Facets, token
from schemas.fhir import METRIC_SYSTEM
from schemas.topics import topics
from services.notifier.match.explain import MOST_FOUND, Explanation, explain
from services.notifier.subscriptions.admission import interest, term_texts

BASE = "https://vbpr.example/fhir"
THRESHOLD = next(url for url in topics() if url.endswith("/metric-threshold"))


@dataclass(frozen=True)
class Event:
    facets: Facets
    type: EventType = EventType.PUBLISHED
    previous_facets: Facets | None = None
    time: datetime = datetime(2026, 3, 1, tzinfo=UTC)


def scores(**last: str) -> Facets:
    many = [[token(METRIC_SYSTEM, f"metric-{number}"), str(number), ""] for number in range(MOST_FOUND + 5)]
    return {
        "metric-score": [*many, *([token(METRIC_SYSTEM, name), score, ""] for name, score in last.items())]
    }


def explained(text: str, facets: Facets, before: Facets | None) -> Explanation:
    wanted = interest("s", frozenset({"*"}), "topic", THRESHOLD, (text,), base_url=BASE)
    return explain(wanted, term_texts("topic", THRESHOLD, (text,)), Event(facets), before)


@pytest.mark.parametrize("bound", ["star$lt3.5", f"{METRIC_SYSTEM}|star$lt3.5", "other$lt1,star$lt3.5"])
def test_the_scores_of_the_metric_asked_for_come_first_met_or_not(bound: str) -> None:
    for now, before in (("3.4", "3.6"), ("3.6", "3.4")):
        checks = {
            each.name: each
            for each in explained(f"metric-score={bound}", scores(star=now), scores(star=before)).checks
        }
        assert checks["metric-score"].found.startswith(f"{METRIC_SYSTEM}|star {now}, ")
        assert checks["metric-score"].found.endswith("and 6 more")
        assert checks["metric-score"].holds == checks["crossing"].holds == (now == "3.4")
        assert checks["crossing"].found.startswith(f"before: {METRIC_SYSTEM}|star {before}, ")
