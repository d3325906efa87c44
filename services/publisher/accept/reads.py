"""What is there to be read? One resource as it is now or as it was, for whoever may see it; or why not.

Source: FHIR R4 http.html (read, vread, conditional read).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from aiohttp import hdrs

from schemas.facets import EVERY_ORGANISATION
from schemas.outcome import FhirError, refuse
from services.database import Connection
from services.principal import Principal
from services.publisher.store import search, versions
from services.publisher.store.model import REPORT, Stored

_LONGEST: Final = 9
"""Digits of a version number."""


async def current(tx: Connection, kind: str, id_: str, principal: Principal) -> Stored:
    """Return a resource as it is now.

    Raises:
        FhirError: 404 when it is not known, or not for this principal; 410 when it was deleted.
    """
    found = (await versions.newest(tx, kind, [id_])).get(id_)
    await require_visible(tx, kind, id_, principal)
    return _there(found, kind, id_)


async def version(tx: Connection, kind: str, id_: str, number: str, principal: Principal) -> Stored:
    """Return one version of a resource.

    Raises:
        FhirError: 404 when it is not known, or not for this principal; 410 for one that says it was deleted.
    """
    await require_visible(tx, kind, id_, principal)
    found = None
    if number.isascii() and number.isdecimal() and len(number) <= _LONGEST:
        found = await versions.version(tx, kind, id_, int(number))
    return _there(found, kind, f"{id_}/_history/{number}")


async def require_visible(tx: Connection, kind: str, id_: str, principal: Principal) -> None:
    """Refuse a report that is not for this principal as if it were not there.

    Raises:
        FhirError: 404.
    """
    if kind != REPORT or EVERY_ORGANISATION in principal.organisations:
        return
    if not await search.may_read(tx, id_, principal):
        raise not_there(kind, id_)


def not_there(kind: str, id_: str) -> FhirError:
    """Return what is said of an unknown resource."""
    return refuse(404, "not-found", f"{kind}/{id_} is not known here")


def unchanged(found: Stored, headers: Mapping[str, str]) -> bool:
    """Tell whether a client has what it asks for: `If-None-Match`, or without that `If-Modified-Since`."""
    tags = headers.get(hdrs.IF_NONE_MATCH)
    if tags is not None:
        return any(
            tag.strip() in {f'W/"{found.version}"', f'"{found.version}"', "*"} for tag in tags.split(",")
        )
    since = _moment(headers.get(hdrs.IF_MODIFIED_SINCE, ""))
    # A date in a header has whole seconds: what is newer by less has not changed for it.
    return since is not None and found.last_updated.replace(microsecond=0) <= since


def _moment(text: str) -> datetime | None:
    """Return the time of a header, or of a Bundle's `ifModifiedSince`; what is none counts as not given (RFC 9110)."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(text)
        except ValueError:
            continue
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found
    return None


def _there(found: Stored | None, kind: str, id_: str) -> Stored:
    if found is None:
        raise not_there(kind, id_)
    if found.deleted:
        raise refuse(410, "deleted", f"{kind}/{id_} was deleted")
    return found
