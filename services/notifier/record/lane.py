"""The arithmetic of a lane: which batches come next, and what a verdict moves. Values in, values out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.notifier.model import LaneState
from services.notifier.record.verdict import Delivered, GiveUp, Park, RetryLater, Split, SwitchOff, Verdict

AHEAD = 16
"""Batches a lane may send before their record; a kill repeats no more than these, in order."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A claimed lane: its cursor and its plan (see `tables.lane`)."""

    subscription: str
    endpoint: str
    claim: str
    state: LaneState
    next_number: int
    last_number: int
    plan_first: int
    plan_last: int
    plan_size: int
    retry: int
    refusals: int
    resend_retry: int | None = None
    """Failed resends in a row; `None`: there is nothing that may be sent again now."""

    def batches(self) -> list[tuple[int, int]]:
        """Return the planned batches not settled yet, `(first, last)` each, in order."""
        out = []
        first = self.plan_first
        while first <= self.plan_last:
            last = min(first + self.plan_size - 1, self.plan_last)
            if last >= self.next_number:
                out.append((max(first, self.next_number), last))
            first = last + 1
        return out

    def after(self, verdict: Verdict, first: int, last: int) -> Lane:
        """Return the lane as the verdict on batch `first`…`last` leaves it."""
        match verdict:
            case Delivered() | GiveUp():
                return replace(self, state=LaneState.OPEN, next_number=last + 1, retry=0, refusals=0)
            case RetryLater(refused=True):
                return replace(self, refusals=self.refusals + 1)
            case RetryLater():
                return replace(self, retry=self.retry + 1)
            case Split():
                half = (last - first + 2) // 2
                return replace(self, refusals=0, plan_first=first, plan_last=last, plan_size=half)
            case Park():
                return replace(self, state=LaneState.PARKED, retry=self.retry + 1)
            case SwitchOff():
                return replace(self, state=LaneState.HELD)
