"""What do the headers of a request ask for? Source: FHIR R4 http.html (conditional interactions, Prefer)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from multidict import MultiMapping

from schemas.outcome import refuse
from services.shown import preferences

Return: TypeAlias = Literal["minimal", "representation", "OperationOutcome"]

_ETAG = re.compile(r'(?:W/)?"(?P<version>[0-9]{1,9})"')
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_RETURNS: dict[str, Return] = {
    "return=minimal": "minimal",
    "return=representation": "representation",
    "return=operationoutcome": "OperationOutcome",
}


@dataclass(frozen=True, slots=True)
class Preference:
    """How a change is to be answered (`Prefer`); `None` when it does not say."""

    returns: Return | None


def preference(headers: MultiMapping[str]) -> Preference:
    """Read `Prefer`; what is not known in it is ignored, as RFC 7240 says."""
    wanted = preferences(headers)
    returns = next((_RETURNS[part] for part in wanted if part in _RETURNS), None)
    return Preference(returns)


def if_match(text: str | None, expression: str | None = None) -> int | None:
    """Return the version that an `If-Match` names.

    Raises:
        FhirError: 400 when it is no version of ours, such as `W/"3"`.
    """
    if text is None:
        return None
    found = _ETAG.fullmatch(text.strip())
    if found is None:
        raise refuse(400, "value", f'If-Match is {text!r}; expected a version such as W/"3"', expression)
    return int(found["version"])


def replaced(match: str | None, none_match: str | None, place: str | None = None) -> int | None:
    """Return the version that a write expects to replace, 0 when it expects that there is none.

    `If-None-Match: *` on a write asks for that; `place` is the request's in a Bundle.

    Raises:
        FhirError: 400 when `If-Match` is no version of ours, `If-None-Match` anything but `*`, or both are there.
    """
    if none_match is None:
        return if_match(match, None if place is None else f"{place}.ifMatch")
    if none_match.strip() != "*" or match is not None:
        said = f"If-None-Match is {none_match!r}; expected * on a write, and no If-Match beside it"
        raise refuse(400, "value", said, None if place is None else f"{place}.ifNoneMatch")
    return 0


def query_of(search: str | None, kind: str, base_url: str) -> str | None:
    """Return the query of an `If-None-Exist`, with which some clients send the URL that it would stand in.

    R4 wants the query alone; what is neither is left as it is, to be refused.
    """
    if search is None:
        return None
    before, mark, query = search.partition("?")
    whole = mark and before in {"", kind, f"/{kind}", f"{base_url}/{kind}"}
    return query if whole else search


def logical_id(text: str, expression: str | None = None) -> str:
    """Return the id in a URL.

    Raises:
        FhirError: 400 when it is none (R4 type `id`).
    """
    if _ID.fullmatch(text) is None:
        raise refuse(
            400, "value", f"the id is {text!r}; expected at most 64 letters, digits, '-' and '.'", expression
        )
    return text


def traceparent(headers: Mapping[str, str]) -> str | None:
    """Return the W3C trace context to carry along; `None` for none, or one that is malformed."""
    found = headers.get("traceparent", "")
    return found if _TRACEPARENT.fullmatch(found) else None
