"""The rows that hold for performance and quality reports alike, and what they test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from schemas.dates import period_bounds
from services.publisher.check.rule import ONE, Fixed, Invariant, Rule

_R4: Final = "FHIR R4 MeasureReport"
_BOTH: Final = "VBPR vbp-performance-measurereport, DEQM summary-measurereport-deqm"


def _no_groups_in_data_collection(report: Any, _: Mapping[str, Any]) -> bool:
    return report.get("type") != "data-collection" or "group" not in report


def _value_or_components(stratum: Any, _: Mapping[str, Any]) -> bool:
    return ("value" in stratum) != ("component" in stratum)


def _in_order(period: Any, _: Mapping[str, Any]) -> bool:
    low, high = period_bounds(period.get("start"), period.get("end"))
    return low is None or high is None or low < high


def _is_bounded(period: Any, _: Mapping[str, Any]) -> bool:
    return "start" in period and "end" in period


def _ends(period: Any) -> str:
    start, end = (f"'{period[name]}'" if name in period else "none" for name in ("start", "end"))
    return f"found the start {start} and the end {end}"


def has_a_value(score: Mapping[str, Any], _: Mapping[str, Any]) -> bool:
    """Tell whether a score needs no alternate."""
    return "value" in score


def has_strata_with_components(stratifier: Mapping[str, Any], _: Mapping[str, Any]) -> bool:
    """Tell whether a stratifier needs no code of its own."""
    return any("component" in stratum for stratum in stratifier.get("stratum", ()))


BOUNDED: Final = Invariant(_is_bounded, "required", _ends)
"""The period has both ends."""

BOTH_REPORTS: Final = (
    Rule("vbpr-type", "type", Fixed("summary"), "The type of a VBPR report is 'summary'", _BOTH),
    Rule("vbpr-measure", "measure", ONE, "A report names its measure", _BOTH),
    Rule("vbpr-status", "status", ONE, "A report has a status", _BOTH),
    Rule("vbpr-date", "date", ONE, "A report says when it was generated", _BOTH),
    Rule("vbpr-reporter", "reporter", ONE, "A report names the payer as its reporter", _BOTH),
    Rule("per-1", "period", Invariant(_in_order, found=_ends), "The period of a report starts before it ends, each date taken as all the time it names", "FHIR R4 Period"),
    Rule("mrp-1", "", Invariant(_no_groups_in_data_collection), "A data-collection report has no groups", _R4),
    Rule("mrp-2", "group.stratifier.stratum", Invariant(_value_or_components), "A stratum has either a value or components, never both and never neither", _R4),
)  # fmt: skip
"""`status`, `type` and `comparator` have required bindings too: the structure gate has those."""
