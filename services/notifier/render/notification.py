"""The bytes of a notification Bundle, of which most were written before: for this subscription, or for this event.

What a Bundle is, `backport` says. Here one is made with values that can be found again in its text, cut at these,
and kept: a frame for each subscription, and for each event what surrounds its number and its report. A Bundle
is then these pieces with the values between. The pieces are small, for a report itself is never among them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias

import orjson

from schemas.event import Interaction
from services.notifier.model import Batch, Channel, Content, Owed, Status
from services.notifier.render.backport import (
    event_parameter,
    history_bundle,
    instant,
    report_entry,
    status_entry,
    status_id,
    status_parameters,
)

_NUMBER: Final = 10**30
"""No event has this number, and none was accepted at this time."""
_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)
_BODY: Final = orjson.dumps(f"body {_NUMBER}")
_FRAMES, _EVENTS = 2_000, 2_000
"""Most that are kept of each: a kilobyte or less apiece."""

_Pieces: TypeAlias = tuple[bytes, ...]


def notification_bundle(channel: Channel, batch: Batch, *, base: str, now: datetime) -> bytes:
    """Return the Bundle for a batch of events, in number order; the first entry is the status."""
    content = channel.content
    start, to_id, to_id_again, to_total, to_events, to_entries, end = _frame(
        channel.subscription, content, channel.topic, base
    )
    name = status_id(batch.webhook_id, "event-notification").encode()
    parts = [start, instant(now).encode(), to_id, name, to_id_again, name, to_total, b"%d" % batch.last]
    for owed in batch.owed:
        if batch.skipped and owed.number == batch.first:
            first = event_parameter(owed, content, base, skipped=batch.skipped)
            parts += (to_events, orjson.dumps(first))
        else:
            before, after = _around_number(owed.report_id, owed.accepted_at, content, base)
            parts += (to_events, before, b"%d" % owed.number, after)
        to_events = b","
    parts.append(to_entries)
    if content == "full-resource":
        for owed in batch.owed:
            before, *after_report = _around_report(
                owed.report_id, owed.version, owed.interaction, owed.accepted_at, base
            )
            parts += (b",", before, owed.body, *after_report) if after_report else (b",", before)
    parts.append(end)
    return b"".join(parts)


@lru_cache(_FRAMES)
def _frame(subscription: str, content: Content | None, topic: str | None, base: str) -> _Pieces:
    """Return what stands around time, id (twice), total and events of every Bundle, and where entries follow."""
    channel = Channel(subscription, "topic", Status.ACTIVE, "", None, content, topic)
    event = _any_event()
    status = status_parameters(
        channel,
        kind="event-notification",
        status=Status.ACTIVE,
        events=_NUMBER + 1,
        owed=[event],
        name="",
        base=base,
    )
    name = status["id"].encode()
    events = orjson.dumps(event_parameter(event, content, base))
    text = orjson.dumps(history_bundle([status_entry(channel, status, base)], _TIME))
    before_end = b"]}"
    pieces = _cut(text, instant(_TIME).encode(), name, name, b"%d" % (_NUMBER + 1), events)
    return *pieces[:-1], pieces[-1].removesuffix(before_end), before_end


@lru_cache(_EVENTS)
def _around_number(report_id: str, accepted_at: datetime, content: Content | None, base: str) -> _Pieces:
    event = _any_event(report_id=report_id, accepted_at=accepted_at)
    return _cut(orjson.dumps(event_parameter(event, content, base)), b"%d" % _NUMBER)


@lru_cache(_EVENTS)
def _around_report(
    report_id: str, version: int, interaction: Interaction, accepted_at: datetime, base: str
) -> _Pieces:
    """Return what stands before and after a report in its entry; the whole entry when it carries none."""
    event = _any_event(report_id=report_id, version=version, interaction=interaction, accepted_at=accepted_at)
    text = orjson.dumps(report_entry(event, base))
    return (text,) if interaction == "delete" else _cut(text, _BODY)


def _any_event(**known: Any) -> Owed:
    unknown: dict[str, Any] = {"report_id": "", "version": 1, "interaction": "create", "accepted_at": _TIME}
    return Owed(number=_NUMBER, body=_BODY, **unknown | known)


def _cut(text: bytes, *marks: bytes) -> _Pieces:
    """Return what is left of a text without these marks, which stand in it in this order."""
    pieces = []
    for mark in marks:
        piece, found, text = text.partition(mark)
        assert found, "a Bundle has another order than it is cut by"
        pieces.append(piece)
    return (*pieces, text)
