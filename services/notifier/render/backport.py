"""The notification Bundle of Subscriptions R5 Backport 1.1 on R4, by payload level.

Source: backport-subscription-notification-r4 and backport-subscription-status-r4; requirement numbers
R-080…R-116 are explained in `docs/conformance.md`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import orjson

from schemas.fhir import BACKPORT_NOTIFICATION_PROFILE, BACKPORT_STATUS_PROFILE
from services.notifier.model import Batch, Channel, Owed, Status

NotificationType = Literal["handshake", "heartbeat", "event-notification", "query-status", "query-event"]

_NAMESPACE = uuid.UUID("5b2f7f0e-2f35-5d0c-9a54-0f3c1b6f7c11")
_REQUESTS = {"create": ("POST", "201"), "update": ("PUT", "200"), "delete": ("DELETE", "204")}


def notification_bundle(channel: Channel, batch: Batch, *, base: str, now: datetime) -> bytes:
    """Return the Bundle for a batch of events, in number order; the first entry is the status."""
    status = status_parameters(
        channel,
        kind="event-notification",
        status=Status.ACTIVE,
        events=batch.last,
        owed=batch.owed,
        name=batch.webhook_id,
        base=base,
    )
    entries = [_status_entry(channel, status, base)]
    if channel.content == "full-resource":
        entries += [_report_entry(owed, base) for owed in batch.owed]
    return orjson.dumps(_bundle(entries, now))


def handshake_bundle(channel: Channel, *, events: int, base: str, now: datetime) -> bytes:
    """Return the handshake Bundle: no event, status `requested` (R-092, R-093)."""
    name = f"{channel.subscription}_handshake-{channel.version}"
    status = status_parameters(
        channel, kind="handshake", status=Status.REQUESTED, events=events, owed=(), name=name, base=base
    )
    return orjson.dumps(_bundle([_status_entry(channel, status, base)], now))


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
    parameter += [_event_parameter(item, channel, base) for item in owed]
    return {
        "resourceType": "Parameters",
        "id": str(uuid.uuid5(_NAMESPACE, f"{name}/{kind}")),
        "meta": {"profile": [BACKPORT_STATUS_PROFILE]},
        "parameter": parameter,
    }


def _event_parameter(owed: Owed, channel: Channel, base: str) -> dict[str, Any]:
    part: list[dict[str, Any]] = [
        {"name": "event-number", "valueString": str(owed.number)},
        {"name": "timestamp", "valueInstant": _instant(owed.accepted_at)},
    ]
    if channel.content != "empty":
        focus = f"{base}/MeasureReport/{owed.report_id}"
        part.append({"name": "focus", "valueReference": {"reference": focus}})
    return {"name": "notification-event", "part": part}


def _status_entry(channel: Channel, status: dict[str, Any], base: str) -> dict[str, Any]:
    return {
        "fullUrl": f"urn:uuid:{status['id']}",
        "resource": status,
        "request": {"method": "GET", "url": f"{base}/Subscription/{channel.subscription}/$status"},
        "response": {"status": "200"},
    }


def _report_entry(owed: Owed, base: str) -> dict[str, Any]:
    method, status = _REQUESTS[owed.interaction]
    entry: dict[str, Any] = {"fullUrl": f"{base}/MeasureReport/{owed.report_id}"}
    if owed.interaction != "delete":
        entry["resource"] = orjson.Fragment(owed.body)
    entry["request"] = {
        "method": method,
        "url": "MeasureReport" if method == "POST" else f"MeasureReport/{owed.report_id}",
    }
    entry["response"] = {
        "status": status,
        "etag": f'W/"{owed.version}"',
        "lastModified": _instant(owed.accepted_at),
    }
    return entry


def _bundle(entries: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [BACKPORT_NOTIFICATION_PROFILE]},
        "type": "history",
        "timestamp": _instant(now),
        "entry": entries,
    }


def _instant(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
