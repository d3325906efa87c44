"""States and times as an operator says them. Values in, words out."""

from __future__ import annotations

from datetime import datetime

from services.notifier.model import LaneState, Status
from services.notifier.watch.insights.views import SubscriptionView

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """Return a length of time with its two largest units: `2 h 5 min`, `40 s`, `0 s`."""
    left = int(abs(seconds))
    parts = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def relative(at: datetime, now: datetime) -> str:
    """Return a time as seen from now: `3 min ago`, `in 2 h`, `now`."""
    seconds = (at - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {duration(seconds)}" if seconds > 0 else f"{duration(seconds)} ago"


def absolute(at: datetime) -> str:
    """Return a time to the second, with its zone."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def doing(view: SubscriptionView, now: datetime) -> str:  # noqa: PLR0911  # one line a case
    """Return what a subscription's lane does now, or what it waits for."""
    if view.status == "deleted":
        return "deleted"
    if view.status == Status.OFF:
        return "off: its client must set it to requested"
    if view.sending:
        return "sending now"
    if view.lane == LaneState.HELD:
        return "held: its client must set it to requested"
    if view.lane == LaneState.UNBOUND:
        since = "" if view.binding_since is None else f" since {absolute(view.binding_since)}"
        return f"no client bound{since}"
    if view.next_due is None and view.lane == LaneState.PARKED:
        return "parked: its client must set it to requested, or retry here"
    if view.next_due is None:
        if view.binding_since is not None and view.owed == 0:
            return f"a client is bound since {absolute(view.binding_since)}, owes nothing"
        return "owes nothing" if view.owed == 0 else "waits to be claimed"
    when = "due now" if view.next_due <= now else f"due {relative(view.next_due, now)}"
    if view.lane == LaneState.HANDSHAKE:
        return f"handshake {when}"
    return f"parked, {when}" if view.lane == LaneState.PARKED else when
