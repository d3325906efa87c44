"""What do the path and the headers of a request name? Source: FHIR R4 http.html."""

from __future__ import annotations

import re

from aiohttp import web

from schemas.outcome import refuse

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_ETAG = re.compile(r'(?:W/)?"([0-9]{1,9})"')


def logical_id(request: web.Request) -> str:
    """Return the id in the path.

    Raises:
        FhirError: 400, it is none.
    """
    found = request.match_info["id"]
    if _ID.fullmatch(found) is None:
        said = f"{found!r} is not an id: 1 to 64 letters, digits, '-' or '.'"
        raise refuse(400, "value", said, "Subscription.id")
    return found


def if_match(request: web.Request) -> int | None:
    """Return the version a write expects to find, `None` when it does not say.

    Raises:
        FhirError: 400, it is no ETag.
    """
    value = request.headers.get("If-Match")
    if value is None:
        return None
    found = _ETAG.fullmatch(value.strip())
    if found is None:
        raise refuse(400, "value", f'If-Match is {value!r}; expected W/"version"')
    return int(found[1])


def replaces(request: web.Request) -> int | None:
    """Return the version a PUT expects to replace: 0 when nothing may be there (`If-None-Match: *`).

    Raises:
        FhirError: 400, the headers say neither, or both.
    """
    value = request.headers.get("If-None-Match")
    if value is None:
        return if_match(request)
    if value.strip() != "*" or "If-Match" in request.headers:
        said = f"If-None-Match is {value!r}; expected * on a write, and no If-Match beside it"
        raise refuse(400, "value", said)
    return 0


def unconditional(request: web.Request) -> None:
    """Refuse a create on condition: a search through all Subscriptions would hold up whoever writes one.

    Raises:
        FhirError: 412, as FHIR R4 http.html says of a server that has no conditional create.
    """
    if "If-None-Exist" in request.headers:
        said = (
            "a Subscription is not created on condition (If-None-Exist); PUT it under an id of your own, which may "
            "be sent again"
        )
        raise refuse(412, "not-supported", said)
