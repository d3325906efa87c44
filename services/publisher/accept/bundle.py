"""What does a Bundle ask for? Its entries become changes and queries: all or nothing, or each on its own.

Source: FHIR R4 http.html, batch and transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from schemas.outcome import FhirError, refuse
from schemas.raw_json import Entry, EntryRequest, entries, rewrite_references
from schemas.structure.gate import check_structure
from services.publisher.accept.examine import aside, checked, parsed
from services.publisher.accept.limits import Limits
from services.publisher.accept.patch import Patch, of_binary
from services.publisher.accept.queries import Query, conditions
from services.publisher.accept.requests import if_match, query_of, replaced
from services.publisher.accept.storing import Change
from services.publisher.accept.targets import Target, target
from services.publisher.derive import kind as kind_of
from services.publisher.store.model import REPORT, Write
from services.publisher.store.plan import together
from services.publisher.store.references import conditional, references

MOST_ENTRIES: Final = 1000
"""Entries of one Bundle; each holds locks until the last is stored."""

Asked: TypeAlias = Change | Query


@dataclass(frozen=True, slots=True)
class Opened:
    """A Bundle, opened: its kind, and what each entry asks for, or the reason why nothing."""

    type: str
    """`batch` or `transaction`."""
    entries: Sequence[Asked | FhirError]

    def all(self) -> Sequence[Asked]:
        """Return what a transaction asks for.

        Raises:
            FhirError: any entry asks for nothing, or two for a change of the same; every issue of all of them.
        """
        refused = [each for each in self.entries if isinstance(each, FhirError)]
        asked = [each for each in self.entries if not isinstance(each, FhirError)]
        refused += _overlaps([each for each in asked if not isinstance(each, Query)])
        if refused:
            raise together(refused)
        return asked


async def opened(text: bytes, limits: Limits, new_id: Callable[[], str], base_url: str) -> Opened:
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
    opener = _Opener(limits, new_id, base_url, in_batch=type_ == "batch")
    asked: list[Asked | FhirError] = []
    for place, (part, resource) in enumerate(zip(parts, resources, strict=True)):
        try:
            asked.append(await opener.entry(part, resource, f"Bundle.entry[{place}]"))
        except FhirError as error:
            asked.append(error)
    return Opened(type_, asked)


@dataclass(frozen=True, slots=True)
class _Opener:
    """Opens entries; in a batch each stands for itself, has no name and no place among others."""

    limits: Limits
    new_id: Callable[[], str]
    base_url: str
    in_batch: bool

    async def entry(self, part: Entry, resource: dict[str, Any] | None, where: str) -> Asked:
        """Return what an entry asks for."""
        request = part.request
        if request is None:
            said = "the entry has no request; expected method and url"
            raise refuse(400, "required", said, f"{where}.request")
        asked = target(request.method, request.url, f"{where}.request", self.base_url)
        match request.method:
            case "GET":
                named = conditions(request.if_none_match, request.if_modified_since)
                return Query(asked.type, asked.id, asked.version, asked.history, asked.query or "", named)
            case "DELETE":
                return self._deletion(asked, request, where)
            case "PATCH":
                return self._patch(asked, request, part, _required(part, resource, where), where)
            case _:
                return await self._write(asked, request, part, _required(part, resource, where), where)

    def _deletion(self, asked: Target, request: EntryRequest, where: str) -> Write:
        return Write(
            asked.type,
            asked.id or "",
            creates=False,
            text=b"",
            resource={},
            deletes=True,
            search=asked.query,
            if_match=if_match(request.if_match, f"{where}.request.ifMatch"),
            where=None if self.in_batch else f"{where}.request",
        )

    def _patch(
        self, asked: Target, request: EntryRequest, part: Entry, binary: dict[str, Any], where: str
    ) -> Patch:
        return Patch(
            asked.type,
            asked.id,
            asked.query,
            of_binary(binary, f"{where}.resource"),
            if_match=if_match(request.if_match, f"{where}.request.ifMatch"),
            full_url=None if self.in_batch else part.full_url,
            where=None if self.in_batch else f"{where}.resource",
        )

    async def _write(
        self, asked: Target, request: EntryRequest, part: Entry, resource: dict[str, Any], where: str
    ) -> Write:
        text = part.resource or b""
        if len(text) > self.limits.report_bytes:
            said = f"the resource has {len(text)} bytes; at most {self.limits.report_bytes} are accepted"
            raise refuse(413, "too-long", said, f"{where}.resource")
        if asked.id is not None and resource.get("id") != asked.id:
            said = f"the id is {resource.get('id')!r}; expected {asked.id!r}, the id in the request's url"
            raise refuse(400, "invalid", said, f"{where}.resource.id")
        try:
            await checked(resource if self.in_batch else _plain(resource, text), len(text), kind=asked.type)
        except FhirError as error:
            issues = (issue.under(f"{where}.resource") for issue in error.issues)
            raise FhirError(error.status, *issues) from None
        return Write(
            asked.type,
            asked.id or self.new_id(),
            creates=request.method == "POST",
            text=text,
            resource=resource,
            kind=kind_of(resource) if asked.type == REPORT else None,
            if_match=replaced(request.if_match, request.if_none_match, f"{where}.request"),
            search=asked.query,
            if_none_exist=query_of(request.if_none_exist, asked.type, self.base_url),
            full_url=None if self.in_batch else part.full_url,
            where=None if self.in_batch else f"{where}.resource",
        )


def _required(part: Entry, resource: dict[str, Any] | None, where: str) -> dict[str, Any]:
    if part.resource is None or resource is None:
        method = "" if part.request is None else part.request.method
        raise refuse(400, "required", f"a {method} needs a resource", f"{where}.resource")
    return resource


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


def _overlaps(changes: Sequence[Change]) -> list[FhirError]:
    """A transaction may name each resource, and each fullUrl, once (R4 http, transaction rules)."""
    refused: list[FhirError] = []
    seen: set[str] = set()
    for change in changes:
        names = {name for name in (change.full_url, _named(change)) if name}
        refused += [
            refuse(400, "duplicate", f"{name} stands in two entries of one transaction", change.where)
            for name in sorted(names & seen)
        ]
        seen |= names
    return refused


def _named(change: Change) -> str | None:
    fresh = isinstance(change, Write) and change.creates
    return None if fresh or change.search is not None else f"{change.type}/{change.id}"
