"""What the receiver has heard so far, line by line as it prints it, for the screen and for waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.cli.listen.record import Entry, from_json


class Hearing:
    """Takes the receiver's lines; anyone may wait until enough has been heard."""

    def __init__(self, show: Callable[[Entry], None]) -> None:
        """Take what shows one notification to a person."""
        self._show = show
        self._changed = asyncio.Condition()
        self.entries: list[Entry] = []
        self._noticing: set[asyncio.Task[None]] = set()

    def hear(self, line: bytes) -> None:
        """Take one line."""
        entry = from_json(line)
        self.entries.append(entry)
        self._show(entry)
        task = asyncio.get_running_loop().create_task(self._notice(), name="notice")
        self._noticing.add(task)
        task.add_done_callback(self._noticing.discard)

    async def _notice(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def wait_for(self, enough: Callable[[], bool], at_most: float) -> bool:
        """Return once `enough()` holds, or `False` after `at_most` seconds."""
        try:
            async with asyncio.timeout(at_most), self._changed:
                await self._changed.wait_for(enough)
        except TimeoutError:
            return False
        return True


def handshaken(entries: list[Entry], subscription: str) -> bool:
    """Tell whether the subscription's handshake was accepted."""
    return any(
        entry.reading.type == "handshake" and entry.reading.subscription == subscription for entry in entries
    )


def told(entries: list[Entry], subscription: str) -> frozenset[str]:
    """Return the report versions that were accepted for a subscription."""
    return frozenset(
        report
        for entry in entries
        if entry.reading.subscription == subscription and entry.answered == 200
        for report in entry.reading.reports
    )
