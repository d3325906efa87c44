"""A rejection says where, what was found and what was expected, everything at once, in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from schemas.outcome import Issue
from schemas.structure.explain import explain, with_explanation
from schemas.structure.gate import MOST_ISSUES, MOST_ITEMS, check_structure
from schemas.structure.values import FORMATS
from tests.pure.structure_cases import Json, report

PROBLEMS: tuple[tuple[Callable[[Json], Any], str, str, str], ...] = (
    (lambda r: r.pop("period"), "required", "MeasureReport.period", "'period' is missing"),
    (lambda r: r.pop("status"), "required", "MeasureReport.status", "'status' is missing"),
    (
        lambda r: (r.update(_status={"id": "x"}), r.pop("status")),
        "required",
        "MeasureReport.status",
        "'status' is missing",
    ),
    (
        lambda r: r["group"][0]["measureScore"].update(value="0.8"),
        "structure",
        "MeasureReport.group[0].measureScore.value",
        "Found the string '0.8'; expected a number, not in quotes.",
    ),
    (
        lambda r: r.update(status="done"),
        "code-invalid",
        "MeasureReport.status",
        "Found the string 'done'; expected one of complete, pending, error.",
    ),
    (lambda r: r.update(colour="red"), "structure", "MeasureReport.colour", "Unknown element 'colour'"),
    (lambda r: r.update({"a b": 1}), "structure", "MeasureReport", "Unknown element 'a b'"),
    (
        lambda r: r["extension"].append({"url": "https://example.org/x", "valueDate": "2023-02-29"}),
        "value",
        "MeasureReport.extension[4].value",
        "Found the string '2023-02-29'; expected a date that exists",
    ),
    (
        lambda r: r["extension"].append(
            {"url": "https://example.org/x", "valueCode": "a", "valueString": "b"}
        ),
        "structure",
        "MeasureReport.extension[4].value",
        "valueCode and valueString stand together; only one value[x] may.",
    ),
    (
        lambda r: r["extension"].append({"valueCode": "a"}),
        "required",
        "MeasureReport.extension[4].url",
        "'url'",
    ),
    (
        lambda r: r.update(contained=[{"id": "x"}]),
        "required",
        "MeasureReport.contained[0].resourceType",
        "missing",
    ),
    (
        lambda r: r.update(contained=[{"resourceType": "Organization", "id": "x", "foo": 1}]),
        "structure",
        "MeasureReport.contained[0].foo",
        "Unknown element 'foo'",
    ),
    (
        lambda r: r.update(resourceType="Patient"),
        "structure",
        "Resource.resourceType",
        "expected one of MeasureReport",
    ),
)


@pytest.mark.parametrize(
    ("change", "code", "expression", "words"),
    PROBLEMS,
    ids=[f"{place}-{row[2]}" for place, row in enumerate(PROBLEMS)],
)
def test_one_problem_is_one_issue(
    change: Callable[[Json], Any], code: str, expression: str, words: str
) -> None:
    value = report()
    change(value)

    (issue,) = check_structure(value)

    assert (issue.severity, issue.code, issue.expression) == ("error", code, expression)
    assert words in issue.diagnostics


def test_all_problems_are_reported_at_once() -> None:
    value = report()
    value.pop("period")
    value.update(status="done", colour="red")
    value["group"][0]["measureScore"] = {"value": "0.8", "comparator": "!="}

    assert {issue.expression for issue in check_structure(value)} == {
        "MeasureReport.period",
        "MeasureReport.status",
        "MeasureReport.colour",
        "MeasureReport.group[0].measureScore.value",
        "MeasureReport.group[0].measureScore.comparator",
    }


def test_a_required_choice_names_its_types() -> None:
    group = {
        "resourceType": "Group",
        "type": "person",
        "actual": True,
        "characteristic": [{"code": {"text": "x"}, "exclude": False}],
    }

    (issue,) = check_structure(group)

    assert issue.expression == "Group.characteristic[0].value"
    assert re.search(r"'value\[x\]' is missing; expected one of .*valueBoolean", issue.diagnostics)


def test_a_null_in_a_list_of_primitives_is_named_by_its_place() -> None:
    measure = {
        "resourceType": "Measure",
        "url": "https://example.org/m",
        "status": "active",
        "library": ["x", None],
    }

    (issue,) = check_structure(measure)

    assert issue.expression == "Measure.library[1]"
    assert "Found null; expected no null" in issue.diagnostics


def test_a_value_and_its_extensions_may_stand_together_or_for_each_other() -> None:
    value = report()
    unknown = {"extension": [{"url": "https://example.org/why", "valueCode": "unknown"}]}
    value.update(_date=unknown, _status=unknown)
    value.pop("status")
    value["meta"].update(profile=[*value["meta"]["profile"], None], _profile=[None, unknown])
    value["extension"].append({"url": "https://example.org/x", "_valueString": unknown})

    assert check_structure(value) == []


@pytest.mark.parametrize(
    "flood",
    [
        {"identifier": [{"use": "no"}] * 100_000},
        {f"x{number}": 1 for number in range(100_000)},
        {"contained": [{"resourceType": "Organization"}] * 100_000},
    ],
    ids=["values", "names", "contained"],
)
def test_a_flood_of_problems_is_cut_off(flood: Json) -> None:
    assert len(check_structure({**report(), **flood})) == MOST_ISSUES


def test_a_fault_behind_many_right_items_is_found() -> None:
    value = report()
    value["identifier"] = [*({"value": "a"} for _ in range(3 * MOST_ITEMS)), {"use": "no"}, {"use": "nor"}]

    (issue,) = check_structure(value)

    assert issue.expression == f"MeasureReport.identifier[{3 * MOST_ITEMS}].use"


@pytest.mark.parametrize(
    ("form", "right", "wrong"),
    [
        ("date", ["2024", "2024-02", "2024-02-29", "0001-01-01"], ["2023-02-29", "0000", "2024-2", "2024-02-29T", "24"]),
        (
            "dateTime",
            ["2024", "2024-02-29T23:59:60Z", "2024-01-01T00:00:00.123456789+14:00", "2024-12-31"],
            ["2024-01-01T10:00Z", "2024-01-01T10:00:00", "2024-01-01T24:00:00Z", "2024-06-31T00:00:00Z", "2024-01-01Z"],
        ),
        ("instant", ["2024-02-29T08:00:00Z"], ["2024-02-29", "2023-02-29T08:00:00Z", "2024-02-29T08:00:00"]),
        ("time", ["00:00:00", "23:59:60.5"], ["24:00:00", "1:00:00", "10:00"]),
        ("url", ["https://example.org/a?b#c", "mailto:a@example.org", "Patient/1", "/x"], ["http://", "https://a:99999/"]),
        ("uuid", ["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"], ["c757873d-ec9a-4326-a141-556f43239520", "urn:uuid:1"]),
        ("base64Binary", ["YWJj", "YW Jj\n", "YQ=="], ["YQ=", "YWJj!", "é", "", " "]),
        (
            "reference",
            [
                "Organization/1", "Organization/1/_history/2", "https://payer.example/fhir/Organization/1", "#x", "#",
                "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "urn:oid:1.2.3", "https://payer.example/x?y=z",
            ],
            ["Organization", "organization/1", "Organization/a b", "Organization?identifier=a|b", "", "x", "Organization/" + "a" * 65],
        ),
    ],
)  # fmt: skip
def test_formats(form: str, right: list[str], wrong: list[str]) -> None:
    assert [text for text in right if not FORMATS[form](text)] == []
    assert [text for text in wrong if FORMATS[form](text)] == []


def test_a_reference_is_judged_by_the_type_its_url_tells() -> None:
    value = report()
    for fine in (
        "Organization/1",
        "https://payer.example/fhir/Practitioner/1",
        "urn:oid:1.2",
        "https://payer.example/x",
    ):
        value["reporter"] = {"reference": fine}
        assert check_structure(value) == []
    for wrong in ("Patient/1", "https://payer.example/fhir/Patient/1/_history/2"):
        value["reporter"] = {"reference": wrong}
        (issue,) = check_structure(value)
        assert issue.expression == "MeasureReport.reporter.reference"
        assert "Organization" in issue.diagnostics


def test_the_explanation_points_at_the_same_elements_in_words() -> None:
    value = report()
    value.pop("period")
    value["group"][0]["measureScore"] = {"value": "abc", "colour": 1}
    value["date"] = "2023-02-30"

    found = {issue.expression: issue.diagnostics for issue in explain(value)}

    assert found["MeasureReport.period"] == "'period' is missing."
    assert found["MeasureReport.group[0].measureScore.colour"] == "Unknown element 'colour'."
    assert "2023-02-30" in found["MeasureReport.date"]
    assert found.keys() <= {issue.expression for issue in check_structure(value)}


@pytest.mark.parametrize("value", [{}, {"resourceType": "Patient"}, {"resourceType": ["x"]}, report()])
def test_nothing_is_explained_where_nothing_is_known_to_be_wrong(value: Json) -> None:
    assert explain(value) == []


def test_a_contained_type_the_models_do_not_know_is_no_crash() -> None:
    value = report()
    value["contained"] = [{"resourceType": "Nonsense", "id": "x"}]

    assert explain(value) == []
    assert check_structure(value)[0].expression == "MeasureReport.contained[0].resourceType"


def test_the_explanation_adds_to_the_verdict_and_never_repeats_it() -> None:
    verdict = [Issue("error", "required", "gate", "MeasureReport.period")]
    models = [
        Issue("error", "required", "models", "MeasureReport.period"),
        Issue("error", "value", "models", "MeasureReport.date"),
    ]

    merged = with_explanation(verdict, models)

    assert [(issue.severity, issue.expression, issue.diagnostics) for issue in merged] == [
        ("error", "MeasureReport.period", "gate"),
        ("information", "MeasureReport.date", "models"),
    ]
