"""One subscription's account: what it should have been told, against what arrived and what is listed.

A delivery may come more than once, always under the same number and `webhook-id`; nothing may be missing,
come under two numbers, come first out of order, or be something else than was accepted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.ledger.content import said
from tests.ledger.criteria import fires
from tests.ledger.inputs import Arrival, Row, Subscription, Version
from tests.ledger.reports import Event

OWED, WAITING, GIVEN_UP, DELIVERED, SKIPPED = "owed", "waiting", "given_up", "delivered", "skipped"
_STATES = {
    "owed": OWED,
    "retrying": WAITING,
    "parked": WAITING,
    "given_up": GIVEN_UP,
    "delivered": DELIVERED,
    "skipped": SKIPPED,
}


@dataclass(frozen=True, slots=True)
class Account:
    """The figures of one subscription, and every finding as a sentence; none when it closes."""

    subscription: str
    kind: str
    expected: int
    numbers: int
    received: int
    """Numbers that the receiver took."""
    again: int
    """Copies of these that came later."""
    owed: int
    waiting: int
    given_up: int
    skipped: int
    findings: tuple[str, ...]


@dataclass(slots=True)
class _Book:
    """What is known of each number; `findings` says what does not fit."""

    findings: list[str] = field(default_factory=list)
    reports: dict[int, Version] = field(default_factory=dict)
    taken: dict[int, str] = field(default_factory=dict)
    """Number → the `webhook-id` it was taken under."""
    states: dict[int, str] = field(default_factory=dict)
    highest: int = 0
    again: int = 0
    handshaken: bool = False

    def enter(self, number: int, report: Version, where: str) -> None:
        known = self.reports.setdefault(number, report)
        if known != report:
            self.findings.append(
                f"number {number} is {_name(report)} {where}, but was {_name(known)} before: "
                "a number was given twice"
            )


def account(
    subscription: Subscription,
    events: Sequence[Event],
    arrivals: Sequence[Arrival],
    rows: Sequence[Row],
    contents: Mapping[Version, object],
) -> Account:
    """Judge one subscription; `contents` holds `content.said` of every accepted version."""
    expected = [event for event in events if fires(subscription, event)]
    book = _Book()
    for row in rows:
        _list(book, row)
    for arrival in arrivals:
        _arrive(book, subscription, arrival, contents)
    _compare(book, expected)
    book.findings.extend(_misplaced(book, expected))
    book.findings.extend(_skipped(book, subscription, events))
    counted = Counter(state for number, state in book.states.items() if number not in book.taken)
    return Account(
        subscription=subscription.id,
        kind=subscription.kind,
        expected=len(expected),
        numbers=max(book.reports, default=0),
        received=len(book.taken),
        again=book.again,
        owed=counted[OWED],
        waiting=counted[WAITING],
        given_up=counted[GIVEN_UP],
        skipped=counted[SKIPPED],
        findings=tuple(dict.fromkeys(book.findings)),
    )


def _list(book: _Book, row: Row) -> None:
    if row.number in book.states:
        book.findings.append(f"number {row.number} is listed twice")
    if row.state not in _STATES:
        book.findings.append(f"number {row.number} is listed in the unknown state {row.state!r}")
    book.states[row.number] = _STATES.get(row.state, row.state)
    book.enter(row.number, row.report, "in the listing")


def _arrive(
    book: _Book, subscription: Subscription, arrival: Arrival, contents: Mapping[Version, object]
) -> None:
    book.findings.extend(f"the receiver found: {problem}" for problem in arrival.problems)
    if arrival.handshake:
        book.handshaken = book.handshaken or arrival.taken
        return
    if arrival.numbers and subscription.kind == "topic" and not book.handshaken:
        book.findings.append(f"number {arrival.numbers[0]} came before a handshake was taken")
    if arrival.reports and len(arrival.reports) != len(arrival.numbers):
        book.findings.append(f"{arrival.webhook_id} carries {len(arrival.reports)} reports")
        return
    for number in arrival.numbers:
        _count(book, number, arrival)
    for number, (report, version) in zip(arrival.numbers, arrival.reports, strict=bool(arrival.reports)):
        if version is not None:
            book.enter(number, (report, version), "in a notification")
    for resource in arrival.contents:
        _read(book, resource, contents)


def _count(book: _Book, number: int, arrival: Arrival) -> None:
    if number > book.highest:
        before = arrival.skipped if number == arrival.numbers[0] else 0
        # What is said to be skipped may have come before, in a batch that was refused; but nobody took it.
        told_of = range(number - before, number)
        if number - before > book.highest + 1 or any(each in book.taken for each in told_of):
            book.findings.append(f"number {number} came first after {book.highest}: a gap, or out of order")
        book.highest = number
    under = book.taken.get(number)
    if under is None:
        if arrival.taken:
            book.taken[number] = arrival.webhook_id
        return
    book.again += 1
    if under != arrival.webhook_id:
        book.findings.append(
            f"number {number} was taken as {under} and came again as {arrival.webhook_id}: "
            "the receiver cannot know it"
        )


def _read(book: _Book, resource: dict[str, object], contents: Mapping[Version, object]) -> None:
    meta = resource.get("meta")
    number = meta.get("versionId") if isinstance(meta, dict) else None
    version = (str(resource.get("id")), int(number) if isinstance(number, str) and number.isdigit() else 0)
    if version not in contents:
        book.findings.append(f"{_name(version)} arrived and was never accepted")
    elif contents[version] != said(resource):
        book.findings.append(f"{_name(version)} arrived with another content than was accepted")


def _compare(book: _Book, expected: Sequence[Event]) -> None:
    """Hold what should have been told against every number that was received or is listed."""
    if not expected:
        book.findings.append("nothing was expected: an empty account proves nothing")
    every = set(book.reports) | set(book.taken) | set(book.states)
    book.findings.extend(
        f"number {number} was never given: a gap"
        for number in range(1, max(every, default=0) + 1)
        if number not in every
    )
    book.findings.extend(
        f"number {number} ({_named(book, number)}) is listed as delivered, but the receiver never took it"
        for number, state in sorted(book.states.items())
        if state == DELIVERED and number not in book.taken
    )
    accounted = {
        number: book.reports.get(number) for number in every if number in book.taken or number in book.states
    }
    book.findings.extend(
        f"number {number} was received, but nothing says which report it tells of"
        for number, report in sorted(accounted.items())
        if report is None
    )
    told = Counter(report for report in accounted.values() if report is not None)
    due = Counter(event.report for event in expected)
    book.findings.extend(
        f"{_name(report)} is missing: accepted, and neither received nor listed"
        for report in sorted(due - told)
    )
    for report in sorted(told - due):
        numbers = [number for number, found in sorted(accounted.items()) if found == report]
        why = "has the numbers" if report in due else "was not asked for, but has the numbers"
        book.findings.append(f"{_name(report)} {why} {', '.join(map(str, numbers))}")


def _misplaced(book: _Book, expected: Sequence[Event]) -> Iterator[str]:
    """Yield a finding for each event that was numbered before an earlier one of its contract."""
    events = {event.report: event for event in expected}
    last: dict[str, Event] = {}
    for number in sorted(book.reports):
        event = events.get(book.reports[number])
        if event is None:
            continue
        before = last.get(event.now.contract)
        if before is not None and _after(before, event):
            yield f"{_name(event.report)} (number {number}) was accepted before {_name(before.report)}: out of order"
        last[event.now.contract] = event


def _skipped(book: _Book, subscription: Subscription, events: Sequence[Event]) -> Iterator[str]:
    """Yield a finding for each number that was skipped though no later one tells of what supersedes it."""
    known = {event.report: event for event in events}
    for number, state in sorted(book.states.items()):
        if state != SKIPPED:
            continue
        if not subscription.latest_only:
            yield f"number {number} was skipped, and every version is wanted"
            continue
        report, _ = book.reports[number]
        later = (known.get(version) for other, version in book.reports.items() if other > number)
        if not any(
            event is not None and report in {event.now.id, event.before and event.before.id}
            for event in later
        ):
            yield f"number {number} ({_named(book, number)}) was skipped, but no later number supersedes it"


def _after(one: Event, other: Event) -> bool:
    """Tell whether `one` had to come after `other`."""
    if one.rank == other.rank and one.report[0] == other.report[0]:
        return one.report[1] > other.report[1]
    return one.rank > other.rank


def _named(book: _Book, number: int) -> str:
    report = book.reports.get(number)
    return "unknown" if report is None else _name(report)


def _name(report: Version) -> str:
    return f"MeasureReport/{report[0]}/_history/{report[1]}"
