"""What is a reference compared as? One form, written into facets and parsed out of criteria alike.

A reference into our own base is `Type/id`, any other stays as it is; a version (`/_history/3`) is dropped.
Source: FHIR R4 search 3.1.1.4.12, relative and absolute references to the same resource are equal.
"""

from __future__ import annotations

import re
from functools import lru_cache

_VERSION = re.compile(r"/_history/[^/]+$")
_LOCAL = re.compile(r"(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")


@lru_cache(maxsize=8192)  # a payer's reports name the same few organisations
def comparable(reference: str, base_url: str) -> str:
    """Return the form in which a reference is compared; `base_url` is our own, with or without a last slash."""
    own = base_url.rstrip("/") + "/"
    return _VERSION.sub("", reference.removeprefix(own))


def local_type(reference: str) -> str | None:
    """Return the resource type of `Type/id`, `None` for any other text."""
    found = _LOCAL.fullmatch(reference)
    return None if found is None else found["type"]


def is_id(text: str) -> bool:
    """Tell whether the text is a logical id (R4 type `id`)."""
    return _ID.fullmatch(text) is not None


def is_absolute(text: str) -> bool:
    """Tell whether the text is an absolute URI: a scheme, a colon, and no white space."""
    return _ABSOLUTE.fullmatch(text) is not None
