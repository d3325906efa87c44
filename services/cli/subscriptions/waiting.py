"""What becomes of a Subscription that was asked for: active, or an error and why."""

from __future__ import annotations

from typing import Any

from services.cli.subscriptions.client import FhirClient
from services.clock import Clock

_GLANCE = 0.25


async def settled(client: FhirClient, logical_id: str, clock: Clock, *, patience: float) -> dict[str, Any]:
    """Return the Subscription once it is no longer `requested`, or as it is when patience ends."""
    until = clock.monotonic() + patience
    while True:
        found = await client.ask("GET", f"Subscription/{logical_id}")
        if found["status"] != "requested" or clock.monotonic() >= until:
            return found
        await clock.sleep(_GLANCE)
