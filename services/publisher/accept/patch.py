"""What does a PATCH make of a resource? The version it finds, changed by JSON Patch, every other digit as it was.

Source: FHIR R4 http.html (patch, conditional patch); RFC 6902. What comes of it is checked and stored like an update
of that version, and is worked out anew when another one has come meanwhile.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

from schemas.json_patch import apply_patch
from schemas.number_tokens import read, written
from schemas.outcome import FhirError, refuse
from services.database import Connection
from services.principal import Principal
from services.publisher.accept.examine import aside, checked, parsed
from services.publisher.accept.limits import Limits
from services.publisher.accept.reads import current
from services.publisher.derive import kind as kind_of
from services.publisher.store import search
from services.publisher.store.model import REPORT, Stored, Write

JSON_PATCH: Final = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Patch:
    """A PATCH, before it is known what it is applied to."""

    type: str
    id: str | None
    """`None`: the search tells it."""
    search: str | None
    operations: Any
    """JSON; its numbers are tokens."""
    if_match: int | None = None
    full_url: str | None = None
    where: str | None = None
    """FHIRPath of its place in a Bundle."""


def operations(text: bytes) -> Any:
    """Return the operations that the body of a PATCH is.

    Raises:
        FhirError: 400, it is no JSON.
    """
    return read(text)


def of_binary(resource: dict[str, Any], where: str) -> Any:
    """Return the operations that a Bundle carries in a Binary.

    Raises:
        FhirError: 400 or 415 when it is no Binary, its content no JSON Patch, or its data no base64.
    """
    if (found := resource.get("resourceType")) != "Binary":
        said = f"a PATCH carries a Binary with a JSON Patch; found {found!r}"
        raise refuse(415, "not-supported", said, where)
    kind = str(resource.get("contentType"))
    if kind.partition(";")[0].strip() != JSON_PATCH:
        raise refuse(
            415, "not-supported", f"contentType is {kind}; expected {JSON_PATCH}", f"{where}.contentType"
        )
    try:
        text = base64.b64decode("".join(str(resource.get("data", "")).split()), validate=True)
    except (binascii.Error, ValueError):
        raise refuse(400, "value", "data is not base64", f"{where}.data") from None
    return operations(text)


async def applied(tx: Connection, patch: Patch, principal: Principal, limits: Limits, base_url: str) -> Write:
    """Return what a patch makes of the current version, as an update of that one.

    Raises:
        FhirError: 404, 410 or 412 when it is not told what to patch; 400 or 422 when the patch does not fit, or what
            it makes may not be stored.
    """
    try:
        return await _applied(tx, patch, principal, limits, base_url)
    except FhirError as error:
        if patch.where is None:
            raise
        issues = (issue.under(patch.where) for issue in error.issues)
        raise FhirError(error.status, *issues, headers=error.headers) from None


async def _applied(
    tx: Connection, patch: Patch, principal: Principal, limits: Limits, base_url: str
) -> Write:
    id_ = patch.id if patch.search is None else await _meant(tx, patch, patch.search, base_url)
    assert id_ is not None
    before = await current(tx, patch.type, id_, principal)
    size = len(before.body)
    text = await aside(size, lambda: _changed(before, patch.operations))
    if len(text) > limits.report_bytes:
        said = f"the patched resource has {len(text)} bytes; at most {limits.report_bytes} are accepted"
        raise refuse(413, "too-long", said)
    resource = await parsed(text, limits.json_depth)
    if resource.get("id") != id_:
        said = f"the id would become {resource.get('id')!r}; a patch cannot change it"
        raise refuse(422, "business-rule", said, f"{patch.type}.id")
    await checked(resource, len(text), kind=patch.type)
    return Write(
        patch.type,
        id_,
        creates=False,
        text=text,
        resource=resource,
        kind=kind_of(resource) if patch.type == REPORT else None,
        if_match=patch.if_match,
        patches=before.version,
        full_url=patch.full_url,
        where=patch.where,
    )


def _changed(before: Stored, wanted: Any) -> bytes:
    return written(apply_patch(read(before.body), wanted))


async def _meant(tx: Connection, patch: Patch, query: str, base_url: str) -> str:
    found = await search.matching(tx, patch.type, query, base_url)
    if len(found) == 1:
        return found[0]
    if found:
        raise refuse(412, "conflict", f"{patch.type}?{query} finds several, expected one")
    raise refuse(404, "not-found", f"{patch.type}?{query} finds nothing to patch")
