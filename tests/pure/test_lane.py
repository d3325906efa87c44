"""The arithmetic of a lane: batches are fixed, and every number is sent in exactly one of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.notifier.model import LaneState
from services.notifier.record.lane import Lane
from services.notifier.record.verdict import Delivered, GiveUp, Park, RetryLater, Split, SwitchOff


def lane(first: int, last: int, size: int, next_number: int | None = None) -> Lane:
    return Lane(
        subscription="s", endpoint="https://e", claim="c", state=LaneState.OPEN, next_number=next_number or first, last_number=last,
        plan_first=first, plan_last=last, plan_size=size, retry=0, refusals=0,
    )  # fmt: skip


@given(first=st.integers(1, 1000), count=st.integers(1, 200), size=st.integers(1, 50))
def test_batches_hold_every_number_once_and_in_order(first: int, count: int, size: int) -> None:
    batches = lane(first, first + count - 1, size).batches()
    assert [n for low, high in batches for n in range(low, high + 1)] == list(range(first, first + count))
    assert all(high - low < size for low, high in batches)


@given(count=st.integers(1, 60), size=st.integers(1, 20), data=st.data())
def test_what_is_left_of_a_plan_are_the_same_batches(count: int, size: int, data: st.DataObject) -> None:
    whole = lane(1, count, size)
    batches = whole.batches()
    done = data.draw(st.integers(0, len(batches)))
    now = whole
    for low, high in batches[:done]:
        now = now.after(Delivered(), low, high)
    assert now.batches() == batches[done:]


@given(size=st.integers(2, 50))
def test_a_split_batch_becomes_smaller_ones_with_the_same_numbers(size: int) -> None:
    halves = lane(5, 5 + size - 1, size).after(Split(), 5, 5 + size - 1).batches()
    assert len(halves) == 2
    assert [n for low, high in halves for n in range(low, high + 1)] == list(range(5, 5 + size))


@given(
    sizes=st.lists(st.integers(1, 100), min_size=1, max_size=60),
    batch_size=st.integers(1, 20),
    batches=st.integers(1, 8),
    most=st.integers(1, 400),
)
def test_no_batch_of_a_new_plan_is_larger_than_it_may_be(
    sizes: list[int], batch_size: int, batches: int, most: int
) -> None:
    there = dict(enumerate(sizes, start=7))
    idle = lane(1, 6, 3, next_number=7)._replace(last_number=6 + len(sizes))
    planned = idle.planned(batch_size, batches).cut(there, most)
    bounds = planned.batches()
    assert bounds, "a lane always goes on, however large its next report is"
    assert [n for low, high in bounds for n in range(low, high + 1)] == [*range(7, bounds[-1][1] + 1)]
    assert sum(high - low + 1 for low, high in bounds) <= batch_size * batches
    for low, high in bounds:
        assert high - low < batch_size
        assert low == high or sum(there[number] for number in range(low, high + 1)) <= most
    assert sum(sizes) > most or len(sizes) > batch_size or len(bounds) == 1, "what fits goes together"


def test_a_plan_that_was_made_before_is_never_cut() -> None:
    sent_once = lane(1, 10, 5)
    assert sent_once.planned(2, 16).cut(dict.fromkeys(range(1, 11), 100), 100) == sent_once


def test_a_lane_that_has_to_shake_hands_first_gets_no_plan() -> None:
    new = lane(1, 0, 5)._replace(state=LaneState.HANDSHAKE, last_number=9)
    assert new.planned(5, 16).batches() == []


def test_what_each_verdict_moves() -> None:
    before = lane(3, 6, 2)
    assert before.after(Delivered(), 3, 4).next_number == 5
    assert before.after(GiveUp("…"), 3, 3).next_number == 4
    assert before.after(RetryLater(5, refused=False), 3, 4).retry == 1
    assert before.after(RetryLater(5, refused=True), 3, 4).refusals == 1
    assert before.after(Park(None), 3, 4).state is LaneState.PARKED
    assert before.after(SwitchOff(), 3, 4).state is LaneState.HELD
    kept = (RetryLater(5, refused=False), RetryLater(5, refused=True), Park(None), SwitchOff())
    assert {before.after(verdict, 3, 4).next_number for verdict in kept} == {3}


def test_a_delivery_forgets_earlier_failures() -> None:
    failing = lane(1, 2, 1).after(RetryLater(5, refused=False), 1, 1).after(RetryLater(5, refused=True), 1, 1)
    healed = failing.after(Delivered(), 1, 1)
    assert (healed.retry, healed.refusals) == (0, 0)
