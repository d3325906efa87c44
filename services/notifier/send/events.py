"""Which events are at hand? One goes to many subscriptions, so what was read last is likely to go out again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from schemas.event import ReportEvent
from services.notifier.model import Event

_BYTES: Final = 16 * 2**20
_AROUND: Final = 2**11
"""Bytes that an event takes without its report: its values, and what stands around them in Bundles."""
_LARGE: Final = 2**20
"""A larger report is not kept: it would drive out too many others."""


class Events:
    """The events used last, with the reports that were read: what they say never changes.

    By id, which is an event's own: its row in a database that was restored may be another's.
    """

    def __init__(self, at_most: int = _BYTES) -> None:
        """Start empty; `at_most` bytes are kept in all."""
        self._most = at_most
        self._kept: OrderedDict[str, Event] = OrderedDict()
        self._bytes = 0

    def get(self, event_id: str) -> Event | None:
        """Return an event if it is at hand."""
        found = self._kept.get(event_id)
        if found is not None:
            self._kept.move_to_end(event_id)
        return found

    def of(self, event: ReportEvent) -> Event:
        """Return what is sent of an event that has just been taken in, with its report."""
        found = self._kept.get(event.id)
        if found is None:
            found = Event(
                event.id, event.report_id, event.version, event.interaction, event.time, len(event.body)
            )
            self.keep(found)
        self.carry(found, event.body)
        return found

    def keep(self, event: Event) -> None:
        """Have an event at hand; others, unused for longer, go."""
        if event.id not in self._kept:
            self._kept[event.id] = event
            self._grow(_taken(event))

    def carry(self, event: Event, body: bytes) -> None:
        """Give an event its report, which is kept with it unless it is a large one."""
        if event.body is not None:
            return
        kept = self._kept.get(event.id) is event
        event.body = body
        if not kept:
            return
        if len(body) > _LARGE:
            del self._kept[event.id]
            self._bytes -= _AROUND
        else:
            self._grow(len(body))

    def _grow(self, by: int) -> None:
        self._bytes += by
        while self._bytes > self._most:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= _taken(gone)


def _taken(event: Event) -> int:
    return _AROUND + len(event.body or b"")
