"""What one claim of a lane came to: the tries, and the lane as they leave it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from services.notifier.model import Answer, Channel, Status
from services.notifier.record.lane import Lane
from services.notifier.record.verdict import Delivered, GiveUp, RetryLater, Verdict


@dataclass(frozen=True, slots=True)
class Tried:
    """One try, as the attempt table keeps it."""

    webhook_id: str
    first: int
    last: int
    at: datetime
    answer: Answer
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Resent:
    """One number sent again."""

    tried: Tried
    verdict: Delivered | RetryLater | GiveUp

    @property
    def number(self) -> int:
        """The number it had from the beginning."""
        return self.tried.first


@dataclass(slots=True, eq=False)
class Turn:
    """What one claim of a lane came to."""

    lane: Lane
    channel: Channel
    tries: list[Tried] = field(default_factory=list)
    resent: list[Resent] = field(default_factory=list)
    """What was sent again after that; it says nothing about what is owed."""
    resend_missing: bool = False
    """The lane was to send again, but of what it was asked for nothing is kept any more."""
    wait: float | None = None
    """Seconds until the lane is due again; `None`: at once if it owes anything."""
    status: Status | None = None
    """The subscription's new status, if the turn changed it."""
    asleep: bool = False
    """Nothing makes the lane due but its client or an operator."""
    goes_on: asyncio.Future[bool] | None = None
    """Set when the lane is being sent for still, by a turn that follows: the claim stays. It is told, once this is
    recorded, whether to go on."""

    @property
    def first(self) -> int | None:
        """The lowest number that was tried; `None`: none was."""
        return self.tries[0].first if self.tries and self.tries[0].first else None

    @property
    def settled(self) -> bool:
        """Whether it left nothing to do: all that was owed when it was claimed is delivered, and nothing else."""
        uneventful = self.goes_on is None and self.status is None and self.wait is None and not self.resent
        return uneventful and not self.asleep and self.lane.next_number > self.lane.last_number

    def told(self, *, to_go_on: bool) -> None:
        """Tell whoever waits for the record of this turn, if anybody does still."""
        if self.goes_on is not None and not self.goes_on.done():
            self.goes_on.set_result(to_go_on)

    @property
    def last_answer(self) -> Answer | None:
        """The answer to the last try, if there was one."""
        return self.tries[-1].answer if self.tries else None
