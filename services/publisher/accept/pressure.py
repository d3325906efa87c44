"""When does intake have to say "later"? When the log has been away so long that the outbox is full."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.outcome import FhirError, Issue

RETRY_AFTER = "30"
"""Seconds; the backlog drains at thousands a second once the log is back."""


@dataclass(slots=True)
class Pressure:
    """How full the outbox is: counted now and then by a loop, and upwards with each report in between."""

    limit: int
    pending: int = 0

    @property
    def full(self) -> bool:
        """Tell whether nothing more is taken."""
        return self.pending >= self.limit

    def require_room(self) -> None:
        """Refuse a write while the outbox is full.

        Raises:
            FhirError: 503 with `Retry-After`.
        """
        if self.full:
            said = f"{self.pending} events wait for the event log, {self.limit} are allowed; send this again later"
            raise FhirError(503, Issue("error", "transient", said), headers={"Retry-After": RETRY_AFTER})
