"""The rows about extensions: the shape of each, its value sets, and where it may stand.

Decided here, once:
- `score` is defined for MeasureReport alone, yet the quality profile puts it on a stratum as well: both are right.
- `lob` and `contractual-status` leave their value open to any type: any is accepted, and only a
  CodeableConcept has a value set to be compared with.
- `cqf-messages`, `cqf-criteriaReference` and `reportingProgram` may stand on any resource or Reference by
  their definitions, so they have no row for where they stand.
- `measurereport-populationDescription` is for MeasureReport.supplementalData of R5; DEQM puts it on the value of
  the extension that stands for that element in R4, and there it is right.
- A part of a complex extension that the guide does not name is let pass: its slicing is open.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from services.publisher.check.codes import (
    CATEGORIES,
    COHORTS,
    CONTRACTUAL_STATUSES,
    IMPROVEMENT_NOTATIONS,
    INCENTIVES,
    LINES_OF_BUSINESS,
    PAYMENT_STREAMS,
    PROGRAM_MODELS,
    SCORINGS,
    THRESHOLD_TYPES,
)
from services.publisher.check.rule import AT_MOST_ONE, ONE, SUPPORTED, Bound, Context, Holds, Rule

_REPORT: Final = "MeasureReport"
_GROUP: Final = "MeasureReport.group"
_SCORE: Final = ("MeasureReport.group.measureScore", "MeasureReport.group.stratifier.stratum.measureScore")
_STRATUM: Final = "MeasureReport.group.stratifier.stratum"
_POPULATION: Final = "MeasureReport.group.population"
_STRATUM_POPULATION: Final = "MeasureReport.group.stratifier.stratum.population"
_COMPONENT: Final = "Measure.relatedArtifact"

CONTEXTS: Final = tuple(
    Rule(f"where-{name}", f"extension({name})", Context(paths), f"The extension {name} has its place on {' or '.join(paths)}", source)
    for name, paths, source in (
        ("organization-subject", ("MeasureReport.subject",), "VBPR organization-subject"),
        ("payment-stream", (_REPORT, _GROUP, "Measure"), "VBPR payment-stream"),
        ("service-period", (_REPORT, _GROUP), "VBPR service-period"),
        ("paid-through-date", (_REPORT, _GROUP), "VBPR paid-through-date"),
        ("baseline", (_REPORT, _GROUP), "VBPR baseline"),
        ("alternate-measurescore", (_REPORT, *_SCORE), "VBPR alternate-measurescore"),
        ("group-reference", ("MeasureReport.evaluatedResource",), "VBPR group-reference"),
        ("score", (_REPORT, _STRATUM), "VBPR score, vbp-quality-measurereport"),
        ("threshold", (_REPORT,), "VBPR threshold"),
        ("lob", ("Measure",), "VBPR lob"),
        ("program-model", ("Measure",), "VBPR program-model"),
        ("contractual-status", (_COMPONENT,), "VBPR contractual-status"),
        ("weight", (_COMPONENT,), "VBPR weight"),
        ("measurereport-category", (_REPORT,), "FHIR measurereport-category"),
        ("measureScoring", (_REPORT, _GROUP), "DEQM extension-measureScoring"),
        ("groupImprovementNotation", (_GROUP,), "DEQM extension-groupImprovementNotation"),
        ("calculatedDate", (_GROUP,), "DEQM extension-calculatedDate"),
        ("alternateScoreType", _SCORE, "DEQM extension-alternateScoreType"),
        ("reporterGroup", ("MeasureReport.reporter",), "DEQM extension-reporterGroup"),
        ("reportingVendor", (_REPORT,), "DEQM extension-reportingVendor"),
        ("dataLocation", (_REPORT,), "DEQM extension-dataLocation"),
        ("certificationIdentifier", (_REPORT,), "DEQM extension-certificationIdentifier"),
        (
            "measurereport-countQuantity",
            (_POPULATION, f"{_POPULATION}.count", _STRATUM_POPULATION, f"{_STRATUM_POPULATION}.count"),
            "FHIR measurereport-countQuantity",
        ),
        (
            "measurereport-populationDescription",
            (_GROUP, _POPULATION, "MeasureReport.group.stratifier", "MeasureReport.extension(supplementalData).value[Reference]"),
            "FHIR measurereport-populationDescription",
        ),
    )
)  # fmt: skip
"""Where each extension may stand. The rows hold for every profile."""


def payment_stream(on: str, prefix: str) -> Iterator[Rule]:
    """Yield the rows of `payment-stream` where it stands on `on`; their ids begin with `prefix`."""
    here, source = f"{on}extension(payment-stream)", "VBPR payment-stream"
    kind, incentive = f"{here}.extension(type)", f"{here}.extension(incentive)"
    yield from (
        Rule(f"{prefix}-type", kind, ONE, "A payment stream has one type", source),
        Rule(f"{prefix}-type-value", kind, Holds(("CodeableConcept",)), "The type of a payment stream is a CodeableConcept", source),
        Rule(f"{prefix}-type-codes", f"{kind}.value[CodeableConcept]", Bound(PAYMENT_STREAMS), "The type of a payment stream has a code of vbp-payment-stream", source),
        Rule(f"{prefix}-incentive", incentive, AT_MOST_ONE, "A payment stream has at most one incentive", source),
        Rule(f"{prefix}-incentive-value", incentive, Holds(("CodeableConcept",)), "The incentive of a payment stream is a CodeableConcept", source),
        Rule(f"{prefix}-incentive-codes", f"{incentive}.value[CodeableConcept]", Bound(INCENTIVES), "The incentive of a payment stream has a code of vbp-incentive", source),
        Rule(f"{prefix}-incentive-supported", incentive, SUPPORTED, "incentive of a payment stream", source),
    )  # fmt: skip


def service_period(on: str, prefix: str) -> Iterator[Rule]:
    """Yield the row of `service-period` where it stands on `on`."""
    yield Rule(
        f"{prefix}-value",
        f"{on}extension(service-period)",
        Holds(("Period",)),
        "A service period is a Period",
        "VBPR service-period",
    )


def paid_through_date(on: str, prefix: str) -> Iterator[Rule]:
    """Yield the row of `paid-through-date` where it stands on `on`."""
    yield Rule(
        f"{prefix}-value",
        f"{on}extension(paid-through-date)",
        Holds(("Date",)),
        "A paid-through date is a date",
        "VBPR paid-through-date",
    )


def baseline(on: str, prefix: str) -> Iterator[Rule]:
    """Yield the rows of `baseline` where it stands on `on`."""
    here, source = f"{on}extension(baseline)", "VBPR baseline"
    value, period = f"{here}.extension(baseline)", f"{here}.extension(period)"
    types = ("Decimal", "Integer", "CodeableConcept", "Money", "Quantity")
    yield from (
        Rule(f"{prefix}-baseline", value, ONE, "A baseline has one value", source),
        Rule(f"{prefix}-value", value, Holds(types), "The value of a baseline is a decimal, an integer, a CodeableConcept, Money or a Quantity", source),
        Rule(f"{prefix}-period", period, AT_MOST_ONE, "A baseline has at most one period", source),
        Rule(f"{prefix}-period-value", period, Holds(("Period",)), "The period of a baseline is a Period", source),
        Rule(f"{prefix}-period-supported", period, SUPPORTED, "period of a baseline", source),
    )  # fmt: skip


def alternate_score(on: str, prefix: str) -> Iterator[Rule]:
    """Yield the row of `alternate-measurescore` where it stands on `on`."""
    types = ("Boolean", "Decimal", "Integer", "CodeableConcept", "Money")
    yield Rule(
        f"{prefix}-value", f"{on}extension(alternate-measurescore)", Holds(types),
        "An alternate score is a boolean, a decimal, an integer, a CodeableConcept or Money", "VBPR alternate-measurescore",
    )  # fmt: skip


CATEGORY: Final = (
    Rule("category-value", "extension(measurereport-category)", Holds(("CodeableConcept",)), "A category is a CodeableConcept", "FHIR measurereport-category"),
    Rule("category-codes", "extension(measurereport-category).value[CodeableConcept]", Bound(CATEGORIES), "A category has a code of measurereport-category", "FHIR measurereport-category"),
)  # fmt: skip

QUALITY: Final = (
    Rule("score-value", "extension(score)", Holds(("Decimal",)), "A score is a decimal", "VBPR score"),
    Rule("stratum-score-value", "group.stratifier.stratum.extension(score)", Holds(("Decimal",)), "The score of a stratum is a decimal", "VBPR score"),
    Rule("threshold-threshold", "extension(threshold).extension(threshold)", ONE, "A threshold has one value", "VBPR threshold"),
    Rule("threshold-value", "extension(threshold).extension(threshold)", Holds(("Decimal", "Quantity", "Range")), "The value of a threshold is a decimal, a Quantity or a Range", "VBPR threshold"),
    Rule("threshold-type", "extension(threshold).extension(type)", ONE, "A threshold has one type", "VBPR threshold"),
    Rule("threshold-type-value", "extension(threshold).extension(type)", Holds(("CodeableConcept",)), "The type of a threshold is a CodeableConcept", "VBPR threshold"),
    Rule("threshold-type-codes", "extension(threshold).extension(type).value[CodeableConcept]", Bound(THRESHOLD_TYPES), "The type of a threshold has a code of threshold-type", "VBPR threshold"),
    Rule("threshold-gap", "extension(threshold).extension(gapToThreshold)", AT_MOST_ONE, "A threshold has at most one gap", "VBPR threshold"),
    Rule("threshold-gap-value", "extension(threshold).extension(gapToThreshold)", Holds(("Decimal", "Quantity")), "The gap to a threshold is a decimal or a Quantity", "VBPR threshold"),
    Rule("threshold-gap-supported", "extension(threshold).extension(gapToThreshold)", SUPPORTED, "gapToThreshold of a threshold", "VBPR threshold"),
    Rule("scoring-value", "extension(measureScoring)", Holds(("CodeableConcept",)), "The scoring of a report is a CodeableConcept", "DEQM extension-measureScoring"),
    Rule("scoring-codes", "extension(measureScoring).value[CodeableConcept]", Bound(SCORINGS), "The scoring of a report has a code of measure-scoring", "DEQM extension-measureScoring"),
    Rule("group-scoring-value", "group.extension(measureScoring)", Holds(("CodeableConcept",)), "The scoring of a group is a CodeableConcept", "DEQM extension-measureScoring"),
    Rule("group-scoring-codes", "group.extension(measureScoring).value[CodeableConcept]", Bound(SCORINGS), "The scoring of a group has a code of measure-scoring", "DEQM extension-measureScoring"),
    Rule("group-notation-value", "group.extension(groupImprovementNotation)", Holds(("CodeableConcept",)), "The improvement notation of a group is a CodeableConcept", "DEQM extension-groupImprovementNotation"),
    Rule("group-notation-codes", "group.extension(groupImprovementNotation).value[CodeableConcept]", Bound(IMPROVEMENT_NOTATIONS), "The improvement notation of a group is increase or decrease", "DEQM extension-groupImprovementNotation"),
    Rule("calculated-date-value", "group.extension(calculatedDate)", Holds(("DateTime",), required=False), "The calculated date of a group is a dateTime", "DEQM extension-calculatedDate"),
    Rule("count-quantity-value", "group.population.extension(measurereport-countQuantity)", Holds(("Quantity",), required=False), "A count quantity is a Quantity", "FHIR measurereport-countQuantity"),
    Rule("reporter-group-value", "reporter.extension(reporterGroup)", Holds(("Reference",), required=False), "The group of the reporter is a Reference", "DEQM extension-reporterGroup"),
    Rule("program-value", "extension(reportingProgram)", Holds(("Identifier", "Canonical"), required=False), "A reporting program is an Identifier or a canonical", "DEQM extension-reportingProgram"),
    Rule("vendor-value", "extension(reportingVendor)", Holds(("Reference",), required=False), "A reporting vendor is a Reference", "DEQM extension-reportingVendor"),
    Rule("location-value", "extension(dataLocation)", Holds(("Reference",), required=False), "A data location is a Reference", "DEQM extension-dataLocation"),
    Rule("cehrt-value", "extension(certificationIdentifier)", Holds(("Identifier",)), "A certification identifier is an Identifier", "DEQM summary-measurereport-deqm"),
    Rule("input-parameters-value", "extension(cqf-inputParameters)", Holds(("Reference",)), "The input parameters are a Reference", "FHIR cqf-inputParameters"),
    Rule("messages-value", "extension(cqf-messages)", Holds(("Reference",)), "Messages are a Reference", "FHIR cqf-messages"),
    *(
        Rule(f"{name}-description-value", f"{on}extension(measurereport-populationDescription)", Holds(("Markdown",), required=False), f"The description of a {name} is markdown", "FHIR measurereport-populationDescription")
        for name, on in (("group", "group."), ("population", "group.population."), ("stratifier", "group.stratifier."))
    ),
    *(
        Rule(f"{name}-score-type-value", f"{on}.extension(alternateScoreType)", Holds(("DateTime", "CodeableConcept", "Period", "Range", "Duration", "Boolean", "Ratio"), required=False), "An alternate score is a dateTime, a CodeableConcept, a Period, a Range, a Duration, a boolean or a Ratio", "DEQM extension-alternateScoreType")
        for name, on in (("group", "group.measureScore"), ("stratum", "group.stratifier.stratum.measureScore"))
    ),
)  # fmt: skip

CONTRACT: Final = (
    Rule("lob-value", "extension(lob)", Holds(()), "A line of business has a value", "VBPR lob"),
    Rule("lob-codes", "extension(lob).value[CodeableConcept]", Bound(LINES_OF_BUSINESS), "A line of business has a code of lob", "VBPR lob"),
    Rule("program-model-hcplan", "extension(program-model).extension(hcplan)", ONE, "A program model has one HCP-LAN category", "VBPR program-model"),
    Rule("program-model-hcplan-value", "extension(program-model).extension(hcplan)", Holds(("CodeableConcept",)), "The HCP-LAN category of a program model is a CodeableConcept", "VBPR program-model"),
    Rule("program-model-hcplan-codes", "extension(program-model).extension(hcplan).value[CodeableConcept]", Bound(PROGRAM_MODELS), "A program model has a code of hcplan-framework", "VBPR program-model"),
    Rule("program-model-cohort", "extension(program-model).extension(cohort)", AT_MOST_ONE, "A program model has at most one cohort", "VBPR program-model"),
    Rule("program-model-cohort-value", "extension(program-model).extension(cohort)", Holds(("CodeableConcept",)), "The cohort of a program model is a CodeableConcept", "VBPR program-model"),
    Rule("program-model-cohort-codes", "extension(program-model).extension(cohort).value[CodeableConcept]", Bound(COHORTS), "The cohort of a program model has a code of vbp-cohort", "VBPR program-model"),
    Rule("program-model-cohort-supported", "extension(program-model).extension(cohort)", SUPPORTED, "cohort of a program model", "VBPR program-model"),
    Rule("weight-value", "relatedArtifact.extension(weight)", Holds(("Decimal",)), "A weight is a decimal", "VBPR weight"),
    Rule("cqfm-weight-value", "relatedArtifact.extension(cqfm-weight)", Holds(("Decimal",)), "A weight is a decimal", "CQFM cqfm-weight"),
    Rule("contractual-status-value", "relatedArtifact.extension(contractual-status)", Holds(()), "A contractual status has a value", "VBPR contractual-status"),
    Rule("contractual-status-codes", "relatedArtifact.extension(contractual-status).value[CodeableConcept]", Bound(CONTRACTUAL_STATUSES), "A contractual status has a code of measure-contractual-status", "VBPR contractual-status"),
)  # fmt: skip
