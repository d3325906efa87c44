"""Which version of a report identity follows which? Pure.

Whatever its id, a version follows what stood for the identity when it came; a version of an id that another one has
superseded follows that id's own former version (as the events say it: `store.events.succession`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.event import Stage


@dataclass(frozen=True, slots=True)
class Version:
    """One stored version of a report of the identity."""

    id: str
    number: int
    stored: datetime
    stage: Stage | None
    """`None` for a deletion."""
    report: dict[str, Any] | None
    """As `number_tokens.read`; `None` for a deletion."""

    @property
    def reference(self) -> str:
        """Where it is."""
        return f"MeasureReport/{self.id}/_history/{self.number}"


@dataclass(frozen=True, slots=True)
class Generation:
    """A version, and the one it is compared with."""

    version: Version
    follows: Version | None


def generations(versions: Sequence[Version], predecessor: Version | None = None) -> list[Generation]:
    """Return the versions, which are in the order they were stored, each with the one it follows.

    The first follows the predecessor. What comes after the identity's report was deleted follows nothing.
    """
    out: list[Generation] = []
    stands: Version | None = predecessor
    latest: dict[str, Version] = {}
    for version in versions:
        former = latest.get(version.id)
        superseded = former is not None and stands is not None and stands.id != version.id
        out.append(Generation(version, former if superseded else stands))
        if version.report is None:
            latest.pop(version.id, None)
            stands = stands if superseded else None
        else:
            latest[version.id] = version
            stands = stands if superseded else version
    return out
