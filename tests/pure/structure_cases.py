"""Reports to break, ways of breaking them, and what the structure gate alone finds wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from schemas import examples
from schemas.outcome import Issue

Json = dict[str, Any]


WRONG: tuple[Any, ...] = (
    None, "", " ", "x y ", "2023-02-30", "2024-13-01", "2023-02-28T25:00:00Z", "2024-02-29T08:00:00", "0000",
    "http://", "0.8", "-", "é", "a" * 70, 0, -1, 1.5, 2**31, 10**30, True, [], {}, [None], [{}], ["x"], [1],
    {"value": 1}, {"reference": 5}, {"coding": [{"code": 1}]}, {"coding": {}}, {"start": "2024"},
    {"extension": [{"url": "x"}]}, {"extension": [{"valueString": "x"}]}, {"resourceType": "Organization"},
)  # fmt: skip
NAMES = (
    "foo", "_foo", "_status", "_measure", "id", "extension", "modifierExtension", "contained", "text", "language",
    "valueString", "valueDate", "valueQuantity", "valueReference", "valueUrl", "valueBase64Binary", "valueUuid",
    "valueMoney", "valueTiming", "valueAttachment", "valueRatioRange", "status", "count", "resource_type", "fhir_comments",
)  # fmt: skip


@cache
def _texts() -> dict[str, bytes]:
    large = examples.large()
    paths = (*examples.parties(), *examples.contracts(), *examples.reports())
    return {path.stem: path.read_bytes() for path in paths if path != large}


def names() -> list[str]:
    """Return the names of the example resources that are broken here, in order."""
    return sorted(_texts())


def resource(name: str) -> Json:
    """Return one of them, fresh."""
    value: Json = orjson.loads(_texts()[name])
    return value


def report() -> Json:
    """Return a small quality report with groups, populations, extensions and a period."""
    return resource("10-quality-prairie-valley-final")


def oracle_rejects(value: Json) -> bool:
    """Tell whether fhir.resources rejects it; a crash of the models is a rejection too.

    One thing is kept from them: `_valueString` and the like in an extension, which they alone do not know.
    """
    try:
        get_fhir_model_class(value["resourceType"]).model_validate(_without_twins(value))
    except (ValidationError, KeyError, TypeError, AttributeError):
        return True
    return False


def _without_twins(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_twins(child) for child in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_twins(child)
        for key, child in node.items()
        if not (
            "url" in node and key.startswith("_value") and isinstance(child, dict) and "extension" in child
        )
    }


@dataclass(frozen=True)
class GateAlone:
    """What the gate rejects and fhir.resources lets pass: why, how the gate says it, and one example."""

    reason: str
    words: str
    """A regular expression the diagnostics match."""
    change: Callable[[Json], Any]


def _extension(**members: Any) -> Callable[[Json], Any]:
    return lambda report: report["extension"].append({"url": "https://example.org/x", **members})


GATE_ALONE = (
    GateAlone(
        "required bindings: the models do not look at codes",
        "expected one of complete, pending, error|expected one of ",
        lambda report: report.update(status="done"),
    ),
    GateAlone(
        "a JSON number is no JSON string, and the other way round; the models convert",
        r"expected (a number, not in quotes|a string|a whole number|true or false)",
        lambda report: report["group"][0]["measureScore"].update(value="0.8"),
    ),
    GateAlone(
        "an element is an object, not a string with JSON in it; the models parse that",
        "Found (the|a) string .*expected an object",
        lambda report: report.update(period='{"start": "2024-01-01"}'),
    ),
    GateAlone(
        "an integer is written without a fraction",
        "without a fraction",
        lambda report: report["group"][0]["population"][0].update(count=12.0),
    ),
    GateAlone(
        "elements are never empty (R4 json)",
        "expected something in it",
        lambda report: report.update(evaluatedResource=[]),
    ),
    GateAlone("null stands for nothing (R4 json)", "Found null", lambda report: report.update(date=None)),
    GateAlone(
        "a null in a list of primitives needs its twin list",
        "no null, unless",
        lambda report: report["meta"].update(profile=[None]),
    ),
    GateAlone(
        "strings, URIs and ids keep to their regular expressions",
        "expected (a URI|text that is not empty|an id|a code|text of the form)",
        lambda report: report.update(measure="https://example.org/a b|1"),
    ),
    GateAlone(
        "a reference has the form of a reference",
        "expected Type/id",
        lambda report: report["reporter"].update(reference="lake shore"),
    ),
    GateAlone(
        "a reference points to a type the element allows",
        "expected a reference to",
        lambda report: report["reporter"].update(reference="Patient/1"),
    ),
    GateAlone("the type of a resource is said", "resourceType", lambda report: report.pop("resourceType")),
    GateAlone("ext-1: a value or extensions", "neither a value nor extensions", _extension()),
    GateAlone(
        "ext-1: not both",
        "both extensions and",
        _extension(valueString="a", extension=[{"url": "x", "valueString": "b"}]),
    ),
    GateAlone(
        "one value[x], counting values that only have extensions",
        "stand together",
        _extension(valueString="a", _valueCode={"extension": [{"url": "x", "valueString": "b"}]}),
    ),
    GateAlone(
        "types that came with R4B, comments of DSTU2 and the models' own names are no elements of R4",
        "Unknown element",
        lambda report: report.update(fhir_comments=["x"]),
    ),
    GateAlone(
        "base64, URLs, UUIDs and dates keep to the form of their type",
        "expected (base64|a URL|a UUID|a date|a time)",
        _extension(valueBase64Binary="YWJj!"),
    ),
    GateAlone(
        "dom-2: contained resources do not nest",
        "A contained resource contains another",
        lambda report: report.update(
            contained=[
                {
                    "resourceType": "Organization",
                    "id": "a",
                    "contained": [{"resourceType": "Organization", "id": "b"}],
                }
            ]
        ),
    ),
    GateAlone(
        "a contained resource has an id",
        "nothing can refer to a contained resource",
        lambda report: report.update(contained=[{"resourceType": "Organization", "name": "x"}]),
    ),
    GateAlone(
        "a contained type that cannot be checked is not stored unchecked",
        "as resourceType; expected one of",
        lambda report: report.update(contained=[{"resourceType": "Device", "id": "x"}]),
    ),
    GateAlone(
        "a string has at most a million characters (R4 datatypes)",
        "at most 1048576 characters",
        lambda report: report["reporter"].update(display="x" * (1024 * 1024 + 1)),
    ),
)


def listed(issue: Issue) -> bool:
    """Tell whether it is on the list that the gate alone rejects this."""
    return any(re.search(row.words, issue.diagnostics) for row in GATE_ALONE)


def places(node: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) under a node, but for the type of the whole."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    out: list[tuple[Any, Any]] = []
    for key in keys:
        if key != "resourceType":
            out.append((node, key))
        if isinstance(node[key], dict | list):
            out += places(node[key])
    return out
