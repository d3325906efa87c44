"""The notification Bundle of Subscriptions R5 Backport 1.1 on R4, by payload level.

Source: backport-subscription-notification-r4 and backport-subscription-status-r4; requirement numbers
R-080…R-116 are explained in `docs/conformance.md`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha1
from typing import Any, Literal

import orjson

from schemas.fhir import BACKPORT_NOTIFICATION_PROFILE, BACKPORT_STATUS_PROFILE, SKIPPED_EVENTS
from services.notifier.model import Channel, Content, Event, Owed, Status

NotificationType = Literal["handshake", "heartbeat", "event-notification", "query-status", "query-event"]

_NAMESPACE = uuid.UUID("5b2f7f0e-2f35-5d0c-9a54-0f3c1b6f7c11")
_REQUESTS = {"create": ("POST", "201"), "update": ("PUT", "200"), "delete": ("DELETE", "204")}


def handshake_bundle(channel: Channel, *, events: int, base: str, now: datetime) -> bytes:
    """Return the handshake Bundle: no event, status `requested` (R-092, R-093).

    On a websocket nothing waits for a handshake: its Subscription was `active` before its client bound (R-160).
    """
    name = f"{channel.subscription}_handshake-{channel.version}"
    is_now = Status.ACTIVE if channel.type == "websocket" else Status.REQUESTED
    status = status_parameters(
        channel, kind="handshake", status=is_now, events=events, owed=(), name=name, base=base
    )
    return orjson.dumps(history_bundle([status_entry(channel, status, base)], now))


def heartbeat_bundle(channel: Channel, *, events: int, name: str, base: str, now: datetime) -> bytes:
    """Return the heartbeat Bundle: no event, status `active` (R-092…R-095)."""
    status = status_parameters(
        channel, kind="heartbeat", status=Status.ACTIVE, events=events, owed=(), name=name, base=base
    )
    return orjson.dumps(history_bundle([status_entry(channel, status, base)], now))


def status_parameters(
    channel: Channel,
    *,
    kind: NotificationType,
    status: Status,
    events: int,
    owed: Sequence[Owed],
    name: str,
    base: str,
) -> dict[str, Any]:
    """Return the status Parameters; `name` makes its id, so that a retry carries the same one."""
    parameter: list[dict[str, Any]] = [
        {
            "name": "subscription",
            "valueReference": {"reference": f"{base}/Subscription/{channel.subscription}"},
        }
    ]
    if channel.content != "empty" and channel.topic is not None:  # empty SHOULD NOT name the topic
        parameter.append({"name": "topic", "valueCanonical": channel.topic})
    parameter += [
        {"name": "status", "valueCode": status.value},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(events)},
    ]
    parameter += [event_parameter(item, channel.content, base) for item in owed]
    return {
        "resourceType": "Parameters",
        "id": status_id(name, kind),
        "meta": {"profile": [BACKPORT_STATUS_PROFILE]},
        "parameter": parameter,
    }


def event_parameter(owed: Owed, content: Content | None, base: str, *, skipped: int = 0) -> dict[str, Any]:
    """Return what the status says of one event (R-098…R-101), and how many right before it were skipped."""
    part: list[dict[str, Any]] = [
        {"name": "event-number", "valueString": str(owed.number)},
        {"name": "timestamp", "valueInstant": instant(owed.event.accepted_at)},
    ]
    if content != "empty":
        focus = f"{base}/MeasureReport/{owed.event.report_id}"
        part.append({"name": "focus", "valueReference": {"reference": focus}})
    if skipped:
        extension = [{"url": SKIPPED_EVENTS, "valueUnsignedInt": skipped}]
        return {"extension": extension, "name": "notification-event", "part": part}
    return {"name": "notification-event", "part": part}


def status_entry(channel: Channel, status: dict[str, Any], base: str) -> dict[str, Any]:
    """Return the first entry of a history: the status, as an answer to `$status` (R-084)."""
    return {
        "fullUrl": f"urn:uuid:{status['id']}",
        "resource": status,
        "request": {"method": "GET", "url": f"{base}/Subscription/{channel.subscription}/$status"},
        "response": {"status": "200"},
    }


def report_entry(event: Event, base: str) -> dict[str, Any]:
    """Return the entry that carries the report of an event, as the write that made it (R-085)."""
    method, status = _REQUESTS[event.interaction]
    entry: dict[str, Any] = {"fullUrl": f"{base}/MeasureReport/{event.report_id}"}
    if event.interaction != "delete":
        entry["resource"] = orjson.Fragment(event.report)
    entry["request"] = {
        "method": method,
        "url": "MeasureReport" if method == "POST" else f"MeasureReport/{event.report_id}",
    }
    entry["response"] = {
        "status": status,
        "etag": f'W/"{event.version}"',
        "lastModified": instant(event.accepted_at),
    }
    return entry


def history_bundle(entries: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
    """Return the Bundle every notification is (R-080)."""
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [BACKPORT_NOTIFICATION_PROFILE]},
        "type": "history",
        "timestamp": instant(now),
        "entry": entries,
    }


def status_id(name: str, kind: NotificationType) -> str:
    """Return the UUID (version 5, RFC 9562 §5.5) of the status of that name."""
    raw = bytearray(sha1(_NAMESPACE.bytes + f"{name}/{kind}".encode(), usedforsecurity=False).digest()[:16])
    raw[6] = (raw[6] & 0x0F) | 0x50
    raw[8] = (raw[8] & 0x3F) | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def instant(time: datetime) -> str:
    """Return an instant as FHIR writes it, in UTC."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
