"""What changed between two versions of a report? Every element that says something else, metric by metric. Pure.

Not compared: `id`, `meta` and the narrative; the stage, which `meta` may tell, is the generations' to show.
A value of a FHIR type is compared and shown as a whole, but for its extensions, which are compared by themselves.
Numbers are compared as decimals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Context
from typing import Any, Final, Literal, TypeAlias

from schemas.number_tokens import Number
from services.publisher.accept.lineage.labels import Element, Place
from services.publisher.accept.lineage.pairing import pairs

What: TypeAlias = Literal["added", "removed", "changed"]

_LEFT_OUT: Final = frozenset({"resourceType", "id", "meta", "text"})
"""Of the report itself."""
_EXACT: Final = Context(prec=60)
_WIDEST: Final = 30
"""Digits before or after the point up to which a difference is worth telling."""
_PARTS: Final = frozenset({"group", "population", "stratifier", "stratum", "component"})
_EXTENSIONS: Final = frozenset({"extension", "modifierExtension"})
_TYPES: Final[Mapping[str, str]] = {
    "code": "CodeableConcept",
    "count": "Integer",
    "date": "DateTime",
    "evaluatedResource": "Reference",
    "identifier": "Identifier",
    "improvementNotation": "CodeableConcept",
    "measure": "Canonical",
    "measureScore": "Quantity",
    "period": "Period",
    "reporter": "Reference",
    "status": "Code",
    "subject": "Reference",
    "subjectResults": "Reference",
    "type": "Code",
    "value": "CodeableConcept",
}
"""Elements of a MeasureReport (R4) -> their types."""


@dataclass(frozen=True, slots=True)
class Change:
    """One element that says something else."""

    place: Place
    """In the later version; of what was removed, in the earlier one."""
    type: str
    """How its `value[x]` ends; of what has no type to be shown as, empty."""
    before: Any
    """`None`: it was not there."""
    after: Any
    """`None`: it is not there any more."""

    @property
    def what(self) -> What:
        """Tell what became of the element."""
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"

    @property
    def difference(self) -> Number | None:
        """Return what was added to a number; `None` unless both are numbers in the same unit or currency."""
        before, after = self.before, self.after
        if isinstance(before, dict) and isinstance(after, dict) and "value" in before and "value" in after:
            units = [{name: each for name, each in one.items() if name != "value"} for one in (before, after)]
            if units[0] != units[1]:
                return None
            before, after = before["value"], after["value"]
        if isinstance(before, Number) and isinstance(after, Number):
            return _difference(before, after)
        return None


def changes(before: Element, after: Element) -> list[Change]:
    """Return what changed from one version to another, in the order of the later one; both as `number_tokens.read`."""
    kept = [{name: each for name, each in one.items() if name not in _LEFT_OUT} for one in (before, after)]
    return list(_inside(kept[0], kept[1], Place("MeasureReport")))


def _inside(before: Element, after: Element, place: Place) -> Iterator[Change]:
    """Compare the elements of two objects; an object that is not there is an empty one."""
    for name in dict.fromkeys((*after, *before)):
        yield from _element(name, before.get(name), after.get(name), place)


def _element(name: str, before: Any, after: Any, place: Place) -> Iterator[Change]:
    if isinstance(before, list) or isinstance(after, list):
        yield from _list(name, before or [], after or [], place)
    else:
        yield from _value(name, before, after, place.at(f".{_in_fhirpath(name)}"))


def _list(name: str, before: list[Any], after: list[Any], place: Place) -> Iterator[Change]:
    for old, new in pairs(name, before, after):
        was = None if old is None else before[old]
        now = None if new is None else after[new]
        items, index = (after, new) if new is not None else (before, old)
        assert index is not None
        yield from _value(name, was, now, place.at(_step(name, items, index)))


def _step(name: str, items: list[Any], index: int) -> str:
    """Return the FHIRPath of an item: an extension is found by its URL, all else by its place."""
    if name != "extension":
        return f".{name}[{index}]"
    url = items[index]["url"]
    place = sum(each["url"] == url for each in items[:index])
    return f".extension('{url}')" + (f"[{place}]" if sum(each["url"] == url for each in items) > 1 else "")


def _value(name: str, before: Any, after: Any, place: Place) -> Iterator[Change]:
    was, now = ({} if each is None else each for each in (before, after))
    if name in _PARTS:
        yield from _inside(was, now, place.within(name, now or was))
    elif name in _EXTENSIONS:
        kept = [{key: each for key, each in one.items() if key != "url"} for one in (was, now)]
        yield from _inside(kept[0], kept[1], place)
    elif not isinstance(was, dict) or not isinstance(now, dict):
        yield from _leaf(name, before, after, place)
    else:
        old, new = ({key: each for key, each in one.items() if key not in _EXTENSIONS} for one in (was, now))
        yield from _leaf(name, old or None, new or None, place)
        yield from _list("extension", was.get("extension", []), now.get("extension", []), place)


def _leaf(name: str, before: Any, after: Any, place: Place) -> Iterator[Change]:
    if before != after:
        yield Change(place, _type(name), before, after)


def _difference(before: Number, after: Number) -> Number | None:
    """Return what was added, exactly; `None` where that has more digits than anyone reads."""
    found = _EXACT.subtract(after, before)
    if abs(found.adjusted()) > _WIDEST or len(found.as_tuple().digits) > _WIDEST:
        return None
    return Number(format(found, "f"))


def _type(name: str) -> str:
    return (
        name.removeprefix("value") if name.startswith("value") and name != "value" else _TYPES.get(name, "")
    )


def _in_fhirpath(name: str) -> str:
    return "value" if name.startswith("value") else name
