"""How hard one endpoint may be leant on: so many requests at a time, so many a second, and one while it fails.

Lanes that go to one endpoint (scheme, host and port) share its room, so a thousand subscriptions to an endpoint
that hangs hold no more workers than one would.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from services.clock import Clock

_FORGET_ABOVE = 10_000
"""Endpoints remembered as failing; more are forgotten, which costs each one probe too many."""


WEBSOCKET: Final = "websocket:"
"""What the endpoint of a websocket's lane begins with. The id of the connection follows, while a client is bound."""


ON_ONE_CONNECTION: Final = 4
"""Lanes that may send on one websocket at once: all that they send stands in line on it, under each one's deadline."""


def endpoint_of(url: str) -> str:
    """Return what lanes share: scheme, host and port of an endpoint's URL; of a websocket, which has none, no one's."""
    if not url:
        return WEBSOCKET
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


@dataclass(slots=True)
class _Pace:
    """When the next request may start, at a fixed rate."""

    next_at: float = 0.0


@dataclass(slots=True)
class Endpoints:
    """What this process knows of its endpoints."""

    clock: Clock
    at_a_time: int
    """Lanes that may send to one endpoint at once."""
    a_second: float
    """Requests a second to one endpoint; 0 is no limit."""
    _running: Counter[str] = field(default_factory=Counter)
    _failing: dict[str, None] = field(default_factory=dict)
    _paces: dict[str, _Pace] = field(default_factory=dict)

    def room(self, endpoint: str) -> int:
        """Return how many more lanes may start on it; an endpoint that fails is probed by one."""
        most = 1 if endpoint in self._failing else self.at_a_time
        if endpoint.startswith(WEBSOCKET):
            most = min(most, ON_ONE_CONNECTION)
        return most - self._running[endpoint]

    def full(self) -> list[str]:
        """Return the endpoints that have no room."""
        return [endpoint for endpoint in self._running if self.room(endpoint) <= 0]

    def started(self, endpoint: str) -> None:
        """Note that a lane has begun to send to it."""
        self._running[endpoint] += 1

    def ended(self, endpoint: str) -> None:
        """Note that the lane has ended."""
        self._running[endpoint] -= 1
        if self._running[endpoint] <= 0:
            del self._running[endpoint]

    def answered(self, endpoint: str, *, well: bool) -> None:
        """Note whether it answered as an endpoint that works does."""
        if well:
            self._failing.pop(endpoint, None)
            return
        self._failing[endpoint] = None
        if len(self._failing) > _FORGET_ABOVE:
            self._failing.pop(next(iter(self._failing)))

    def wait(self, endpoint: str) -> float:
        """Return how many seconds a request has to wait for its turn; zero takes the turn."""
        if not self.a_second:
            return 0.0
        now = self.clock.monotonic()
        pace = self._paces.setdefault(endpoint, _Pace())
        if pace.next_at > now:
            return pace.next_at - now
        pace.next_at = max(now, pace.next_at) + 1 / self.a_second
        if len(self._paces) > _FORGET_ABOVE:
            self._paces = {name: each for name, each in self._paces.items() if each.next_at > now}
        return 0.0
