from __future__ import annotations

import json
import re

import pytest
from fhir.resources.R4B.searchparameter import SearchParameter as Oracle

from schemas.event import Stage
from schemas.search.definition import definition, definitions
from schemas.search.parameters import ALL, MEASURE_REPORT, SearchParameter, SearchType
from tests.guide import ARTIFACTS

PUBLISHED_R4 = {
    "date", "period", "identifier", "status", "measure", "patient", "subject", "reporter", "evaluated-resource",
    "_id", "_lastUpdated", "_tag", "_security", "_profile", "_source",
}  # fmt: skip
OURS = {
    "contract", "stage", "kind", "lob", "program-model", "payment-stream", "cohort", "metric", "metric-score",
    "threshold-gap",
    "provider-identifier", "payer-identifier", "quality-measure", "paid-through", "service-period", "provider", "payer",
}  # fmt: skip


def test_the_table_holds_r4s_vbprs_and_our_parameters_each_once() -> None:
    assert sorted(each.name for each in ALL) == sorted(
        PUBLISHED_R4 | OURS | {"category", "subject-organization"}
    )
    assert len({each.url for each in ALL}) == len(ALL)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("category", "measurereport-category"),
        ("subject-organization", "measurereport-subject-organization"),
        ("evaluated-resource", "evaluatedResource"),
    ],
)
def test_both_spellings_are_one_parameter(name: str, other: str) -> None:
    assert MEASURE_REPORT[name] is MEASURE_REPORT[other]


def test_the_stages_are_those_of_the_event() -> None:
    assert MEASURE_REPORT["stage"].codes == {stage.value for stage in Stage}


def test_only_ours_are_published_and_each_can_be_read_by_a_fhir_library() -> None:
    resources = definitions()
    assert {each["code"] for each in resources} == OURS
    for each in resources:
        Oracle.model_validate(each)


@pytest.mark.parametrize("parameter", [each for each in ALL if each.ours], ids=lambda each: each.name)
def test_a_definition_says_what_is_honoured(parameter: SearchParameter) -> None:
    resource = definition(parameter)
    assert resource["url"].endswith("/" + resource["id"])
    assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", resource["id"])
    assert re.fullmatch(r"[A-Z]([A-Za-z0-9_]){0,254}", resource["name"])
    assert resource["type"] == parameter.type
    assert resource.get("modifier", []) == sorted(parameter.modifiers)
    assert ("comparator" in resource) == (parameter.type is SearchType.DATE)
    assert ("target" in resource) == (parameter.type is SearchType.REFERENCE)
    assert ("component" in resource) == (parameter.type is SearchType.COMPOSITE)


@pytest.mark.guide
def test_vbprs_definitions_agree_with_the_table() -> None:
    assert ARTIFACTS is not None
    found = sorted((ARTIFACTS / "vbpr").glob("SearchParameter-*.json"))
    assert found
    for path in found:
        theirs = json.loads(path.read_text())
        ours = MEASURE_REPORT[theirs["code"]]
        assert (ours.url, ours.type) == (theirs["url"], theirs["type"])
        assert list(ours.targets) == theirs.get("target", [])
