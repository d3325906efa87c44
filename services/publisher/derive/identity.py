"""Which report is this a version of? Reports of one identity supersede each other, whatever their ids.

An identity is one text, a JSON array: two identities are the same text exactly when all their parts are the
same. Periods are compared as stretches of time, so `2025-12` and `2025-12-31` end a report alike.
"""

from __future__ import annotations

import orjson

from schemas.dates import period_bounds
from services.publisher.derive.elements import Element
from services.publisher.derive.references import without_version


def performance_identity(contract: str, provider: str, period: Element) -> str:
    """Return the identity of a performance report: contract, provider, and the bounds of its period."""
    return _text([contract, provider, *_bounds(period)])


def quality_identity(parent: str, measure: str, report_id: str) -> str:
    """Return the identity of a quality report: its parent's identity, its measure, its own id.

    The id has to be part of it: the guide's reports 22 to 25 share parent and measure. The measure's
    `|version` is not, so that a report computed anew under the next version supersedes the former one.
    """
    return _text([orjson.Fragment(parent), without_version(measure), report_id])


def parent_identity(quality: str) -> str:
    """Return the identity of the parent that a quality report's identity names."""
    parent: list[object] = orjson.loads(quality)[0]
    return _text(parent)


def _bounds(period: Element) -> tuple[str | None, str | None]:
    return period_bounds(period.get("start"), period.get("end"))


def _text(parts: list[object]) -> str:
    return orjson.dumps(parts).decode()
