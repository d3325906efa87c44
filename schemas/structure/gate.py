"""Answers: has this resource the structure of FHIR R4. The verdict, fast enough for the event loop."""

from __future__ import annotations

from functools import cache
from importlib import resources
from itertools import islice
from typing import Any, Final

import jsonschema_rs
import orjson

from schemas.outcome import Issue
from schemas.structure.bindings import CONTAINED_ONLY, ROOTS
from schemas.structure.faults import Faults, shown
from schemas.structure.values import FORMATS, reference_to

MOST_ISSUES: Final = 100
"""Issues reported for one resource; more help nobody and would let a small body ask for a huge answer."""


def check_structure(resource: dict[str, Any]) -> list[Issue]:
    """Return everything that is wrong with the structure of a resource; an empty list when nothing is.

    `resource` is JSON as `schemas.raw_json.parse` returns it. Issues come in the order of the schema, each with
    the FHIRPath of its element; `contained` resources are checked by their own type's rules.
    """
    kind = resource.get("resourceType")
    if not isinstance(kind, str) or kind not in ROOTS:
        return [_unknown_type("Resource", kind, ROOTS)]
    return list(islice(_check(resource, kind), MOST_ISSUES))


def _check(resource: dict[str, Any], kind: str) -> list[Issue]:
    issues: list[Issue] = []
    validator = _validator(kind)
    if not validator.is_valid(resource):
        faults = Faults(kind, choices())
        for error in islice(validator.iter_errors(resource), MOST_ISSUES):
            issues += (issue for issue in faults.of(error) if issue not in issues)
    contained = resource.get("contained")
    if isinstance(contained, list):
        for index, inner in enumerate(contained):
            if isinstance(inner, dict):
                issues += _check_contained(inner, f"{kind}.contained[{index}]")
    return issues


def _check_contained(resource: dict[str, Any], where: str) -> list[Issue]:
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        return []  # the schema of what holds it has said so
    if kind not in {*ROOTS, *CONTAINED_ONLY}:
        return [_unknown_type(where, kind, (*ROOTS, *CONTAINED_ONLY))]
    issues = [issue.under(where) for issue in _check(resource, kind)]
    if "contained" in resource:
        issues.append(
            Issue(
                "error",
                "invariant",
                "A contained resource contains another; it may not.",
                f"{where}.contained",
                "dom-2",
            )
        )
    if "id" not in resource:
        issues.append(
            Issue(
                "error",
                "required",
                "'id' is missing; nothing can refer to a contained resource without.",
                f"{where}.id",
            )
        )
    return issues


def _unknown_type(where: str, kind: object, known: tuple[str, ...]) -> Issue:
    found = "'resourceType' is missing" if kind is None else f"Found {shown(kind)} as resourceType"
    return Issue(
        "error", "structure", f"{found}; expected one of {', '.join(known)}.", f"{where}.resourceType"
    )


def choices() -> dict[str, str]:
    """Return the element each name of a choice of types stands for: `valueString` is `value`."""
    names: dict[str, str] = _schema()["choices"]
    return names


@cache
def _schema() -> dict[str, Any]:
    text = resources.files("schemas.structure").joinpath("r4.schema.json").read_bytes()
    schema: dict[str, Any] = orjson.loads(text)
    return schema


@cache
def _validator(kind: str) -> jsonschema_rs.Draft4Validator:
    """Compile the schema of one resource type, once, when the first one comes."""
    schema = {**_schema(), "$ref": f"#/definitions/{kind}"}
    formats = {
        **FORMATS,
        **{name: _reference_check(name) for name in _reference_formats(schema["definitions"])},
    }
    return jsonschema_rs.Draft4Validator(
        schema, formats=formats, validate_formats=True, ignore_unknown_formats=False
    )


def _reference_check(name: str) -> Any:
    return reference_to(frozenset(name.partition(":")[2].split("|")))


def _reference_formats(node: Any) -> set[str]:
    if isinstance(node, list):
        return {name for child in node for name in _reference_formats(child)}
    if not isinstance(node, dict):
        return set()
    form = node.get("format")
    here = {form} if isinstance(form, str) and form.startswith("reference:") else set()
    return here.union(*(_reference_formats(child) for child in node.values()))
