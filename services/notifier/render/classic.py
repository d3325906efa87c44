"""Classic R4 rest-hook: the endpoint is told of one report version at a time.

Source: R4 Subscription `#channels`: with a payload the endpoint is the service base and gets an update;
without one it gets a POST with no body.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from services.notifier.model import Batch, Channel


def classic_target(channel: Channel, batch: Batch) -> tuple[Literal["POST", "PUT"], str, bytes]:
    """Return method, URL and body for the one event of a classic batch."""
    (owed,) = batch.owed
    if channel.mime is None:
        return "POST", channel.endpoint, b""
    return "PUT", _under(channel.endpoint, f"MeasureReport/{owed.event.report_id}"), owed.event.report


def _under(base: str, path: str) -> str:
    """Return the URL of a path under a service base; a query of the base, a key say, stays at the end."""
    url = urlsplit(base)
    return url._replace(path=f"{url.path.rstrip('/')}/{path}").geturl()
