"""States and times as an operator reads them, and who may ask for a retry."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.notifier.watch.insights.views import SubscriptionView
from services.notifier.watch.pages.same_origin import same_origin
from services.notifier.watch.words import absolute, doing, duration, relative

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
IDLE = SubscriptionView(
    id="s", kind="topic", status="active", criteria="c", endpoint="e", client="local", events=1, owed=0,
    delivered=1, given_up=0, skipped=0, oldest_owed_since=None, lane="open", tries=0, failing_since=None, failure=None,
    last_failure=None, next_due=None, sending=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (0.9, "0 s"), (59, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (3601, "1 h"),
     (7500, "2 h 5 min"), (86_400 * 3 + 3600, "3 d 1 h"), (-61, "1 min 1 s")],
)  # fmt: skip
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_times() -> None:
    assert relative(NOW, NOW) == "now"
    assert relative(NOW - timedelta(minutes=3), NOW) == "3 min ago"
    assert relative(NOW + timedelta(hours=2), NOW) == "in 2 h"
    assert absolute(NOW) == "2026-03-01 12:00:00 UTC"


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (IDLE, "owes nothing"),
        (replace(IDLE, owed=1, next_due=NOW), "due now"),
        (replace(IDLE, owed=1, next_due=NOW + timedelta(minutes=5)), "due in 5 min"),
        (replace(IDLE, owed=1, sending=True), "sending now"),
        (replace(IDLE, lane="handshake", next_due=NOW + timedelta(seconds=4)), "handshake due in 4 s"),
        (replace(IDLE, lane="parked", owed=1), "parked: its client must set it to requested, or retry here"),
        (replace(IDLE, lane="parked", owed=1, next_due=NOW + timedelta(hours=6)), "parked, due in 6 h"),
        (replace(IDLE, lane="held", status="error"), "held: its client must set it to requested"),
        (replace(IDLE, lane="held", status="off", owed=3), "off: its client must set it to requested"),
        (replace(IDLE, lane=None, status="deleted"), "deleted"),
        (
            replace(IDLE, lane="unbound", owed=3, binding_since=NOW),
            "no client bound since 2026-03-01 12:00:00 UTC",
        ),
        (replace(IDLE, binding_since=NOW), "a client is bound since 2026-03-01 12:00:00 UTC, owes nothing"),
        (replace(IDLE, binding_since=NOW, owed=1, next_due=NOW), "due now"),
    ],
)
def test_what_a_lane_does(view: SubscriptionView, said: str) -> None:
    assert doing(view, NOW) == said


@pytest.mark.parametrize(
    ("site", "origin", "allowed"),
    [
        ("same-origin", None, True), ("same-origin", "http://h:1", True), ("cross-site", "http://h:1", False),
        ("none", None, False), (None, "http://h:1", True), (None, "https://h:1", True), (None, "http://h:2", False),
        (None, "http://h:1.evil", False), (None, "null", False), (None, None, False), (None, "", False),
    ],
)  # fmt: skip
def test_only_our_own_pages_may_act(site: str | None, origin: str | None, *, allowed: bool) -> None:
    assert same_origin(site=site, origin=origin, host="h:1") is allowed
