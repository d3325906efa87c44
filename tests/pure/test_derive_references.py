"""What does a Reference point to, however it is written?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publisher.derive import kind, needs
from services.publisher.derive.model import Kind, Needs
from services.publisher.derive.references import literal, local_id, logical, target_type, without_version
from tests.pure.small_reports import (
    BASE,
    CONTRACT,
    EXTENSION,
    PAYER,
    PROVIDER,
    by_extension,
    performance,
    quality,
)

_IDS = st.from_regex(r"[A-Za-z0-9\-.]{1,64}", fullmatch=True)
SCORING = "http://hl7.org/fhir/us/davinci-deqm/StructureDefinition/extension-measureScoring"
CATEGORY = {
    "url": "http://hl7.org/fhir/StructureDefinition/measurereport-category",
    "valueCodeableConcept": {"coding": [{"code": "vbp"}]},
}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Organization/clinic", "Organization/clinic"),
        ("Organization/clinic/_history/3", "Organization/clinic"),
        (f"{BASE}/Organization/clinic", "Organization/clinic"),
        (f"{BASE}/Organization/clinic/_history/3", "Organization/clinic"),
        ("https://other.example/fhir/Organization/clinic", "https://other.example/fhir/Organization/clinic"),
        (
            "https://other.example/fhir/Organization/clinic/_history/3",
            "https://other.example/fhir/Organization/clinic",
        ),
        (f"{BASE}x/Organization/clinic", f"{BASE}x/Organization/clinic"),
        ("#clinic", None),
        (None, None),
    ],
)
def test_a_literal_reference_has_one_form(reference: str | None, expected: str | None) -> None:
    element = {"display": "Clinic"} if reference is None else {"reference": reference}
    assert literal(element, BASE) == expected
    assert literal(element, BASE + "/") == expected


@given(_IDS, _IDS)
def test_every_way_to_write_a_reference_of_our_own_ends_in_the_same_id(id_: str, version: str) -> None:
    for prefix in ("", BASE + "/"):
        for suffix in ("", f"/_history/{version}"):
            reference = {"reference": f"{prefix}Group/{id_}{suffix}"}
            assert local_id(reference, BASE, "Group") == id_
            assert local_id(reference, BASE, "Organization") is None
            assert target_type(reference, BASE) == "Group"


def test_an_identifier_alone_is_a_logical_reference() -> None:
    npi = {"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "2100044173"}}
    assert literal(npi, BASE) is None
    assert logical(npi) == "http://hl7.org/fhir/sid/us-npi|2100044173"
    assert logical({"identifier": {"value": "7"}}) == "|7"
    assert logical({"identifier": {"type": {"text": "none"}}}) is None


def test_a_type_may_be_declared_where_the_reference_does_not_show_it() -> None:
    assert target_type({"reference": "https://npi.example/7", "type": "Organization"}, BASE) == "Organization"
    assert target_type({"reference": "https://npi.example/7"}, BASE) is None


def test_a_canonical_is_compared_without_its_version() -> None:
    assert without_version("https://m.example/eyes|2.1") == "https://m.example/eyes"
    assert without_version("https://m.example/eyes") == "https://m.example/eyes"


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"meta": {"profile": [EXTENSION + "vbp-performance-measurereport"]}}, Kind.PERFORMANCE),
        (
            {"meta": {"profile": ["https://x.example", EXTENSION + "vbp-quality-measurereport|1.1.0"]}},
            Kind.QUALITY,
        ),
        ({"extension": [CATEGORY, {"url": SCORING}]}, Kind.QUALITY),
        ({"extension": [CATEGORY], "group": [{}, {"extension": [{"url": SCORING}]}]}, Kind.QUALITY),
        ({"extension": [CATEGORY], "group": [{}]}, Kind.PERFORMANCE),
        (
            {
                "meta": {"profile": [EXTENSION + "vbp-performance-measurereport"]},
                "extension": [{"url": SCORING}],
            },
            Kind.PERFORMANCE,
        ),
        ({"extension": [{**CATEGORY, "valueCodeableConcept": {"coding": [{"code": "deqm"}]}}]}, None),
        ({}, None),
    ],
)
def test_the_kind_is_told_by_profile_then_scoring_then_category(
    report: dict[str, object], expected: Kind | None
) -> None:
    assert kind(report) == expected


def test_a_performance_report_needs_its_contract_parties_and_what_it_lists() -> None:
    report = performance(
        measure=f"{CONTRACT}|3",
        reporter={"reference": f"{BASE}/{PAYER}/_history/2"},
        evaluatedResource=[
            {"reference": "MeasureReport/q1"},
            {"reference": "https://other.example/fhir/MeasureReport/q9"},
            {"reference": f"{BASE}/MeasureReport/q2/_history/1"},
            {"reference": "Observation/o"},
            {"reference": "MeasureReport/q1"},
        ],
    )
    assert needs(report, BASE) == Needs(
        Kind.PERFORMANCE, CONTRACT, None, (PAYER, PROVIDER), lists=("q1", "q2")
    )


def test_a_group_is_needed_only_where_the_subject_names_no_organisation() -> None:
    group = {"reference": "Group/roster"}
    assert needs(performance(subject=group), BASE).group == "Group/roster"
    assert needs(performance(subject={**group, **by_extension({"reference": PROVIDER})}), BASE).group is None
    other = {"reference": "https://other.example/fhir/Group/roster"}
    assert needs(performance(subject=other), BASE).group is None


def test_organisations_named_by_identifier_alone_are_looked_up_by_it() -> None:
    report = performance(
        reporter={"identifier": {"system": "urn:naic", "value": "99021"}},
        subject=by_extension({"identifier": {"system": "urn:npi", "value": "7"}}),
    )
    assert needs(report, BASE) == Needs(
        Kind.PERFORMANCE, CONTRACT, None, identifiers=("urn:naic|99021", "urn:npi|7")
    )


def test_a_quality_report_needs_nothing_of_a_contract() -> None:
    assert needs(quality(), BASE) == Needs(Kind.QUALITY, None, None, (PAYER,))
