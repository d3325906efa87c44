"""What can a report be found by? Small reports against literal tables, and the digits of every score."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.facets import parties
from schemas.search.parameters import MEASURE_REPORT
from services.publisher.derive import contract_facts
from services.publisher.derive.metrics import metric_scores
from services.publisher.derive.model import Context, ContractFacts
from services.publisher.derive.thresholds import threshold_gaps
from tests.pure.small_reports import (
    BASE,
    CONTRACT,
    EXTENSION,
    IDENTIFIERS,
    METRIC,
    PARENT,
    PAYER,
    PROVIDER,
    STAGE,
    STREAM,
    by_extension,
    derived,
    performance,
    quality,
)

NO_PARAMETER = {"parent"}
"""Facets that are carried besides those a search asks for; see `services.publisher.derive.facets`."""

SOPT = "https://nahdo.org/sopt"
HCPLAN = "http://terminology.hl7.org/CodeSystem/hcp-lan-apm-framework"
COHORT = "http://hl7.org/fhir/us/davinci-vbpr/CodeSystem/vbp-cohort"
CATEGORY = "http://hl7.org/fhir/CodeSystem/measurereport-category"
NPI = "http://hl7.org/fhir/sid/us-npi"

MEASURE = {
    "resourceType": "Measure",
    "url": f"{CONTRACT}|4",
    "identifier": [{"system": "https://plan.example/numbers", "value": "C-1"}, {"use": "temp"}],
    "effectivePeriod": {"start": "2025"},
    "extension": [
        {"url": EXTENSION + "lob", "valueCodeableConcept": {"coding": [{"system": SOPT, "code": "1"}]}},
        {
            "url": EXTENSION + "program-model",
            "extension": [
                {"url": "hcplan", "valueCodeableConcept": {"coding": [{"system": HCPLAN, "code": "3A"}]}},
                {"url": "cohort", "valueCodeableConcept": {"coding": [{"system": COHORT, "code": "hmo"}]}},
            ],
        },
        {
            "url": EXTENSION + "program-model",
            "extension": [
                {"url": "hcplan", "valueCodeableConcept": {"coding": [{"system": HCPLAN, "code": "3A"}]}},
                {"url": "cohort", "valueCodeableConcept": {"coding": [{"system": COHORT, "code": "ppo"}]}},
            ],
        },
        {
            "url": EXTENSION + "payment-stream",
            "extension": [
                {"url": "type", "valueCodeableConcept": {"coding": [{"system": STREAM, "code": "ssl"}]}}
            ],
        },
    ],
}
FACTS = ContractFacts(
    key=CONTRACT,
    payer=PAYER,
    identifiers=("https://plan.example/numbers|C-1",),
    lines_of_business=(f"{SOPT}|1",),
    program_models=(f"{HCPLAN}|3A",),
    cohorts=(f"{COHORT}|hmo", f"{COHORT}|ppo"),
    payment_streams=(f"{STREAM}|ssl",),
    term=("2025-01-01T00:00:00.000Z", None),
)

PERFORMANCE = b"""{
  "resourceType": "MeasureReport",
  "id": "what-the-sender-called-it",
  "meta": {
    "profile": ["http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/vbp-performance-measurereport|1.1.0"],
    "source": "https://plan.example/reporting#7",
    "security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}],
    "tag": [
      {"system": "https://vbpr-subscriptions.org/fhir/CodeSystem/report-stage", "code": "settled"},
      {"code": "run-out"}, {"display": "no code"}
    ]
  },
  "extension": [
    {"url": "http://hl7.org/fhir/StructureDefinition/measurereport-category", "valueCodeableConcept":
      {"coding": [{"system": "http://hl7.org/fhir/CodeSystem/measurereport-category", "code": "vbp"}]}},
    {"url": "http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/paid-through-date", "valueDate": "2026-01-31"}
  ],
  "identifier": [{"system": "https://plan.example/reports", "value": "R|1"}, {"value": "2"}],
  "status": "complete", "type": "summary",
  "measure": "https://plan.example/contracts/one|4",
  "subject": {
    "reference": "https://publisher.example/fhir/Group/roster",
    "identifier": {"value": "roster-1"},
    "extension": [{"url": "http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/organization-subject",
      "valueReference": {"reference": "Organization/clinic/_history/2",
        "identifier": {"system": "urn:tin", "value": "9"}}}]
  },
  "date": "2026-02-03T10:00:00-05:00",
  "reporter": {"reference": "https://publisher.example/fhir/Organization/plan"},
  "period": {"start": "2025-01", "end": "2025-12-31"},
  "group": [
    {"code": {"coding": [
       {"system": "http://hl7.org/fhir/us/davinci-vbpr/CodeSystem/vbp-performance-metric", "code": "weighted-avg-star"},
       {"system": "https://plan.example/metrics", "code": "stars"}]},
     "extension": [
       {"url": "http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/payment-stream", "extension": [
         {"url": "type", "valueCodeableConcept": {"coding": [
           {"system": "http://hl7.org/fhir/us/davinci-vbpr/CodeSystem/payment-stream", "code": "ssq"}]}}]},
       {"url": "http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/service-period",
        "valuePeriod": {"start": "2025-01-01", "end": "2025-11-30"}},
       {"url": "http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/paid-through-date", "valueDate": "2026-01-31"}
     ],
     "measureScore": {"value": 4.00},
     "stratifier": [{"stratum": [{"measureScore": {"value": 1.5}}]}]},
    {"code": {"coding": [{"code": "local"}], "text": "Local"},
     "extension": [
       {"url": "http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/service-period", "valuePeriod": {"start": "2025-02-01"}}],
     "measureScore": {"value": 0.750, "unit": "per cent", "code": "%", "system": "http://unitsofmeasure.org"}},
    {"code": {"coding": [
       {"system": "http://hl7.org/fhir/us/davinci-vbpr/CodeSystem/vbp-performance-metric", "code": "ccf"}]},
     "measureScore": {"extension": [
       {"url": "http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/alternate-measurescore",
        "valueMoney": {"value": -500.10, "currency": "USD"}}]}},
    {"code": {"text": "a metric nobody gave a code"}, "measureScore": {"value": 9}}
  ],
  "evaluatedResource": [
    {"reference": "MeasureReport/q1"},
    {"reference": "https://other.example/fhir/MeasureReport/q2/_history/1"},
    {"identifier": {"system": "https://plan.example/reports", "value": "q3"}}
  ]
}"""

PERFORMANCE_FACETS = {
    "_id": ["|year"],
    "_lastUpdated": [["2026-03-04T05:06:07.089Z", "2026-03-04T05:06:07.090Z"]],
    "_tag": [f"{STAGE}|settled", "|run-out"],
    "_security": ["http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R"],
    "_profile": [EXTENSION + "vbp-performance-measurereport|1.1.0"],
    "_source": ["https://plan.example/reporting#7"],
    "date": [["2026-02-03T15:00:00.000Z", "2026-02-03T15:00:01.000Z"]],
    "period": [["2025-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z"]],
    "identifier": ["https://plan.example/reports|R|1", "|2"],
    "status": ["http://hl7.org/fhir/measure-report-status|complete"],
    "measure": [f"{CONTRACT}|4"],
    "category": [f"{CATEGORY}|vbp"],
    "subject": ["Group/roster"],
    "subject:identifier": ["|roster-1"],
    "reporter": [PAYER],
    "evaluated-resource": ["MeasureReport/q1", "https://other.example/fhir/MeasureReport/q2"],
    "evaluated-resource:identifier": ["https://plan.example/reports|q3"],
    "subject-organization": [PROVIDER],
    "subject-organization:identifier": ["urn:tin|9"],
    "metric": [
        f"{METRIC}|weighted-avg-star",
        "https://plan.example/metrics|stars",
        "|local",
        f"{METRIC}|ccf",
    ],
    "metric-score": [
        [f"{METRIC}|weighted-avg-star", "4.00", ""],
        ["https://plan.example/metrics|stars", "4.00", ""],
        ["|local", "0.750", "%"],
        [f"{METRIC}|ccf", "-500.10", "USD"],
    ],
    "payment-stream": [f"{STREAM}|ssq"],
    "paid-through": [["2026-01-31T00:00:00.000Z", "2026-02-01T00:00:00.000Z"]],
    "service-period": [
        ["2025-01-01T00:00:00.000Z", "2025-12-01T00:00:00.000Z"],
        ["2025-02-01T00:00:00.000Z", None],
    ],
    "contract": [CONTRACT],
    "stage": [f"{STAGE}|settled"],
    "kind": ["https://vbpr-subscriptions.org/fhir/CodeSystem/report-kind|performance"],
    "payer": [PAYER],
    "provider": [PROVIDER],
    "lob": [f"{SOPT}|1"],
    "program-model": [f"{HCPLAN}|3A"],
    "cohort": [f"{COHORT}|hmo", f"{COHORT}|ppo"],
    "payer-identifier": ["urn:naic|99021"],
    "provider-identifier": [f"{NPI}|2100044173", "urn:tin|9"],
}

CONTEXT = Context(
    FACTS, identifiers={PAYER: ("urn:naic|99021",), PROVIDER: (f"{NPI}|2100044173", "urn:tin|9")}
)


def test_a_contract_says_what_its_reports_inherit() -> None:
    assert contract_facts(MEASURE, PAYER) == FACTS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"valueCode": "1"}, ("|1",)),
        ({"valueString": "Medicare"}, ("|Medicare",)),
        ({"valueCoding": {"system": SOPT, "code": "2"}}, (f"{SOPT}|2",)),
        ({"valueCodeableConcept": {"text": "Dual"}}, ()),
        ({"valueBoolean": True}, ()),
    ],
)
def test_a_line_of_business_may_be_of_any_type(value: dict[str, Any], expected: tuple[str, ...]) -> None:
    measure = {"url": CONTRACT, "extension": [{"url": EXTENSION + "lob", **value}]}
    assert contract_facts(measure, None).lines_of_business == expected


def test_every_facet_of_a_performance_report() -> None:
    found = derived(json.loads(PERFORMANCE), CONTEXT, raw=PERFORMANCE).facets
    assert found == PERFORMANCE_FACETS
    assert json.loads(json.dumps(found)) == PERFORMANCE_FACETS


def test_every_facet_of_a_quality_report() -> None:
    report = quality(meta={**quality()["meta"], "tag": []}, group=[{"measureScore": {"value": 0.75}}])
    context = Context(FACTS, parent=PARENT, identifiers=CONTEXT.identifiers)
    assert derived(report, context, report_id="q1").facets == {
        "_id": ["|q1"],
        "_lastUpdated": [["2026-03-04T05:06:07.089Z", "2026-03-04T05:06:07.090Z"]],
        "_profile": [EXTENSION + "vbp-quality-measurereport"],
        "date": [["2026-02-03T00:00:00.000Z", "2026-02-04T00:00:00.000Z"]],
        "period": [["2025-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z"]],
        "status": ["http://hl7.org/fhir/measure-report-status|complete"],
        "measure": ["https://measures.example/Measure/eyes|2.1"],
        "quality-measure": ["https://measures.example/Measure/eyes|2.1"],
        "reporter": [PAYER],
        "contract": [CONTRACT],
        "stage": [f"{STAGE}|final"],
        "kind": ["https://vbpr-subscriptions.org/fhir/CodeSystem/report-kind|quality"],
        "payer": [PAYER],
        "provider": [PROVIDER],
        "parent": ["MeasureReport/year"],
        "lob": [f"{SOPT}|1"],
        "program-model": [f"{HCPLAN}|3A"],
        "cohort": [f"{COHORT}|hmo", f"{COHORT}|ppo"],
        "payer-identifier": ["urn:naic|99021"],
        "provider-identifier": [f"{NPI}|2100044173", "urn:tin|9"],
    }


def test_a_report_about_a_patient_has_one() -> None:
    subject = {"reference": "Patient/p", **by_extension({"reference": PROVIDER})}
    found = derived(performance(subject=subject)).facets
    assert found["patient"] == found["subject"] == ["Patient/p"]


def test_both_parties_may_see_a_report_and_a_group_lends_its_manager() -> None:
    context = Context(FACTS, identifiers=IDENTIFIERS, group_manager=PROVIDER)
    report = performance(subject={"reference": f"{BASE}/Group/roster"})
    assert parties(derived(report, context).facets) == {PAYER, PROVIDER}
    waiting = derived(quality(), Context(identifiers=IDENTIFIERS))
    assert parties(waiting.facets) == {PAYER}


def test_every_facet_is_a_search_parameter_and_every_search_parameter_can_have_a_facet() -> None:
    names = {name.removesuffix(":identifier") for name in PERFORMANCE_FACETS}
    assert names <= set(MEASURE_REPORT)
    every = {parameter.name for parameter in MEASURE_REPORT.values()}
    assert every - names == {"patient", "quality-measure", "threshold-gap"}
    context = Context(FACTS, parent=PARENT, identifiers=IDENTIFIERS)
    assert set(derived(quality(), context).facets) - set(MEASURE_REPORT) == NO_PARAMETER


_NUMBER = st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
_SPACE = st.sampled_from(["", " ", "\n\t "])


@given(st.lists(st.tuples(_NUMBER, _SPACE), min_size=1, max_size=4))
def test_a_score_keeps_every_digit_it_was_written_with(scores: list[tuple[str, str]]) -> None:
    groups = ",".join(
        f'{{"code":{{"coding":[{{"code":"m{place}"}}]}},"measureScore":{{"value":{space}{number}{space}}}}}'
        for place, (number, space) in enumerate(scores)
    )
    found = metric_scores(f'{{"group":[{groups}]}}'.encode())
    assert found == [(f"|m{place}", number, "") for place, (number, _) in enumerate(scores)]


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ('{"value": 1, "unit": "USD"}', [("|m", "1", "USD")]),
        ('{"value": 1, "unit": "dollars", "code": "USD"}', [("|m", "1", "USD")]),
        ('{"extension": [{"url": "ALT", "valueDecimal": 3.50}]}', [("|m", "3.50", "")]),
        ('{"extension": [{"url": "ALT", "valueInteger": 3}]}', [("|m", "3", "")]),
        ('{"extension": [{"url": "ALT", "valueMoney": {"value": 0.10}}]}', [("|m", "0.10", "")]),
        ('{"extension": [{"url": "ALT", "valueMoney": {"currency": "USD"}}]}', []),
        ('{"extension": [{"url": "ALT", "valueBoolean": false}]}', []),
        ('{"extension": [{"url": "ALT", "valueCodeableConcept": {"text": "B+"}}]}', []),
        ('{"extension": [{"url": "https://x.example", "valueDecimal": 3.50}]}', []),
        ('{"value": 2, "extension": [{"url": "ALT", "valueDecimal": 3.50}]}', [("|m", "2", "")]),
    ],
)
def test_a_score_is_a_quantity_or_the_number_that_stands_for_one(
    score: str, expected: list[tuple[str, str, str]]
) -> None:
    score = score.replace("ALT", EXTENSION + "alternate-measurescore")
    raw = f'{{"group": [{{"code": {{"coding": [{{"code": "m"}}]}}, "measureScore": {score}}}]}}'
    assert metric_scores(raw.encode()) == expected


GAP = f"""{{"url": "{EXTENSION}threshold", "extension": [
  {{"url": "threshold", "valueQuantity": {{"value": 78, "code": "%"}}}},
  {{"url": "type", "valueCodeableConcept": {{"coding": [
    {{"system": "urn:t", "code": "star-4"}}, {{"code": "four"}}, {{"display": "no code"}}]}}}}OTHER]}}"""


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("", []),
        (', {"url": "gapToThreshold", "valueDecimal": 3.00}', [("3.00", "")]),
        (', {"url": "gapToThreshold", "valueDecimal": -1e-2}', [("-1e-2", "")]),
        (
            ', {"url": "gapToThreshold", "valueQuantity": {"value": 0.0, "unit": "members"}}',
            [("0.0", "members")],
        ),
        (
            ', {"url": "gapToThreshold", "valueQuantity": {"value": 5, "unit": "per cent", "code": "%"}}',
            [("5", "%")],
        ),
        (', {"url": "gapToThreshold", "valueQuantity": {"unit": "members"}}', []),
        (', {"url": "gapToThreshold", "valueString": "3"}', []),
        (', {"url": "somethingElse", "valueDecimal": 3}', []),
    ],
)
def test_a_gap_stands_under_each_code_of_its_threshold_as_it_was_written(
    part: str, expected: list[tuple[str, str]]
) -> None:
    elsewhere = (
        '{"url": "urn:x", "valueDecimal": 9, "extension": [{"url": "gapToThreshold", "valueDecimal": 9}]}'
    )
    raw = f'{{"extension": [{elsewhere}, {GAP.replace("OTHER", part)}], "group": [{{}}]}}'
    gaps = [(code, *gap) for gap in expected for code in ("urn:t|star-4", "|four")]
    assert threshold_gaps(raw.encode()) == gaps
    context = Context(FACTS, parent=PARENT, identifiers=IDENTIFIERS)
    report = {**quality(), "extension": json.loads(raw)["extension"]}
    found = derived(report, context, raw=raw.encode()).facets
    assert found.get("threshold-gap") == ([list(gap) for gap in gaps] or None)
    assert "metric-score" not in found


def test_a_threshold_without_a_type_has_no_gap_that_can_be_asked_for() -> None:
    raw = json.dumps(
        {
            "extension": [
                {
                    "url": EXTENSION + "threshold",
                    "extension": [{"url": "gapToThreshold", "valueDecimal": 3}],
                }
            ]
        }
    )
    assert threshold_gaps(raw.encode()) == []
