"""What one subscription wants to hear of, and by which events it is told.

A classic Subscription judges the new version, on every write but never on a delete (R4 Subscription page,
scope). A topic Subscription follows its topic's triggers; when a report is withdrawn or deleted it judges what
was superseded too, so that whoever was told of a report is told that it is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final, Protocol

from schemas.event import EventType
from schemas.facets import Facets, token
from schemas.fhir import REPORT_STAGE_SYSTEM
from schemas.search.values import Query
from schemas.topics import Topic, Trigger


class EventView(Protocol):
    """What matching reads of an event. `schemas.event.ReportEvent` is one, a stored event another."""

    @property
    def type(self) -> EventType:
        """What happened to the report."""

    @property
    def time(self) -> datetime:
        """When the version was accepted; `ap` counts from here, so a replay matches the same."""

    @property
    def facets(self) -> Facets:
        """The facets of this version; of the last one when it is a deletion."""

    @property
    def previous_facets(self) -> Facets | None:
        """The facets of what this version supersedes."""


@dataclass(frozen=True, slots=True, eq=False)
class Audience:
    """Whom the same events tell: a topic has one audience, classic Subscriptions another."""

    triggers: tuple[Trigger, ...]
    also_previous: bool
    """Whether a withdrawal or deletion is judged on the superseded facets as well."""
    crosses: tuple[str, ...] = ()
    """The parameters of whose bounds one has to be crossed; none: to meet the query is enough."""


@dataclass(frozen=True, slots=True)
class Interest:
    """One subscription, as the index knows it."""

    subscription: str
    """Its id."""
    organisations: frozenset[str]
    """Whom it may hear for: only reports one of them is party to can match. `*` is party to all."""
    query: Query
    audience: Audience
    ends_at: datetime | None = None
    """What is accepted from then on it is not told of; `None`: it goes on."""

    @classmethod
    def classic(
        cls,
        subscription: str,
        organisations: frozenset[str],
        query: Query,
        *,
        ends_at: datetime | None = None,
    ) -> Interest:
        """Return the interest of a classic Subscription with these criteria."""
        return cls(subscription, organisations, query, CLASSIC, ends_at)

    @classmethod
    def in_topic(
        cls,
        subscription: str,
        organisations: frozenset[str],
        query: Query,
        topic: Topic,
        *,
        ends_at: datetime | None = None,
    ) -> Interest:
        """Return the interest of a topic Subscription; `query` holds its filters."""
        return cls(subscription, organisations, query, _audience(topic), ends_at)


CLASSIC: Final = Audience(
    tuple(Trigger(event) for event in EventType if event is not EventType.DELETED), also_previous=False
)
"""Every write; a delete is none."""

GONE: Final = frozenset({EventType.WITHDRAWN, EventType.DELETED})
"""The events that tell of a report that it is gone."""


@cache
def _audience(topic: Topic) -> Audience:
    return Audience(topic.triggers, not topic.crosses, topic.crosses)


def ended(ends_at: datetime | None, now: datetime) -> bool:
    """Tell whether a Subscription with this `end` has reached it: nothing is told at that moment or after."""
    return ends_at is not None and now >= ends_at


def triggered(triggers: tuple[Trigger, ...], event: EventView) -> bool:
    """Tell whether one of the triggers accepts the event, whatever the facets say otherwise."""
    return any(
        trigger.event is event.type and (trigger.previously is None or _was(event, trigger.previously))
        for trigger in triggers
    )


def _was(event: EventView, stage: str) -> bool:
    before = event.facets if event.previous_facets is None else event.previous_facets
    return token(REPORT_STAGE_SYSTEM, stage) in before.get("stage", ())
