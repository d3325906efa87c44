"""The bytes of a notification Bundle, of which most were written before: for this subscription, or for this event.

What a Bundle is, `backport` says. Here one is made with values that can be found again in its text, cut at these,
and kept: a frame for each subscription, and for each event what surrounds its number and its report. A Bundle
is then these pieces with the values between. The pieces are small, for a report itself is never among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TypeAlias

import orjson

from schemas.event import Interaction
from services.notifier.model import Around, Batch, Channel, Content, Event, Owed, Status
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
_INSTANT: Final = instant(_TIME).encode()
_ID: Final = b"report-%d" % (_NUMBER + 2)
_VERSION: Final = b"%d" % (_NUMBER + 3)
_BODY: Final = orjson.dumps(f"body {_NUMBER}")
_FRAMES: Final = 2_000
"""Most that are kept: a kilobyte or less apiece."""

_Pieces: TypeAlias = tuple[bytes, ...]


def notification_bundle(channel: Channel, batch: Batch, *, base: str, now: datetime) -> bytes:
    """Return the Bundle for a batch of events, in number order; the first entry is the status."""
    content = channel.content
    start, to_id, to_id_again, to_total, to_events, to_entries, end = _frame(
        channel.subscription, content, channel.topic, base
    )
    name = status_id(batch.webhook_id, "event-notification").encode()
    parts = [start, instant(now).encode(), to_id, name, to_id_again, name, to_total, b"%d" % batch.last]
    all_around = [_around(owed.event, content, base) for owed in batch.owed]
    for owed, around in zip(batch.owed, all_around, strict=True):
        if batch.skipped and owed.number == batch.first:
            first = event_parameter(owed, content, base, skipped=batch.skipped)
            parts += (to_events, orjson.dumps(first))
        else:
            parts += (to_events, around.before_number, b"%d" % owed.number, around.after_number)
        to_events = b","
    parts.append(to_entries)
    if content == "full-resource":
        for owed, around in zip(batch.owed, all_around, strict=True):
            if around.after_report is None:
                parts += (b",", around.before_report)
            else:
                parts += (b",", around.before_report, owed.event.report, around.after_report)
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


def _around(event: Event, content: Content | None, base: str) -> Around:
    """Return what stands around an event, which keeps it."""
    found = event.around.get((content, base))
    if found is None:
        found = event.around[content, base] = _written_around(event, content, base)
    return found


def _written_around(event: Event, content: Content | None, base: str) -> Around:
    its_own = (
        (_VERSION, b"%d" % event.version),
        (_INSTANT, instant(event.accepted_at).encode()),
        (_ID, event.report_id.encode()),  # last: a payer chose it, and it may look like one of the marks
    )
    number, after_number, report, after_report = _around_any(event.interaction, content, base)
    return Around(
        number,
        _filled(after_number, its_own),
        _filled(report, its_own),
        None if after_report is None else _filled(after_report, its_own),
    )


def _filled(text: bytes, values: Iterable[tuple[bytes, bytes]]) -> bytes:
    for mark, value in values:
        text = text.replace(mark, value)
    return text


@lru_cache(_FRAMES)
def _around_any(interaction: Interaction, content: Content | None, base: str) -> Around:
    """Return what stands around an event whose id, version and time are marks."""
    event = replace(_any_event().event, interaction=interaction)
    number = _cut(orjson.dumps(event_parameter(Owed(_NUMBER, event), content, base)), b"%d" % _NUMBER)
    entry = orjson.dumps(report_entry(event, base))
    before, *after = (entry,) if interaction == "delete" else _cut(entry, _BODY)
    return Around(number[0], number[1], before, after[0] if after else None)


def _any_event() -> Owed:
    event = Event("", _ID.decode(), int(_VERSION), "create", _TIME, 0, _BODY)
    return Owed(_NUMBER, event)


def _cut(text: bytes, *marks: bytes) -> _Pieces:
    """Return what is left of a text without these marks, which stand in it in this order."""
    pieces = []
    for mark in marks:
        piece, found, text = text.partition(mark)
        assert found, "a Bundle has another order than it is cut by"
        pieces.append(piece)
    return (*pieces, text)
