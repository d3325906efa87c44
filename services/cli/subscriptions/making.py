"""Which Subscription do the options describe? The resource, as a client would write it by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.fhir import (
    BACKPORT_FILTER,
    BACKPORT_HEARTBEAT,
    BACKPORT_MAX_COUNT,
    BACKPORT_PAYLOAD_CONTENT,
    BACKPORT_TIMEOUT,
    FHIR_JSON,
    LATEST_ONLY,
    OURS,
)

DEFAULT_LEVEL = "full-resource"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for; either a topic or criteria."""

    endpoint: str
    topic: str | None = None
    criteria: str | None = None
    filters: Sequence[str] = ()
    payload: str | None = None
    """A payload level of a topic Subscription; `none` for a classic one without payload."""
    headers: Sequence[str] = ()
    max_count: int | None = None
    timeout: int | None = None
    heartbeat: int | None = None
    latest_only: bool | None = None
    end: str | None = None
    reason: str = "created with vbpr"


def canonical(topic: str) -> str:
    """Return the canonical of a topic that may be given by its short name."""
    return topic if ":" in topic else f"{OURS}SubscriptionTopic/{topic}"


def resource(wanted: Wanted) -> dict[str, Any]:
    """Return the Subscription."""
    made: dict[str, Any] = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": wanted.reason,
        "criteria": wanted.criteria if wanted.topic is None else canonical(wanted.topic),
        "channel": _channel(wanted),
    }
    if wanted.filters:
        made["_criteria"] = {
            "extension": [{"url": BACKPORT_FILTER, "valueString": each} for each in wanted.filters]
        }
    if wanted.end is not None:
        made["end"] = wanted.end
    return made


def _channel(wanted: Wanted) -> dict[str, Any]:
    channel: dict[str, Any] = {"type": "rest-hook", "endpoint": wanted.endpoint}
    extensions = [
        {"url": url, name: value}
        for url, name, value in (
            (BACKPORT_MAX_COUNT, "valuePositiveInt", wanted.max_count),
            (BACKPORT_TIMEOUT, "valueUnsignedInt", wanted.timeout),
            (BACKPORT_HEARTBEAT, "valueUnsignedInt", wanted.heartbeat),
            (LATEST_ONLY, "valueBoolean", wanted.latest_only),
        )
        if value is not None
    ]
    if extensions:
        channel["extension"] = extensions
    if wanted.topic is not None or wanted.payload != "none":
        channel["payload"] = FHIR_JSON
    if wanted.topic is not None:
        level = {"url": BACKPORT_PAYLOAD_CONTENT, "valueCode": wanted.payload or DEFAULT_LEVEL}
        channel["_payload"] = {"extension": [level]}
    if wanted.headers:
        channel["header"] = list(wanted.headers)
    return channel
