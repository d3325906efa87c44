"""How do we publish the search parameters we define ourselves? As FHIR R4 SearchParameter resources.

What no FHIRPath over the MeasureReport alone can say (a quality report's contract comes from its parent, a line
of business from the contract) has no `expression`; its description says where it comes from.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.fhir import GAP_TO_THRESHOLD
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
        resource |= _COMPOSED[parameter.name](parameter)
    return resource


def _metric_and_score(parameter: SearchParameter) -> dict[str, Any]:
    """Return what makes the composite one; its score is no parameter by itself, so it is contained."""
    score = _compared(
        "score",
        f"{parameter.url}-value",
        "The score of the metric, also where an extension carries it.",
        "MeasureReport.group.measureScore",
    )
    metric = next(each for each in ALL if each.name == "metric")
    return {
        "contained": [score],
        "component": [
            {"definition": metric.url, "expression": "code"},
            {"definition": "#score", "expression": "measureScore"},
        ],
    }


def _type_and_gap(parameter: SearchParameter) -> dict[str, Any]:
    """Return what makes the composite one; neither of its parts is a parameter by itself."""
    type_ = _part(
        "type",
        "token",
        f"{parameter.url}-type",
        "The type of the threshold.",
        f"{parameter.expression}.extension('type').value",
    )
    gap = _compared(
        "gap",
        f"{parameter.url}-value",
        "The gap to the threshold.",
        f"{parameter.expression}.extension('{GAP_TO_THRESHOLD}').value",
    )
    return {
        "contained": [type_, gap],
        "component": [
            {"definition": "#type", "expression": "extension('type').value"},
            {"definition": "#gap", "expression": f"extension('{GAP_TO_THRESHOLD}').value"},
        ],
    }


_COMPOSED: Final = {"metric-score": _metric_and_score, "threshold-gap": _type_and_gap}


def _compared(id_: str, url: str, description: str, expression: str) -> dict[str, Any]:
    return {
        **_part(id_, "quantity", url, description, expression),
        "comparator": [prefix.value for prefix in Prefix],
    }


def _part(id_: str, type_: str, url: str, description: str, expression: str) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter",
        "id": id_,
        "url": url,
        "name": id_.capitalize(),
        "status": "active",
        "description": description,
        "code": id_,
        "base": ["MeasureReport"],
        "type": type_,
        "expression": expression,
        "xpathUsage": "normal",
    }


def _computer_name(name: str) -> str:
    return "MeasureReport" + "".join(part.capitalize() for part in name.split("-"))
