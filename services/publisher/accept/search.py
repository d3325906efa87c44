"""What did a search ask, and how is its result written? Source: FHIR R4 search.html and http.html.

Pages are cut by `_lastUpdated` and id, oldest first unless `_sort=-_lastUpdated` is asked: whoever follows the
`next` links to the end has seen every report that was there when the search began.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from schemas.outcome import FhirError, Issue, operation_outcome, refuse
from schemas.search.grammar import RESULT_PARAMETERS, CriteriaError, Search, parse_search
from schemas.search.values import Query
from services.database import from_micros, micros
from services.publisher.accept.answers import embedded
from services.publisher.store.model import REPORT
from services.publisher.store.search import Cursor, Order, Page

DEFAULT_COUNT: Final = 50
MOST: Final = 1000
"""Resources on one page, whatever `_count` asks for."""

_CURSOR: Final = "_cursor"
"""Our own parameter, in `next` links only: opaque, valid as long as the search is."""

_SORTS: Final = {"_lastUpdated": False, "-_lastUpdated": True}
_SAYS_NOTHING: Final = frozenset({"_format", "_pretty", "_total"})
"""Accepted without effect: JSON is all there is, and `total` is always exact."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A search, understood."""

    type: str
    query: Query | None
    """Of a search on MeasureReport."""
    pairs: Sequence[tuple[str, str]]
    """Of any other."""
    order: Order
    understood: str
    """The query string without what was ignored: the `self` link."""
    ignored: Sequence[str]


def understand(kind: str, query: str, *, base_url: str, lenient: bool) -> Asked:
    """Return what a search asks; `query` is the part after `?`, as sent.

    Raises:
        FhirError: 400 naming everything in it that is not supported.
    """
    parts = [part for part in query.split("&") if part]
    cursors = [part.partition("=")[2] for part in parts if part.startswith(f"{_CURSOR}=")]
    parts = [part for part in parts if not part.startswith(f"{_CURSOR}=")]
    if kind == REPORT:
        search = _parsed("&".join(parts), base_url, lenient=lenient)
        parsed, pairs, result, ignored = search.query, [], list(search.result), list(search.ignored)
    else:
        everything = parse_qsl("&".join(parts), keep_blank_values=False)
        result = [pair for pair in everything if pair[0] in RESULT_PARAMETERS]
        pairs = [pair for pair in everything if pair[0] not in RESULT_PARAMETERS]
        parsed, ignored = None, []
        if lenient:
            ignored = [name for name, _ in pairs if not _known(kind, name)]
            pairs = [pair for pair in pairs if _known(kind, pair[0])]
    order, also_ignored = _order(result, cursors[-1] if cursors else None, lenient=lenient)
    ignored += also_ignored
    understood = "&".join(part for part in parts if part.partition("=")[0] not in ignored)
    return Asked(kind, parsed, pairs, order, understood, ignored)


def _parsed(query: str, base_url: str, *, lenient: bool) -> Search:
    try:
        return parse_search(query, base_url=base_url, lenient=lenient)
    except CriteriaError as error:
        # In a Subscription what is not supported is a business rule (422); in a search it is a bad request.
        raise FhirError(400, *error.issues) from None


def _known(kind: str, name: str) -> bool:
    return name in {"_id", "identifier"} or (name == "url" and kind == "Measure")


def _order(
    result: Sequence[tuple[str, str]], cursor: str | None, *, lenient: bool
) -> tuple[Order, list[str]]:
    count, newest_first = DEFAULT_COUNT, False
    issues: list[Issue] = []
    ignored: list[str] = []
    for name, value in result:
        if name == "_count" and value.isdigit():
            count = min(int(value), MOST)
        elif name == "_sort" and value in _SORTS:
            newest_first = _SORTS[value]
        elif name == "_summary" and value in {"count", "false"}:
            count = 0 if value == "count" else count
        elif name not in _SAYS_NOTHING:
            ignored.append(name)
            issues.append(
                Issue("error", "not-supported", f"{name}={value} is not supported here; {_EXPECTED}")
            )
    if issues and not lenient:
        raise FhirError(400, *issues)
    return Order(count, newest_first, None if cursor is None else _cursor(cursor)), ignored


_EXPECTED = "expected _count=n, _sort=_lastUpdated or _sort=-_lastUpdated, _summary=count"


def result(asked: Asked, page: Page, *, base_url: str, now: str) -> dict[str, Any]:
    """Return the searchset Bundle; its resources are the stored bytes."""
    path = f"{base_url}/{asked.type}"
    links = [{"relation": "self", "url": f"{path}?{asked.understood}" if asked.understood else path}]
    if page.next is not None:
        rest = f"{asked.understood}&" if asked.understood else ""
        links.append({"relation": "next", "url": f"{path}?{rest}{_CURSOR}={quote(_opaque(page.next))}"})
    entries: list[dict[str, Any]] = [
        {
            "fullUrl": f"{base_url}/{stored.reference}",
            "resource": embedded(stored),
            "search": {"mode": "match"},
        }
        for stored in page.found
    ]
    if asked.ignored:
        said = (f"{name} is not supported here and was ignored" for name in asked.ignored)
        outcome = operation_outcome([Issue("warning", "not-supported", each) for each in said])
        entries.append({"resource": outcome, "search": {"mode": "outcome"}})
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "meta": {"lastUpdated": now},
        "type": "searchset",
        "total": page.total,
        "link": links,
    }
    # FHIR has no empty arrays.
    return bundle | {"entry": entries} if entries else bundle


def _opaque(cursor: Cursor) -> str:
    return (
        base64.urlsafe_b64encode(f"{micros(cursor.last_updated)},{cursor.id}".encode()).decode().rstrip("=")
    )


def _cursor(text: str) -> Cursor:
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        moment, _, logical_id = plain.partition(",")
        return Cursor(from_micros(int(moment)), logical_id)
    except (ValueError, binascii.Error, OverflowError):
        raise refuse(
            400, "value", f"{_CURSOR} is none of ours; follow the next link as it was given"
        ) from None
