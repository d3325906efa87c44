"""A wake-up for a wait that is not ours: it ends what aiokafka is waiting for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from services.wakeup import Wakeup


class Interruption(Wakeup):
    """Setting it ends the block of `within` that runs at that moment, as if its time were over."""

    def __init__(self) -> None:
        """Start with nothing to end."""
        super().__init__()
        self._limit: asyncio.Timeout | None = None

    @contextlib.asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Bound a block: one at a time.

        Raises:
            TimeoutError: its seconds are over, or somebody set this.
        """
        async with asyncio.timeout(seconds) as limit:
            self._limit = limit
            try:
                yield
            finally:
                self._limit = None

    def set(self) -> None:
        """End the block that runs, if any."""
        super().set()
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())
