"""Render: the bytes and headers of one notification. Reports are embedded as they were stored, never re-read.

classic   PUT of the report, or an empty POST (R4 Subscription, rest-hook)
backport  the R4 Backport notification Bundle, the handshake and the heartbeat
"""

from __future__ import annotations

from datetime import datetime

from services.notifier.model import Batch, Channel, Request
from services.notifier.render.backport import handshake_bundle, heartbeat_bundle
from services.notifier.render.classic import classic_target
from services.notifier.render.notification import notification_bundle

__all__ = ["render_batch", "render_handshake", "render_heartbeat"]

MOST_SECONDS = 60.0
"""Longest deadline a subscriber may ask for with `backport-timeout`."""


def render_batch(channel: Channel, batch: Batch, *, base: str, now: datetime, deadline: float) -> Request:
    """Return the request that tells `channel` of `batch`; `deadline` applies unless it asked for its own."""
    if channel.kind == "topic":
        body = notification_bundle(channel, batch, base=base, now=now)
        method, url = "POST", channel.endpoint
    else:
        method, url, body = classic_target(channel, batch)
    return Request(
        method="PUT" if method == "PUT" else "POST",
        url=url,
        headers=_headers(channel, batch.webhook_id, now, with_body=bool(body)),
        body=body,
        deadline=_deadline(channel, deadline),
    )


def render_handshake(channel: Channel, *, events: int, base: str, now: datetime, deadline: float) -> Request:
    """Return the handshake; `events` is the number of events so far, 0 for a new subscription (R-093, R-110)."""
    return Request(
        method="POST",
        url=channel.endpoint,
        headers=_headers(channel, f"{channel.subscription}_handshake-{channel.version}", now, with_body=True),
        body=handshake_bundle(channel, events=events, base=base, now=now),
        deadline=_deadline(channel, deadline),
    )


def render_heartbeat(channel: Channel, *, events: int, base: str, now: datetime, deadline: float) -> Request:
    """Return the heartbeat; `events` is the number of events so far (R-093)."""
    name = f"{channel.subscription}_heartbeat-{int(now.timestamp())}"
    return Request(
        method="POST",
        url=channel.endpoint,
        headers=_headers(channel, name, now, with_body=True),
        body=heartbeat_bundle(channel, events=events, name=name, base=base, now=now),
        deadline=_deadline(channel, deadline),
    )


def _headers(
    channel: Channel, webhook_id: str, now: datetime, *, with_body: bool
) -> tuple[tuple[str, str], ...]:
    ours = [("webhook-id", webhook_id), ("webhook-timestamp", str(int(now.timestamp())))]
    if with_body and channel.mime is not None:
        ours.append(("Content-Type", channel.mime))
    return (*channel.headers, *ours)


def _deadline(channel: Channel, default: float) -> float:
    return default if channel.timeout is None else min(float(channel.timeout), MOST_SECONDS)
