"""What becomes of a deletion whose search finds several reports? Each of them is deleted, and one answer tells. Pure.

Source: FHIR R4 http.html, conditional delete, `conditionalDelete` "multiple". Only reports are deleted like that:
everything else has others that refer to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from schemas.outcome import FhirError, refuse
from services.publisher.store.model import Write, Written

MOST: Final = 100
"""Reports that the searches of one request delete together, where they find several; each is locked until the last."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a deletion's search finds."""

    ids: Sequence[str]
    """At most one more than may be deleted."""
    total: int
    """How many there are; one more than `counted`, where there are more."""
    counted: int


def each_of(write: Write, found: Found, before: int) -> list[Write]:
    """Return a deletion of each report that is found; `before` are those that the same request deletes by other searches.

    Raises:
        FhirError: 412 when there are more than may be, or the deletion is of one version.
    """
    if len(found.ids) <= 1:
        return [replace(write, id="".join(found.ids))]
    if before + found.total > MOST:
        raise _too_many(write, found, before)
    if write.if_match is not None:
        said = (
            f'If-Match is W/"{write.if_match}", a version of one report, and {write.type}?{write.search} finds '
            f"{found.total}; expected one, or no If-Match"
        )
        raise refuse(412, "conflict", said, write.where)
    first, *others = found.ids
    return [replace(write, id=first), *(replace(write, id=each, goes_on=True) for each in others)]


def as_one(writes: Iterable[Write], written: Iterable[Written]) -> list[Written]:
    """Return what became of each write that was sent: a deletion that goes on is told with the one before it."""
    out: list[Written] = []
    for write, each in zip(writes, written, strict=True):
        if write.goes_on:
            out[-1] = replace(out[-1], also=(*out[-1].also, each.stored))
        else:
            out.append(each)
    return out


def _too_many(write: Write, found: Found, before: int) -> FhirError:
    there = f"more than {found.counted}" if found.total > found.counted else str(found.total)
    beside = f", beside {before} that other entries find" if before else ""
    said = (
        f"{write.type}?{write.search} finds {there}{beside}; at most {MOST} are deleted at a time, so narrow the "
        "search, by _lastUpdated or period say, or name them by _id, and send the rest after that"
    )
    return refuse(412, "too-costly", said, write.where)
