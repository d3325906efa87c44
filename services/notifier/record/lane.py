"""The arithmetic of a lane: which batches come next, and what a verdict moves. Values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from services.notifier.model import LaneState
from services.notifier.record.verdict import (
    Delivered,
    Disconnected,
    GiveUp,
    Park,
    RetryLater,
    Split,
    SwitchOff,
    Verdict,
)

AHEAD = 16
"""Batches a lane may send before their record; a kill repeats no more than these, in order.

What is sent again counts among them (`send.resends`).
"""
LONG = 4 * AHEAD
"""Batches of a plan when no other lane waits: some are recorded while the next are sent."""
MOST_NUMBERS = 256
"""Most notifications of a plan, and of what is loaded for one lane at a time; but always the next batch."""


class Lane(NamedTuple):
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
    new_plan: bool = False
    """Its plan was made by this very claim: nothing of it was ever sent."""

    def planned(self, batch_size: int, batches: int) -> Lane:
        """Return the lane with a plan: the one it has until that is settled, else a new one of up to `batches`."""
        if self.plan_last >= self.next_number or self.state is LaneState.HANDSHAKE:
            return self
        most = batch_size * min(batches, max(1, MOST_NUMBERS // batch_size))
        last = min(self.last_number, self.next_number + most - 1)
        return self._replace(plan_first=self.next_number, plan_last=last, plan_size=batch_size, new_plan=True)

    def cut(self, sizes: Mapping[int, int], at_most: int) -> Lane:
        """Return the lane with a new plan in which no batch has more than `at_most` bytes; one number always may.

        `sizes` are the bytes of each number. Batches of a plan are of one size, so it is what fits into the first
        one; the plan ends before a batch of that size that would be larger. A plan that is not new stays.
        """
        if not self.new_plan or self.plan_size == 1:
            return self
        size = self._fitting(sizes, at_most)
        last = self.plan_last
        for start in range(self.plan_first + size, self.plan_last + 1, size):
            batch = range(start, min(start + size - 1, self.plan_last) + 1)
            if len(batch) > 1 and sum(sizes.get(number, 0) for number in batch) > at_most:
                last = start - 1
                break
        return self._replace(plan_size=size, plan_last=last)

    def _fitting(self, sizes: Mapping[int, int], at_most: int) -> int:
        total = 0
        for count in range(self.plan_size):
            total += sizes.get(self.plan_first + count, 0)
            if total > at_most and count:
                return count
        return self.plan_size

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

    def after(self, verdict: Verdict, first: int, last: int) -> Lane:  # noqa: PLR0911  # one line a verdict
        """Return the lane as the verdict on batch `first`…`last` leaves it."""
        match verdict:
            case Delivered() | GiveUp():
                return self._replace(state=LaneState.OPEN, next_number=last + 1, retry=0, refusals=0)
            case RetryLater(refused=True):
                return self._replace(refusals=self.refusals + 1)
            case RetryLater():
                return self._replace(retry=self.retry + 1)
            case Split():
                half = (last - first + 2) // 2
                return self._replace(refusals=0, plan_first=first, plan_last=last, plan_size=half)
            case Park():
                return self._replace(state=LaneState.PARKED, retry=self.retry + 1)
            case SwitchOff():
                return self._replace(state=LaneState.HELD)
            case Disconnected(refused=refused):
                return self._replace(state=LaneState.UNBOUND, refusals=self.refusals + refused)


def greeted_with(*, next_number: int, last_number: int, plan_last: int) -> int:
    """Return how many events a handshake counts: all so far, sent or not (R-110), and none before the first is sent.

    A new Subscription's handshake counts 0 (R-093), also when events came in while it was `requested`. A plan tells
    that an event was tried, whatever became of it: it outlives what was planned.
    """
    return last_number if next_number > 1 or plan_last > 0 else 0


def idle_until(now: datetime, resend_due_at: datetime | None, heartbeat: int | None) -> datetime | None:
    """Return when an open lane that owes nothing is due: for what is sent again, or to break a silence of `heartbeat` s.

    `None` when there is neither: then only an event wakes it.
    """
    times = [] if resend_due_at is None else [max(now, resend_due_at)]
    if heartbeat is not None:
        times.append(now + timedelta(seconds=heartbeat))
    return min(times, default=None)
