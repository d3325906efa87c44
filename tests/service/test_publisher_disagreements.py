"""What a sender hears of a report that is stored all the same: where it disagrees with what was agreed."""

from __future__ import annotations

from typing import Any

import pytest

from services.publisher.accept.answers import WAITS_HEADER
from tests.publishing import (
    Answer,
    Publishing,
    bundle,
    performance,
    post_entry,
    put_entry,
    quality,
    subject,
)

Json = dict[str, Any]
OUTCOME = {"Prefer": "return=OperationOutcome"}
SCORE = "MeasureReport.group[0].measureScore"
LATE = {"start": "2025-01-01", "end": "2026-01-31"}


def warnings(outcome: Json) -> list[tuple[str, str]]:
    """Return rule and element of each warning."""
    return [
        (issue["details"]["coding"][0]["code"], issue["expression"][0])
        for issue in outcome["issue"]
        if issue["severity"] == "warning"
    ]


def of_entries(answer: Answer) -> list[list[tuple[str, str]]]:
    entries = [entry["response"] for entry in answer.json["entry"]]
    return [warnings(each["outcome"]) if "outcome" in each else [] for each in entries]


def in_metric(code: str, **score: Any) -> list[Json]:
    """Return the groups of a report that gives one metric."""
    system = "http://hl7.org/fhir/us/davinci-vbpr/CodeSystem/vbp-performance-metric"
    return [{"code": {"coding": [{"system": system, "code": code}]}, "measureScore": score}]


def of_units(outcome: Json) -> list[str]:
    """Return the elements that are given in another unit than before."""
    return [element for rule, element in warnings(outcome) if rule == "predecessor-unit"]


async def test_a_report_that_disagrees_with_its_contract_is_stored_and_its_sender_told(
    publisher: Publishing,
) -> None:
    report = performance("late", period=LATE, group=in_metric("revenue", value=1))

    answer = await publisher.put(report, **OUTCOME)

    assert answer.status == 201
    assert warnings(answer.json) == [
        ("contract-period", "MeasureReport.period"),
        ("contract-metric", "MeasureReport.group[0].code"),
    ]
    assert WAITS_HEADER not in answer.headers
    assert (await publisher.get("/MeasureReport/late")).status == 200


async def test_a_report_that_agrees_is_answered_without_a_warning(publisher: Publishing) -> None:
    answer = await publisher.put(performance(), **OUTCOME)

    assert (answer.status, warnings(answer.json)) == (201, [])


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_in_a_bundle_each_entry_has_its_own_warnings(publisher: Publishing, kind: str) -> None:
    sent = bundle(
        kind,
        put_entry(performance("one", period=LATE)),
        post_entry(performance("two", period={"start": "2025", "end": "2026"})),
    )

    answer = await publisher.send("POST", "", sent)

    assert answer.status == 200
    assert of_entries(answer) == [
        [("contract-period", "MeasureReport.period")],
        [("contract-period", "MeasureReport.period")],
    ]


async def test_a_quality_report_is_held_against_the_contract_of_its_parent(publisher: Publishing) -> None:
    other = quality("other", measure="https://measures.example/Measure/feet|1")
    assert (await publisher.put(performance("parent", lists=["other", "eyes"]))).status == 201

    assert warnings((await publisher.put(quality("eyes"), **OUTCOME)).json) == []
    assert warnings((await publisher.put(other, **OUTCOME)).json) == [
        ("contract-component", "MeasureReport.measure")
    ]


async def test_a_settled_report_that_misses_a_component_of_its_contract(publisher: Publishing) -> None:
    missing = [("contract-component-missing", "MeasureReport.evaluatedResource")]

    assert warnings((await publisher.put(performance("one"), **OUTCOME)).json) == []
    assert warnings((await publisher.put(performance("one", "settled"), **OUTCOME)).json) == missing
    # What it lists has not come yet, so nobody can say that something is missing.
    listing = performance("one", "settled", lists=["eyes"])
    assert warnings((await publisher.put(listing, **OUTCOME)).json) == []
    assert (await publisher.put(quality("eyes"))).status == 201
    assert warnings((await publisher.put({**listing, "date": "2026-03-01"}, **OUTCOME)).json) == []


async def test_a_settled_report_in_another_unit_than_the_one_it_supersedes(publisher: Publishing) -> None:
    in_dollars = in_metric("weighted-avg-star", value=3, unit="USD")
    in_stars = in_metric("weighted-avg-star", value=3, unit="stars")

    assert (await publisher.put(performance("interim", "interim", group=in_dollars))).status == 201
    again = await publisher.put(performance("final", "final", group=in_stars), **OUTCOME)
    assert of_units(again.json) == []
    assert (await publisher.put(performance("interim-2", "interim", group=in_dollars))).status == 201
    settled = await publisher.put(performance("settled", "settled", group=in_stars), **OUTCOME)
    assert of_units(settled.json) == [SCORE]
    assert "in 'stars'; expected 'USD'" in settled.said
    # The correction of a settled report is held against what it corrects.
    corrected = await publisher.put(performance("settled", "settled", group=in_metric("weighted-avg-star", value=4, unit="stars")), **OUTCOME)  # fmt: skip
    assert (corrected.status, of_units(corrected.json)) == (200, [])


async def test_a_settled_report_that_supersedes_nothing_is_held_against_its_predecessor(
    publisher: Publishing,
) -> None:
    in_dollars = in_metric("weighted-avg-star", value=3, unit="USD")
    in_stars = in_metric("weighted-avg-star", value=3, unit="stars")
    march, june = ({"start": "2025-01-01", "end": end} for end in ("2025-03-31", "2025-06-30"))
    elsewhere = subject("Organization/other-provider")
    for each in (
        performance("march", period=march, group=in_dollars),
        performance("elsewhere", period=march, group=in_stars, subject=elsewhere),
        performance("void", "withdrawn", period={"start": "2025-01-01", "end": "2025-04-30"}, group=in_stars),
    ):
        assert (await publisher.put(each)).status == 201

    told = await publisher.put(performance("june", "settled", period=june, group=in_stars), **OUTCOME)
    assert of_units(told.json) == [SCORE]
    there = await publisher.put(performance("other", "settled", period=june, group=in_stars, subject=elsewhere), **OUTCOME)  # fmt: skip
    assert of_units(there.json) == []


async def test_a_predecessor_may_come_in_the_same_transaction(publisher: Publishing) -> None:
    reports = [
        performance(month, "settled", period={"start": "2025-01-01", "end": end}, group=in_metric("weighted-avg-star", value=3, unit=unit))
        for month, end, unit in (("march", "2025-03-31", "USD"), ("june", "2025-06-30", "stars"))
    ]  # fmt: skip

    answer = await publisher.send("POST", "", bundle("transaction", *map(put_entry, reports)))

    assert answer.status == 200
    march, june = ({rule for rule, _ in each} for each in of_entries(answer))
    assert june - march == {"predecessor-unit"}


async def test_an_error_that_is_tagged_final_is_not_withdrawn_and_its_sender_told(
    publisher: Publishing,
) -> None:
    answer = await publisher.put(performance(status="error", stage="final"), **OUTCOME)

    assert answer.status == 201
    assert warnings(answer.json) == [("stage-status", "MeasureReport.status")]
    assert [event.type.value.split(".")[-2] for event in await publisher.emitted()] == ["published"]
