"""The status machine of a Subscription: from what to what, and by whom or what. One table; nothing else moves it.

A topic Subscription is re-activated by its client (R-075), or when an operator has its parked head tried and that is
taken: numbers and order go on, so nothing is missed. A classic one returns by itself as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from services.notifier.model import LaneState, Manner, Status


class Cause(StrEnum):
    """Who or what moves a Subscription, in the words of its documentation."""

    REQUESTED = "its client asks for `requested` or `active`"
    SWITCHED_OFF = "its client asks for `off`"
    DELETED = "its client deletes it"
    GREETED = "the handshake is taken"
    NOT_GREETED = "no try of the handshake is taken"
    EXHAUSTED = "the schedule of retries has run out"
    WELL_AGAIN = "what it was parked at is taken, or skipped by an operator"
    GONE = "the endpoint answers 410"
    ENDED = "its `end` comes"
    TOO_LONG = "it was `error` for `VBPR_ERROR_DAYS`"
    ABANDONED = "no client was bound to it for `VBPR_UNBOUND_DAYS`"


@dataclass(frozen=True, slots=True)
class Move:
    """What becomes of the status, the lane and the numbering."""

    status: Status
    lane: LaneState
    numbering: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `None` among `before`: it is being created."""

    manners: tuple[Manner, ...]
    before: tuple[Status | None, ...]
    cause: Cause
    to: Move


OFF: Final = Move(Status.OFF, LaneState.HELD, numbering=False)
_ERROR: Final = Move(Status.ERROR, LaneState.PARKED, numbering=True)
_ACTIVE: Final = Move(Status.ACTIVE, LaneState.OPEN, numbering=True)
_TOPIC: Final[tuple[Manner, ...]] = ("topic",)
_CLASSIC: Final[tuple[Manner, ...]] = ("classic",)
_WEBSOCKET: Final[tuple[Manner, ...]] = ("websocket",)
REST_HOOK: Final[tuple[Manner, ...]] = ("topic", "classic")
EVERY: Final[tuple[Manner, ...]] = ("topic", "classic", "websocket")
_ANY: Final = (Status.REQUESTED, Status.ACTIVE, Status.ERROR, Status.OFF)

TABLE: Final = (
    # Events from `requested` on are numbered and follow activation.
    Row(_TOPIC, (None, *_ANY), Cause.REQUESTED, Move(Status.REQUESTED, LaneState.HANDSHAKE, numbering=True)),
    # Classic R4 knows no handshake: the server may answer `active` at once.
    Row(_CLASSIC, (None, *_ANY), Cause.REQUESTED, _ACTIVE),
    # A websocket has its handshake whenever a client binds. A lane with a client stays open.
    Row(_WEBSOCKET, (None, *_ANY), Cause.REQUESTED, Move(Status.ACTIVE, LaneState.UNBOUND, numbering=True)),
    Row(EVERY, (None, *_ANY), Cause.SWITCHED_OFF, OFF),
    Row(EVERY, _ANY, Cause.DELETED, OFF),
    Row(_TOPIC, (Status.REQUESTED,), Cause.GREETED, _ACTIVE),
    Row(_TOPIC, (Status.REQUESTED,), Cause.NOT_GREETED, Move(Status.ERROR, LaneState.HELD, numbering=True)),
    # From `error` too: a parked head that is tried and fails stays where it is.
    Row(REST_HOOK, (Status.ACTIVE, Status.ERROR), Cause.EXHAUSTED, _ERROR),
    Row(REST_HOOK, (Status.ERROR,), Cause.WELL_AGAIN, _ACTIVE),
    Row(REST_HOOK, (Status.ACTIVE, Status.ERROR), Cause.GONE, OFF),
    Row(EVERY, (Status.REQUESTED, Status.ACTIVE, Status.ERROR), Cause.ENDED, OFF),
    Row(REST_HOOK, (Status.ERROR,), Cause.TOO_LONG, OFF),
    Row(_WEBSOCKET, (Status.ACTIVE,), Cause.ABANDONED, OFF),
)
"""All there is. What is not here does not happen."""

_MOVES: Final[Mapping[tuple[Manner, Status | None, Cause], Move]] = MappingProxyType(
    {(manner, before, row.cause): row.to for row in TABLE for manner in row.manners for before in row.before}
)


def move(manner: Manner, before: Status | None, cause: Cause) -> Move:
    """Return what becomes of a Subscription; `before` is its status, `None` when it is being created.

    Raises:
        KeyError: the table has no such move.
    """
    return _MOVES[manner, before, cause]


def asked(status: Status) -> Cause:
    """Return what a client moves by asking for a status."""
    return Cause.SWITCHED_OFF if status is Status.OFF else Cause.REQUESTED


def stays(status: Status, sent: str, *, channel_changed: bool) -> bool:
    """Tell whether an update leaves status and lane alone: `active` sent back as it was read.

    A new endpoint has to prove itself, so a changed channel always starts over.
    """
    return status is Status.ACTIVE and sent == Status.ACTIVE and not channel_changed
