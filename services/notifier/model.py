"""The values the notifier's steps hand each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, NamedTuple

from schemas.event import Interaction

SubscriptionKind = Literal["classic", "topic"]
ChannelType = Literal["rest-hook", "websocket"]
Manner = Literal["classic", "topic", "websocket"]
"""How a Subscription is told, which is what its status goes by: a websocket's is a topic Subscription too."""
Content = Literal["empty", "id-only", "full-resource"]


class Status(StrEnum):
    """`Subscription.status` (R4, required binding)."""

    REQUESTED = "requested"
    ACTIVE = "active"
    ERROR = "error"
    OFF = "off"


class LaneState(StrEnum):
    """What a lane does when it is due."""

    HANDSHAKE = "handshake"
    OPEN = "open"
    PARKED = "parked"
    """The schedule ran out: a classic head is still tried now and then, a topic's waits for its client."""
    HELD = "held"
    """Nothing is sent: in `error` after a failed handshake, or `off`."""
    UNBOUND = "unbound"
    """Of a websocket: no client is bound to it, so nothing makes it due; with the next one it is open again."""


def manner_of(kind: SubscriptionKind, channel: ChannelType) -> Manner:
    """Return how a Subscription of this kind is told on this channel."""
    return "websocket" if channel == "websocket" else kind


@dataclass(frozen=True, slots=True)
class Channel:
    """Where and how one subscription wants to be told."""

    subscription: str
    kind: SubscriptionKind
    status: Status
    endpoint: str
    mime: str | None
    content: Content | None
    topic: str | None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeout: int | None = None
    version: int = 1
    heartbeat: int | None = None
    """Seconds of silence before a notification that carries nothing; `None`: none is sent (R-120)."""
    latest_only: bool = False
    """What a later version supersedes by the time its turn comes is skipped."""
    type: ChannelType = "rest-hook"
    ends_at: datetime | None = None
    """Nothing is sent from then on; `None`: it goes on."""

    @property
    def manner(self) -> Manner:
        """How its Subscription is told."""
        return manner_of(self.kind, self.type)


class Around(NamedTuple):
    """The bytes of a Bundle around what is an event's own."""

    before_number: bytes
    after_number: bytes
    before_report: bytes
    """The whole entry where it carries no report, as that of a deletion."""
    after_report: bytes | None


@dataclass(slots=True, eq=False)
class Event:
    """What is sent of an event; every subscription that is told of it has the same one, and what was made of it."""

    id: str
    report_id: str
    version: int
    interaction: Interaction
    accepted_at: datetime
    size: int
    """Bytes of the report."""
    body: bytes | None = field(default=None, repr=False)
    """The report; `None` until somebody carries it."""
    around: dict[tuple[Content | None, str], Around] = field(default_factory=dict, repr=False)
    """What stands around it in Bundles, by payload level and base; `render.notification` writes it."""

    @property
    def report(self) -> bytes:
        """The report.

        Raises:
            LookupError: nobody has had it carried; nothing may go out in its place.
        """
        if self.body is None:
            raise LookupError(f"the report of event {self.id} was not read")
        return self.body


class Owed(NamedTuple):
    """One notification: an event under the number this subscription knows it by."""

    number: int
    event: Event


@dataclass(frozen=True, slots=True)
class Batch:
    """What one POST carries. Its numbers and its id are the same on every try."""

    subscription: str
    owed: Sequence[Owed]
    skipped: int = 0
    """Numbers right before its first that were skipped as superseded."""

    @property
    def first(self) -> int:
        """Lowest event number."""
        return self.owed[0].number

    @property
    def last(self) -> int:
        """Highest event number."""
        return self.owed[-1].number

    @property
    def webhook_id(self) -> str:
        """The receiver's idempotency key (Standard Webhooks)."""
        return f"{self.subscription}_{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Resend:
    """A settled notification that an operator wants sent again, alone and under its own number."""

    batch: Batch
    """The one notification; a batch that carried it with others keeps its id to itself."""
    tries: int
    """How often sending it again has failed."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, ready to send."""

    method: Literal["POST", "PUT"]
    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    deadline: float
    """Seconds for connect, headers and body together."""


class Failure(StrEnum):
    """Why a try did not deliver: what an operator filters by."""

    TIMEOUT = "timeout"
    CONNECT = "connect"
    DNS = "dns"
    TLS = "tls"
    RESET = "reset"
    REDIRECT = "redirect"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    BLOCKED = "blocked"
    PROTOCOL = "protocol"
    UNSENDABLE = "unsendable"
    """The request itself cannot be put on the wire: a header or URL that no client would send."""
    DISCONNECTED = "disconnected"
    """Of a websocket: its connection ended before the client had it. That says nothing against anybody."""
    REFUSED = "refused"
    """Of a websocket: its client ended the connection because of this message, by the close code it gave."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one try came to; a network error and a 500 are the same kind of value."""

    status: int | None
    failure: Failure | None
    said: str
    """In words, for an operator: bounded, never a body or a header of ours."""
    milliseconds: int
    retry_after: float | None = None
    """Seconds the endpoint asked for."""
    taken: bool = False
    """The client of a websocket has it; there is no status that would say so."""

    @property
    def delivered(self) -> bool:
        """Tell whether it was taken: by an endpoint with any 2xx (R-134), or by the client of a websocket."""
        return self.taken or (self.status is not None and 200 <= self.status < 300)
