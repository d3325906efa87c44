"""Which of VBPR's two reports is it? Category alone does not tell: older quality reports carry `vbp` as well.

Source: VBPR 1.1.0 profiles vbp-performance-measurereport and vbp-quality-measurereport; DEQM measureScoring.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.fhir import CATEGORY, MEASURE_SCORING, PERFORMANCE_PROFILE, QUALITY_PROFILE
from services.publisher.derive.elements import extensions
from services.publisher.derive.model import Kind

_PROFILES = {PERFORMANCE_PROFILE: Kind.PERFORMANCE, QUALITY_PROFILE: Kind.QUALITY}


def kind(resource: Mapping[str, Any]) -> Kind | None:
    """Return the kind of a MeasureReport, `None` when nothing tells it.

    In order: the profile it claims, with or without `|version`; DEQM's measureScoring on the report or one of
    its groups, which makes it a quality report; category `vbp`, which makes it a performance report.
    """
    for profile in resource.get("meta", {}).get("profile", ()):
        if (claimed := _PROFILES.get((profile or "").partition("|")[0])) is not None:
            return claimed
    if any(_scored(element) for element in (resource, *resource.get("group", ()))):
        return Kind.QUALITY
    return Kind.PERFORMANCE if _is_vbp(resource) else None


def _scored(element: Mapping[str, Any]) -> bool:
    return next(extensions(element, MEASURE_SCORING), None) is not None


def _is_vbp(resource: Mapping[str, Any]) -> bool:
    return any(
        coding.get("code") == "vbp"
        for extension in extensions(resource, CATEGORY)
        for coding in extension.get("valueCodeableConcept", {}).get("coding", ())
    )
