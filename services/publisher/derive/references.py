"""What does a Reference or a canonical point to? Both shapes: a literal reference, and an identifier alone.

Source: FHIR R4 references (literal, logical, contained) and canonical URLs (`url|version`).
"""

from __future__ import annotations

import re
from functools import lru_cache

from schemas.search.references import comparable, local_type
from services.publisher.derive.elements import Element, identifier_tokens

_RESTFUL = re.compile(r"(?:^|/)(?P<type>[A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}$")


def literal(reference: Element, base_url: str) -> str | None:
    """Return where the reference points: `Type/id` on our own base, else the URL as it is; never a version.

    `None` for a reference that has only an identifier, and for one to a contained resource: `#x` means
    something inside its own resource alone.
    """
    text: str | None = reference.get("reference")
    if text is None or text.startswith("#"):
        return None
    return comparable(text, base_url)


def logical(reference: Element) -> str | None:
    """Return the identifier the reference carries as `system|value`; `None` without one."""
    identifier = reference.get("identifier")
    return None if identifier is None else next(identifier_tokens((identifier,)), None)


def target_type(reference: Element, base_url: str) -> str | None:
    """Return the resource type the reference says it points to; `None` when it does not say."""
    text = literal(reference, base_url)
    declared: str | None = reference.get("type")
    return declared if text is None else _type_in(text) or declared


@lru_cache(maxsize=8192)  # as few as the references of a payer's reports
def _type_in(text: str) -> str | None:
    found = _RESTFUL.search(text)
    return None if found is None else found["type"]


def local_id(reference: Element, base_url: str, resource_type: str) -> str | None:
    """Return the id of the resource of our own that the reference points to, if it is of that type."""
    text = literal(reference, base_url)
    if text is None or local_type(text) != resource_type:
        return None
    return text.partition("/")[2]


def without_version(canonical: str) -> str:
    """Return the URL of a canonical, without its `|version`."""
    return canonical.partition("|")[0]
