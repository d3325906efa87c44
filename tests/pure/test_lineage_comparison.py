"""What changed between two versions of a report: metric by metric, stratum by stratum, as decimals, in the digits sent."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from schemas import examples
from schemas.number_tokens import Number, read, written
from services.publisher.accept.lineage.comparison import Change, changes
from tests.guide import ARTIFACTS
from tests.pure import full_resources as full

Json = dict[str, Any]
METRICS = "http://hl7.org/fhir/us/davinci-vbpr/CodeSystem/vbp-performance-metric"


def between(before: Json | str, after: Json | str) -> list[Change]:
    texts = (each if isinstance(each, str) else json.dumps(each) for each in (before, after))
    first, second = (read(text.encode()) for text in texts)
    return changes(first, second)


def said(found: list[Change]) -> list[tuple[str, str]]:
    return [(each.what, each.place.path) for each in found]


def metric(code: str, value: float = 1, **more: Any) -> Json:
    return {"code": {"coding": [{"system": METRICS, "code": code}]}, "measureScore": {"value": value}, **more}


def report(*groups: Json) -> Json:
    return {"resourceType": "MeasureReport", "group": list(groups)}


def test_of_the_same_nothing_is_said() -> None:
    for whole in (full.performance, full.quality, full.later_performance, full.first_quality):
        assert between(whole(), whole()) == []


def test_id_meta_and_narrative_are_not_the_report_s_content() -> None:
    other = {**full.performance(), "id": "other", "meta": {"versionId": "7"}, "text": {"status": "empty"}}

    assert between(full.performance(), other) == []


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [("3.10", "3.1", None), ("1e2", "100", None), ("3.10", "3.2", "0.10"), ("0.1", "0.3", "0.2"), ("-1", "2", "3")],
)  # fmt: skip
def test_numbers_are_compared_as_decimals_and_keep_their_digits(
    before: str, after: str, difference: str | None
) -> None:
    texts = [
        f'{{"group": [{{"measureScore": {{"value": {each}, "unit": "USD"}}}}]}}' for each in (before, after)
    ]

    found = between(texts[0], texts[1])

    if difference is None:
        assert found == []
        return
    (change,) = found
    assert (change.what, change.type) == ("changed", "Quantity")
    assert written([change.before["value"], change.after["value"], change.difference]) == (
        f"[{before},{after},{difference}]".encode()
    )


def test_between_two_units_there_is_no_difference() -> None:
    old, new = (report(metric("revenue")) for _ in range(2))
    old["group"][0]["measureScore"] = {"value": 5, "unit": "USD"}
    new["group"][0]["measureScore"] = {"value": 6, "unit": "EUR"}

    (change,) = between(old, new)

    assert change.difference is None


def test_a_number_of_absurd_size_is_told_without_a_difference() -> None:
    texts = [f'{{"group": [{{"measureScore": {{"value": {each}}}}}]}}' for each in ("1", "1e299")]

    (change,) = between(texts[0], texts[1])

    assert change.difference is None


def test_metrics_are_told_apart_by_what_they_are_not_by_where_they_stand() -> None:
    old = report(metric("revenue", 1), metric("med-cost", 2), metric("ccf", 3))
    new = report(metric("ccf", 3), metric("revenue", 1), metric("rx-cost", 9))

    found = between(old, new)

    assert {(each.what, each.place.metric["coding"][0]["code"]) for each in found if each.place.metric} == {
        ("added", "rx-cost"),
        ("removed", "med-cost"),
    }
    assert said(found) == [
        ("added", "MeasureReport.group[2].code"),
        ("added", "MeasureReport.group[2].measureScore"),
        ("removed", "MeasureReport.group[1].code"),
        ("removed", "MeasureReport.group[1].measureScore"),
    ]


def test_one_metric_of_several_payment_streams_keeps_to_its_stream() -> None:
    def paid(stream: str, value: int) -> Json:
        extension = full.payment_stream()
        extension["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] = stream
        return metric("earned-incentive", value, extension=[extension])

    old = report(paid("cdm", 1), paid("ssp", 2))
    new = report(paid("ssp", 2), paid("cdm", 5))

    (change,) = between(old, new)

    assert (change.place.path, str(change.difference)) == ("MeasureReport.group[1].measureScore", "4")


def stratified(*strata: tuple[str, float]) -> Json:
    return metric(
        "revenue",
        stratifier=[
            {
                "code": [{"coding": [{"system": "https://x.example", "code": "cohort"}]}],
                "stratum": [
                    {
                        "value": {"coding": [{"system": "https://x.example", "code": code}]},
                        "measureScore": {"value": value},
                    }
                    for code, value in strata
                ],
            }
        ],
    )


def test_strata_are_told_apart_by_their_value_and_named_by_it() -> None:
    old = report(stratified(("hmo", 1), ("ppo", 2)))
    new = report(stratified(("ppo", 2.5), ("hmo", 1)))

    (change,) = between(old, new)

    assert change.place.path == "MeasureReport.group[0].stratifier[0].stratum[0].measureScore"
    assert change.place.stratum == "https://x.example|cohort: https://x.example|ppo"
    assert change.difference == Number("0.5")


def test_what_is_listed_is_told_apart_by_what_it_points_to() -> None:
    old, new = (
        {"evaluatedResource": [{"reference": f"MeasureReport/{one}"} for one in ids]} for ids in ("ab", "bc")
    )

    assert said(between(old, new)) == [
        ("added", "MeasureReport.evaluatedResource[1]"),
        ("removed", "MeasureReport.evaluatedResource[0]"),
    ]


def test_false_is_not_the_same_as_nothing() -> None:
    url = "https://x.example/flag"
    old, new = ({"extension": [{"url": url, **given}]} for given in ({}, {"valueBoolean": False}))

    (change,) = between(old, new)

    assert (change.what, change.type, change.after) == ("added", "Boolean", False)


def test_a_primitive_s_own_extension_is_compared_as_well() -> None:
    new = {"_date": {"extension": [{"url": "https://x.example/why", "valueString": "late"}]}}

    assert said(between({}, new)) == [
        ("added", "MeasureReport._date.extension('https://x.example/why').value")
    ]


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, each in items for leaf in _leaves(each, (*path, key))]
    return [path]


@pytest.mark.parametrize("whole", [full.performance, full.quality], ids=["performance", "quality"])
def test_no_element_of_a_report_changes_unnoticed(whole: Callable[[], Json]) -> None:
    """Each value there is, anywhere, is changed alone."""
    tried = 0
    for path in _leaves(whole()):
        if path[0] in {"resourceType", "id", "meta", "text"}:
            continue
        changed = whole()
        node: Any = changed
        for step in path[:-1]:
            node = node[step]
        was = node[path[-1]]
        node[path[-1]] = (
            not was if isinstance(was, bool) else was + 1 if isinstance(was, int | float) else f"{was}x"
        )
        tried += 1
        assert between(whole(), changed), path
        assert between(changed, whole()), path
    assert tried > 40


def test_interim_to_settled_in_our_own_examples() -> None:
    by_number = {path.stem[:2]: read(path.read_bytes()) for path in examples.reports()}

    found = [each for each in changes(by_number["18"], by_number["20"]) if each.place.metric]

    assert [
        (each.place.metric["coding"][0]["code"], str(each.difference)) for each in found if each.place.metric
    ] == [
        ("med-rx-cost", "-43667.64"),
        ("med-loss-ratio", "-0.10"),
        ("shared-saving-deficit", "43667.64"),
        ("earnings-ssl", "21833.82"),
    ]
    assert b'"value":84.30,' in written(found[1].after)


GUIDE = (ARTIFACTS or Path()) / "vbpr"


@pytest.mark.guide
@pytest.mark.parametrize("number", ["101", "102", "104"])
def test_the_guide_s_reports_settled_with_other_scores(number: str) -> None:
    """Every score of a report that is settled one higher is told, with its metric and stratum, and nothing else."""
    interim = json.loads((GUIDE / f"MeasureReport-vbp-measurereport{number}.json").read_text())
    settled = copy.deepcopy(interim)
    settled["group"].reverse()
    expected = []
    for place, group in enumerate(settled["group"]):
        strata = [
            (f".stratifier[{a}].stratum[{b}]", stratum)
            for a, stratifier in enumerate(group.get("stratifier", ()))
            for b, stratum in enumerate(stratifier.get("stratum", ()))
        ]
        for path, scored in [("", group), *strata]:
            if "value" in scored.get("measureScore", {}):
                scored["measureScore"]["value"] += 1
                expected.append(f"MeasureReport.group[{place}]{path}.measureScore")

    found = between(interim, settled)

    assert sorted(each.place.path for each in found) == sorted(expected)
    assert {Decimal(each.difference or 0) for each in found} == {Decimal(1)}
    assert all(each.place.metric for each in found)
    assert all(each.place.stratum for each in found if "stratum" in each.place.path)
    assert len(expected) > 3
