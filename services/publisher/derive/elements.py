"""How is an extension, a code or a date read out of a FHIR element? Everything here reads a checked resource."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from schemas.facets import token

Element: TypeAlias = Mapping[str, Any]
"""A JSON object: a resource or one of its elements. Its structure has been checked."""


def extensions(element: Element, url: str) -> Iterator[Element]:
    """Yield the extensions with this URL that stand directly on the element."""
    for extension in element.get("extension", ()):
        if extension.get("url") == url:
            yield extension


def coding_tokens(codings: Iterable[Element]) -> list[str]:
    """Return `system|code` of each Coding that has a code; text and display are not codes."""
    return [token(coding.get("system", ""), coding["code"]) for coding in codings if "code" in coding]


def concept_tokens(concept: Element | None) -> list[str]:
    """Return `system|code` of each coding of a CodeableConcept; nothing for none."""
    return [] if concept is None else coding_tokens(concept.get("coding", ()))


def identifier_tokens(identifiers: Iterable[Element]) -> Iterator[str]:
    """Yield `system|value` of each Identifier that has a value."""
    for identifier in identifiers:
        if "value" in identifier:
            yield token(identifier.get("system", ""), identifier["value"])


def inner_tokens(element: Element, url: str, part: str) -> Iterator[str]:
    """Yield `system|code` of one coded part of each complex extension with this URL."""
    for extension in extensions(element, url):
        for inner in extensions(extension, part):
            yield from concept_tokens(inner.get("valueCodeableConcept"))
