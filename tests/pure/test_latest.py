"""Which of what is owed does a later version stand for, and what is planned around it?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.notifier.model import LaneState
from services.notifier.record.lane import Lane
from services.notifier.send.latest import Told, plan, superseded


def lane(next_number: int, last_number: int, size: int = 10) -> Lane:
    return Lane(
        subscription="s",
        endpoint="http://e",
        claim="c",
        state=LaneState.OPEN,
        next_number=next_number,
        last_number=last_number,
        plan_first=next_number,
        plan_last=last_number,
        plan_size=size,
        retry=0,
        refusals=0,
        new_plan=True,
    )


def test_a_later_version_of_the_same_report_supersedes() -> None:
    told = [Told(4, "r", None), Told(5, "other", None), Told(6, "r", None), Told(7, "r", None)]
    assert superseded(told) == {4: 7, 6: 7}


def test_a_report_that_took_another_s_place_supersedes_it_and_what_that_had_superseded() -> None:
    told = [Told(1, "first", None), Told(2, "second", "first"), Told(3, "third", "second")]
    assert superseded(told) == {1: 3, 2: 3}
    assert superseded([*told, Told(4, "third", None)]) == {1: 4, 2: 4, 3: 4}


def test_a_write_to_a_report_that_lost_its_place_does_not_supersede_the_one_that_took_it() -> None:
    # `second` stands for the identity: that the first is withdrawn says nothing about it.
    told = [Told(1, "first", None), Told(2, "second", "first"), Told(3, "first", None)]
    assert superseded(told) == {1: 3}


def test_the_head_is_passed_and_the_batch_ends_before_the_next_that_is_superseded() -> None:
    told = [
        Told(number, report, None) for number, report in [(1, "a"), (2, "a"), (3, "b"), (4, "c"), (5, "b")]
    ]
    found = plan(lane(1, 5), told)
    assert found.skipped == {1: 2}
    assert found.lane.batches() == [(2, 2)]
    after = plan(lane(3, 5), told[2:])
    assert after.skipped == {3: 5}
    assert after.lane.batches() == [(4, 5)]


def test_a_batch_has_at_most_as_many_as_were_asked_for() -> None:
    told = [Told(number, f"r{number}", None) for number in range(1, 8)]
    assert plan(lane(1, 7, size=3), told).lane.batches() == [(1, 3)]


def test_a_number_of_which_nothing_is_known_ends_a_plan_and_is_never_skipped() -> None:
    told = [Told(1, "a", None), Told(4, "a", None)]
    found = plan(lane(1, 4), told)
    assert (found.skipped, found.lane.batches()) == ({1: 4}, [(2, 2)])  # the lane stands at the gap now


@given(st.lists(st.tuples(st.integers(0, 4), st.none() | st.integers(0, 4)), min_size=1, max_size=30))
def test_what_is_skipped_is_stood_for_by_a_number_that_is_sent(drawn: list[tuple[int, int | None]]) -> None:
    told = [
        Told(place, f"r{report}", None if former is None or former == report else f"r{former}")
        for place, (report, former) in enumerate(drawn, start=1)
    ]
    gone = superseded(told)
    assert told[-1].number not in gone
    for number, by in gone.items():
        assert number < by
        assert by not in gone
    # Every report is told of under its last number, unless another took its place after that.
    for each in told:
        later = [one for one in told if one.number > each.number]
        taken = any(each.report_id in {one.report_id, one.supersedes} for one in later)
        assert (each.number in gone) == taken
