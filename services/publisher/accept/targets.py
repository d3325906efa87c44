"""What does the URL of a Bundle's entry name? Source: FHIR R4 http.html, `Bundle.entry.request`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from schemas.outcome import refuse
from services.publisher.accept.limits import TYPES

_TYPE = re.compile(r"(?P<type>[A-Za-z]+)(?:[/?].*)?", re.DOTALL)
_URL = re.compile(
    r"(?P<type>[A-Za-z]+)(?:/(?P<id>[A-Za-z0-9\-.]{1,64}))?"
    r"(?P<history>/_history(?:/(?P<version>[0-9]+))?)?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_EXPECTED: Final = {
    "POST": "POST Type",
    "PUT": "PUT Type/id or PUT Type?search",
    "PATCH": "PATCH Type/id or PATCH Type?search",
    "DELETE": "DELETE Type/id or DELETE Type?search",
    "GET": "GET Type/id, Type/id/_history/version, Type/id/_history, Type/_history or Type?search",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL names."""

    type: str
    id: str | None
    version: str | None
    history: bool
    """A whole history."""
    query: str | None
    """The part after `?`."""


def target(method: str, url: str, where: str, base_url: str) -> Target:
    """Return what an entry's request, at the FHIRPath `where`, names.

    The URL is relative to the base; one that begins with a slash or with the base itself is taken for the same.

    Raises:
        FhirError: 422 when that is nothing this service stores, or nothing that the method is for.
    """
    url = url.removeprefix(f"{base_url}/").removeprefix("/")
    found = _TYPE.fullmatch(url)
    kind = "" if found is None else found["type"]
    if kind == "Subscription":
        said = "a Subscription is not accepted in a Bundle; send it to [base]/Subscription by itself"
        raise refuse(422, "not-supported", said, f"{where}.url")
    if kind not in TYPES:
        said = f"the url is {url!r}; expected one of {', '.join(TYPES)}"
        raise refuse(422, "not-supported", said, f"{where}.url")
    if method not in _EXPECTED:
        said = f"{method} is not supported in a Bundle; expected one of {', '.join(_EXPECTED)}"
        raise refuse(422, "not-supported", said, f"{where}.method")
    named = _URL.fullmatch(url)
    if named is None or not _fits(method, named):
        said = f"{method} {url} is not supported in a Bundle; expected {_EXPECTED[method]}"
        raise refuse(422, "not-supported", said, f"{where}.url")
    whole = named["history"] is not None and named["version"] is None
    return Target(kind, named["id"], named["version"], whole, named["query"])


def _fits(method: str, named: re.Match[str]) -> bool:
    one, query, history = named["id"] is not None, named["query"] is not None, named["history"] is not None
    if method == "GET":
        return one or not history or named["version"] is None
    if history:
        return False
    return not one and not query if method == "POST" else one != query
