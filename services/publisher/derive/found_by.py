"""What can a Measure, an Organization or a Group be found by? Its values, in the form of `schemas.facets`. Pure.

Reports have facets of their own (`facets`): what they are found by takes more than they say themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from schemas.dates import bounds, period_bounds
from schemas.facets import Facets, FacetValue, token
from schemas.search.parameters import SearchParameter, SearchType
from schemas.search.resources import VALUES, Where
from services.publisher.derive.elements import Element, coding_tokens, concept_tokens, identifier_tokens
from services.publisher.derive.references import literal, logical


def found_by(resource: Element, base_url: str) -> Facets:
    """Return the values of a resource's search parameters, without `_id` and `_lastUpdated`."""
    out: dict[str, Sequence[FacetValue]] = {}
    for where in VALUES[resource["resourceType"]]:
        parameter = where.parameter
        elements = list(_elements(resource, where))
        if values := _unique(_values(parameter, elements, base_url)):
            out[parameter.name] = values
        if parameter.type is SearchType.REFERENCE and not parameter.canonical:
            known = [found for each in elements if (found := logical(each)) is not None]
            if known:
                out[f"{parameter.name}:identifier"] = _unique(known)
    return out


def _unique(values: Iterable[FacetValue]) -> list[FacetValue]:
    kept = {value if isinstance(value, str) else tuple(value): value for value in values}
    return list(kept.values())


def _elements(resource: Element, where: Where) -> Iterator[Any]:
    for path in where.paths:
        level: list[Any] = [resource]
        for name in path.split("."):
            level = [child for each in level for child in _children(each, name, where.among)]
        yield from level


def _children(element: Any, name: str, among: tuple[str, str] | None) -> Iterable[Any]:
    if not isinstance(element, Mapping) or name not in element:
        return ()
    if among is not None and name == "resource" and element.get(among[0]) != among[1]:
        return ()
    found = element[name]
    # A list of primitives has null where only an extension stands.
    return [each for each in found if each is not None] if isinstance(found, list) else (found,)


def _values(parameter: SearchParameter, elements: Iterable[Any], base_url: str) -> Iterator[FacetValue]:
    for each in elements:
        if parameter.type is SearchType.DATE:
            period = isinstance(each, Mapping)
            yield list(period_bounds(each.get("start"), each.get("end")) if period else bounds(each))
        elif parameter.type is SearchType.TOKEN:
            yield from _tokens(parameter, each)
        elif isinstance(each, Mapping):
            if (found := literal(each, base_url)) is not None:
                yield found
        else:
            yield each


def _tokens(parameter: SearchParameter, element: Any) -> Iterable[str]:
    """A code, a boolean, a Coding, a CodeableConcept or an Identifier."""
    if isinstance(element, bool):
        return (token("", "true" if element else "false"),)
    if isinstance(element, str):
        return (token(parameter.system or "", element),)
    if "code" in element:
        return coding_tokens((element,))
    if "value" in element:
        return identifier_tokens((element,))
    return concept_tokens(element)
