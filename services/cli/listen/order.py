"""Whether the event numbers of each subscription come 1, 2, 3 … without a gap, first copies in order.

A gap that a notification itself says was skipped, for a Subscription that wants the latest only, is none.

At least once is allowed: the same numbers under the same `webhook-id` are a duplicate, counted and no fault.
Numbers that were answered with 2xx may not come back under another `webhook-id`, except one that comes alone:
an operator had it sent again. Numbers that were refused may (a refused batch is split).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from services.cli.listen.reading import Reading


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the order says of one reading."""

    duplicate: bool
    problems: tuple[str, ...]


@dataclass(slots=True)
class Lane:
    """What one subscription has sent so far."""

    handshakes: int = 0
    highest: int = 0
    accepted: dict[int, str] = field(default_factory=dict)
    """Event number to the `webhook-id` it was accepted under."""
    offered: set[int] = field(default_factory=set)
    """Every event number that came, however it was answered."""


class Lanes:
    """Folds readings, in the order they arrived, into lanes."""

    def __init__(self) -> None:
        """Start with nothing heard."""
        self.lanes: dict[str, Lane] = {}

    def judge(self, reading: Reading, *, accepted: bool) -> Judgement:
        """Take one reading in; `accepted` tells whether it is answered with 2xx."""
        if not reading.subscription:
            return Judgement(duplicate=False, problems=())
        lane = self.lanes.setdefault(reading.subscription, Lane())
        if reading.type == "handshake":
            return _handshake(lane, reading, accepted=accepted)
        if not reading.numbers:
            return Judgement(duplicate=False, problems=())
        return _numbers(lane, reading, accepted=accepted)


def _handshake(lane: Lane, reading: Reading, *, accepted: bool) -> Judgement:
    problems = []
    if lane.handshakes == 0 and lane.highest == 0 and reading.since not in {0, None}:
        problems.append(f"the first handshake counts {reading.since} events, expected 0")
    if accepted:
        lane.handshakes += 1
    return Judgement(duplicate=False, problems=tuple(problems))


def _numbers(lane: Lane, reading: Reading, *, accepted: bool) -> Judgement:
    problems = []
    first, last = reading.numbers[0], reading.numbers[-1]
    if reading.kind == "topic" and lane.handshakes == 0:
        problems.append("an event came before any handshake was accepted")
    known = {lane.accepted.get(number) for number in reading.numbers}
    alone = first == last and first in lane.accepted
    duplicate = alone or known == {reading.webhook_id}
    again = sorted(
        number
        for number in reading.numbers
        if lane.accepted.get(number, reading.webhook_id) != reading.webhook_id
    )
    if again and not alone:
        problems.append(f"event {again[0]} was accepted before under webhook-id {lane.accepted[again[0]]}")
    late = [number for number in reading.numbers if number <= lane.highest and number not in lane.offered]
    if late:
        problems.append(f"event {late[0]} came first after event {lane.highest}: out of order")
    elif first - reading.skipped > lane.highest + 1:
        problems.append(f"event {lane.highest + 1} was expected, {first} came: a gap or out of order")
    lane.highest = max(lane.highest, last)
    lane.offered.update(reading.numbers)
    if accepted and not alone:
        lane.accepted.update(dict.fromkeys(reading.numbers, reading.webhook_id))
    return Judgement(duplicate=duplicate, problems=tuple(problems))
