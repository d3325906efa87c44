"""The demo's ledger closes only when nothing was lost, doubled, added or moved; its table fits the examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest

from schemas import examples
from services.cli.demo.ledger import Ledger, balance
from services.cli.demo.scenario import STEPS, Kind, owed
from services.cli.listen.reading import Reading
from services.cli.listen.record import Entry, from_json

SUBSCRIPTIONS: dict[Kind, str] = {"classic": "c1", "topic": "t1"}


def entry(kind: Kind, numbers: tuple[int, ...], reports: tuple[str, ...]) -> Entry:
    subscription = SUBSCRIPTIONS[kind]
    webhook_id = f"{subscription}_{numbers[0]}-{numbers[-1]}"
    reading = Reading(kind, "event-notification", subscription, numbers, numbers[-1], webhook_id, reports, ())
    return Entry("2026-01-01T00:00:00.000+00:00", "POST", "/", {}, (), reading, False, (), 200, "")


def row(kind: Kind) -> dict[str, Any]:
    count = len(owed(kind))
    return {"id": SUBSCRIPTIONS[kind], "events": count, "owed": 0, "delivered": count, "given_up": 0}


@dataclass
class Books:
    """The three accounts of a run in which all went well, for a test to spoil."""

    acknowledged: list[str] = field(default_factory=lambda: [step.version for step in STEPS])
    status: dict[str, Any] = field(
        default_factory=lambda: {
            "reports": {"accepted": 20, "waiting": 0},
            "events": {"accepted": 20, "emitted": 20, "consumed": 20},
            "subscriptions": [row("classic"), row("topic")],
            "outbox": {"pending": 0, "oldest_age_seconds": 0.0},
        }
    )
    record: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        for kind in SUBSCRIPTIONS:
            told = [step.version for step in STEPS if kind in step.told]
            self.record += [entry(kind, (at,), (report,)) for at, report in enumerate(told, start=1)]

    def ledger(self) -> Ledger:
        return balance(self.acknowledged, self.status, self.record, SUBSCRIPTIONS)


def test_it_closes_when_all_went_well() -> None:
    ledger = Books().ledger()
    assert ledger.problems == ()
    assert [(account.kind, account.received) for account in ledger.accounts] == [
        ("classic", 4),
        ("topic", 17),
    ]


def test_a_copy_under_the_same_number_is_counted_and_no_fault() -> None:
    books = Books()
    books.record.append(replace(books.record[0], duplicate=True))
    ledger = books.ledger()
    assert ledger.closes
    assert ledger.accounts[0].duplicates == 1


def test_a_batch_counts_for_each_of_its_numbers() -> None:
    books = Books()
    first, second = books.record[4:6]
    books.record[4:6] = [entry("topic", (1, 2), first.reading.reports + second.reading.reports)]
    assert books.ledger().closes


def swap(books: Books) -> None:
    books.record[4], books.record[5] = books.record[5], books.record[4]


def out_of_version_order(books: Books) -> None:
    """Exchange what events 4 and 9 of the topic tell of: versions 1 and 2 of one report."""
    at = [
        i
        for i, e in enumerate(books.record)
        if e.reading.reports[0].startswith("MeasureReport/prairie-valley-2024-well-child/")
    ]
    one, two = at
    first, second = books.record[one].reading, books.record[two].reading
    books.record[one] = entry("topic", first.numbers, second.reports)
    books.record[two] = entry("topic", second.numbers, first.reports)


SPOILT: dict[str, tuple[Callable[[Books], object], str]] = {
    "one lost": (lambda b: b.record.pop(), "topic: never told of MeasureReport/harbor-point-2024/_history/3"),
    "one refused and never sent again": (
        lambda b: b.record.append(replace(b.record.pop(), answered=500)),
        "topic: never told of",
    ),
    "one too many": (
        lambda b: b.record.append(entry("classic", (5,), (STEPS[0].version,))),
        "which it did not ask for",
    ),
    "a second number for one event": (
        lambda b: b.record.append(entry("classic", (5,), b.record[0].reading.reports)),
        "classic: event numbers are [1, 2, 3, 4, 5], expected 1 to 4",
    ),
    "first copies out of order": (swap, "topic: first copies came in the order [2, 1, 3"),
    "versions out of order": (out_of_version_order, "came in the order 2, 1"),
    "a problem seen by the receiver": (
        lambda b: b.record.append(replace(b.record[0], duplicate=True, problems=("no webhook-id",))),
        "classic: no webhook-id",
    ),
    "a notification of nobody's": (
        lambda b: b.record.append(
            replace(b.record[0], reading=replace(b.record[0].reading, subscription="x9"))
        ),
        "unknown subscriptions: ['x9']",
    ),
    "one still owed": (
        lambda b: b.status["subscriptions"][1].update(owed=1),
        "topic: the services count 1 owed",
    ),
    "one given up": (
        lambda b: b.status["subscriptions"][0].update(given_up=1),
        "the services count 1 given up",
    ),
    "a subscription the services forgot": (
        lambda b: b.status["subscriptions"].pop(),
        "topic: the services count 0 events, expected 17",
    ),
    "an event too many": (
        lambda b: b.status["events"].update(accepted=21),
        "21 events accepted, expected 20",
    ),
    "not all emitted": (lambda b: b.status["outbox"].update(pending=2), "2 events are still in the outbox"),
    "one not acknowledged": (lambda b: b.acknowledged.pop(), "differ from the scenario"),
    "nothing received at all": (lambda b: b.record.clear(), "classic: never told of"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_it_does_not_close(name: str) -> None:
    spoil, expected = SPOILT[name]
    books = Books()
    spoil(books)
    ledger = books.ledger()
    assert not ledger.closes
    assert any(expected in problem for problem in ledger.problems), ledger.problems


def test_the_table_names_every_example_in_order_with_the_versions_its_files_make() -> None:
    seen: dict[str, int] = {}
    expected = []
    for file in examples.reports():
        report = orjson.loads(file.read_bytes())
        seen[report["id"]] = seen.get(report["id"], 0) + 1
        expected.append((file.stem, f"MeasureReport/{report['id']}/_history/{seen[report['id']]}"))
    assert [(step.file, step.version) for step in STEPS] == expected


def test_what_waits_waits_for_a_later_report_that_lists_it() -> None:
    reports = {file.stem: orjson.loads(file.read_bytes()) for file in examples.reports()}
    order = [step.file for step in STEPS]
    waiting = [step for step in STEPS if step.waits_for is not None]
    assert len(waiting) == 3
    for step in waiting:
        assert step.waits_for is not None
        listed = [item["reference"] for item in reports[step.waits_for]["evaluatedResource"]]
        assert f"MeasureReport/{reports[step.file]['id']}" in listed
        assert order.index(step.waits_for) > order.index(step.file)


def test_an_entry_read_back_from_the_record_is_the_same() -> None:
    one = entry("topic", (1, 2), ("MeasureReport/a", "MeasureReport/b"))
    assert from_json(orjson.dumps(one.as_json())) == one
