"""Every cell of the status machine: what each cause makes of each status, however it is told; and the page that shows it."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from services.notifier.model import LaneState, Manner, Status
from services.notifier.record.lane import Lane
from services.notifier.record.verdict import Delivered, Park, SwitchOff, Verdict
from services.notifier.subscriptions.statuses import EVERY, REST_HOOK, TABLE, Cause, asked, move, stays

REQUESTED, ACTIVE, ERROR, OFF = Status
HANDSHAKE, OPEN, PARKED, HELD, UNBOUND = LaneState
PAGE = Path(__file__).parents[2] / "docs" / "subscribing.md"

# By hand, not from the table: cause, manner, then what becomes of: none, requested, active, error, off. `-`: never.
CELLS = """
REQUESTED     topic    requested requested requested requested requested
REQUESTED     classic  active    active    active    active    active
REQUESTED     websocket active   active    active    active    active
SWITCHED_OFF  topic    off       off       off       off       off
SWITCHED_OFF  classic  off       off       off       off       off
SWITCHED_OFF  websocket off      off       off       off       off
DELETED       topic    -         off       off       off       off
DELETED       classic  -         off       off       off       off
DELETED       websocket -        off       off       off       off
GREETED       topic    -         active    -         -         -
GREETED       classic  -         -         -         -         -
GREETED       websocket -        -         -         -         -
NOT_GREETED   topic    -         error     -         -         -
NOT_GREETED   classic  -         -         -         -         -
NOT_GREETED   websocket -        -         -         -         -
EXHAUSTED     topic    -         -         error     error     -
EXHAUSTED     classic  -         -         error     error     -
EXHAUSTED     websocket -        -         -         -         -
WELL_AGAIN    topic    -         -         -         active    -
WELL_AGAIN    classic  -         -         -         active    -
WELL_AGAIN    websocket -        -         -         -         -
GONE          topic    -         -         off       off       -
GONE          classic  -         -         off       off       -
GONE          websocket -        -         -         -         -
ENDED         topic    -         off       off       off       -
ENDED         classic  -         off       off       off       -
ENDED         websocket -        off       off       off       -
TOO_LONG      topic    -         -         -         off       -
TOO_LONG      classic  -         -         -         off       -
TOO_LONG      websocket -        -         -         -         -
ABANDONED     topic    -         -         -         -         -
ABANDONED     classic  -         -         -         -         -
ABANDONED     websocket -        -         off       -         -
"""
BEFORE = (None, *Status)


def cells() -> list[tuple[Cause, Manner, Status | None, str]]:
    out = []
    for line in CELLS.split("\n"):
        if line:
            cause, manner, *after = line.split()
            (of,) = (each for each in EVERY if each == manner)
            out += [(Cause[cause], of, before, to) for before, to in zip(BEFORE, after, strict=True)]
    return out


def test_every_cell_is_here() -> None:
    assert len(cells()) == len(list(product(Cause, EVERY, BEFORE)))


@pytest.mark.requirement("R-070", "R-071", "R-072", "R-075", "R-076", "R-077")
@pytest.mark.parametrize(("cause", "manner", "before", "after"), cells())
def test_a_cause_moves_a_status_as_it_should_or_not_at_all(
    cause: Cause, manner: Manner, before: Status | None, after: str
) -> None:
    if after == "-":
        with pytest.raises(KeyError):
            move(manner, before, cause)
    else:
        assert move(manner, before, cause).status == after


def test_nothing_is_said_twice() -> None:
    said = [(manner, before, row.cause) for row in TABLE for manner in row.manners for before in row.before]
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
        told = "rest-hook" if row.manners == REST_HOOK else ", ".join(row.manners)
        manner = "" if row.manners == EVERY else f" ({told})"
        before = ", ".join("new" if each is None else f"`{each}`" for each in row.before)
        assert f"| {before} | {row.cause}{manner} | `{row.to.status}` |" in page
