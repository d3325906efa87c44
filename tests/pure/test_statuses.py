"""Every cell of the status machine: what each cause makes of each status, for both kinds; and the page that shows it."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from services.notifier.model import LaneState, Status, SubscriptionKind
from services.notifier.record.lane import Lane
from services.notifier.record.verdict import Delivered, Park, SwitchOff, Verdict
from services.notifier.subscriptions.statuses import TABLE, Cause, asked, move, stays

REQUESTED, ACTIVE, ERROR, OFF = Status
HANDSHAKE, OPEN, PARKED, HELD = LaneState
PAGE = Path(__file__).parents[2] / "docs" / "subscribing.md"

# By hand, not from the table: cause, kind, then what becomes of: none, requested, active, error, off. `-`: never.
CELLS = """
REQUESTED     topic    requested requested requested requested requested
REQUESTED     classic  active    active    active    active    active
SWITCHED_OFF  topic    off       off       off       off       off
SWITCHED_OFF  classic  off       off       off       off       off
DELETED       topic    -         off       off       off       off
DELETED       classic  -         off       off       off       off
GREETED       topic    -         active    -         -         -
GREETED       classic  -         -         -         -         -
NOT_GREETED   topic    -         error     -         -         -
NOT_GREETED   classic  -         -         -         -         -
EXHAUSTED     topic    -         -         error     error     -
EXHAUSTED     classic  -         -         error     error     -
WELL_AGAIN    topic    -         -         -         active    -
WELL_AGAIN    classic  -         -         -         active    -
GONE          topic    -         -         off       off       -
GONE          classic  -         -         off       off       -
ENDED         topic    -         off       off       off       -
ENDED         classic  -         off       off       off       -
TOO_LONG      topic    -         -         -         off       -
TOO_LONG      classic  -         -         -         off       -
"""
BEFORE = (None, *Status)


def cells() -> list[tuple[Cause, SubscriptionKind, Status | None, str]]:
    out = []
    for line in CELLS.split("\n"):
        if line:
            cause, kind, *after = line.split()
            of: SubscriptionKind = "topic" if kind == "topic" else "classic"
            out += [(Cause[cause], of, before, to) for before, to in zip(BEFORE, after, strict=True)]
    return out


def test_every_cell_is_here() -> None:
    assert len(cells()) == len(list(product(Cause, ("topic", "classic"), BEFORE)))


@pytest.mark.requirement("R-070", "R-071", "R-072", "R-075", "R-076", "R-077")
@pytest.mark.parametrize(("cause", "kind", "before", "after"), cells())
def test_a_cause_moves_a_status_as_it_should_or_not_at_all(
    cause: Cause, kind: SubscriptionKind, before: Status | None, after: str
) -> None:
    if after == "-":
        with pytest.raises(KeyError):
            move(kind, before, cause)
    else:
        assert move(kind, before, cause).status == after


def test_nothing_is_said_twice() -> None:
    said = [(kind, before, row.cause) for row in TABLE for kind in row.kinds for before in row.before]
    assert len(said) == len(set(said))


def test_what_is_off_is_held_and_not_numbered_and_nothing_else_is() -> None:
    for row in TABLE:
        off = row.to.status is OFF
        assert row.to.numbering != off
        assert (row.to.lane is HELD) == (off or row.cause is Cause.NOT_GREETED)
        assert (row.to.lane is HANDSHAKE) == (row.to.status is REQUESTED)


@pytest.mark.parametrize(
    ("cause", "verdict"),
    [(Cause.EXHAUSTED, Park(None)), (Cause.WELL_AGAIN, Delivered()), (Cause.GONE, SwitchOff())],
)
def test_the_arithmetic_of_lanes_leaves_a_lane_as_the_table_says(cause: Cause, verdict: Verdict) -> None:
    lane = Lane("s", "e", "c", PARKED, 1, 1, 1, 1, 1, retry=3, refusals=0)
    assert lane.after(verdict, 1, 1).state is move("classic", ERROR, cause).lane


def test_a_client_asks_for_one_of_two_things_or_sends_back_what_it_read() -> None:
    assert {asked(status) for status in (REQUESTED, ACTIVE)} == {Cause.REQUESTED}
    assert asked(OFF) is Cause.SWITCHED_OFF
    assert stays(ACTIVE, "active", channel_changed=False)
    assert not stays(ACTIVE, "active", channel_changed=True)
    assert not any(stays(status, "active", channel_changed=False) for status in (REQUESTED, ERROR, OFF))


def test_the_page_for_subscribers_shows_every_row() -> None:
    page = PAGE.read_text()
    for row in TABLE:
        kind = "" if len(row.kinds) == 2 else f" ({row.kinds[0]})"
        before = ", ".join("new" if each is None else f"`{each}`" for each in row.before)
        assert f"| {before} | {row.cause}{kind} | `{row.to.status}` |" in page
