"""The status machine: what a write by a client makes of a Subscription and its lane. One table.

The rest of the machine is what a turn says (`services.notifier.send.worker`): a handshake taken or failed, a
lane parked, an endpoint gone. A topic Subscription is re-activated by its client alone (R-075), a classic one
also by its endpoint answering again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.notifier.model import LaneState, Status, SubscriptionKind


@dataclass(frozen=True, slots=True)
class Move:
    """What becomes of the status, the lane and the numbering."""

    status: Status
    lane: LaneState
    numbering: bool


OFF: Final = Move(Status.OFF, LaneState.HELD, numbering=False)

ASKED: Final[dict[tuple[SubscriptionKind, Status], Move]] = {
    # Events from `requested` on are numbered and follow activation.
    ("topic", Status.REQUESTED): Move(Status.REQUESTED, LaneState.HANDSHAKE, numbering=True),
    ("topic", Status.OFF): OFF,
    # Classic R4 knows no handshake: the server may answer `active` at once.
    ("classic", Status.REQUESTED): Move(Status.ACTIVE, LaneState.OPEN, numbering=True),
    ("classic", Status.OFF): OFF,
}
"""By kind and by what the client asks for."""


def stays(status: Status, asked: str, *, channel_changed: bool) -> bool:
    """Tell whether an update leaves status and lane alone: `active` sent back as it was read.

    A new endpoint has to prove itself, so a changed channel always starts over.
    """
    return status is Status.ACTIVE and asked == Status.ACTIVE and not channel_changed
