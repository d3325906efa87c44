"""Answers: has this resource the structure of FHIR R4. The verdict, fast enough for the event loop."""

from __future__ import annotations

from functools import cache
from importlib import resources
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs
import orjson

from schemas.outcome import Issue
from schemas.structure.bindings import CONTAINED_ONLY, ROOTS
from schemas.structure.faults import Faults, shown
from schemas.structure.quick import quick
from schemas.structure.values import FORMATS, reference_to

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_ISSUES: Final = 100
"""Issues reported for one resource; more help nobody and would let a small body ask for a huge answer."""

MOST_ITEMS: Final = 2000
"""List items of a rejected resource looked at for all that is wrong; beyond them, only its first fault is said."""


def check_structure(resource: dict[str, Any]) -> list[Issue]:
    """Return everything that is wrong with the structure of a resource; an empty list when nothing is.

    `resource` is JSON as `schemas.raw_json.parse` returns it. Issues come in the order of the schema, each with
    the FHIRPath of its element; `contained` resources are checked by their own type's rules.
    """
    kind = resource.get("resourceType")
    if not isinstance(kind, str) or kind not in ROOTS:
        return [_unknown_type("Resource", kind, ROOTS)]
    return list(islice(_check(resource, kind), MOST_ISSUES))


def _check(resource: dict[str, Any], kind: str) -> Iterator[Issue]:
    if not _quick_validator(kind).is_valid(resource) and not (validator := _validator(kind)).is_valid(
        resource
    ):
        faults, seen = Faults(kind, choices()), set()
        for issue in chain.from_iterable(map(faults.of, _errors(validator, resource))):
            if issue not in seen:
                seen.add(issue)
                yield issue
    contained = resource.get("contained")
    for index, inner in enumerate(contained if isinstance(contained, list) else ()):
        if isinstance(inner, dict):
            yield from _check_contained(inner, f"{kind}.contained[{index}]")


def _errors(
    validator: jsonschema_rs.Draft4Validator, resource: dict[str, Any]
) -> Iterator[jsonschema_rs.ValidationError]:
    """Yield the errors of a resource that is not valid, in time that does not grow with their number.

    The validator collects all errors before it gives the first: seconds, for a few megabytes of wrong items.
    So it is shown the resource with its long lists cut; when all that is wrong was cut off, its first error.
    """
    none = True
    for error in validator.iter_errors(_Cut(MOST_ITEMS).of(resource)):
        none = False
        yield error
    if none:
        try:
            validator.validate(resource)
        except jsonschema_rs.ValidationError as first:
            yield first


class _Cut:
    """Copies JSON, and keeps of its lists the first item each and no more than so many others in all."""

    def __init__(self, others: int) -> None:
        self._left = others

    def of(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.of(child) for key, child in value.items()}
        return list(self._items(value)) if isinstance(value, list) else value

    def _items(self, items: list[Any]) -> Iterator[Any]:
        for place, item in enumerate(items):
            if place:
                if self._left == 0:
                    return
                self._left -= 1
            yield self.of(item)


def _check_contained(resource: dict[str, Any], where: str) -> Iterator[Issue]:
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        return  # the schema of what holds it has said so
    if kind not in ROOTS and kind not in CONTAINED_ONLY:
        yield _unknown_type(where, kind, (*ROOTS, *CONTAINED_ONLY))
        return
    if "contained" in resource:
        words = "A contained resource contains another; it may not (dom-2)."
        yield Issue("error", "invariant", words, f"{where}.contained")
        return  # nor is there a bottom to look for
    if "id" not in resource:
        words = "'id' is missing; nothing can refer to a contained resource without."
        yield Issue("error", "required", words, f"{where}.id")
    for issue in _check(resource, kind):
        yield issue.under(where)


def _unknown_type(where: str, kind: object, known: tuple[str, ...]) -> Issue:
    found = "'resourceType' is missing" if kind is None else f"Found {shown(kind)} as resourceType"
    return Issue(
        "error", "structure", f"{found}; expected one of {', '.join(known)}.", f"{where}.resourceType"
    )


def choices() -> dict[str, str]:
    """Return the element each name of a choice of types stands for: `valueString` is `value`."""
    names: dict[str, str] = r4_schema()["choices"]
    return names


@cache
def r4_schema() -> dict[str, Any]:
    """Return what `schemas.structure.generate` wrote."""
    text = resources.files("schemas.structure").joinpath("r4.schema.json").read_bytes()
    schema: dict[str, Any] = orjson.loads(text)
    return schema


@cache
def _quick_validator(kind: str) -> jsonschema_rs.Draft4Validator:
    return compiled(quick(r4_schema()), kind)


@cache
def _validator(kind: str) -> jsonschema_rs.Draft4Validator:
    return compiled(r4_schema(), kind)


def compiled(definitions: dict[str, Any], kind: str) -> jsonschema_rs.Draft4Validator:
    """Return the validator of one resource type: 35 ms, so that it is kept."""
    schema = {**definitions, "$ref": f"#/definitions/{kind}"}
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
