"""The leases this process holds: when each began, begun anew by the heartbeat, or lost."""

from __future__ import annotations

from services.clock import Clock
from services.notifier.send.claims import Claimed


class Leases:
    """What a sender asks before each POST."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        """Every lease lasts `seconds` from its beginning."""
        self._clock = clock
        self.seconds = seconds
        self._began: dict[tuple[str, str], float] = {}

    def hold(self, claimed: Claimed) -> None:
        """Note a lease from its beginning."""
        self._began[_key(claimed)] = claimed.leased_at

    def left(self, claimed: Claimed) -> float:
        """Return how many seconds are left of it; none when it was lost."""
        began = self._began.get(_key(claimed))
        return 0.0 if began is None else self.seconds - (self._clock.monotonic() - began)

    def renew(self, claimed: Claimed, at: float) -> None:
        """Note that a lease that is still held began anew at `at`, a time before that was asked for."""
        if _key(claimed) in self._began:
            self._began[_key(claimed)] = at

    def drop(self, claimed: Claimed) -> None:
        """Forget a lease: its turn has ended, or another notifier has it."""
        self._began.pop(_key(claimed), None)


def _key(claimed: Claimed) -> tuple[str, str]:
    return claimed.lane.claim, claimed.lane.subscription
