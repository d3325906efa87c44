"""Which ids will the writes of one transaction have? And what do their references become.

FHIR R4 http, transaction processing: entries may call each other by `fullUrl`, whole or relative to their own, refer
by a search that must find exactly one (`Organization?identifier=…`), and a create may turn out to be there already.
References are rewritten in the text as it was sent, so nothing else of it changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from schemas.outcome import FhirError, Issue
from schemas.raw_json import rewrite_references
from services.database import Connection
from services.principal import Principal
from services.publisher.derive.model import Kind
from services.publisher.store import search, versions
from services.publisher.store.content import same_as
from services.publisher.store.model import REPORT, Write
from services.publisher.store.references import conditional, references
from services.publisher.store.several import MOST, each_of

_RESTFUL = re.compile(r"(?P<root>https?://.+/)(?P<relative>[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})")
_LEAVES_FIRST = {"Organization": 0, "Measure": 1, "Group": 2}


@dataclass(frozen=True, slots=True)
class Resolved:
    """A write with its references resolved."""

    write: Write
    found: str | None
    """Id of what the create's own search found to be there already."""


@dataclass(frozen=True, slots=True)
class _Names:
    """What entries are called, and what that comes to."""

    whole: dict[str, str] = field(default_factory=dict)
    """By `fullUrl`."""
    relative: dict[str, dict[str, str]] = field(default_factory=dict)
    """By the root of a `fullUrl` and the rest of it."""

    def call(self, write: Write, id_: str) -> None:
        """Know an entry by its names."""
        if write.full_url:
            self.whole[write.full_url] = f"{write.type}/{id_}"
            if (found := _RESTFUL.fullmatch(write.full_url)) is not None:
                self.relative.setdefault(found["root"], {})[found["relative"]] = f"{write.type}/{id_}"

    def beside(self, write: Write) -> dict[str, str]:
        """Return the names by which an entry may call others: R4 bundle.html reads relative ones by its own fullUrl."""
        found = _RESTFUL.fullmatch(write.full_url or "")
        return self.whole if found is None else self.whole | self.relative[found["root"]]


def asks(writes: Sequence[Write]) -> bool:
    """Tell whether what these writes say, or where they go, depends on a search or on each other's ids."""
    if any(write.if_none_exist is not None or write.search is not None for write in writes):
        return True
    names = [
        name.encode() for write in writes if write.full_url for name in (write.full_url, _elsewhere(write))
    ]
    return any(
        write.where is not None
        and (
            b"?" in write.text
            or b"urn:uuid:" in write.text
            or b"urn:oid:" in write.text
            or (names and (b"\\" in write.text or any(name in write.text for name in names)))
        )
        for write in writes
    )


async def resolve(
    tx: Connection, writes: Sequence[Write], principal: Principal, base_url: str
) -> list[Resolved]:
    """Return the writes, in their order, with their references and ids settled.

    A deletion whose search finds several reports becomes one of each, in its place.

    Raises:
        FhirError: 412 when a conditional reference or `ifNoneExist` does not find what it must; 422 for a
            temporary reference that no entry answers to. All findings at once.
    """
    writes, issues = await _all_meant(tx, writes, principal, base_url)
    names = _Names()
    for write in writes:
        names.call(write, write.id)
    resolved: dict[int, Resolved] = {}
    made: dict[tuple[str, str], str] = {}
    for place in sorted(range(len(writes)), key=lambda place: _depth(writes[place])):
        write = writes[place]
        if write.where is not None:
            found, unresolved = await _conditional(tx, write, base_url)
            issues += unresolved
            write = _rewritten(write, names.beside(write) | found)
            issues += [(422, issue) for issue in _temporary(write)]
        try:
            searched = await _searched(tx, write, base_url)
        except FhirError as error:
            issues += [(error.status, issue) for issue in error.issues]
            searched = None
        if write.creates:
            content = same_as(write.text, write.resource)
            there = searched or await _repeated(tx, write, content, principal.client)
            if there is None:
                there = made.setdefault((write.type, content), write.id)
            names.call(write, there)
        resolved[place] = Resolved(write, searched)
    issues += [(400, issue) for issue in _twice([each.write for each in resolved.values()])]
    issues += [(400, issue) for issue in _rivals(resolved[place] for place in sorted(resolved))]
    if issues:
        raise FhirError(min(status for status, _ in issues), *(issue for _, issue in issues))
    return [resolved[place] for place in range(len(writes))]


def _depth(write: Write) -> int:
    if write.type == REPORT:
        return 3 if write.kind is Kind.QUALITY else 4
    return _LEAVES_FIRST[write.type]


def _elsewhere(write: Write) -> str:
    """Return how entries beside this one may call it by its relative URL, if that is not what it will be called."""
    found = _RESTFUL.fullmatch(write.full_url or "")
    if found is None or (not write.creates and found["relative"] == f"{write.type}/{write.id}"):
        return write.full_url or ""
    return found["relative"]


def _rewritten(write: Write, names: Mapping[str, str]) -> Write:
    text = rewrite_references(write.text, names)
    return write if text == write.text else replace(write, text=text, resource=orjson.loads(text))


