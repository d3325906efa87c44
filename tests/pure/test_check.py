"""What keeps a resource from being stored: each broken rule is named, with its element, all at once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from schemas import examples
from services.publisher.check import check, review
from services.publisher.check.editions import Edition, Profile, Standard, by_canonical, standard
from services.publisher.check.rules import TABLE
from tests.pure import full_resources as full
from tests.pure.broken_rules import BROKEN, Broken
from tests.pure.changes import Json

GRAVITY = {"error": 0, "warning": 1, "information": 2}
WHOLE = (
    full.performance, full.later_performance, full.quality, full.first_quality, full.contract, full.first_contract,
)  # fmt: skip


@pytest.mark.parametrize("whole", WHOLE, ids=lambda whole: str(whole.__name__))
def test_of_a_resource_that_has_everything_there_is_nothing_to_say(whole: Callable[[], Json]) -> None:
    assert review(whole()) == []


@pytest.mark.parametrize(
    "broken", BROKEN, ids=[f"{place}-{row.profile}-{row.rule}" for place, row in enumerate(BROKEN)]
)
def test_a_broken_rule_is_named_with_its_element_and_no_other(broken: Broken) -> None:
    resource = broken.whole()
    broken.change(resource)
    (severity,) = {rule.severity for rule in TABLE[broken.profile] if rule.id == broken.rule}

    found = [
        (issue.rule, issue.expression)
        for issue in review(resource)
        if GRAVITY[issue.severity] <= GRAVITY[severity] and issue.rule not in broken.also
    ]

    assert found == [(broken.rule, broken.expression)]
    kept_out = {issue.rule for issue in check(resource)} - broken.also
    assert kept_out == ({broken.rule} if severity == "error" else set())


def test_every_rule_of_the_table_is_broken_above() -> None:
    assert {(profile, rule.id) for profile, rows in TABLE.items() for rule in rows} == {
        (row.profile, row.rule) for row in BROKEN
    }


def test_every_rule_says_who_says_so() -> None:
    guides = ("VBPR ", "DEQM ", "CRMI ", "CQFM ", "FHIR ")
    rows = [rule for table in TABLE.values() for rule in table]

    assert [rule.id for rule in rows if not rule.source.startswith(guides)] == []
    assert [rule.id for rule in rows if not rule.what] == []


def test_examples_of_our_own_are_never_kept_out() -> None:
    for path in (*examples.contracts(), *examples.reports(), *examples.parties()):
        assert check(orjson.loads(path.read_bytes())) == [], path.name


@pytest.mark.parametrize(
    ("whole", "change", "edition"),
    [
        (full.performance, {}, Edition.STU1_1),
        (full.performance, {"meta": {"profile": [f"{full.PERFORMANCE}|1.0.0"]}}, Edition.STU1),
        (full.performance, {"meta": {"profile": [f"{full.PERFORMANCE}|1.0.0-ballot"]}}, Edition.STU1),
        (full.later_performance, {}, Edition.LATER),
        (full.later_performance, {"meta": {"profile": [f"{full.PERFORMANCE}|1.1.0"]}}, Edition.LATER),
        (full.later_performance, {"subject": {"type": "Group", "identifier": {"value": "7"}}}, Edition.LATER),
        (full.later_performance, {"subject": {"reference": "https://x.example/Group/7/_history/2"}}, Edition.LATER),
        (full.performance, {"subject": {"reference": "Group/1", "extension": [full.organization_subject()]}}, Edition.STU1_1),
        (full.performance, {"meta": {"profile": [f"{full.PERFORMANCE}|2.0.0"]}}, Edition.LATER),
        (full.quality, {}, Edition.STU1_1),
        (full.first_quality, {}, Edition.STU1),
        (full.first_quality, {"meta": {"profile": [f"{full.QUALITY}|1.1.0"]}}, Edition.STU1_1),
        (full.quality, {"meta": {"profile": ["https://x.example/p|1.0.0", f"{full.QUALITY}"]}}, Edition.STU1_1),
        (full.contract, {}, Edition.STU1_1),
        (full.first_contract, {}, Edition.STU1),
        (full.contract, {"meta": {"profile": [full.CONTRACT, "http://hl7.org/fhir/us/cqfmeasures/StructureDefinition/composite-measure-cqfm"]}}, Edition.STU1),
    ],
)  # fmt: skip
def test_a_resource_is_judged_by_the_edition_it_was_written_to(
    whole: Callable[[], Json], change: Json, edition: Edition
) -> None:
    resource = {**whole(), **change}
    found = standard(resource)

    assert found is not None
    assert found.edition is edition


def test_what_one_edition_demands_another_may_not() -> None:
    first = full.first_quality()
    assert check(first) == []
    assert [issue.rule for issue in review(first, Standard(Profile.QUALITY, Edition.STU1_1))] == ["deqm-0"]
    later = by_canonical(f"{full.QUALITY}|1.0.0", full.quality())
    assert later == Standard(Profile.QUALITY, Edition.STU1)
    without = full.quality()
    del without["extension"][0]
    assert check(without) == []
    assert [issue.rule for issue in review(without, later)] == ["vbpr-quality-category"]


def test_a_canonical_that_is_none_of_ours_names_no_standard() -> None:
    assert by_canonical("http://hl7.org/fhir/StructureDefinition/MeasureReport", full.performance()) is None


@pytest.mark.parametrize(
    ("start", "end", "right"),
    [
        ("2024", "2024-03", True),
        ("2024-03", "2024", True),
        ("2024-03-31", "2024-03", True),
        ("2024-05-01", "2024-05-01", True),
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z", True),
        ("2024-05-01T01:00:00+02:00", "2024-04-30", True),
        ("2024-04", "2024-03", False),
        ("2024-05-02", "2024-05-01", False),
        ("2024-05-01T10:00:01Z", "2024-05-01T10:00:00Z", False),
        ("2025", "2024-12-31", False),
    ],
)
def test_a_period_is_in_order_by_all_the_time_its_dates_name(
    start: str, end: str, right: bool
) -> None:  # a row of the table
    report = {**full.performance(), "period": {"start": start, "end": end}}

    issues = check(report)

    assert [(issue.rule, issue.expression) for issue in issues] == (
        [] if right else [("per-1", "MeasureReport.period")]
    )
    assert all(f"'{start}'" in issue.diagnostics and f"'{end}'" in issue.diagnostics for issue in issues)


@pytest.mark.parametrize(
    ("period", "said"),
    [
        ({"start": "2024"}, "found the start '2024' and the end none"),
        ({"end": "2024"}, "found the start none and the end '2024'"),
        ({"start": "2024", "_end": {"extension": [{"url": "u", "valueCode": "unknown"}]}}, "the end none"),
    ],
)
def test_a_period_of_a_performance_report_has_both_ends(period: Json, said: str) -> None:
    (issue,) = check({**full.performance(), "period": period})

    assert (issue.rule, issue.code, issue.expression) == ("vbpr-period", "required", "MeasureReport.period")
    assert said in issue.diagnostics


def test_a_code_of_ones_own_beside_a_known_one_is_no_finding() -> None:
    report = full.performance()
    report["group"][0]["code"]["coding"].insert(0, {"system": "https://plan.example/metrics", "code": "own"})

    assert review(report) == []


def test_a_code_outside_is_a_warning_that_says_what_was_found_and_what_is_expected() -> None:
    report = full.performance()
    report["group"][0]["code"]["coding"][0]["code"] = "no-such-metric"

    assert check(report) == []
    (issue,) = review(report)
    assert (issue.severity, issue.code) == ("warning", "code-invalid")
    assert "no-such-metric" in issue.diagnostics
    assert "ValueSet/vbp-performance-metric" in issue.diagnostics


def test_what_is_missing_in_many_places_is_said_once() -> None:
    report = full.performance()
    report["group"] = [copy.deepcopy(report["group"][0]) for _ in range(12)]
    for group in report["group"]:
        group["extension"] = [one for one in group["extension"] if "service-period" not in one["url"]]

    (issue,) = review(report)

    assert issue.rule == "supported-group-service-period"
    assert "11 others" in issue.diagnostics


@pytest.mark.parametrize(
    ("place", "expression"),
    [
        ("modifierExtension", "MeasureReport.modifierExtension[0]"),
        ("group/0/population", "MeasureReport.group[0].population[0].extension[0]"),
        ("subject/identifier", "MeasureReport.subject.identifier.extension[0]"),
    ],
)
def test_an_extension_out_of_place_is_found_wherever_it_stands(place: str, expression: str) -> None:
    report = full.performance()
    wrong = {"extension": [full.payment_stream()]}
    match place:
        case "modifierExtension":
            report["modifierExtension"] = [full.payment_stream()]
        case "group/0/population":
            report["group"][0]["population"] = [{**wrong, "code": {"text": "x"}, "count": 1}]
        case _:
            report["subject"]["identifier"] = {**wrong, "value": "7"}

    assert [(issue.rule, issue.expression) for issue in check(report)] == [
        ("where-payment-stream", expression)
    ]


def test_a_contained_resource_has_places_of_its_own() -> None:
    report = full.performance()
    contract = full.contract()
    contract.pop("meta")
    report["contained"] = [contract]

    assert check(report) == []


def test_a_report_whose_kind_nothing_tells_is_refused() -> None:
    report = full.performance()
    del report["meta"]
    assert check(report) == [], "its category tells that it is a performance report"
    del report["extension"]

    (issue,) = check(report)

    assert (issue.rule, issue.expression) == ("vbpr-kind", "MeasureReport.meta.profile")


def test_a_quality_report_without_a_profile_is_known_by_its_scoring() -> None:
    report = full.quality()
    del report["meta"]
    assert check(report) == []
    report["subject"] = {"reference": "Group/roster"}

    assert [issue.rule for issue in check(report)] == ["deqm-subject"]


def test_structure_and_profile_are_reported_together_and_each_element_once() -> None:
    report = full.quality()
    report["period"]["start"] = "2024-13"
    report["group"][0]["measureScore"] = {"value": "0.8"}
    report["measure"] = "https://example.org/m"
    report["meta"]["profile"] = [f"{full.QUALITY}|1.1.0"]
    report["type"] = "sumary"

    issues = check(report)

    assert sorted(issue.expression or "" for issue in issues) == [
        "MeasureReport.group[0].measureScore.value",
        "MeasureReport.measure",
        "MeasureReport.period.start",
        "MeasureReport.type",
    ]
    assert {issue.severity for issue in issues} == {"error"}


def test_a_measure_that_claims_another_profile_is_no_contract() -> None:
    measure = full.contract()
    measure["scoring"] = {"text": "x"}
    measure["meta"] = {"profile": ["http://hl7.org/fhir/uv/crmi/StructureDefinition/crmi-shareablemeasure"]}

    assert review(measure) == []


def test_a_score_of_a_composite_needs_no_population() -> None:
    report = full.quality()
    del report["group"][0]["population"]
    report["group"][0]["extension"][0] = full.scoring("composite")

    assert check(report) == []


@pytest.mark.parametrize("score", [None, 0, 1, 0.5, 1.0])
def test_a_proportion_is_between_nought_and_one_or_not_there(score: float | None) -> None:
    report = full.quality()
    report["group"][0]["measureScore"]["value"] = score
    if score is None:
        del report["group"][0]["measureScore"]["value"]

    assert check(report) == []


@pytest.mark.parametrize("wrong", [None, 1, "x", [], [None], {}, [[{}]], {"extension": 3}, {"url": []}])
@pytest.mark.parametrize(
    "name",
    ["meta", "extension", "group", "subject", "period", "measure", "relatedArtifact", "reporter", "evaluatedResource"],
)  # fmt: skip
def test_the_worst_structure_is_an_issue_and_no_crash(name: str, wrong: Any) -> None:
    for whole in WHOLE:
        resource = whole()
        resource[name] = wrong

        issues = review(resource)

        assert issues or (name, wrong) == ("measure", "x")


@pytest.mark.parametrize("wrong", [None, 1, "x", [], [None], {}, [[{}]]])
def test_the_worst_structure_deep_inside_is_no_crash(wrong: Any) -> None:
    for whole in WHOLE:
        for node, key in _places(resource := whole()):
            kept = node[key]
            node[key] = wrong
            review(resource)
            node[key] = kept


@pytest.mark.parametrize("wrong", [None, 1, [], ["x"], {}, {"x": 1}])
def test_a_modifier_without_a_right_url_is_no_crash(wrong: Any) -> None:
    for whole in WHOLE:
        resource = {**whole(), "modifierExtension": [{"url": wrong, "valueString": "x"}]}

        assert {issue.rule for issue in check(resource)} == {None}


def _places(node: Any) -> list[tuple[Any, Any]]:
    out: list[tuple[Any, Any]] = []
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        out.append((node, key))
        if isinstance(node[key], dict | list):
            out += _places(node[key])
    return out


def test_a_null_in_the_list_of_profiles_hides_no_rule() -> None:
    report = full.quality()
    report["meta"]["profile"] = [None, *report["meta"]["profile"]]
    report["meta"]["_profile"] = [{"extension": [{"url": "u", "valueCode": "unknown"}]}]
    report["subject"] = {"display": "x"}

    assert [issue.rule for issue in check(report)] == ["deqm-subject"]


def test_of_a_flood_of_findings_no_more_than_a_hundred_are_said() -> None:
    report = full.performance()
    report["group"] = [{"measureScore": {"value": 1}} for _ in range(500)]

    assert len(check(report)) == 100
