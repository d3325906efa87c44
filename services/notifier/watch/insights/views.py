"""What do operators get to see? Values without report contents, header values or secrets.

Times are aware UTC. Field names are those of `vbpr status --json` and `vbpr deliveries --json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class DeliveryState(StrEnum):
    """What has become of one number of one subscription."""

    OWED = "owed"
    """Not tried yet, or behind one that is."""
    RETRYING = "retrying"
    """In the batch at the head of its lane, tried and due again."""
    PARKED = "parked"
    """Owed on a lane whose schedule of retries has run out."""
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    SKIPPED = "skipped"
    """Superseded before it was sent, for a subscription that wants the latest only."""


@dataclass(frozen=True, slots=True)
class SubscriptionView:
    """One subscription and its lane."""

    id: str
    kind: str
    """classic or topic."""
    status: str
    """`Subscription.status`, or `deleted`."""
    criteria: str
    """The search string, or the topic's canonical."""
    endpoint: str
    """The URL, or `websocket`."""
    client: str
    events: int
    """Numbers given so far: 1 to this."""
    owed: int
    delivered: int
    given_up: int
    skipped: int
    """Superseded before they were sent, as the subscription asked (`latest-only`)."""
    oldest_owed_since: datetime | None
    """When the report behind the lowest owed number was accepted."""
    lane: str | None
    """handshake, open, parked, held, unbound; `None` once deleted."""
    tries: int
    """Failed tries of the lane's head so far."""
    failing_since: datetime | None
    failure: str | None
    """Class of the last failure (see `services.notifier.model.Failure`)."""
    last_failure: str | None
    """The last failure in words; `None` when the last try delivered."""
    next_due: datetime | None
    """When the lane is tried next; `None` when it is not, or is being tried now."""
    sending: bool
    """Leased: a notifier is on it now."""
    channel: str = "rest-hook"
    """rest-hook or websocket."""
    binding_since: datetime | None = None
    """Of a websocket: since when a client is bound, or, when `lane` is unbound, since when none is."""


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums over all subscriptions that are not deleted."""

    subscriptions: int
    events: int
    """Numbers given."""
    owed: int
    delivered: int
    given_up: int
    skipped: int
    failing: int
    """Subscriptions whose last try failed."""
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Overview:
    """All there is at a glance."""

    as_of: datetime
    """The time by which due times are judged: PostgreSQL's own, else this machine's."""
    totals: Totals
    subscriptions: Sequence[SubscriptionView]


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One number of one subscription."""

    subscription: str
    number: int
    state: DeliveryState
    event_type: str
    """`ce_type`."""
    report: str
    """`MeasureReport/{id}`."""
    version: int
    contract: str
    accepted: datetime
    first_tried: datetime | None
    last_tried: datetime | None
    tries: int
    last_failure: str | None
    """The last failure in words, even when a later try delivered; for one given up or skipped, the reason."""
    next_due: datetime | None
    """When its lane is tried next; `None` when it is not, or the number is settled."""


@dataclass(frozen=True, slots=True)
class EventView:
    """One report version as it came out of the event log."""

    event_id: str
    event_type: str
    report: str
    version: int
    contract: str
    interaction: str
    accepted: datetime
    consumed: datetime
    partition: int
    position: int


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One try: of a batch, or of a handshake (numbers 0 to 0)."""

    at: datetime
    webhook_id: str
    first_number: int
    last_number: int
    milliseconds: int
    outcome: str
    """What it meant: delivered, retry, split, given_up, parked, off."""
    status: int | None
    """The HTTP status, if there was one."""
    failure: str | None
    said: str | None
    """The answer in words."""


@dataclass(frozen=True, slots=True)
class DeliveryStory:
    """Everything that happened to one number of one subscription."""

    delivery: DeliveryView
    event: EventView
    attempts: Sequence[AttemptView]
    """Oldest first."""


@dataclass(frozen=True, slots=True)
class ReportTrail:
    """One report version: how it came here, and where it went."""

    event: EventView
    deliveries: Sequence[DeliveryView]
    """One a subscription; empty when none asked for it."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record of the log that is no event we understand; its contents are kept, and not shown."""

    log: str
    partition: int
    position: int
    reason: str
    at: datetime
    size: int
    """Bytes of its value."""


@dataclass(frozen=True, slots=True)
class ConsumerPosition:
    """Where one partition of the log is read on."""

    log: str
    partition: int
    next_position: int
