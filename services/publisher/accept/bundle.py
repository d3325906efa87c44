"""What does a Bundle ask for? Its entries become writes: all or nothing, or each on its own.

Source: FHIR R4 http.html, batch and transaction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from schemas.outcome import FhirError, refuse
from schemas.raw_json import Entry, entries, rewrite_references
from schemas.structure.gate import check_structure
from services.publisher.accept.examine import aside, checked, parsed
from services.publisher.accept.requests import if_match
from services.publisher.derive import kind as kind_of
from services.publisher.store.model import REPORT, Write
from services.publisher.store.references import conditional, references

TYPES: Final = (REPORT, "Measure", "Organization", "Group")
"""What this service stores, alone and in a Bundle."""

MOST_ENTRIES: Final = 1000
"""Entries of one Bundle; each holds locks until the last is stored."""

_PUT = re.compile(r"(?P<type>[A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})")
_TYPE = re.compile(r"/?(?P<type>[A-Za-z]+)(?:[/?].*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Limits:
    """The sizes accepted, in bytes, and the deepest nesting."""

    report_bytes: int
    bundle_bytes: int
    json_depth: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A Bundle, opened: its kind, and each entry as a write or as the reason why it is none."""

    type: str
    """`batch` or `transaction`."""
    outcomes: Sequence[Write | FhirError]

    def writes(self) -> list[Write]:
        """Return the writes of a transaction.

        Raises:
            FhirError: any entry is none; every issue of all of them.
        """
        refused = [each for each in self.outcomes if isinstance(each, FhirError)]
        writes = [each for each in self.outcomes if isinstance(each, Write)]
        refused += _overlaps(writes)
        if refused:
            raise FhirError(_worst(refused), *(issue for error in refused for issue in error.issues))
        return writes


async def opened(text: bytes, limits: Limits, new_id: Callable[[], str]) -> Opened:
    """Open a Bundle; `new_id` gives the ids of what it creates.

    Raises:
        FhirError: 400 when it is no batch or transaction, 413 when it has too many entries.
    """
    bundle = await parsed(text, limits.json_depth)
    if (found := bundle.get("resourceType")) != "Bundle":
        raise refuse(
            400,
            "invalid",
            f"resourceType is {found!r}; only a Bundle is sent to the base",
            "Resource.resourceType",
        )
    if (type_ := bundle.get("type")) not in {"batch", "transaction"}:
        raise refuse(400, "value", f"Bundle.type is {type_!r}; expected batch or transaction", "Bundle.type")
    if issues := await aside(len(text), lambda: check_structure(bundle)):
        raise FhirError(400, *issues)
    parts = entries(text)
    if len(parts) > MOST_ENTRIES:
        said = f"the Bundle has {len(parts)} entries; at most {MOST_ENTRIES} are accepted"
        raise refuse(413, "too-long", said, "Bundle.entry")
    resources = [each.get("resource") for each in bundle.get("entry", ())]
    outcomes: list[Write | FhirError] = []
    for place, (part, resource) in enumerate(zip(parts, resources, strict=True)):
        where = f"Bundle.entry[{place}]"
        try:
            outcomes.append(await _write(part, resource, where, limits, new_id, in_batch=type_ == "batch"))
        except FhirError as error:
            outcomes.append(error)
    return Opened(type_, outcomes)


async def _write(
    part: Entry,
    resource: dict[str, Any] | None,
    where: str,
    limits: Limits,
    new_id: Callable[[], str],
    *,
    in_batch: bool,
) -> Write:
    if part.request is None:
        raise refuse(400, "required", "the entry has no request; expected method and url", f"{where}.request")
    kind, id_ = _target(part.request.method, part.request.url, f"{where}.request")
    if part.resource is None or resource is None:
        raise refuse(
            400, "required", f"a {part.request.method} needs the resource to store", f"{where}.resource"
        )
    if len(part.resource) > limits.report_bytes:
        said = f"the resource has {len(part.resource)} bytes; at most {limits.report_bytes} are accepted"
        raise refuse(413, "too-long", said, f"{where}.resource")
    if id_ is not None and resource.get("id") != id_:
        said = f"the id is {resource.get('id')!r}; expected {id_!r}, the id in the request's url"
        raise refuse(400, "invalid", said, f"{where}.resource.id")
    try:
        await checked(
            resource if in_batch else _plain(resource, part.resource), len(part.resource), kind=kind
        )
    except FhirError as error:
        issues = (issue.under(f"{where}.resource") for issue in error.issues)
        raise FhirError(error.status, *issues) from None
    return Write(
        kind,
        id_ or new_id(),
        creates=id_ is None,
        text=part.resource,
        resource=resource,
        kind=kind_of(resource) if kind == REPORT else None,
        if_match=if_match(part.request.if_match, f"{where}.request.ifMatch"),
        if_none_exist=part.request.if_none_exist,
        full_url=None if in_batch else part.full_url,
        where=None if in_batch else f"{where}.resource",
    )


def _plain(resource: dict[str, Any], text: bytes) -> dict[str, Any]:
    """Return the resource as the checks may see it: a conditional reference is a plain one by then."""
    if b"?" not in text:
        return resource
    found = {each: asked for _, each in references(resource, "") if (asked := conditional(each))}
    if not found:
        return resource
    plain: dict[str, Any] = orjson.loads(
        rewrite_references(text, {each: f"{kind}/found" for each, (kind, _) in found.items()})
    )
    return plain


def _target(method: str, url: str, where: str) -> tuple[str, str | None]:
    """Return the type, and the id for an update, that an entry's request names."""
    found = _TYPE.fullmatch(url)
    kind = "" if found is None else found["type"]
    if kind == "Subscription":
        said = "a Subscription is not accepted in a Bundle; send it to [base]/Subscription by itself"
        raise refuse(422, "not-supported", said, f"{where}.url")
    if kind not in TYPES:
        said = f"the url is {url!r}; expected one of {', '.join(TYPES)}"
        raise refuse(422, "not-supported", said, f"{where}.url")
    match method:
        case "POST" if url == kind:
            return kind, None
        case "PUT" if (put := _PUT.fullmatch(url)) is not None:
            return kind, put["id"]
        case "POST" | "PUT":
            said = f"{method} {url} is not supported in a Bundle; expected POST Type or PUT Type/id"
            raise refuse(422, "not-supported", said, f"{where}.url")
        case _:
            said = f"{method} is not supported in a Bundle; expected POST or PUT"
            raise refuse(422, "not-supported", said, f"{where}.method")


def _overlaps(writes: Sequence[Write]) -> list[FhirError]:
    """A transaction may name each resource, and each fullUrl, once (R4 http, transaction rules)."""
    refused: list[FhirError] = []
    seen: set[str] = set()
    for write in writes:
        names = {
            name for name in (write.full_url, None if write.creates else f"{write.type}/{write.id}") if name
        }
        refused += [
            refuse(400, "duplicate", f"{name} stands in two entries of one transaction", write.where)
            for name in sorted(names & seen)
        ]
        seen |= names
    return refused


def _worst(refused: Sequence[FhirError]) -> int:
    """Malformed goes before what breaks rules."""
    return min(error.status for error in refused)
