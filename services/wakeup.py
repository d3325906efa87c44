"""A wake-up: makes a waiting loop look now. Losing one costs a poll, never an event."""

from __future__ import annotations

import asyncio
import contextlib


class Wakeup:
    """One loop waits, anyone may set; setting twice before the loop looks is one wake-up."""

    def __init__(self) -> None:
        """Start unset."""
        self._event = asyncio.Event()

    def set(self) -> None:
        """Make the waiting loop, or the next wait, return at once."""
        self._event.set()

    async def wait(self, at_most: float) -> None:
        """Return when set, or after `at_most` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most):
                await self._event.wait()
        self._event.clear()
