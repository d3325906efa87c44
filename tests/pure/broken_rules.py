"""For each rule of the table one way of breaking it, and it alone: what is changed, and where that is found.

Written by hand, one row a rule. `X` below stands for `MeasureReport` or `Measure`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.publisher.check.editions import Profile
from tests.pure import full_resources as full
from tests.pure.changes import Change, Json, both, drop, put, twice, valued

OTHER = {"coding": [{"system": "https://plan.example/codes", "code": "own"}]}
TEXT = {"text": "x"}


@dataclass(frozen=True)
class Broken:
    """One way of breaking one rule."""

    profile: Profile
    rule: str
    whole: Callable[[], Json]
    change: Change
    expression: str
    also: frozenset[str] = frozenset()
    """Rules that cannot but be broken along."""


P, Q, C = Profile.PERFORMANCE, Profile.QUALITY, Profile.CONTRACT
_p, _later, _q, _q1, _c, _c1 = (
    full.performance, full.later_performance, full.quality, full.first_quality, full.contract, full.first_contract,
)  # fmt: skip

_WHY = {"extension": [{"url": "https://plan.example/why", "valueCode": "unknown"}]}
_ORGANISATION = f"extension('{full.VBPR}StructureDefinition/organization-subject')"
_CATEGORY = f"extension('{full.FHIR}measurereport-category')"
_CODING = "extension/measurereport-category/valueCodeableConcept/coding"


def _nowhere(name: str) -> str:
    """Return the FHIRPath of an extension that is not there."""
    for base in (f"{full.VBPR}StructureDefinition/", f"{full.DEQM}extension-", full.FHIR):
        if name in _NAMES[base]:
            return f"extension('{base}{name}')"
    raise KeyError(name)


_NAMES = {
    f"{full.VBPR}StructureDefinition/": [
        "organization-subject",
        "payment-stream",
        "service-period",
        "paid-through-date",
        "baseline",
        "alternate-measurescore",
        "group-reference",
        "score",
        "threshold",
        "lob",
        "program-model",
        "contractual-status",
        "weight",
    ],
    f"{full.DEQM}extension-": [
        "measureScoring",
        "groupImprovementNotation",
        "calculatedDate",
        "alternateScoreType",
        "reporterGroup",
        "reportingVendor",
        "dataLocation",
        "certificationIdentifier",
    ],
    full.FHIR: [
        "measurereport-category",
        "measurereport-countQuantity",
        "measurereport-populationDescription",
        "cqf-criteriaReference",
        "cqf-knowledgeCapability",
        "cqf-artifactComment",
        "artifact-versionAlgorithm",
        "artifact-versionPolicy",
    ],
}

_BOTH: tuple[tuple[str, Change, str], ...] = (
    ("vbpr-type", put("type", "individual"), "X.type"),
    ("vbpr-measure", both(drop("measure"), put("_measure", _WHY)), "X.measure"),
    ("vbpr-status", both(drop("status"), put("_status", _WHY)), "X.status"),
    ("vbpr-date", drop("date"), "X.date"),
    ("vbpr-reporter", drop("reporter"), "X.reporter"),
    ("per-1", put("period/start", "2025-01-01"), "X.period"),
    ("per-1", put("period", {"start": "2019-06-01", "end": "2019-01-01"}), "X.period"),
    ("mrp-2", drop("group/0/stratifier/0/stratum/0/value"), "X.group[0].stratifier[0].stratum[0]"),
    ("category-codes", put(f"{_CODING}/0/system", "https://plan.example/categories"), "X.extension[0].value"),
)  # fmt: skip

_MISPLACED = tuple(
    (f"where-{name}", f"{base}{name}")
    for base, names in _NAMES.items()
    for name in names
    if not name.startswith(("cqf-", "artifact-"))
)

_PERFORMANCE: tuple[tuple[str, Callable[[], Json], Change, str], ...] = (
    ("vbpr-category", _p, drop("extension/measurereport-category"), f"X.{_CATEGORY}"),
    ("vbpr-category", _p, twice("extension/measurereport-category"), "X.extension[6]"),
    ("category-value", _p, valued("extension/measurereport-category", valueString="vbp"), "X.extension[0].value"),
    ("vbpr-category-coding", _p, twice(f"{_CODING}/0"), "X.extension[0].value.coding[1]"),
    ("mrp-2", _p, put("group/0/stratifier/0/stratum/0/component", [{"code": TEXT, "value": TEXT}]), "X.group[0].stratifier[0].stratum[0]"),
    ("vbpr-category-code", _p, drop(f"{_CODING}/0/code"), "X.extension[0].value.coding[0].code"),
    ("vbpr-category-vbp", _p, put(f"{_CODING}/0/code", "deqm"), "X.extension[0].value.coding[0].code"),
    ("vbpr-period", _p, drop("period/start"), "X.period"),
    ("vbpr-period", _p, drop("period/end"), "X.period"),
    ("vbpr-period", _p, put("period", _WHY), "X.period"),
    ("vbpr-period", _p, both(drop("period/end"), put("period/_end", _WHY)), "X.period"),
    ("vbpr-subject", _p, drop("subject"), "X.subject"),
    ("vbpr-provider", _p, drop("subject/extension"), f"X.subject.{_ORGANISATION}"),
    ("vbpr-provider", _p, put("subject", {"reference": "Practitioner/1"}), f"X.subject.{_ORGANISATION}"),
    ("vbpr-provider", _p, twice("subject/extension/0"), "X.subject.extension[1]"),
    ("vbpr-provider", _p, both(put("meta/profile/0", f"{full.PERFORMANCE}|1.0.0"), put("subject", {"reference": "Group/1"})), f"X.subject.{_ORGANISATION}"),
    ("vbpr-provider-reference", _p, valued("subject/extension/0", valueString="Clinic"), "X.subject.extension[0].value"),
    ("vbpr-provider-organization", _p, valued("subject/extension/0", valueReference={"reference": "Practitioner/1"}), "X.subject.extension[0].value"),
    ("vbpr-subject-type", _p, put("subject/reference", "Location/1"), "X.subject"),
    ("vbpr-subject-type", _p, put("subject/type", "Patient"), "X.subject"),
    ("vbpr-subject-group", _later, both(put("meta/profile/0", f"{full.PERFORMANCE}|2.0.0"), put("subject", {"reference": "Practitioner/1"})), "X.subject"),
    ("vbpr-reporter-organization", _p, put("reporter", {"reference": "PractitionerRole/1"}), "X.reporter"),
    ("vbpr-reporter-type", _later, put("reporter", {"reference": "https://plan.example/fhir/Location/1"}), "X.reporter"),
    ("vbpr-no-improvement", _p, put("improvementNotation", full.notation()), "X.improvementNotation"),
    ("vbpr-metric-code", _p, drop("group/0/code"), "X.group[0].code"),
    ("vbpr-metric-codes", _p, put("group/0/code", OTHER), "X.group[0].code"),
    ("vbpr-service-period", _p, twice("group/0/extension/service-period"), "X.group[0].extension[4]"),
    ("vbpr-paid-through", _p, twice("group/0/extension/paid-through-date"), "X.group[0].extension[4]"),
    ("vbpr-baseline", _p, twice("group/0/extension/baseline"), "X.group[0].extension[4]"),
    ("vbpr-alternate-score", _p, twice("group/0/measureScore/extension/0"), "X.group[0].measureScore.extension[1]"),
    ("vbpr-stratum-alternate-score", _p, twice("group/0/stratifier/0/stratum/0/measureScore/extension/0"), "X.group[0].stratifier[0].stratum[0].measureScore.extension[1]"),
    ("group-reference-value", _p, valued("evaluatedResource/0/extension/0", valueCode="cost"), "X.evaluatedResource[0].extension[0].value"),
    ("group-reference-group", _p, valued("evaluatedResource/0/extension/0", valueString="price"), "X.evaluatedResource[0].extension[0]"),
    ("service-period-value", _p, valued("group/0/extension/service-period", valueDate="2024-01-01"), "X.group[0].extension[1].value"),
    ("report-service-period-value", _p, valued("extension/service-period", valueDate="2024-01-01"), "X.extension[2].value"),
    ("paid-through-value", _p, valued("group/0/extension/paid-through-date", valueDateTime="2024-01-01"), "X.group[0].extension[2].value"),
    ("report-paid-through-value", _p, valued("extension/paid-through-date", valueDateTime="2024-01-01"), "X.extension[3].value"),
    ("alternate-score-value", _p, valued("group/0/measureScore/extension/0", valueString="A"), "X.group[0].measureScore.extension[0].value"),
    ("stratum-alternate-score-value", _p, valued("group/0/stratifier/0/stratum/0/measureScore/extension/0", valueString="A"), "X.group[0].stratifier[0].stratum[0].measureScore.extension[0].value"),
    ("report-alternate-score-value", _p, valued("extension/alternate-measurescore", valueString="A"), "X.extension[5].value"),
    ("supported-group", _p, both(drop("group"), drop("evaluatedResource/0/extension"), put("evaluatedResource/0/extension", [full.own("group-reference", _valueString=_WHY)])), "X.group"),
    ("supported-group-id", _p, both(drop("group/0/id"), put("evaluatedResource/0/extension", [full.own("group-reference", _valueString=_WHY)])), "X.group[0].id"),
    ("supported-group-payment-stream", _p, drop("group/0/extension/payment-stream"), f"X.group[0].{_nowhere('payment-stream')}"),
    ("supported-group-service-period", _p, drop("group/0/extension/service-period"), f"X.group[0].{_nowhere('service-period')}"),
    ("supported-group-paid-through-date", _p, drop("group/0/extension/paid-through-date"), f"X.group[0].{_nowhere('paid-through-date')}"),
    ("supported-group-baseline", _p, drop("group/0/extension/baseline"), f"X.group[0].{_nowhere('baseline')}"),
    ("supported-group-alternate-score", _p, put("group/0/measureScore", {"unit": "USD"}), f"X.group[0].measureScore.{_nowhere('alternate-measurescore')}"),
    ("supported-stratifier", _p, drop("group/0/stratifier"), "X.group[0].stratifier"),
    ("supported-stratifier-code", _p, drop("group/0/stratifier/0/code"), "X.group[0].stratifier[0].code"),
    ("supported-stratum", _p, drop("group/0/stratifier/0/stratum"), "X.group[0].stratifier[0].stratum"),
    ("supported-stratum-score", _p, drop("group/0/stratifier/0/stratum/0/measureScore"), "X.group[0].stratifier[0].stratum[0].measureScore"),
    ("supported-stratum-alternate-score", _p, put("group/0/stratifier/0/stratum/0/measureScore", {"unit": "USD"}), f"X.group[0].stratifier[0].stratum[0].measureScore.{_nowhere('alternate-measurescore')}"),
    ("supported-evaluated-resource", _p, drop("evaluatedResource"), "X.evaluatedResource"),
    ("supported-group-reference", _p, drop("evaluatedResource/0/extension"), f"X.evaluatedResource[0].{_nowhere('group-reference')}"),
)  # fmt: skip

_REFERENCE = {"valueReference": {"reference": "Group/1"}}
_QUALITY: tuple[tuple[str, Callable[[], Json], Change, str], ...] = (
    ("r4-notation-codes", _q, put("improvementNotation", OTHER), "X.improvementNotation"),
    ("category-value", _q, valued("extension/measurereport-category", valueString="vbp"), "X.extension[0].value"),
    ("score-value", _q, valued("extension/score", valueInteger=4), "X.extension[1].value"),
    ("stratum-score-value", _q, valued("group/0/stratifier/0/stratum/0/extension/score", valueInteger=4), "X.group[0].stratifier[0].stratum[0].extension[0].value"),
    ("threshold-threshold", _q, drop("extension/threshold/extension/threshold"), "X.extension[2].extension('threshold')"),
    ("threshold-value", _q, valued("extension/threshold/extension/threshold", valueInteger=85), "X.extension[2].extension[0].value"),
    ("threshold-type", _q, drop("extension/threshold/extension/type"), "X.extension[2].extension('type')"),
    ("threshold-type-value", _q, valued("extension/threshold/extension/type", valueCode="star-4"), "X.extension[2].extension[1].value"),
    ("threshold-type-codes", _q, valued("extension/threshold/extension/type", valueCodeableConcept=OTHER), "X.extension[2].extension[1].value"),
    ("threshold-gap", _q, twice("extension/threshold/extension/gapToThreshold"), "X.extension[2].extension[3]"),
    ("threshold-gap-value", _q, valued("extension/threshold/extension/gapToThreshold", valueString="3 points"), "X.extension[2].extension[2].value"),
    ("threshold-gap-supported", _q, drop("extension/threshold/extension/gapToThreshold"), "X.extension[2].extension('gapToThreshold')"),
    ("scoring-value", _q, both(drop("group/0/extension/measureScoring"), lambda r: r["extension"].append(full.deqm("measureScoring", valueCode="ratio"))), "X.extension[10].value"),
    ("scoring-codes", _q, both(drop("group/0/extension/measureScoring"), lambda r: r["extension"].append(full.deqm("measureScoring", valueCodeableConcept=OTHER))), "X.extension[10].value"),
    ("group-scoring-value", _q, valued("group/0/extension/measureScoring", valueCode="ratio"), "X.group[0].extension[0].value"),
    ("group-scoring-codes", _q, valued("group/0/extension/measureScoring", valueCodeableConcept=OTHER), "X.group[0].extension[0].value"),
    ("group-notation-value", _q, valued("group/0/extension/groupImprovementNotation", valueCode="increase"), "X.group[0].extension[2].value"),
    ("group-notation-codes", _q, valued("group/0/extension/groupImprovementNotation", valueCodeableConcept=OTHER), "X.group[0].extension[2].value"),
    ("calculated-date-value", _q, valued("group/0/extension/calculatedDate", valueDate="2024-10-14"), "X.group[0].extension[1].value"),
    ("count-quantity-value", _q, valued("group/0/population/1/extension/measurereport-countQuantity", valueDecimal=30.5), "X.group[0].population[1].extension[1].value"),
    ("reporter-group-value", _q, valued("reporter/extension/0", valueString="payers"), "X.reporter.extension[0].value"),
    ("program-value", _q, valued("extension/reportingProgram", valueString="program"), "X.extension[4].value"),
    ("vendor-value", _q, valued("extension/reportingVendor", valueString="vendor"), "X.extension[5].value"),
    ("location-value", _q, valued("extension/dataLocation", valueString="here"), "X.extension[6].value"),
    ("cehrt-value", _q, valued("extension/certificationIdentifier", valueString="0014ABC"), "X.extension[7].value"),
    ("deqm-cehrt-system", _q, put("extension/certificationIdentifier/valueIdentifier/system", "urn:oid:1.2.3"), "X.extension[7].value"),
    ("input-parameters-value", _q, valued("extension/cqf-inputParameters", valueString="none"), "X.extension[8].value"),
    ("messages-value", _q, valued("extension/cqf-messages", valueString="none"), "X.extension[9].value"),
    ("group-description-value", _q, valued("group/0/extension/measurereport-populationDescription", valueString="x"), "X.group[0].extension[3].value"),
    ("population-description-value", _q, valued("group/0/population/0/extension/measurereport-populationDescription", valueString="x"), "X.group[0].population[0].extension[0].value"),
    ("stratifier-description-value", _q, valued("group/0/stratifier/0/extension/0", valueString="x"), "X.group[0].stratifier[0].extension[0].value"),
    ("group-score-type-value", _q, valued("group/0/measureScore/extension/0", valueString="x"), "X.group[0].measureScore.extension[0].value"),
    ("stratum-score-type-value", _q, valued("group/0/stratifier/0/stratum/0/measureScore/extension/0", valueString="x"), "X.group[0].stratifier[0].stratum[0].measureScore.extension[0].value"),
    ("vbpr-quality-category", _q1, both(put("meta/profile/0", f"{full.QUALITY}|1.0.0"), drop("extension/measurereport-category")), f"X.{_CATEGORY}"),
    ("vbpr-quality-category-coding", _q1, twice(f"{_CODING}/0"), "X.extension[0].value.coding[1]"),
    ("vbpr-quality-category-code", _q1, both(put("meta/profile/0", f"{full.QUALITY}|1.0.0"), drop(f"{_CODING}/0/code")), "X.extension[0].value.coding[0].code"),
    ("vbpr-quality-category-vbp", _q1, both(put("meta/profile/0", f"{full.QUALITY}|1.0.0"), put(f"{_CODING}/0/code", "ra")), "X.extension[0].value.coding[0].code"),
    ("deqm-category", _q, twice("extension/measurereport-category"), "X.extension[10]"),
    ("deqm-subject", _q, put("subject", {"display": "Clinic"}), "X.subject"),
    ("deqm-evaluated", _q, put("evaluatedResource", [{"reference": "MeasureReport/1"}]), "X.evaluatedResource[0]"),
    ("deqm-reporter", _q, put("reporter/reference", "Practitioner/1"), "X.reporter"),
    ("deqm-0", _q, put("measure", "https://measures.example/Measure/screening|"), "X.measure"),
    ("deqm-0", _q, both(drop("extension/measurereport-category"), put("measure", "https://measures.example/Measure/screening"), put("meta/profile/0", f"{full.QUALITY}|1.1.0")), "X.measure"),
    ("deqm-start", _q, drop("period/start"), "X.period.start"),
    ("deqm-end", _q, drop("period/end"), "X.period.end"),
    ("deqm-1", _q, put("period/start", "2024-01"), "X.period.start"),
    ("deqm-1", _q, put("period/end", "2024"), "X.period.end"),
    ("deqm-2", _q, both(drop("group/0/extension/measureScoring"), lambda r: r["extension"].append(full.scoring("ratio")), drop("improvementNotation")), "X"),
    ("deqm-3", _q, lambda r: r["extension"].append(full.scoring()), "X"),
    ("deqm-3", _q, lambda r: r["group"].append({**copy.deepcopy(r["group"][0]), "extension": r["group"][0]["extension"][1:]}), "X"),
    ("deqm-4", _q, drop("group/0/extension/groupImprovementNotation"), "X.group[0]"),
    ("deqm-5", _q, drop("group/0/population"), "X"),
    ("deqm-6", _q, put("group/0/measureScore/value", 1.01), "X.group[0]"),
    ("deqm-6", _q, put("group/0/measureScore/value", -0.5), "X.group[0]"),
    ("deqm-7", _q, both(put("group/0/stratifier/0/stratum/0/component", [{"code": TEXT, "value": TEXT}]), drop("group/0/stratifier/0/stratum/0/value")), "X.group[0].stratifier[0]"),
    ("deqm-8", _q, put("group/0/population/1/count", 30), "X.group[0].population[1]"),
    ("deqm-9", _q, put("group/0/stratifier/0/stratum/0/population/0/extension", [full.core("measurereport-countQuantity", valueQuantity={"value": 1})]), "X.group[0].stratifier[0].stratum[0].population[0]"),
    ("deqm-group", _q, drop("group"), "X.group"),
    ("deqm-stratum-count", _q, both(drop("group/0/stratifier/0/stratum/0/population/0/count"), put("group/0/stratifier/0/stratum/0/population/0/extension", [full.core("measurereport-countQuantity", valueQuantity={"value": 1})])), "X.group[0].stratifier[0].stratum[0].population[0].count"),
    ("vbpr-population", _q, drop("group/0/population/0/code"), "X.group[0].population[0].code"),
    ("vbpr-population-codes", _q, put("group/0/population/0/code", TEXT), "X.group[0].population[0].code"),
    ("deqm-population-results", _q, put("group/0/population/0/subjectResults", {"reference": "List/1"}), "X.group[0].population[0].subjectResults"),
    ("deqm-stratifier-code", _q, twice("group/0/stratifier/0/code/0"), "X.group[0].stratifier[0].code[1]"),
    ("vbpr-stratum-population", _q, drop("group/0/stratifier/0/stratum/0/population/0/code"), "X.group[0].stratifier[0].stratum[0].population[0].code"),
    ("vbpr-stratum-population-codes", _q, put("group/0/stratifier/0/stratum/0/population/0/code", OTHER), "X.group[0].stratifier[0].stratum[0].population[0].code"),
    ("deqm-stratum-results", _q, put("group/0/stratifier/0/stratum/0/population/0/subjectResults", {"reference": "List/1"}), "X.group[0].stratifier[0].stratum[0].population[0].subjectResults"),
    ("once-score", _q, twice("extension/score"), "X.extension[10]"),
    ("once-stratum-score", _q, twice("group/0/stratifier/0/stratum/0/extension/0"), "X.group[0].stratifier[0].stratum[0].extension[1]"),
    ("once-scoring", _q, both(drop("group/0/extension/measureScoring"), lambda r: r["extension"].extend([full.scoring(), full.scoring()])), "X.extension[11]"),
    ("once-reporting-program", _q, twice("extension/reportingProgram"), "X.extension[10]"),
    ("once-reporting-vendor", _q, twice("extension/reportingVendor"), "X.extension[10]"),
    ("once-certification-identifier", _q, twice("extension/certificationIdentifier"), "X.extension[10]"),
    ("once-input-parameters", _q, twice("extension/cqf-inputParameters"), "X.extension[10]"),
    ("once-messages", _q, twice("extension/cqf-messages"), "X.extension[10]"),
    ("once-reporter-group", _q, twice("reporter/extension/0"), "X.reporter.extension[1]"),
    ("once-group-scoring", _q, twice("group/0/extension/measureScoring"), "X.group[0].extension[4]"),
    ("once-group-calculated-date", _q, twice("group/0/extension/calculatedDate"), "X.group[0].extension[4]"),
    ("once-group-improvement-notation", _q, twice("group/0/extension/groupImprovementNotation"), "X.group[0].extension[4]"),
    ("once-group-description", _q, twice("group/0/extension/measurereport-populationDescription"), "X.group[0].extension[4]"),
    ("once-population-description", _q, twice("group/0/population/0/extension/0"), "X.group[0].population[0].extension[1]"),
    ("once-population-count-quantity", _q, twice("group/0/population/1/extension/1"), "X.group[0].population[1].extension[2]"),
    ("once-stratifier-description", _q, twice("group/0/stratifier/0/extension/0"), "X.group[0].stratifier[0].extension[1]"),
    ("once-alternate-score-type", _q, twice("group/0/measureScore/extension/0"), "X.group[0].measureScore.extension[1]"),
    ("once-stratum-alternate-score-type", _q, twice("group/0/stratifier/0/stratum/0/measureScore/extension/0"), "X.group[0].stratifier[0].stratum[0].measureScore.extension[1]"),
    ("once-supplemental-criteria", _q, twice("extension/extension-MeasureReport.supplementalData/valueReference/extension/0"), "X.extension[3].value.extension[2]"),
    ("once-supplemental-description", _q, twice("extension/extension-MeasureReport.supplementalData/valueReference/extension/1"), "X.extension[3].value.extension[2]"),
    ("supported-score", _q, drop("extension/score"), f"X.{_nowhere('score')}"),
    ("supported-threshold", _q, drop("extension/threshold"), f"X.{_nowhere('threshold')}"),
    ("supported-category", _q, drop("extension/measurereport-category"), f"X.{_CATEGORY}"),
    ("supported-supplemental-data", _q, drop("extension/extension-MeasureReport.supplementalData"), "X.extension('http://hl7.org/fhir/5.0/StructureDefinition/extension-MeasureReport.supplementalData')"),
    ("supported-supplemental-criteria", _q, drop("extension/extension-MeasureReport.supplementalData/valueReference/extension/0"), f"X.extension[3].value.{_nowhere('cqf-criteriaReference')}"),
    ("supported-supplemental-description", _q, drop("extension/extension-MeasureReport.supplementalData/valueReference/extension/1"), f"X.extension[3].value.{_nowhere('measurereport-populationDescription')}"),
    ("supported-improvement-notation", _q, both(valued("group/0/extension/measureScoring", valueCodeableConcept=full.concept(full.THO + "measure-scoring", "cohort")), drop("group/0/extension/groupImprovementNotation"), drop("improvementNotation")), "X.improvementNotation"),
    ("supported-group-id", _q, drop("group/0/id"), "X.group[0].id"),
    ("supported-group-code", _q, drop("group/0/code"), "X.group[0].code"),
    ("supported-group-calculated-date", _q, drop("group/0/extension/calculatedDate"), f"X.group[0].{_nowhere('calculatedDate')}"),
    ("supported-group-description", _q, drop("group/0/extension/measurereport-populationDescription"), f"X.group[0].{_nowhere('measurereport-populationDescription')}"),
    ("supported-population", _q, lambda r: r["group"].append({**copy.deepcopy(r["group"][0]), "population": []}) or r["group"][1].pop("population"), "X.group[1].population"),
    ("supported-population-description", _q, drop("group/0/population/0/extension"), f"X.group[0].population[0].{_nowhere('measurereport-populationDescription')}"),
    ("supported-measure-score", _q, drop("group/0/measureScore"), "X.group[0].measureScore"),
    ("supported-alternate-score-type", _q, put("group/0/measureScore", {"unit": "%"}), f"X.group[0].measureScore.{_nowhere('alternateScoreType')}"),
    ("supported-stratifier", _q, drop("group/0/stratifier"), "X.group[0].stratifier"),
    ("supported-stratifier-description", _q, drop("group/0/stratifier/0/extension"), f"X.group[0].stratifier[0].{_nowhere('measurereport-populationDescription')}"),
    ("supported-stratum", _q, drop("group/0/stratifier/0/stratum"), "X.group[0].stratifier[0].stratum"),
    ("supported-stratum-score-extension", _q, drop("group/0/stratifier/0/stratum/0/extension"), f"X.group[0].stratifier[0].stratum[0].{_nowhere('score')}"),
    ("supported-stratum-population", _q, drop("group/0/stratifier/0/stratum/0/population"), "X.group[0].stratifier[0].stratum[0].population"),
    ("supported-stratum-score", _q, drop("group/0/stratifier/0/stratum/0/measureScore"), "X.group[0].stratifier[0].stratum[0].measureScore"),
    ("supported-stratum-alternate-score-type", _q, put("group/0/stratifier/0/stratum/0/measureScore", {"unit": "%"}), f"X.group[0].stratifier[0].stratum[0].measureScore.{_nowhere('alternateScoreType')}"),
)  # fmt: skip

_CONTRACT: tuple[tuple[str, Callable[[], Json], Change, str], ...] = (
    ("lob-value", _c, valued("extension/lob", extension=[{"url": "x", "valueString": "y"}]), "X.extension[0].value"),
    ("lob-codes", _c, valued("extension/lob", valueCodeableConcept=OTHER), "X.extension[0].value"),
    ("program-model-hcplan", _c, drop("extension/program-model/extension/hcplan"), "X.extension[1].extension('hcplan')"),
    ("program-model-hcplan-value", _c, valued("extension/program-model/extension/hcplan", valueCode="3A"), "X.extension[1].extension[0].value"),
    ("program-model-hcplan-codes", _c, valued("extension/program-model/extension/hcplan", valueCodeableConcept=OTHER), "X.extension[1].extension[0].value"),
    ("program-model-cohort", _c, twice("extension/program-model/extension/cohort"), "X.extension[1].extension[2]"),
    ("program-model-cohort-value", _c, valued("extension/program-model/extension/cohort", valueCode="ppo"), "X.extension[1].extension[1].value"),
    ("program-model-cohort-codes", _c, valued("extension/program-model/extension/cohort", valueCodeableConcept=OTHER), "X.extension[1].extension[1].value"),
    ("program-model-cohort-supported", _c, drop("extension/program-model/extension/cohort"), "X.extension[1].extension('cohort')"),
    ("weight-value", _c, valued("relatedArtifact/0/extension/weight", valueInteger=1), "X.relatedArtifact[0].extension[0].value"),
    ("cqfm-weight-value", _c1, valued("relatedArtifact/0/extension/cqfm-weight", valueInteger=1), "X.relatedArtifact[0].extension[0].value"),
    ("contractual-status-value", _c, valued("relatedArtifact/0/extension/contractual-status", extension=[{"url": "x", "valueString": "y"}]), "X.relatedArtifact[0].extension[1].value"),
    ("contractual-status-codes", _c, valued("relatedArtifact/0/extension/contractual-status", valueCodeableConcept=OTHER), "X.relatedArtifact[0].extension[1].value"),
    ("vbpr-contract-url", _c, drop("url"), "X.url"),
    ("vbpr-contract-version", _c, drop("version"), "X.version"),
    ("vbpr-contract-title", _c, drop("title"), "X.title"),
    ("vbpr-contract-description", _c, drop("description"), "X.description"),
    ("cqfm-name", _c1, drop("name"), "X.name"),
    ("cqfm-experimental", _c1, drop("experimental"), "X.experimental"),
    ("cqfm-publisher", _c1, drop("publisher"), "X.publisher"),
    ("vbpr-line-of-business", _c, twice("extension/lob"), "X.extension[7]"),
    ("crmi-version-algorithm", _c, twice("extension/artifact-versionAlgorithm"), "X.extension[7]"),
    ("crmi-version-policy", _c, twice("extension/artifact-versionPolicy"), "X.extension[7]"),
    ("vbpr-component-measure", _c, drop("relatedArtifact/0/resource"), "X.relatedArtifact[0].resource"),
    ("vbpr-contractual-status", _c, drop("relatedArtifact/0/extension/contractual-status"), f"X.relatedArtifact[0].{_nowhere('contractual-status')}"),
    ("vbpr-contractual-status", _c, twice("relatedArtifact/0/extension/contractual-status"), "X.relatedArtifact[0].extension[2]"),
    ("vbpr-component-weight", _c, twice("relatedArtifact/0/extension/weight"), "X.relatedArtifact[0].extension[2]"),
    ("cqfm-component-weight", _c1, twice("relatedArtifact/0/extension/cqfm-weight"), "X.relatedArtifact[0].extension[2]"),
    ("vbpr-no-scoring", _c, put("scoring", TEXT), "X.scoring"),
    ("vbpr-no-composite", _c, put("compositeScoring", TEXT), "X.compositeScoring"),
    ("vbpr-contract-no-improvement", _c, put("improvementNotation", full.notation()), "X.improvementNotation"),
    ("vbpr-contract-metric-codes", _c, put("group/0/code", OTHER), "X.group[0].code"),
    ("mea-1", _c, put("group/0/stratifier/0/component", [{"code": TEXT, "criteria": {"language": "text/cql", "expression": "x"}}]), "X.group[0].stratifier[0]"),
    ("supported-identifier", _c, drop("identifier"), "X.identifier"),
    ("supported-name", _c, drop("name"), "X.name"),
    ("supported-experimental", _c, drop("experimental"), "X.experimental"),
    ("supported-publisher", _c, drop("publisher"), "X.publisher"),
    ("supported-effective-period", _c, drop("effectivePeriod"), "X.effectivePeriod"),
    ("supported-line-of-business", _c, drop("extension/lob"), f"X.{_nowhere('lob')}"),
    ("supported-program-model", _c, drop("extension/program-model"), f"X.{_nowhere('program-model')}"),
    ("supported-payment-stream", _c, drop("extension/payment-stream"), f"X.{_nowhere('payment-stream')}"),
    ("supported-knowledge-capability", _c, drop("extension/cqf-knowledgeCapability"), f"X.{_nowhere('cqf-knowledgeCapability')}"),
    ("supported-artifact-comment", _c, drop("extension/cqf-artifactComment"), f"X.{_nowhere('cqf-artifactComment')}"),
    ("supported-version-algorithm", _c, drop("extension/artifact-versionAlgorithm"), f"X.{_nowhere('artifact-versionAlgorithm')}"),
    ("supported-version-policy", _c, drop("extension/artifact-versionPolicy"), f"X.{_nowhere('artifact-versionPolicy')}"),
    ("supported-component", _c, put("relatedArtifact/0/type", "depends-on"), "X.relatedArtifact.where(type='composed-of')"),
    ("supported-component-display", _c, drop("relatedArtifact/0/display"), "X.relatedArtifact[0].display"),
    ("supported-component-weight", _c, drop("relatedArtifact/0/extension/weight"), f"X.relatedArtifact[0].{_nowhere('weight')}"),
    ("supported-metrics", _c, drop("group"), "X.group"),
    ("supported-metric-code", _c, drop("group/0/code"), "X.group[0].code"),
)  # fmt: skip


def _streams(prefix: str, path: str, where: str) -> Iterator[tuple[str, Change, str]]:
    kind, incentive = f"{path}/extension/type", f"{path}/extension/incentive"
    yield f"{prefix}-type", drop(kind), f"{where}.extension('type')"
    yield f"{prefix}-type-value", valued(kind, valueCode="cdm"), f"{where}.extension[0].value"
    yield f"{prefix}-type-codes", valued(kind, valueCodeableConcept=OTHER), f"{where}.extension[0].value"
    yield f"{prefix}-incentive", twice(incentive), f"{where}.extension[2]"
    yield f"{prefix}-incentive-value", valued(incentive, valueCode="x"), f"{where}.extension[1].value"
    yield (
        f"{prefix}-incentive-codes",
        valued(incentive, valueCodeableConcept=OTHER),
        f"{where}.extension[1].value",
    )
    yield f"{prefix}-incentive-supported", drop(incentive), f"{where}.extension('incentive')"


def _baselines(prefix: str, path: str, where: str) -> Iterator[tuple[str, Change, str]]:
    value, period = f"{path}/extension/baseline", f"{path}/extension/period"
    yield f"{prefix}-baseline", drop(value), f"{where}.extension('baseline')"
    yield f"{prefix}-value", valued(value, valueString="800"), f"{where}.extension[0].value"
    yield f"{prefix}-period", twice(period), f"{where}.extension[2]"
    yield f"{prefix}-period-value", valued(period, valueDate="2023-01-01"), f"{where}.extension[1].value"
    yield f"{prefix}-period-supported", drop(period), f"{where}.extension('period')"


def _misplaced(
    whole: Callable[[], Json], place: str
) -> Iterator[tuple[str, Callable[[], Json], Change, str]]:
    for rule, url in _MISPLACED:
        yield (
            rule,
            whole,
            put(f"{place}/extension", [{"url": url, "valueString": "x"}]),
            f"X.{place}.extension[0]",
        )


def _all() -> Iterator[Broken]:
    def row(profile: Profile, rule: str, whole: Callable[[], Json], change: Change, where: str) -> Broken:
        kind = "Measure" if profile is C else "MeasureReport"
        return Broken(profile, rule, whole, change, kind + where.removeprefix("X"))

    yield from (row(P, rule, _p, change, where) for rule, change, where in _BOTH)
    yield from (row(Q, rule, _q, change, where) for rule, change, where in _BOTH)
    yield from (row(P, *each) for each in _PERFORMANCE)
    yield from (row(Q, *each) for each in _QUALITY)
    yield from (row(C, *each) for each in _CONTRACT)
    for prefix, path, where in (
        ("payment-stream", "group/0/extension/payment-stream", "X.group[0].extension[0]"),
        ("report-payment-stream", "extension/payment-stream", "X.extension[1]"),
    ):
        yield from (row(P, rule, _p, change, found) for rule, change, found in _streams(prefix, path, where))
    for prefix, path, where in (
        ("baseline", "group/0/extension/baseline", "X.group[0].extension[3]"),
        ("report-baseline", "extension/baseline", "X.extension[4]"),
    ):
        yield from (
            row(P, rule, _p, change, found) for rule, change, found in _baselines(prefix, path, where)
        )
    in_contract = _streams("contract-payment-stream", "extension/payment-stream", "X.extension[2]")
    yield from (row(C, rule, _c, change, where) for rule, change, where in in_contract)
    for profile, whole in ((P, _p), (Q, _q)):
        # `type` is fixed, so that a data-collection report is wrong twice.
        yield Broken(
            profile, "mrp-1", whole, put("type", "data-collection"), "MeasureReport", frozenset({"vbpr-type"})
        )
    yield from (row(P, *each) for each in _misplaced(_p, "period"))
    yield from (row(Q, *each) for each in _misplaced(_q, "period"))
    yield from (row(C, *each) for each in _misplaced(_c, "effectivePeriod"))


BROKEN = tuple(_all())
