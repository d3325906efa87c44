"""The rows of vbp-performance-measurereport: what a payer reports about a contract.

Decided here, once:
- The provider stands in one of two shapes. 1.0.0 and 1.1.0 have the extension organization-subject, the later
  revision a Group (ATR) as subject. A report is judged by the shape it has (`editions`).
- `group.measureScore` is the value of the metric and yet not Must Support in the guide: its absence is no
  finding. A report without any group is right as well (`group` is 0..*; the guide's example 103).
- The discriminator of `evaluatedResource` cannot tell quality reports from others: no rule is made of it.
- The value of a stratum is Must Support; it is missed by mrp-2, and has no row of its own.
- The period has a start and an end. The profile says no more than R4, which lets either be absent; but R4's
  definition is "the reporting period for which the report was calculated", the identity of a report is made of
  both, and so are the periods of all the guide's examples.
- `group-reference` names a group of its own report by its definition only, not by an invariant: one that
  names none is a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.publisher.check.codes import METRICS
from services.publisher.check.editions import Edition, is_group
from services.publisher.check.rule import (
    AT_MOST_ONE,
    NONE,
    ONE,
    Bound,
    Fixed,
    Holds,
    Invariant,
    Rule,
    Supported,
    Target,
)
from services.publisher.check.rules import extensions
from services.publisher.check.rules.reports import (
    BOTH_REPORTS,
    BOUNDED,
    has_a_value,
    has_strata_with_components,
)

_P: Final = "VBPR vbp-performance-measurereport"
_CATEGORY: Final = "extension(measurereport-category)"
_CODING: Final = f"{_CATEGORY}.value[CodeableConcept].coding"
_ORGANISATION: Final = "subject.extension(organization-subject)"
_SCORE: Final = "group.measureScore.extension(alternate-measurescore)"
_STRATUM: Final = "group.stratifier.stratum"
_STRATUM_SCORE: Final = f"{_STRATUM}.measureScore.extension(alternate-measurescore)"


def _is_group(subject: Any, _: Mapping[str, Any]) -> bool:
    return is_group(subject)


def _names_a_group(extension: Any, report: Mapping[str, Any]) -> bool:
    named = extension.get("valueString")
    return named is None or any(group.get("id") == named for group in report.get("group", ()))


PERFORMANCE: Final = (
    *BOTH_REPORTS,
    *extensions.CATEGORY,
    *extensions.CONTEXTS,
    Rule("vbpr-category", _CATEGORY, ONE, "A performance report has one category", _P),
    Rule("vbpr-category-coding", _CODING, ONE, "The category of a performance report has one coding", _P),
    Rule("vbpr-category-code", f"{_CODING}.code", ONE, "The category of a performance report has the code 'vbp'", _P),
    Rule("vbpr-category-vbp", f"{_CODING}.code", Fixed("vbp"), "The category of a performance report is 'vbp'", _P),
    Rule("vbpr-period", "period", BOUNDED, "The period of a performance report has a start and an end", "FHIR R4 MeasureReport.period"),
    Rule("vbpr-subject", "subject", ONE, "A performance report says whom it is for", _P),
    Rule("vbpr-provider", _ORGANISATION, ONE, "The subject names one provider organisation by the extension organization-subject, or is a Group (later revision)", _P, until=Edition.STU1_1),
    Rule("vbpr-provider-reference", _ORGANISATION, Holds(("Reference",)), "The extension organization-subject holds a Reference", "VBPR organization-subject", until=Edition.STU1_1),
    Rule("vbpr-provider-organization", f"{_ORGANISATION}.value[Reference]", Target(("Organization",)), "The extension organization-subject refers to an Organization", "VBPR organization-subject", until=Edition.STU1_1),
    Rule("vbpr-subject-type", "subject", Target(("Practitioner", "PractitionerRole", "Group")), "The subject is a Practitioner, a PractitionerRole or a Group", _P, until=Edition.STU1_1),
    Rule("vbpr-subject-group", "subject", Invariant(_is_group, "value"), "The subject is a Group, the attribution list of the contract", _P, since=Edition.LATER),
    Rule("vbpr-reporter-organization", "reporter", Target(("Organization",)), "The reporter is an Organization", _P, until=Edition.STU1_1),
    Rule("vbpr-reporter-type", "reporter", Target(("Organization", "Practitioner", "PractitionerRole")), "The reporter is an Organization, a Practitioner or a PractitionerRole", _P, since=Edition.LATER),
    Rule("vbpr-no-improvement", "improvementNotation", NONE, "A performance report has no improvementNotation", _P),
    Rule("vbpr-metric-code", "group.code", ONE, "Each metric of a performance report has a code", _P),
    Rule("vbpr-metric-codes", "group.code", Bound(METRICS), "A metric has a code of vbp-performance-metric", _P),
    Rule("vbpr-service-period", "group.extension(service-period)", AT_MOST_ONE, "A metric has at most one service period", _P),
    Rule("vbpr-paid-through", "group.extension(paid-through-date)", AT_MOST_ONE, "A metric has at most one paid-through date", _P),
    Rule("vbpr-baseline", "group.extension(baseline)", AT_MOST_ONE, "A metric has at most one baseline", _P),
    Rule("vbpr-alternate-score", _SCORE, AT_MOST_ONE, "The score of a metric has at most one alternate", _P),
    Rule("vbpr-stratum-alternate-score", _STRATUM_SCORE, AT_MOST_ONE, "The score of a stratum has at most one alternate", _P),
    Rule("group-reference-value", "evaluatedResource.extension(group-reference)", Holds(("String",)), "A group reference is a string", "VBPR group-reference"),
    Rule("group-reference-group", "evaluatedResource.extension(group-reference)", Invariant(_names_a_group), "A group reference is the id of a group of the same report", "VBPR group-reference", milder="warning"),
    *extensions.payment_stream("group.", "payment-stream"),
    *extensions.payment_stream("", "report-payment-stream"),
    *extensions.service_period("group.", "service-period"),
    *extensions.service_period("", "report-service-period"),
    *extensions.paid_through_date("group.", "paid-through"),
    *extensions.paid_through_date("", "report-paid-through"),
    *extensions.baseline("group.", "baseline"),
    *extensions.baseline("", "report-baseline"),
    *extensions.alternate_score("group.measureScore.", "alternate-score"),
    *extensions.alternate_score(f"{_STRATUM}.measureScore.", "stratum-alternate-score"),
    *extensions.alternate_score("", "report-alternate-score"),
    *(
        Rule(f"supported-{name}", path, Supported(*needless), name.replace("-", " "), _P)
        for name, path, *needless in (
            ("group", "group"),
            ("group-id", "group.id"),
            ("group-payment-stream", "group.extension(payment-stream)"),
            ("group-service-period", "group.extension(service-period)"),
            ("group-paid-through-date", "group.extension(paid-through-date)"),
            ("group-baseline", "group.extension(baseline)"),
            ("group-alternate-score", _SCORE, has_a_value),
            ("stratifier", "group.stratifier"),
            ("stratifier-code", "group.stratifier.code", has_strata_with_components),
            ("stratum", _STRATUM),
            ("stratum-score", f"{_STRATUM}.measureScore"),
            ("stratum-alternate-score", _STRATUM_SCORE, has_a_value),
            ("evaluated-resource", "evaluatedResource"),
            ("group-reference", "evaluatedResource.extension(group-reference)"),
        )
    ),
)  # fmt: skip
"""All that a performance report is judged by."""
