"""What goes into the store and what comes out of it. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from schemas.outcome import Issue
from services.publisher.derive.model import Kind

REPORT = "MeasureReport"


@dataclass(frozen=True, slots=True)
class Write:
    """One resource to be created or updated, as it was sent; its structure and profile are checked."""

    type: str
    id: str
    """The id in the URL of an update; for a create a fresh one."""
    creates: bool
    """Tells a POST from a PUT."""
    text: bytes
    """The resource as sent."""
    resource: Mapping[str, Any]
    """The same, parsed."""
    kind: Kind | None = None
    """Of a MeasureReport."""
    if_match: int | None = None
    """The version that an update expects to replace."""
    if_none_exist: str | None = None
    """The search that must find nothing, for a create."""
    full_url: str | None = None
    """What other entries of the same Bundle may call it."""
    where: str | None = None
    """FHIRPath of its place in a Bundle; puts issues in their place."""


class Effect(StrEnum):
    """What a write did."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Stored:
    """One version as it is stored."""

    type: str
    id: str
    version: int
    last_updated: datetime
    body: bytes
    """Empty for a deleted version."""
    deleted: bool = False

    @property
    def reference(self) -> str:
        """`Type/id`."""
        return f"{self.type}/{self.id}"


@dataclass(frozen=True, slots=True)
class Written:
    """The answer to one write: durable by the time anyone sees it."""

    stored: Stored
    effect: Effect
    issues: tuple[Issue, ...] = ()
    """What the sender should know though the write succeeded."""
