"""How is a page of results written? As a searchset Bundle. Source: FHIR R4 search.html 3.1.1.2 and bundle.html."""

from __future__ import annotations

from typing import Any

import orjson

from schemas.outcome import Issue, operation_outcome
from schemas.subset import only, summarised
from services.publisher.accept.search.asked import Asked
from services.publisher.accept.search.cursor import CURSOR, written
from services.publisher.store.inclusion import MOST, Included
from services.publisher.store.model import Stored
from services.publisher.store.search import Page


def searchset(asked: Asked, page: Page, included: Included, *, base_url: str, now: str) -> dict[str, Any]:
    """Return the Bundle; resources are their stored bytes, or the part of them that is asked for."""
    entries = [_entry(each, _shown(asked, each), "match", base_url) for each in page.found]
    entries += [_entry(each, each.body, "include", base_url) for each in included.found]
    issues = _issues(asked, included)
    if issues:
        entries.append({"resource": operation_outcome(issues), "search": {"mode": "outcome"}})
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "meta": {"lastUpdated": now},
        "type": "searchset",
        **({} if page.total is None else {"total": page.total}),
        "link": _links(asked, page, base_url),
    }
    # FHIR has no empty arrays.
    return bundle | {"entry": entries} if entries else bundle


def _entry(stored: Stored, text: bytes, mode: str, base_url: str) -> dict[str, Any]:
    return {
        "fullUrl": f"{base_url}/{stored.reference}",
        "resource": orjson.Fragment(text),
        "search": {"mode": mode},
    }


def _shown(asked: Asked, stored: Stored) -> bytes:
    """`_elements` goes before `_summary`, where both are asked."""
    if asked.shape.elements:
        return only(stored.body, stored.type, asked.shape.elements)
    if asked.shape.summary is not None:
        return summarised(stored.body, stored.type, asked.shape.summary)
    return stored.body


def _issues(asked: Asked, included: Included) -> list[Issue]:
    issues = [
        Issue("warning", "not-supported", f"{name} is not supported here and was ignored")
        for name in asked.ignored
    ]
    if not included.complete:
        said = f"more than {MOST} resources would come along with this page; ask for smaller ones with _count"
        issues.append(Issue("warning", "incomplete", said))
    return issues


def _links(asked: Asked, page: Page, base_url: str) -> list[dict[str, str]]:
    kind, query = asked.query.type, asked.understood
    path = f"{base_url}/{kind}"
    links = [{"relation": "self", "url": f"{path}?{query}" if query else path}]
    if page.next is not None:
        rest = f"{query}&" if query else ""
        links.append(
            {"relation": "next", "url": f"{path}?{rest}{CURSOR}={written(page.next, f'{kind}?{query}')}"}
        )
    return links
