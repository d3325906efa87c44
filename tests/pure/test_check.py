"""What keeps a resource from being stored: each broken rule is named, with its element, all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from schemas import examples, fhir
from services.publisher.check import check
from services.publisher.check.rules import CONTRACT, PERFORMANCE, QUALITY

Json = dict[str, Any]
Change = Callable[[Json], Any]


def _load(folder: Callable[[], tuple[Any, ...]], stem: str) -> Json:
    (path,) = (path for path in folder() if path.stem == stem)
    value: Json = orjson.loads(path.read_bytes())
    return value


def performance() -> Json:
    return _load(examples.reports, "09-harbor-point-final")


def quality() -> Json:
    return _load(examples.reports, "10-quality-prairie-valley-final")


def contract() -> Json:
    return _load(examples.contracts, "medicare-advantage-harbor-point")


def _category(report: Json) -> Json:
    (found,) = (one for one in report["extension"] if one["url"] == fhir.CATEGORY)
    return dict(found)["valueCodeableConcept"]["coding"][0]  # type: ignore[no-any-return]  # JSON


def _drop_category(report: Json) -> None:
    others = [one for one in report.pop("extension") if one["url"] != fhir.CATEGORY]
    if others:
        report["extension"] = others


def _stratum(report: Json, **stratum: Any) -> None:
    report["group"][0]["stratifier"] = [{"stratum": [stratum]}]


CONCEPT = {"text": "x"}
BROKEN: tuple[tuple[str, Callable[[], Json], Change, str, str], ...] = (
    ("vbpr-type", performance, lambda r: r.update(type="individual"), "value", "MeasureReport.type"),
    ("vbpr-type", quality, lambda r: r.update(type="individual"), "value", "MeasureReport.type"),
    ("vbpr-date", performance, lambda r: r.pop("date"), "required", "MeasureReport.date"),
    ("vbpr-reporter", quality, lambda r: r.pop("reporter"), "required", "MeasureReport.reporter"),
    (
        "vbpr-measure",
        performance,
        lambda r: (
            r.update(_measure={"extension": [{"url": "u", "valueCode": "unknown"}]}),
            r.pop("measure"),
        ),
        "required",
        "MeasureReport.measure",
    ),
    (
        "vbpr-status",
        performance,
        lambda r: (r.update(_status={"extension": [{"url": "u", "valueCode": "unknown"}]}), r.pop("status")),
        "required",
        "MeasureReport.status",
    ),
    ("mrp-1", performance, lambda r: r.update(type="data-collection"), "invariant", "MeasureReport"),
    (
        "mrp-2",
        performance,
        lambda r: _stratum(r, measureScore={"value": 1}),
        "invariant",
        "MeasureReport.group[0].stratifier[0].stratum[0]",
    ),
    (
        "mrp-2",
        performance,
        lambda r: _stratum(r, value=CONCEPT, component=[{"code": CONCEPT, "value": CONCEPT}]),
        "invariant",
        "MeasureReport.group[0].stratifier[0].stratum[0]",
    ),
    ("vbpr-category", performance, _drop_category, "required", f"MeasureReport.extension('{fhir.CATEGORY}')"),
    (
        "vbpr-category-coding",
        performance,
        lambda r: next(one for one in r["extension"] if one["url"] == fhir.CATEGORY).update(
            valueCodeableConcept=CONCEPT
        ),
        "required",
        "MeasureReport.extension[0].value.coding",
    ),
    (
        "vbpr-category-code",
        performance,
        lambda r: _category(r).pop("code"),
        "required",
        "MeasureReport.extension[0].value.coding[0].code",
    ),
    (
        "vbpr-category-vbp",
        performance,
        lambda r: _category(r).update(code="deqm"),
        "value",
        "MeasureReport.extension[0].value.coding[0].code",
    ),
    ("vbpr-subject", performance, lambda r: r.pop("subject"), "required", "MeasureReport.subject"),
    (
        "vbpr-provider",
        performance,
        lambda r: r.update(subject={"display": "x"}),
        "required",
        "MeasureReport.subject",
    ),
    (
        "vbpr-provider",
        performance,
        lambda r: r.update(subject={"reference": "Practitioner/1"}),
        "required",
        "MeasureReport.subject",
    ),
    (
        "vbpr-provider-once",
        performance,
        lambda r: r["subject"]["extension"].append(r["subject"]["extension"][0]),
        "structure",
        "MeasureReport.subject.extension[1]",
    ),
    (
        "vbpr-provider-reference",
        performance,
        lambda r: r["subject"].update(extension=[{"url": fhir.ORGANIZATION_SUBJECT, "valueString": "x"}]),
        "required",
        "MeasureReport.subject.extension[0].value",
    ),
    (
        "vbpr-no-improvement",
        performance,
        lambda r: r.update(improvementNotation=CONCEPT),
        "structure",
        "MeasureReport.improvementNotation",
    ),
    (
        "vbpr-metric-code",
        performance,
        lambda r: r["group"][1].pop("code"),
        "required",
        "MeasureReport.group[1].code",
    ),
    (
        "deqm-subject",
        quality,
        lambda r: r.update(subject={"display": "x"}),
        "structure",
        "MeasureReport.subject",
    ),
    (
        "deqm-evaluated",
        quality,
        lambda r: r.update(evaluatedResource=[{"reference": "MeasureReport/1"}]),
        "structure",
        "MeasureReport.evaluatedResource[0]",
    ),
    (
        "deqm-0",
        quality,
        lambda r: r.update(measure="https://example.org/m"),
        "invariant",
        "MeasureReport.measure",
    ),
    (
        "deqm-0",
        quality,
        lambda r: r.update(measure="https://example.org/m|"),
        "invariant",
        "MeasureReport.measure",
    ),
    ("deqm-start", quality, lambda r: r["period"].pop("start"), "required", "MeasureReport.period.start"),
    ("deqm-end", quality, lambda r: r["period"].pop("end"), "required", "MeasureReport.period.end"),
    (
        "deqm-1",
        quality,
        lambda r: r["period"].update(start="2024-01"),
        "invariant",
        "MeasureReport.period.start",
    ),
    ("deqm-1", quality, lambda r: r["period"].update(end="2025"), "invariant", "MeasureReport.period.end"),
    ("deqm-group", quality, lambda r: r.pop("group"), "required", "MeasureReport.group"),
    (
        "vbpr-population",
        quality,
        lambda r: r["group"][0]["population"][0].pop("code"),
        "required",
        "MeasureReport.group[0].population[0].code",
    ),
    (
        "vbpr-stratum-population",
        quality,
        lambda r: _stratum(r, value=CONCEPT, population=[{"count": 1}]),
        "required",
        "MeasureReport.group[0].stratifier[0].stratum[0].population[0].code",
    ),
    (
        "deqm-stratum-count",
        quality,
        lambda r: _stratum(r, value=CONCEPT, population=[{"code": CONCEPT}]),
        "required",
        "MeasureReport.group[0].stratifier[0].stratum[0].population[0].count",
    ),
    ("vbpr-contract-url", contract, lambda m: m.pop("url"), "required", "Measure.url"),
    ("vbpr-contract-version", contract, lambda m: m.pop("version"), "required", "Measure.version"),
    ("vbpr-contract-title", contract, lambda m: m.pop("title"), "required", "Measure.title"),
    (
        "vbpr-contract-description",
        contract,
        lambda m: m.pop("description"),
        "required",
        "Measure.description",
    ),
    (
        "vbpr-component-measure",
        contract,
        lambda m: m["relatedArtifact"][0].pop("resource"),
        "required",
        "Measure.relatedArtifact[0].resource",
    ),
    (
        "vbpr-contractual-status",
        contract,
        lambda m: m["relatedArtifact"][0].pop("extension"),
        "required",
        f"Measure.relatedArtifact[0].extension('{fhir.CONTRACTUAL_STATUS}')",
    ),
    ("vbpr-no-scoring", contract, lambda m: m.update(scoring=CONCEPT), "structure", "Measure.scoring"),
    (
        "vbpr-no-composite",
        contract,
        lambda m: m.update(compositeScoring=CONCEPT),
        "structure",
        "Measure.compositeScoring",
    ),
    (
        "vbpr-contract-no-improvement",
        contract,
        lambda m: m.update(improvementNotation=CONCEPT),
        "structure",
        "Measure.improvementNotation",
    ),
)


@pytest.mark.parametrize(
    ("rule", "whole", "change", "code", "expression"),
    BROKEN,
    ids=[f"{place}-{row[0]}" for place, row in enumerate(BROKEN)],
)
def test_a_broken_rule_is_named_with_its_element(
    rule: str, whole: Callable[[], Json], change: Change, code: str, expression: str
) -> None:
    resource = whole()
    assert check(resource) == []
    change(resource)

    assert (rule, code, expression) in [
        (issue.rule, issue.code, issue.expression) for issue in check(resource)
    ]


def test_every_rule_of_the_table_is_broken_above() -> None:
    assert {rule.id for rule in (*PERFORMANCE, *QUALITY, *CONTRACT)} == {row[0] for row in BROKEN}


def test_the_provider_may_be_a_group_by_reference_or_by_identifier() -> None:
    for subject in (
        {"reference": "Group/roster"},
        {"reference": "https://payer.example/fhir/Group/roster/_history/2"},
        {"type": "Group", "identifier": {"system": "urn:oid:1.2", "value": "7"}},
    ):
        report = performance()
        report["subject"] = subject
        assert check(report) == []


def test_a_report_whose_kind_nothing_tells_is_refused() -> None:
    report = performance()
    del report["meta"]
    assert check(report) == [], "its category tells that it is a performance report"
    _drop_category(report)

    (issue,) = check(report)

    assert (issue.rule, issue.expression) == ("vbpr-kind", "MeasureReport.meta.profile")


def test_a_quality_report_without_a_profile_is_known_by_its_scoring() -> None:
    report = quality()
    del report["meta"]
    assert check(report) == []
    report["subject"] = {"reference": "Group/roster"}

    assert [issue.rule for issue in check(report)] == ["deqm-subject"]


def test_structure_and_profile_are_reported_together_and_each_element_once() -> None:
    report = quality()
    report["period"]["start"] = "2024-13"
    report["group"][0]["measureScore"] = {"value": "0.8"}
    report["measure"] = "https://example.org/m"
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
    measure = contract()
    measure["scoring"] = CONCEPT
    measure["meta"] = {"profile": ["http://hl7.org/fhir/uv/crmi/StructureDefinition/crmi-shareablemeasure"]}

    assert check(measure) == []


@pytest.mark.parametrize("wrong", [None, 1, "x", [], [None], {}, [[{}]], {"extension": 3}])
@pytest.mark.parametrize(
    "name", ["meta", "extension", "group", "subject", "period", "measure", "relatedArtifact"]
)
def test_the_worst_structure_is_an_issue_and_no_crash(name: str, wrong: Any) -> None:
    for whole in (performance, quality, contract):
        resource = whole()
        resource[name] = wrong

        issues = check(resource)

        assert issues or (name, wrong) == ("measure", "x")


def test_a_null_in_the_list_of_profiles_hides_no_rule() -> None:
    report = quality()
    report["meta"]["profile"] = [None, *report["meta"]["profile"]]
    report["meta"]["_profile"] = [{"extension": [{"url": "u", "valueCode": "unknown"}]}]
    report["subject"] = {"display": "x"}

    assert [issue.rule for issue in check(report)] == ["deqm-subject"]