async def _searched(tx: Connection, write: Write, base_url: str) -> str | None:
    """Return the id of what a create's own search finds."""
    if not write.creates or write.if_none_exist is None:
        return None
    found = await search.matching(tx, write.type, write.if_none_exist, base_url)
    if len(found) > 1:
        said = f"If-None-Exist {write.if_none_exist!r} finds several {write.type}s, expected none or one"
        raise FhirError(412, Issue("error", "conflict", said, write.where))
    return found[0] if found else None


async def _all_meant(
    tx: Connection, writes: Sequence[Write], principal: Principal, base_url: str
) -> tuple[Sequence[Write], list[tuple[int, Issue]]]:
    """Settle which resources the writes mean; before their references, which may name them."""
    meant: list[Write] = []
    issues: list[tuple[int, Issue]] = []
    several = 0
    for write in writes:
        try:
            if write.deletes and write.type == REPORT and write.search is not None:
                found = await search.deletable(tx, write.search, base_url, principal, MOST)
                each = each_of(write, found, several)
            else:
                each = [await _meant(tx, write, base_url)]
        except FhirError as error:
            issues += [(error.status, issue) for issue in error.issues]
            each = [write]
        meant += each
        several += len(each) if len(each) > 1 else 0
    return meant, issues


async def _meant(tx: Connection, write: Write, base_url: str) -> Write:
    """Return a conditional update or deletion of what its search finds: a create, when that is nothing.

    Source: FHIR R4 http.html, conditional update and conditional delete.
    """
    if write.search is None:
        return write
    found = await search.matching(tx, write.type, write.search, base_url)
    if len(found) > 1:
        said = f"{write.type}?{write.search} finds several, expected none or one"
        raise FhirError(412, Issue("error", "conflict", said, write.where))
    if write.deletes:
        return replace(write, id=found[0] if found else "")
    sent = write.resource.get("id")
    if found and sent not in {None, found[0]}:
        said = f"the id is {sent!r}; expected none, or {found[0]!r}, which {write.type}?{write.search} finds"
        raise FhirError(400, Issue("error", "invalid", said, f"{write.where or write.type}.id"))
    if found:
        return replace(write, id=found[0])
    if sent is None:
        return replace(write, creates=True)
    if any(not each.deleted for each in await versions.current(tx, write.type, [sent])):
        said = f"{write.type}?{write.search} finds nothing, and {write.type}/{sent} is another one"
        raise FhirError(409, Issue("error", "conflict", said, f"{write.where or write.type}.id"))
    return replace(write, id=sent)


def _twice(writes: Sequence[Write]) -> Iterator[Issue]:
    """Yield an issue for each write to what another one writes to as well, told by a search."""
    seen: set[tuple[str, str]] = set()
    for write in sorted(writes, key=lambda each: each.search is not None):
        if write.creates or not write.id:
            continue
        if (write.type, write.id) in seen and write.search is not None:
            said = f"{write.type}?{write.search} finds {write.type}/{write.id}, which another entry names as well"
            yield Issue("error", "duplicate", said, write.where)
        seen.add((write.type, write.id))


def _rivals(resolved: Iterable[Resolved]) -> Iterator[Issue]:
    """Yield an issue for each write that would make what another one makes by the same search, and says otherwise.

    Which of them came to be would depend on their order, and in a transaction nothing may (R4 http.html).
    """
    makers: dict[tuple[str, str], str] = {}
    for each in resolved:
        write = each.write
        query = write.search if write.if_none_exist is None else write.if_none_exist
        if query is None or write.deletes or each.found is not None:
            continue
        said = write.id if write.if_none_exist is None else same_as(write.text, write.resource)
        if makers.setdefault((write.type, query), said) != said:
            words = (
                f"{write.type}?{query} finds nothing, and another entry is to create by it as well and says "
                "something else; expected one entry"
            )
            yield Issue("error", "duplicate", words, write.where)


async def _repeated(tx: Connection, write: Write, content: str, owner: str) -> str | None:
    """Return the id of what says the same as a create, which then takes its name."""
    if write.if_none_exist is not None:
        return None
    said = await versions.same_content(tx, [content])
    return next((each.id for each in said if (each.owner, each.type) == (owner, write.type)), None)


async def _conditional(
    tx: Connection, write: Write, base_url: str
) -> tuple[dict[str, str], list[tuple[int, Issue]]]:
    found: dict[str, str] = {}
    issues: list[tuple[int, Issue]] = []
    if b"?" not in write.text:
        return found, issues
    for path, reference in references(write.resource, write.where or write.type):
        asked = conditional(reference)
        if asked is None or reference in found:
            continue
        kind, query = asked
        matches = await search.matching(tx, kind, query, base_url)
        if len(matches) == 1:
            found[reference] = f"{kind}/{matches[0]}"
            continue
        how_many = "several resources" if matches else "nothing"
        said = f"the conditional reference {reference!r} finds {how_many}, expected one"
        issues.append((412, Issue("error", "not-found", said, path)))
    return found, issues


def _temporary(write: Write) -> Iterator[Issue]:
    if b"urn:uuid:" not in write.text and b"urn:oid:" not in write.text:
        return
    for path, reference in references(write.resource, write.where or write.type):
        if reference.startswith(("urn:uuid:", "urn:oid:")):
            said = f"{reference} is no entry's fullUrl in this Bundle"
            yield Issue("error", "not-found", said, path)
