"""How do we publish the search parameters we define ourselves? As FHIR R4 SearchParameter resources.

What no FHIRPath over the MeasureReport alone can say (a quality report's contract comes from its parent, a line
of business from the contract) has no `expression`; its description says where it comes from.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.search.parameters import ALL, SearchParameter, SearchType
from schemas.search.values import Prefix

VERSION: Final = "1.0.0"
"""Business version of every definition."""

_COMPARED: Final = frozenset({SearchType.DATE, SearchType.NUMBER})


def definitions() -> tuple[dict[str, Any], ...]:
    """Return the SearchParameter resources of this project's own parameters, in the order of the table."""
    return tuple(definition(parameter) for parameter in ALL if parameter.ours)


def definition(parameter: SearchParameter) -> dict[str, Any]:
    """Return the R4 SearchParameter resource of one of our own parameters."""
    resource: dict[str, Any] = {
        "resourceType": "SearchParameter",
        "id": parameter.url.rpartition("/")[2],
        "url": parameter.url,
        "version": VERSION,
        "name": _computer_name(parameter.name),
        "status": "active",
        "description": parameter.documentation,
        "code": parameter.name,
        "base": ["MeasureReport"],
        "type": parameter.type.value,
        "multipleOr": True,
        "multipleAnd": True,
    }
    if parameter.expression is not None:
        resource |= {"expression": parameter.expression, "xpathUsage": "normal"}
    if parameter.targets:
        resource["target"] = list(parameter.targets)
    if parameter.modifiers:
        resource["modifier"] = sorted(parameter.modifiers)
    if parameter.type in _COMPARED:
        resource["comparator"] = [prefix.value for prefix in Prefix]
    if parameter.type is SearchType.COMPOSITE:
        resource |= _metric_and_score(parameter)
    return resource


def _metric_and_score(parameter: SearchParameter) -> dict[str, Any]:
    """Return what makes the composite one; its score is no parameter by itself, so it is contained."""
    score = {
        "resourceType": "SearchParameter",
        "id": "score",
        "url": f"{parameter.url}-value",
        "name": "Score",
        "status": "active",
        "description": "The score of the metric, also where an extension carries it.",
        "code": "score",
        "base": ["MeasureReport"],
        "type": "quantity",
        "expression": "MeasureReport.group.measureScore",
        "xpathUsage": "normal",
        "comparator": [prefix.value for prefix in Prefix],
    }
    metric = next(each for each in ALL if each.name == "metric")
    return {
        "contained": [score],
        "component": [
            {"definition": metric.url, "expression": "code"},
            {"definition": "#score", "expression": "measureScore"},
        ],
    }


def _computer_name(name: str) -> str:
    return "MeasureReport" + "".join(part.capitalize() for part in name.split("-"))
