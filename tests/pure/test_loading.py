"""How much of a lane is taken in hand at a time: bounded in bytes and in number, and never less than its next batch."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.notifier.model import Batch, Channel, Event, LaneState, Owed, Status
from services.notifier.record.lane import MOST_NUMBERS, Lane
from services.notifier.render import render_batch
from services.notifier.send.events import Events
from services.notifier.send.loading import AROUND_BUNDLE, AROUND_REPORT, choose, window

AT = datetime(2026, 3, 1, tzinfo=UTC)


def lane(count: int, size: int, state: LaneState = LaneState.OPEN) -> Lane:
    return Lane(
        subscription="s", endpoint="https://e", claim="c", state=state, next_number=1, last_number=count,
        plan_first=1, plan_last=count, plan_size=size, retry=0, refusals=0,
    )  # fmt: skip


def owed(sizes: list[int]) -> dict[int, Owed]:
    return {
        number: Owed(number, Event(f"e{number}", "r", 1, "create", AT, size))
        for number, size in enumerate(sizes, start=1)
    }


@given(
    sizes=st.lists(st.integers(1, 100), min_size=1, max_size=40),
    batch=st.integers(1, 6),
    most=st.integers(0, 300),
)
def test_batches_are_whole_in_order_and_within_bounds(sizes: list[int], batch: int, most: int) -> None:
    chosen, total = choose(lane(len(sizes), batch), owed(sizes), set(), most)
    numbers = [[each.number for each in one] for one in chosen]
    everything = list(range(1, len(sizes) + 1))
    cut = [everything[start : start + batch] for start in range(0, len(sizes), batch)]
    assert chosen, "a lane always goes on, however large its next batch is"
    assert numbers == cut[: len(numbers)]
    assert total == sum(each.event.size for one in chosen for each in one)
    assert total <= most or len(chosen) == 1
    if len(chosen) < len(cut):
        assert total + sum(sizes[number - 1] for number in cut[len(chosen)]) > most, (
            "no less than there is room for"
        )


def test_what_another_lane_carries_anyway_costs_nothing() -> None:
    carried: set[Event] = set()
    there = owed([10] * 4)
    assert choose(lane(4, 1), there, carried, 25)[1] == 20
    assert {event.id for event in carried} == {"e1", "e2"}
    again, total = choose(lane(4, 1), there, carried, 10)
    assert (len(again), total) == (3, 10)


def test_without_reports_only_the_number_counts() -> None:
    carried: set[Event] = set()
    chosen, total = choose(lane(40, 1), owed([10**9] * 40), carried, None)
    assert (len(chosen), total, carried) == (40, 0, set())


def test_a_batch_of_which_something_is_not_there_ends_the_turn_before_it() -> None:
    there = owed([1] * 6)
    del there[4]
    chosen, _ = choose(lane(6, 2), there, set(), 1000)
    assert [[each.number for each in one] for one in chosen] == [[1, 2]]


def test_numbers_are_looked_at_by_whole_batches_up_to_a_limit() -> None:
    assert window(lane(16, 1)) == ("s", 1, 16)
    assert window(lane(16 * 100, 100)) == ("s", 1, MOST_NUMBERS // 100 * 100)
    assert window(lane(2000, 1000)) == ("s", 1, 1000)
    assert window(lane(0, 1)) is None
    assert window(lane(5, 1, LaneState.HANDSHAKE)) is None


@given(
    count=st.integers(1, 20),
    base=st.integers(1, 300),
    content=st.sampled_from(["empty", "id-only", "full-resource"]),
)
def test_a_bundle_is_no_larger_than_it_was_taken_for(count: int, base: int, content: Any) -> None:
    """With ids, base and topic as long as they may be, and every number as long as it ever gets."""
    channel = Channel(
        "s" * 64, "topic", Status.ACTIVE, "https://e", "application/fhir+json", content, "t" * 500
    )
    body = b'{"resourceType":"MeasureReport"}'
    many = [
        Owed(10**15 + n, Event("e", "r" * 64, 10**9, "create", AT, len(body), body)) for n in range(count)
    ]
    batch = Batch(channel.subscription, many, skipped=10**6)
    sent = render_batch(channel, batch, base="https://" + "b" * base, now=AT, deadline=20).body
    assert len(sent) <= AROUND_BUNDLE + count * (AROUND_REPORT + len(body))


def kept(events: Events, name: str, size: int) -> Event:
    event = Event(name, "r", 1, "create", AT, size)
    events.keep(event)
    events.carry(event, bytes(size))
    return event


def test_events_at_hand_stay_within_their_bytes_and_the_longest_unused_go() -> None:
    events = Events(at_most=3 * 5_000)
    first = [kept(events, name, 2_500) for name in "abc"]
    assert events.get("a") is first[0]
    kept(events, "d", 2_500)
    assert [events.get(name) is None for name in "abcd"] == [False, True, False, False]
    huge = kept(events, "huge", 2**21)
    assert huge.body == bytes(2**21), "whoever asked for it has it"
    assert events.get("huge") is None
    assert events.get("d") is not None


def test_an_event_without_its_report_takes_room_too() -> None:
    events = Events(at_most=2**20)
    for number in range(10_000):
        events.keep(Event(str(number), "r", 1, "create", AT, 6_000))
    assert events.get("9999") is not None
    assert events.get("0") is None
