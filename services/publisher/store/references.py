"""Which references does a resource hold, and which of them are a search? Pure.

A conditional reference (`Organization?identifier=system|value`) stands for the one resource its search finds;
only a transaction may use it. Source: FHIR R4 http.html, transaction, conditional references.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.search.references import comparable

_CONDITIONAL = re.compile(r"(?P<type>[A-Z][A-Za-z]+)\?(?P<query>.+)", re.DOTALL)


def references(element: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield every `reference` in a resource, or a part of one at `path`, with its FHIRPath."""
    if isinstance(element, dict):
        for name, child in element.items():
            if name == "reference" and isinstance(child, str):
                yield f"{path}.reference", child
            else:
                yield from references(child, f"{path}.{name}")
    elif isinstance(element, list):
        for index, child in enumerate(element):
            yield from references(child, f"{path}[{index}]")


def conditional(reference: str) -> tuple[str, str] | None:
    """Return type and query of a conditional reference, `None` for any other."""
    found = _CONDITIONAL.fullmatch(reference)
    return None if found is None else (found["type"], found["query"])


def manager_of(group: Mapping[str, Any], base_url: str) -> str | None:
    """Return the managing entity of a Group, normalised; `None` when it names none by a reference."""
    reference = group.get("managingEntity", {}).get("reference")
    return comparable(reference, base_url) if isinstance(reference, str) else None
