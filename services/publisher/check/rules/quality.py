"""The rows of vbp-quality-measurereport and of its parent, DEQM's summary MeasureReport.

Decided here, once:
- The invariants deqm-0 … deqm-9 are those of DEQM 5.0.0, parent of VBPR 1.1.0. VBPR 1.0.0 stands on DEQM
  3.1.0, where a measure needs no version; a report written to 1.0.0 is not judged by them.
- deqm-5 in words asks for a population unless the scoring is composite; its expression, read by the rules of
  precedence, asks for one of a composite report as well. The words are followed.
- deqm-6 in words bounds a score; its expression fails where there is none, though measureScore is 0..1. No
  score breaks nothing.
- deqm-9 allows a countQuantity instead of a count, but the same profile demands the count: both rules stand,
  so a stratum's population has a count and no countQuantity.
- The reporter is QI-Core's Organization by DEQM and US Core's in the guide's examples: any Organization is right.
- A report without any group breaks `deqm-group`; deqm-5 need not say so again.
- Must Support elements of which one stands for another (scoring, count, code, value) are missed by the
  invariant that asks for one of them: deqm-3, deqm-7, deqm-8, mrp-2. They have no row of their own.
- A category is `vbp` by 1.0.0 (FHIR-52120 took that away): the guide's text that still says so is not followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from services.publisher.check.codes import IMPROVEMENT_NOTATIONS, POPULATIONS
from services.publisher.check.editions import Edition
from services.publisher.check.extensions import URLS
from services.publisher.check.rule import (
    AT_LEAST_ONE,
    AT_MOST_ONE,
    NONE,
    ONE,
    Bound,
    Fixed,
    Invariant,
    Rule,
    Supported,
    Target,
)
from services.publisher.check.rules import extensions
from services.publisher.check.rules.reports import (
    BOTH_REPORTS,
    has_a_value,
)

_Q: Final = "VBPR vbp-quality-measurereport"
_DEQM: Final = "DEQM summary-measurereport-deqm"
_CODING: Final = "extension(measurereport-category).value[CodeableConcept].coding"
_STRATUM: Final = "group.stratifier.stratum"
_NOTED: Final = frozenset({"proportion", "ratio", "continuous-variable"})
_COUNT_QUANTITY: Final = URLS["measurereport-countQuantity"]
_SCORING: Final = URLS["measureScoring"]
_NOTATION: Final = URLS["groupImprovementNotation"]

_Json = Mapping[str, Any]


def _scorings(element: _Json) -> Iterator[str]:
    """Yield the codes an element is scored by."""
    for extension in element.get("extension", ()):
        if extension.get("url") == _SCORING:
            for coding in extension.get("valueCodeableConcept", {}).get("coding", ()):
                yield coding.get("code")


def _has(element: _Json, url: str) -> bool:
    return any(extension.get("url") == url for extension in element.get("extension", ()))


def _versioned(measure: Any, _: _Json) -> bool:
    return not isinstance(measure, str) or bool(measure.partition("|")[2])


def _to_the_day(when: Any, _: _Json) -> bool:
    return not isinstance(when, str) or len(when) > 9


def _noted(report: Any, _: _Json) -> bool:
    return "improvementNotation" in report or _NOTED.isdisjoint(_scorings(report))


def _group_noted(group: Any, _: _Json) -> bool:
    return _NOTED.isdisjoint(_scorings(group)) or _has(group, _NOTATION)


def _scored_once(report: Any, _: _Json) -> bool:
    scored = [_has(group, _SCORING) for group in report.get("group", ())]
    return not any(scored) if _has(report, _SCORING) else all(scored)


def _populated(report: Any, _: _Json) -> bool:
    groups = report.get("group", ())
    if not groups or any("composite" in _scorings(element) for element in (report, *groups)):
        return True
    return any(group.get("population") for group in groups)


def _in_proportion(group: Any, report: _Json) -> bool:
    score = group.get("measureScore", {}).get("value")
    if score is None or not any("proportion" in _scorings(element) for element in (report, group)):
        return True
    return bool(0 <= score <= 1)


def _counted_once(population: Any, _: _Json) -> bool:
    return ("count" in population) != _has(population, _COUNT_QUANTITY)


def _one_kind_of_criteria(stratifier: Any, _: _Json) -> bool:
    components = any("component" in stratum for stratum in stratifier.get("stratum", ()))
    return ("code" in stratifier) != components


def _from_cehrt(identifier: Any, _: _Json) -> bool:
    return bool(identifier.get("system") == "urn:oid:2.16.840.1.113883.3.2074.1")


def _groups_noted(_: _Json, report: _Json) -> bool:
    return any(_has(group, _NOTATION) for group in report.get("group", ()))


def _deqm(name: str, path: str, holds: Any, what: str) -> Rule:
    return Rule(name, path, Invariant(holds), what, _DEQM, since=Edition.STU1_1)


QUALITY: Final = (
    *BOTH_REPORTS,
    *extensions.CATEGORY,
    *extensions.CONTEXTS,
    *extensions.QUALITY,
    Rule("r4-notation-codes", "improvementNotation", Bound(IMPROVEMENT_NOTATIONS, "required"), "The improvement notation is increase or decrease", "FHIR R4 MeasureReport"),
    Rule("vbpr-quality-category", "extension(measurereport-category)", ONE, "A quality report of 1.0.0 has one category", _Q, until=Edition.STU1),
    Rule("vbpr-quality-category-coding", _CODING, ONE, "The category of a quality report of 1.0.0 has one coding", _Q, until=Edition.STU1),
    Rule("vbpr-quality-category-code", f"{_CODING}.code", ONE, "The category of a quality report of 1.0.0 has the code 'vbp'", _Q, until=Edition.STU1),
    Rule("vbpr-quality-category-vbp", f"{_CODING}.code", Fixed("vbp"), "The category of a quality report of 1.0.0 is 'vbp'", _Q, until=Edition.STU1),
    Rule("deqm-category", "extension(measurereport-category)", AT_MOST_ONE, "A quality report has at most one category", _DEQM, since=Edition.STU1_1),
    Rule("supported-category", "extension(measurereport-category)", Supported(), "category", _DEQM, since=Edition.STU1_1),
    Rule("deqm-subject", "subject", NONE, "A quality report has no subject", _DEQM),
    Rule("deqm-evaluated", "evaluatedResource", NONE, "A quality report has no evaluatedResource", _DEQM),
    Rule("deqm-reporter", "reporter", Target(("Organization",)), "The reporter is an Organization", _DEQM),
    _deqm("deqm-0", "measure", _versioned, "The measure has a version: url|version"),
    Rule("deqm-start", "period.start", ONE, "The period of a quality report has a start", _DEQM),
    Rule("deqm-end", "period.end", ONE, "The period of a quality report has an end", _DEQM),
    _deqm("deqm-1", "period.start", _to_the_day, "The period starts on a day, not a month or year"),
    _deqm("deqm-1", "period.end", _to_the_day, "The period ends on a day, not a month or year"),
    _deqm("deqm-2", "", _noted, "A report scored as proportion, ratio or continuous-variable has an improvementNotation"),
    _deqm("deqm-3", "", _scored_once, "The scoring stands on the report alone, or on each of its groups"),
    _deqm("deqm-4", "group", _group_noted, "A group scored as proportion, ratio or continuous-variable has an improvement notation"),
    _deqm("deqm-5", "", _populated, "A report has a population, unless its scoring is composite"),
    _deqm("deqm-6", "group", _in_proportion, "The score of a proportion is between 0 and 1"),
    _deqm("deqm-7", "group.stratifier", _one_kind_of_criteria, "A stratifier has either a code or strata with components"),
    _deqm("deqm-8", "group.population", _counted_once, "A population has either a count or a countQuantity"),
    _deqm("deqm-9", f"{_STRATUM}.population", _counted_once, "A population of a stratum has either a count or a countQuantity"),
    Rule("deqm-group", "group", AT_LEAST_ONE, "A quality report has at least one group", _DEQM),
    Rule("vbpr-population", "group.population.code", ONE, "Each population has a code", _Q),
    Rule("vbpr-population-codes", "group.population.code", Bound(POPULATIONS), "A population has a code of vbp-measure-population", _Q),
    Rule("deqm-population-results", "group.population.subjectResults", NONE, "A population of a summary lists no results of subjects", _DEQM),
    Rule("deqm-stratifier-code", "group.stratifier.code", AT_MOST_ONE, "A stratifier has at most one code", _DEQM),
    Rule("vbpr-stratum-population", f"{_STRATUM}.population.code", ONE, "Each population of a stratum has a code", _Q),
    Rule("vbpr-stratum-population-codes", f"{_STRATUM}.population.code", Bound(POPULATIONS), "A population of a stratum has a code of vbp-measure-population", _Q),
    Rule("deqm-stratum-count", f"{_STRATUM}.population.count", ONE, "Each population of a stratum has a count", _DEQM),
    Rule("deqm-stratum-results", f"{_STRATUM}.population.subjectResults", NONE, "A population of a stratum lists no results of subjects", _DEQM),
    Rule("deqm-cehrt-system", "extension(certificationIdentifier).value[Identifier]", Invariant(_from_cehrt, "value"), "A certification identifier is of the system urn:oid:2.16.840.1.113883.3.2074.1", _DEQM),
    *(
        Rule(f"once-{name}", path, AT_MOST_ONE, f"{name.replace('-', ' ')}: at most one", source)
        for name, path, source in (
            ("score", "extension(score)", _Q),
            ("stratum-score", f"{_STRATUM}.extension(score)", _Q),
            ("scoring", "extension(measureScoring)", _DEQM),
            ("reporting-program", "extension(reportingProgram)", _DEQM),
            ("reporting-vendor", "extension(reportingVendor)", _DEQM),
            ("certification-identifier", "extension(certificationIdentifier)", _DEQM),
            ("input-parameters", "extension(cqf-inputParameters)", _DEQM),
            ("messages", "extension(cqf-messages)", _DEQM),
            ("reporter-group", "reporter.extension(reporterGroup)", _DEQM),
            ("group-scoring", "group.extension(measureScoring)", _DEQM),
            ("group-calculated-date", "group.extension(calculatedDate)", _DEQM),
            ("group-improvement-notation", "group.extension(groupImprovementNotation)", _DEQM),
            ("group-description", "group.extension(measurereport-populationDescription)", _DEQM),
            ("population-description", "group.population.extension(measurereport-populationDescription)", _DEQM),
            ("population-count-quantity", "group.population.extension(measurereport-countQuantity)", _DEQM),
            ("stratifier-description", "group.stratifier.extension(measurereport-populationDescription)", _DEQM),
            ("alternate-score-type", "group.measureScore.extension(alternateScoreType)", _DEQM),
            ("stratum-alternate-score-type", f"{_STRATUM}.measureScore.extension(alternateScoreType)", _DEQM),
            ("supplemental-criteria", "extension(supplementalData).value[Reference].extension(cqf-criteriaReference)", _DEQM),
            ("supplemental-description", "extension(supplementalData).value[Reference].extension(measurereport-populationDescription)", _DEQM),
        )
    ),
    *(
        Rule(f"supported-{name}", path, Supported(*needless), name.replace("-", " "), source)
        for name, path, source, *needless in (
            ("score", "extension(score)", _Q),
            ("threshold", "extension(threshold)", _Q),
            ("supplemental-data", "extension(supplementalData)", _DEQM),
            ("supplemental-criteria", "extension(supplementalData).value[Reference].extension(cqf-criteriaReference)", _DEQM),
            ("supplemental-description", "extension(supplementalData).value[Reference].extension(measurereport-populationDescription)", _DEQM),
            ("improvement-notation", "improvementNotation", _DEQM, _groups_noted),
            ("group-id", "group.id", _DEQM),
            ("group-code", "group.code", _DEQM),
            ("group-calculated-date", "group.extension(calculatedDate)", _DEQM),
            ("group-description", "group.extension(measurereport-populationDescription)", _DEQM),
            ("population", "group.population", _DEQM),
            ("population-description", "group.population.extension(measurereport-populationDescription)", _DEQM),
            ("measure-score", "group.measureScore", _DEQM),
            ("alternate-score-type", "group.measureScore.extension(alternateScoreType)", _DEQM, has_a_value),
            ("stratifier", "group.stratifier", _DEQM),
            ("stratifier-description", "group.stratifier.extension(measurereport-populationDescription)", _DEQM),
            ("stratum", _STRATUM, _DEQM),
            ("stratum-score-extension", f"{_STRATUM}.extension(score)", _Q),
            ("stratum-population", f"{_STRATUM}.population", _DEQM),
            ("stratum-score", f"{_STRATUM}.measureScore", _DEQM),
            ("stratum-alternate-score-type", f"{_STRATUM}.measureScore.extension(alternateScoreType)", _DEQM, has_a_value),
        )
    ),
)  # fmt: skip
"""All that a quality report is judged by."""
