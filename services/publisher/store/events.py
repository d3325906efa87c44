"""Which event does a report version make, and what does it supersede? Pure; the row goes into the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.event import Interaction, Stage, event_type
from services.publisher.derive.elements import Element
from services.publisher.derive.model import Derived


@dataclass(frozen=True, slots=True)
class Generation:
    """The report that stands for an identity, with its current version's stage and facets."""

    report_id: str
    stage: Stage
    facets: str
    """JSON."""


@dataclass(frozen=True, slots=True)
class Former:
    """What was derived for the version that this one replaces."""

    identity: str | None
    stage: Stage
    facets: str


@dataclass(frozen=True, slots=True)
class Change:
    """A version of a report that is about to become an event."""

    report_id: str
    version: int
    interaction: Interaction
    report: Element
    derived: Derived
    facets: str
    """JSON, of `derived`."""
    former: Former | None
    event_id: str
    now: datetime
    traceparent: str | None

    @property
    def deletes(self) -> bool:
        """Tell whether the report is deleted."""
        return self.interaction == "delete"

    @property
    def body_version(self) -> int:
        """The version whose bytes the event carries: its own, or of a deletion the last there was."""
        return self.version - 1 if self.deletes else self.version


@dataclass(frozen=True, slots=True)
class Succession:
    """What a version supersedes, and whether it stands for its identity from now on."""

    previous: tuple[Stage, str] | None
    """Stage and facets."""
    takes_over: bool
    leaves: bool = False
    """Nothing stands for the identity any more."""


def succession(
    report_id: str, identity: str, current: Generation | None, former: Former | None
) -> Succession:
    """Decide what a version of a report supersedes.

    The identity's current generation, whatever its id. A write to an id that another one has superseded
    supersedes that id's own former version and changes nothing else (design words: event).
    """
    own = None if former is None else (former.stage, former.facets)
    if current is None:
        return Succession(own, takes_over=True)
    superseded = current.report_id != report_id and former is not None and former.identity == identity
    return Succession(own if superseded else (current.stage, current.facets), takes_over=not superseded)


def follows(change: Change, current: Generation | None) -> Succession:
    """Decide what a change supersedes, given the current generation of its identity.

    A deletion supersedes the version it takes away. If that stood for its identity nothing does from now on: what it
    had superseded itself does not come back unasked, and the next report of the identity begins anew.
    """
    identity, former = change.derived.identity, change.former
    assert identity is not None
    if not change.deletes:
        return succession(change.report_id, identity, current, former)
    assert former is not None
    stood = current is not None and current.report_id == change.report_id
    return Succession((former.stage, former.facets), takes_over=False, leaves=stood)


def identities(change: Change) -> set[str]:
    """Return the identities whose generations decide about a change, and may change with it."""
    former = None if change.former is None else change.former.identity
    return {each for each in (change.derived.identity, former) if each is not None}


def event_row(change: Change, follows: Succession) -> dict[str, Any]:
    """Return the outbox row of a version; the caller holds its contract's lock when it is inserted."""
    previous = follows.previous
    return {
        "event_id": change.event_id,
        "event_type": str(event_type(change.derived.stage, previous and previous[0], deleted=change.deletes)),
        "contract": change.derived.contract,
        "report_id": change.report_id,
        "version": change.version,
        "body_version": change.body_version,
        "interaction": change.interaction,
        "accepted_at": change.now,
        "facets": change.facets,
        "previous_facets": None if previous is None else previous[1],
        "traceparent": change.traceparent,
        "place_partition": None,
        "place_position": None,
    }
