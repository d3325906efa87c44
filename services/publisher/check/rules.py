"""The table of profile rules: what VBPR and DEQM demand beyond FHIR R4. A new rule is a new row.

Here now: the mandatory, fixed and forbidden elements of the two report profiles and of the contract profile.
Where the guide has two shapes for one fact (the provider organisation), a rule accepts both.
Sources: Da Vinci VBPR 1.1.0 profiles; DEQM 5.0.0 summary-measurereport-deqm; FHIR R4 MeasureReport.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from schemas.fhir import CATEGORY, CONTRACTUAL_STATUS, ORGANIZATION_SUBJECT
from services.publisher.check.paths import Child, Extension, Where, path
from services.publisher.check.rule import Cardinality, Fixed, Invariant, Rule

_PERFORMANCE: Final = "VBPR vbp-performance-measurereport"
_QUALITY: Final = "VBPR vbp-quality-measurereport"
_DEQM: Final = "DEQM summary-measurereport-deqm"
_CONTRACT: Final = "VBPR vbp-measure"
_R4: Final = "FHIR R4 MeasureReport"

_ONE: Final = Cardinality(1, 1)
_NONE: Final = Cardinality(0, 0)
_GROUP_REFERENCE: Final = re.compile(
    r"(?:\S+/)?Group/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?"
)


def _names_provider(subject: Any) -> bool:
    """Tell whether a subject names the provider: by the extension (1.0, 1.1), or as a Group (later revision)."""
    if not isinstance(subject, Mapping):
        return True  # the structure gate has said so
    extensions = subject.get("extension")
    if isinstance(extensions, list) and any(
        isinstance(one, Mapping) and one.get("url") == ORGANIZATION_SUBJECT for one in extensions
    ):
        return True
    reference = subject.get("reference")
    if isinstance(reference, str):
        return _GROUP_REFERENCE.fullmatch(reference) is not None
    return subject.get("type") == "Group" and "identifier" in subject


def _has_version(canonical: Any) -> bool:
    return not isinstance(canonical, str) or bool(canonical.partition("|")[2])


def _to_the_day(when: Any) -> bool:
    return not isinstance(when, str) or len(when) >= 10


def _no_groups_in_data_collection(report: Any) -> bool:
    return report.get("type") != "data-collection" or "group" not in report


def _value_or_components(stratum: Any) -> bool:
    return not isinstance(stratum, Mapping) or ("value" in stratum) != ("component" in stratum)


_CATEGORY_CODING: Final = (Extension(CATEGORY), Child("value", "CodeableConcept"), Child("coding"))
_COMPONENT: Final = Where("relatedArtifact", "type", "composed-of")

BOTH_REPORTS: Final = (
    Rule("vbpr-type", path("type"), Fixed("summary"), "The type of a VBPR report is 'summary'", _PERFORMANCE),
    Rule("vbpr-measure", path("measure"), _ONE, "A report names its measure", _PERFORMANCE),
    Rule("vbpr-status", path("status"), _ONE, "A report has a status", _PERFORMANCE),
    Rule("vbpr-date", path("date"), _ONE, "A report says when it was generated", _PERFORMANCE),
    Rule("vbpr-reporter", path("reporter"), _ONE, "A report names the payer as its reporter", _PERFORMANCE),
    Rule(
        "mrp-1", (), Invariant(_no_groups_in_data_collection), "A data-collection report has no groups", _R4
    ),
    Rule(
        "mrp-2",
        path("group.stratifier.stratum"),
        Invariant(_value_or_components),
        "A stratum has either a value or components, never both and never neither",
        _R4,
    ),
)
"""Rules that hold for performance and quality reports alike."""

PERFORMANCE: Final = (
    *BOTH_REPORTS,
    Rule(
        "vbpr-category",
        (Extension(CATEGORY),),
        _ONE,
        "A performance report has one category",
        _PERFORMANCE,
    ),
    Rule(
        "vbpr-category-coding",
        _CATEGORY_CODING,
        _ONE,
        "The category of a performance report has one coding",
        _PERFORMANCE,
    ),
    Rule(
        "vbpr-category-code",
        (*_CATEGORY_CODING, Child("code")),
        _ONE,
        "The category of a performance report has the code 'vbp'",
        _PERFORMANCE,
    ),
    Rule(
        "vbpr-category-vbp",
        (*_CATEGORY_CODING, Child("code")),
        Fixed("vbp"),
        "The category of a performance report is 'vbp'",
        _PERFORMANCE,
    ),
    Rule("vbpr-subject", path("subject"), _ONE, "A performance report says whom it is for", _PERFORMANCE),
    Rule(
        "vbpr-provider",
        path("subject"),
        Invariant(_names_provider, "required"),
        "The subject names the provider organisation, by the extension organization-subject or as a Group",
        _PERFORMANCE,
    ),
    Rule(
        "vbpr-provider-once",
        path("subject", Extension(ORGANIZATION_SUBJECT)),
        Cardinality(0, 1),
        "The subject names one provider organisation",
        _PERFORMANCE,
    ),
    Rule(
        "vbpr-provider-reference",
        path("subject", Extension(ORGANIZATION_SUBJECT), Child("value", "Reference")),
        _ONE,
        "The extension organization-subject holds a Reference",
        "VBPR organization-subject",
    ),
    Rule(
        "vbpr-no-improvement",
        path("improvementNotation"),
        _NONE,
        "A performance report has no improvementNotation",
        _PERFORMANCE,
    ),
    Rule(
        "vbpr-metric-code",
        path("group.code"),
        _ONE,
        "Each metric of a performance report has a code",
        _PERFORMANCE,
    ),
)

QUALITY: Final = (
    *BOTH_REPORTS,
    Rule("deqm-subject", path("subject"), _NONE, "A quality report has no subject", _DEQM),
    Rule(
        "deqm-evaluated", path("evaluatedResource"), _NONE, "A quality report has no evaluatedResource", _DEQM
    ),
    Rule("deqm-0", path("measure"), Invariant(_has_version), "The measure has a version: url|version", _DEQM),
    Rule("deqm-start", path("period.start"), _ONE, "The period of a quality report has a start", _DEQM),
    Rule("deqm-end", path("period.end"), _ONE, "The period of a quality report has an end", _DEQM),
    Rule(
        "deqm-1",
        path("period.start"),
        Invariant(_to_the_day),
        "The period starts on a day, not a month or year",
        _DEQM,
    ),
    Rule(
        "deqm-1",
        path("period.end"),
        Invariant(_to_the_day),
        "The period ends on a day, not a month or year",
        _DEQM,
    ),
    Rule("deqm-group", path("group"), Cardinality(1), "A quality report has at least one group", _DEQM),
    Rule("vbpr-population", path("group.population.code"), _ONE, "Each population has a code", _QUALITY),
    Rule(
        "vbpr-stratum-population",
        path("group.stratifier.stratum.population.code"),
        _ONE,
        "Each population of a stratum has a code",
        _QUALITY,
    ),
    Rule(
        "deqm-stratum-count",
        path("group.stratifier.stratum.population.count"),
        _ONE,
        "Each population of a stratum has a count",
        _DEQM,
    ),
)

CONTRACT: Final = (
    Rule("vbpr-contract-url", path("url"), _ONE, "A contract has a url: it is the contract's key", _CONTRACT),
    Rule("vbpr-contract-version", path("version"), _ONE, "A contract has a version", _CONTRACT),
    Rule("vbpr-contract-title", path("title"), _ONE, "A contract has a title", _CONTRACT),
    Rule("vbpr-contract-description", path("description"), _ONE, "A contract has a description", _CONTRACT),
    Rule(
        "vbpr-component-measure",
        (_COMPONENT, Child("resource")),
        _ONE,
        "Each component of a contract names its measure",
        _CONTRACT,
    ),
    Rule(
        "vbpr-contractual-status",
        (_COMPONENT, Extension(CONTRACTUAL_STATUS)),
        _ONE,
        "Each component of a contract has one contractual-status",
        _CONTRACT,
    ),
    Rule("vbpr-no-scoring", path("scoring"), _NONE, "A contract has no scoring", _CONTRACT),
    Rule(
        "vbpr-no-composite", path("compositeScoring"), _NONE, "A contract has no compositeScoring", _CONTRACT
    ),
    Rule(
        "vbpr-contract-no-improvement",
        path("improvementNotation"),
        _NONE,
        "A contract has no improvementNotation",
        _CONTRACT,
    ),
)
