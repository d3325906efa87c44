"""By what identifiers are Organizations, Groups and Measures known? One row an identifier. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas.facets import token
from services.publisher.store.index import key
from services.publisher.store.view import View


def rows(kind: str, logical_id: str, resource: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the identifiers of a resource as rows."""
    found = {
        (given.get("system", ""), key(given["value"]))
        for given in resource.get("identifier", ())
        if "value" in given
    }
    return [
        {"type": kind, "id": logical_id, "system": system, "value": value} for system, value in sorted(found)
    ]


def see(view: View, organisation: str, given: Iterable[Mapping[str, Any]]) -> None:
    """Know an organisation by the identifiers of these rows from here on, and by no others."""
    tokens = tuple(token(row["system"], row["value"]) for row in given)
    for each in view.identifiers.get(organisation, ()):
        view.put(view.identified, each, view.identified.get(each, frozenset()) - {organisation})
    for each in tokens:
        view.put(view.identified, each, view.identified.get(each, frozenset()) | {organisation})
    view.put(view.identifiers, organisation, tokens)


def as_kept(given: str) -> str:
    """Return an identifier's token as rows keep it."""
    system, _, value = given.partition("|")
    return token(system, key(value))


def values(tokens: Iterable[str]) -> Sequence[str]:
    """Return the values of tokens as rows keep them."""
    return sorted({key(each.partition("|")[2]) for each in tokens})
