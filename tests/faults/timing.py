"""How long was it from a payer's acknowledgement until a receiver had first been told?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from tests.faults.scene import Scene


def latencies(here: Scene, subscription: str) -> list[float]:
    """Return the seconds for each report version that a subscription was told of, shortest first.

    What was told before its payer had heard of the acknowledgement took no time.
    """
    acknowledged: dict[str, dt.datetime] = {}
    for each in here.payer.accepted:
        name = f"MeasureReport/{each['id']}/_history/{each['version']}"
        acknowledged.setdefault(name, dt.datetime.fromisoformat(each["at"]))
    told: dict[str, float] = {}
    for entry in here.endpoint.entries:
        if entry.reading.subscription != subscription or entry.answered != 200:
            continue
        at = dt.datetime.fromisoformat(entry.at)
        for name in entry.reading.reports:
            if name in acknowledged:
                told.setdefault(name, max(0.0, (at - acknowledged[name]).total_seconds()))
    return sorted(told.values())


def share(ordered: Sequence[float], part: float) -> float:
    """Return the value below which so large a part of them lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
