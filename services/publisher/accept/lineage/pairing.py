"""Which item of one list is which of another? Told by what items say, not by where they stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from schemas.fhir import PAYMENT_STREAM, SERVICE_PERIOD
from services.publisher.accept.lineage.labels import said

Item: TypeAlias = Any
Key: TypeAlias = Callable[[Item], Hashable | None]
"""What tells an item; `None` when the item does not say it."""
Pair: TypeAlias = tuple[int | None, int | None]
"""Places before and after; `None` where there is no such item."""


def pairs(name: str, before: Sequence[Item], after: Sequence[Item]) -> Iterator[Pair]:
    """Yield each item with its counterpart, in the order of `after`; then those that are gone.

    Items are told apart by the keys of their element, the most particular first; of several that a key calls
    alike, the first is the first.
    """
    left, right = dict(enumerate(before)), dict(enumerate(after))
    matched: dict[int, int] = {}
    for key in _KEYS.get(name, (_position,)):
        known: dict[Hashable, list[int]] = defaultdict(list)
        for place, item in left.items():
            if (found := key(item)) is not None:
                known[found].append(place)
        for place, item in list(right.items()):
            if (found := key(item)) is not None and known.get(found):
                matched[place] = known[found].pop(0)
                del left[matched[place]], right[place]
    yield from ((matched.get(place), place) for place in range(len(after)))
    yield from ((place, None) for place in left)


def _position(_: Item) -> Hashable:
    """Tell no two apart, so that they pair as they stand."""
    return ""


def _codes(element: Item) -> Hashable | None:
    """Return what a `code` says: its codings, else its text."""
    found = element.get("code")
    concepts = found if isinstance(found, list) else [found]
    return said(*(each for each in concepts if each)) or None


def _unnamed(element: Item) -> Hashable | None:
    return "" if _codes(element) is None else None


def _group_by_id(group: Item) -> Hashable | None:
    id_ = group.get("id")
    return None if id_ is None else (id_, _codes(group))


def _group_by_streams(group: Item) -> Hashable | None:
    """A contract pays for one metric by several streams, or over several service periods."""
    codes = _codes(group)
    extensions = [
        each for each in group.get("extension", ()) if each["url"] in {PAYMENT_STREAM, SERVICE_PERIOD}
    ]
    return None if codes is None else (codes, tuple(sorted(map(_content, extensions))))


def _stratum(stratum: Item) -> Hashable | None:
    value = said(stratum["value"]) if stratum.get("value") else ""
    components = [
        (_codes(each), said(each["value"]) if each.get("value") else "")
        for each in stratum.get("component", ())
    ]
    return (value, tuple(sorted(components, key=str))) if value or components else None


def _url(extension: Item) -> Hashable:
    return str(extension.get("url"))


def _url_and_codes(extension: Item) -> Hashable | None:
    found = _codes_within(extension)
    return (extension.get("url"), found) if found else None


def _codes_within(extension: Item) -> tuple[str, ...]:
    inner = [part for each in extension.get("extension", ()) for part in _codes_within(each)]
    concept = extension.get("valueCodeableConcept")
    return (*([said(concept)] if concept else []), *inner)


def _content(extension: Item) -> str:
    return str(sorted(extension.items(), key=str))


def _target(reference: Item) -> Hashable | None:
    identifier = reference.get("identifier", {})
    return reference.get("reference") or (identifier.get("system"), identifier.get("value"))


def _business(identifier: Item) -> Hashable:
    return identifier.get("system"), identifier.get("value")


_EXTENSION: Final = (_url_and_codes, _url)
_KEYS: Final[Mapping[str, Sequence[Key]]] = {
    "group": (_group_by_id, _group_by_streams, _codes, _unnamed),
    "population": (_codes, _unnamed),
    "stratifier": (_codes, _unnamed),
    "stratum": (_stratum, _position),
    "component": (_codes, _unnamed),
    "extension": _EXTENSION,
    "modifierExtension": _EXTENSION,
    "evaluatedResource": (_target,),
    "identifier": (_business,),
}
