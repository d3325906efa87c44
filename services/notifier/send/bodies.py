"""Which reports are at hand? One event goes to many subscriptions, so what was read last is likely to go out again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_BYTES: Final = 16 * 2**20
_LARGE: Final = 2**20
"""A larger report is not kept: it would drive out too many others."""


class Bodies:
    """The bytes of the events used last, by event id: they never change."""

    def __init__(self, at_most: int = _BYTES) -> None:
        """Start empty; `at_most` bytes are kept in all."""
        self._most = at_most
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, event_id: str) -> bytes | None:
        """Return an event's report if it is at hand."""
        found = self._kept.get(event_id)
        if found is not None:
            self._kept.move_to_end(event_id)
        return found

    def keep(self, event_id: str, body: bytes) -> None:
        """Have a report at hand; others, unused for longer, go."""
        if event_id in self._kept or len(body) > _LARGE:
            return
        self._kept[event_id] = body
        self._bytes += len(body)
        while self._bytes > self._most:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= len(gone)
