"""What goes into the store and what comes out of it. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from schemas.outcome import Issue
from services.database import Connection
from services.event_log import Place
from services.event_log_outbox import Placed
from services.publisher.derive.model import ContractFacts, Derived, Kind, ParentFacts

REPORT = "MeasureReport"


@dataclass(frozen=True, slots=True)
class Write:
    """One resource to be created, updated or deleted, as it was sent; its structure and profile are checked."""

    type: str
    id: str
    """The id in the URL; for a create, or where a search tells it, a fresh one."""
    creates: bool
    """Tells a POST from all others."""
    text: bytes
    """The resource as sent; of a deletion nothing, of a patch what it makes of the version it was applied to."""
    resource: Mapping[str, Any]
    """The same, parsed."""
    deletes: bool = False
    kind: Kind | None = None
    """Of a MeasureReport."""
    if_match: int | None = None
    """The version that an update or deletion expects to replace; 0: it expects that none is there."""
    patches: int | None = None
    """The version that a patch was applied to; it is applied anew to any other."""
    search: str | None = None
    """The search that tells which resource is meant, of a conditional update or deletion."""
    goes_on: bool = False
    """It deletes more of what the search of the deletion before it finds."""
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
    DELETED = "deleted"
    ABSENT = "absent"
    """There was nothing to delete."""


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
    """Where the resource stands now; version 0 when there is none and never was."""
    effect: Effect
    issues: tuple[Issue, ...] = ()
    """What the sender should know though the write succeeded."""
    also: tuple[Stored, ...] = ()
    """What else was deleted, by a deletion whose search finds several."""

    @property
    def count(self) -> int:
        """How many resources it is about."""
        return 1 + len(self.also)


@dataclass(frozen=True, slots=True)
class Current:
    """Where a resource stands, without its body."""

    type: str
    id: str
    version: int
    deleted: bool
    owner: str
    content_hash: str
    last_updated: datetime


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract, and the Measure that says it."""

    measure_id: str
    facts: ContractFacts


@dataclass(frozen=True, slots=True)
class Filed:
    """What was derived for the current version of a report."""

    version: int
    derived: Derived
    """Its facets are empty when it was read: they are below."""
    facets: str
    """JSON."""
    facet_set: str
    last_updated: datetime

    def as_parent(self, report_id: str) -> ParentFacts:
        """Return what a quality report inherits from this performance report."""
        found = self.derived
        assert found.contract is not None
        assert found.payer is not None
        assert found.provider is not None
        assert found.identity is not None
        return ParentFacts(report_id, found.contract, found.payer, found.provider, found.identity)


@dataclass(frozen=True, slots=True)
class Listing:
    """One performance report has listed one quality report."""

    performance: str
    since: int
    """1, 2, … in order of first listing: 1 is the parent."""


class Placing(Protocol):
    """Gives events their places in the log as they are stored, where the log is in the same database."""

    async def places(self, transaction: Connection, count: int) -> Sequence[Place]:
        """Return the next places; not to be asked while others wait for the relay."""

    def committed(self, placed: Sequence[Placed]) -> None:
        """Hear, after the commit, what has come into the log."""
