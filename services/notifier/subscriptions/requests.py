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


def expected(request: web.Request) -> int | None:
    """Return the version a PUT expects to find, 0 when it expects that there is none (`If-None-Match: *`).

    Raises:
        FhirError: 400, the header asks for something else.
    """
    value = request.headers.get("If-None-Match")
    if value is None:
        return if_match(request)
    if value.strip() != "*" or "If-Match" in request.headers:
        said = f"If-None-Match is {value!r}; expected * on a write, and no If-Match beside it"
        raise refuse(400, "value", said)
    return 0


def unconditional(request: web.Request) -> None:
    """Refuse a create that is to depend on a search: done without looking, it would be done twice.

    Raises:
        FhirError: 400.
    """
    if "If-None-Exist" in request.headers:
        said = "If-None-Exist is not served for Subscription; PUT it under an id of your own, with If-None-Match: *"
        raise refuse(400, "not-supported", said)


def lenient(request: web.Request) -> bool:
    """Tell whether a search may ignore what it does not know (`Prefer: handling=lenient`)."""
    wishes = request.headers.get("Prefer", "").replace(",", ";").split(";")
    return any(wish.strip().lower() == "handling=lenient" for wish in wishes)
