"""Answers: which profile must this resource follow, and what is wrong with it by that profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.fhir import CONTRACT_PROFILE
from schemas.outcome import Issue
from services.publisher.check.paths import Found
from services.publisher.check.rule import Rule, broken
from services.publisher.check.rules import CONTRACT, PERFORMANCE, QUALITY
from services.publisher.derive.kind import kind
from services.publisher.derive.model import Kind

_REPORT_RULES: Final[dict[Kind, tuple[Rule, ...]]] = {Kind.PERFORMANCE: PERFORMANCE, Kind.QUALITY: QUALITY}

_NO_KIND: Final = Issue(
    "error",
    "business-rule",
    "Nothing tells whether this is a performance or a quality report; expected a VBPR profile in meta.profile, "
    "DEQM's measureScoring for a quality report, or the category 'vbp' for a performance report.",
    "MeasureReport.meta.profile",
    "vbpr-kind",
)


def check_profile(resource: dict[str, Any]) -> Iterator[Issue]:
    """Yield an Issue for every place where a resource breaks a rule of its profile; nothing for types that have none.

    A MeasureReport follows the profile of its kind. A Measure is a contract unless it claims other profiles
    and not `vbp-measure`. Organizations and Groups are structure only.
    """
    rules = _rules(resource)
    if rules is None:
        yield _NO_KIND
        return
    whole = Found(str(resource.get("resourceType")), resource)
    for rule in rules:
        yield from broken(rule, whole)


def _rules(resource: dict[str, Any]) -> tuple[Rule, ...] | None:
    match resource.get("resourceType"):
        case "MeasureReport":
            return _rules_of_report(resource)
        case "Measure" if is_contract(resource):
            return CONTRACT
        case _:
            return ()


def _rules_of_report(resource: dict[str, Any]) -> tuple[Rule, ...] | None:
    try:
        found = kind(resource)
    except (AttributeError, KeyError, TypeError):
        return ()  # too broken to tell its kind: the structure gate has said where, and no rule can add to it
    return None if found is None else _REPORT_RULES[found]


def is_contract(resource: Mapping[str, Any]) -> bool:
    """Tell whether a Measure is a contract; one that claims other profiles only is the measure of something else."""
    meta = resource.get("meta")
    profiles = meta.get("profile") if isinstance(meta, dict) else None
    if not isinstance(profiles, list):
        return True
    return any(str(profile).partition("|")[0] == CONTRACT_PROFILE for profile in profiles)
