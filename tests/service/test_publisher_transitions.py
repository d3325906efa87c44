"""Which event does what a payer does next make, and what does it supersede? The whole table, cell by cell.

A cell is told in a word, the event's type, or `-` when nothing is to be heard of; then what it supersedes: the facets
of the version before it of the same report (`own`), those of the report that stands for the identity (`other`), or
nothing (`none`).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest

from schemas.facets import Facets
from schemas.outcome import FhirError
from services.principal import Principal
from services.publisher.derive.model import Kind
from services.publisher.store.model import Write
from tests.publishing import (
    Answer,
    Emitted,
    Publishing,
    Resource,
    bundle,
    contract,
    contract_url,
    performance,
    put_entry,
    quality,
)

NEXT = ("interim", "final", "settled", "withdrawn", "deletion")

SAME_ID = """
previous  | interim        | final          | settled        | withdrawn      | deletion
none      | published none | published none | settled none   | withdrawn none | -
interim   | published own  | published own  | settled own    | withdrawn own  | deleted own
final     | published own  | published own  | settled own    | withdrawn own  | deleted own
settled   | corrected own  | corrected own  | corrected own  | withdrawn own  | deleted own
withdrawn | published own  | published own  | settled own    | withdrawn own  | deleted own
deleted   | published none | published none | settled none   | withdrawn none | -
"""

NEW_ID = """
previous  | interim         | final           | settled         | withdrawn       | deletion
none      | published none  | published none  | settled none    | withdrawn none  | -
interim   | published other | published other | settled other   | withdrawn other | -
final     | published other | published other | settled other   | withdrawn other | -
settled   | corrected other | corrected other | corrected other | withdrawn other | -
withdrawn | published other | published other | settled other   | withdrawn other | -
deleted   | published none  | published none  | settled none    | withdrawn none  | -
"""

SUPERSEDED_ID = """
previous  | interim         | final           | settled         | withdrawn       | deletion
interim   | published own   | published own   | settled own     | withdrawn own   | deleted own
final     | published own   | published own   | settled own     | withdrawn own   | deleted own
settled   | corrected own   | corrected own   | corrected own   | withdrawn own   | deleted own
withdrawn | published own   | published own   | settled own     | withdrawn own   | deleted own
deleted   | corrected other | corrected other | corrected other | withdrawn other | -
"""
"""Another report, settled, stands for the identity. A deleted one that comes back is a new one, and supersedes it."""


@dataclass(frozen=True)
class Cell:
    """One place in a table, with a report identity of its own."""

    previous: str
    next: str
    number: int

    @property
    def report(self) -> str:
        return f"r{self.number}"

    @property
    def other(self) -> str:
        return f"o{self.number}"


def _cells(table: str) -> dict[Cell, str]:
    _, *rows = (line.split("|") for line in table.strip().splitlines())
    placed = [
        (previous.strip(), stage, said.strip())
        for previous, *says in rows
        for stage, said in zip(NEXT, says, strict=True)
    ]
    return {Cell(previous, stage, number): said for number, (previous, stage, said) in enumerate(placed)}


@dataclass
class _Scene:
    publisher: Publishing
    scores: int = 0

    async def put(self, cell: Cell, id_: str, stage: str) -> None:
        """Write what nobody has written before."""
        self.scores += 1
        period = {"start": f"{1900 + cell.number}-01-01", "end": f"{1900 + cell.number}-12-31"}
        answer = await self.publisher.put(performance(id_, stage, score=self.scores, period=period))
        assert answer.status in {200, 201}, answer.text

    async def delete(self, id_: str) -> Answer:
        answer = await self.publisher.delete(f"/MeasureReport/{id_}")
        assert answer.status == 204, answer.text
        return answer

    async def begin(self, cell: Cell, id_: str) -> None:
        """Bring a report to what the table's row calls it."""
        if cell.previous == "none":
            return
        await self.put(cell, id_, "final" if cell.previous == "deleted" else cell.previous)
        if cell.previous == "deleted":
            await self.delete(id_)

    async def go_on(self, cell: Cell, id_: str) -> None:
        await (self.delete(id_) if cell.next == "deletion" else self.put(cell, id_, cell.next))


async def _same_id(scene: _Scene, cell: Cell) -> None:
    await scene.begin(cell, cell.report)
    await scene.go_on(cell, cell.report)


async def _new_id(scene: _Scene, cell: Cell) -> None:
    await scene.begin(cell, cell.other)
    await scene.go_on(cell, cell.report)


async def _superseded_id(scene: _Scene, cell: Cell) -> None:
    await scene.put(cell, cell.report, "final" if cell.previous == "deleted" else cell.previous)
    await scene.put(cell, cell.other, "settled")
    if cell.previous == "deleted":
        await scene.delete(cell.report)
    await scene.go_on(cell, cell.report)


@pytest.mark.parametrize(
    ("table", "live"),
    [(SAME_ID, _same_id), (NEW_ID, _new_id), (SUPERSEDED_ID, _superseded_id)],
    ids=["the same id", "a new id", "a superseded id"],
)
async def test_every_cell(
    publisher: Publishing, table: str, live: Callable[[_Scene, Cell], Awaitable[None]]
) -> None:
    expected = _cells(table)
    scene = _Scene(publisher)
    for cell in expected:
        await live(scene, cell)
    events = await publisher.emitted()
    assert {cell: _said(cell, events) for cell in expected} == expected


def _said(cell: Cell, events: Sequence[Emitted]) -> str:
    """Return what became of the last thing done in a cell, as its table says it."""
    mine = [each for each in events if each.subject.split("/")[0] in {cell.report, cell.other}]
    acted = [each for each in mine if each.subject.startswith(f"{cell.report}/")]
    last = acted[-1] if acted else None
    deletion = cell.next == "deletion"
    if last is None or (deletion and _is_of_before(cell, last)):
        return "-"
    assert (last.interaction == "delete") == deletion
    if deletion:
        assert last.facets == last.previous  # what is deleted is what it was
    kind = last.type.value.split(".")[-2]
    return f"{kind} {_superseded(last, mine)}"


def _is_of_before(cell: Cell, last: Emitted) -> bool:
    """Tell whether an event was there before the cell's own deletion, which then made none."""
    return cell.previous == "deleted" or last.interaction != "delete"


def _superseded(event: Emitted, mine: Sequence[Emitted]) -> str:
    if event.previous is None:
        return "none"
    before = mine[: mine.index(event)]
    own = [each for each in before if each.subject.split("/")[0] == event.subject.split("/")[0]]
    others = [each for each in before if each not in own]
    return _one_of(event.previous, own=own, other=others)


def _one_of(facets: Facets, **candidates: Sequence[Emitted]) -> str:
    (found,) = (name for name, events in candidates.items() if events and events[-1].facets == facets)
    return found


async def test_a_deleted_generation_does_not_bring_back_what_it_had_superseded(publisher: Publishing) -> None:
    await publisher.put(performance("first", "settled", score=1))
    await publisher.put(performance("second", "settled", score=2))
    await publisher.delete("/MeasureReport/second")
    third = await publisher.put(performance("third", "settled", score=3))
    assert third.status == 201
    events = await publisher.emitted()
    assert [event.type.value.split(".")[-2] for event in events] == [
        "settled",
        "corrected",
        "deleted",
        "settled",
    ]
    assert events[-1].previous is None


async def test_a_write_to_what_was_superseded_stands_again_once_the_other_is_deleted(
    publisher: Publishing,
) -> None:
    await publisher.put(performance("first", "final", score=1))
    await publisher.put(performance("second", "settled", score=2))
    await publisher.delete("/MeasureReport/second")
    await publisher.put(performance("first", "settled", score=3))
    await publisher.put(performance("third", "settled", score=4))
    first, _, _, again, third = await publisher.emitted()
    assert (again.type.value, again.previous) == ("org.vbpr.report.settled.v1", first.facets)
    assert (third.type.value, third.previous) == ("org.vbpr.report.corrected.v1", again.facets)


async def test_deleting_what_was_superseded_changes_nothing_for_what_stands(publisher: Publishing) -> None:
    await publisher.put(performance("first", "final", score=1))
    await publisher.put(performance("second", "settled", score=2))
    await publisher.delete("/MeasureReport/first")
    await publisher.put(performance("second", "settled", score=3))
    _, second, _, corrected = await publisher.emitted()
    assert corrected.previous == second.facets


async def test_year_to_date_reports_under_new_ids_follow_each_other_without_superseding(
    publisher: Publishing,
) -> None:
    for month, score in (("03-31", 1), ("06-30", 2), ("12-31", 3)):
        period = {"start": "2025-01-01", "end": f"2025-{month}"}
        await publisher.put(performance(f"to-{month}", "settled", score=score, period=period))
    events = await publisher.emitted()
    assert [(event.type.value.split(".")[-2], event.previous) for event in events] == [("settled", None)] * 3


async def test_a_year_to_date_report_whose_period_grows_supersedes_itself(publisher: Publishing) -> None:
    for month, score in (("03-31", 1), ("06-30", 2)):
        period = {"start": "2025-01-01", "end": f"2025-{month}"}
        await publisher.put(performance("to-date", "settled", score=score, period=period))
    first, second = await publisher.emitted()
    assert (second.type.value, second.previous) == ("org.vbpr.report.corrected.v1", first.facets)
    await publisher.delete("/MeasureReport/to-date")
    await publisher.put(performance("new", period={"start": "2025-01-01", "end": "2025-06-30"}))
    assert (await publisher.emitted())[-1].previous is None


async def test_a_quality_report_that_its_parent_lists_no_more_still_belongs_to_it(
    publisher: Publishing,
) -> None:
    await publisher.put(performance(lists=["eyes"], score=1))
    await publisher.put(performance(score=2))
    late = await publisher.put(quality())
    assert late.status == 201
    last = (await publisher.emitted())[-1]
    assert (last.subject, last.facets["parent"], last.previous) == ("eyes/1", ["MeasureReport/report"], None)


async def test_the_same_content_again_makes_no_event_in_any_way_of_sending_it(publisher: Publishing) -> None:
    sent = performance()
    await publisher.put(sent)
    before = await publisher.counts()
    await publisher.put(sent)
    await publisher.post(sent)
    await publisher.send("PUT", "/MeasureReport?_id=report", sent)
    await publisher.patch("/MeasureReport/report", {"op": "test", "path": "/status", "value": "complete"})
    await publisher.send("POST", "", bundle("transaction", put_entry(sent)))
    assert await publisher.counts() == before


A = Principal("payer-a", "payer", frozenset({"Organization/payer"}))
B = Principal("payer-b", "payer", frozenset({"Organization/other-provider"}))


@pytest.mark.parametrize(
    ("resource", "status"),
    [
        (performance("one", score=9, reporter={"reference": "Organization/other-provider"}), 403),  # A's id
        (
            performance("two", score=9, reporter={"reference": "Organization/other-provider"}),
            422,
        ),  # A's contract
        (contract("a", id="b"), 409),  # A's contract's url
        (contract("a"), 403),  # A's Measure
    ],
    ids=["the same id", "the same contract", "the same contract url", "the same Measure"],
)
async def test_two_payers_are_never_mixed(publisher: Publishing, resource: Resource, status: int) -> None:
    await _by(publisher, A, contract("a"))
    await _by(publisher, A, performance("one", measure=contract_url("a")))
    before = await publisher.counts()
    theirs = {**resource, "measure": contract_url("a")} if "measure" in resource else resource
    with pytest.raises(FhirError) as refused:
        await _by(publisher, B, theirs)
    assert refused.value.status == status
    with pytest.raises(FhirError) as kept:
        await _by(publisher, B, {"resourceType": "MeasureReport", "id": "one"}, deletes=True)
    assert kept.value.status == 403
    assert await publisher.counts() == before


async def _by(
    publisher: Publishing, principal: Principal, resource: Resource, *, deletes: bool = False
) -> None:
    kind = resource["resourceType"]
    text = b"" if deletes else json.dumps(resource).encode()
    what = None if deletes or kind != "MeasureReport" else Kind.PERFORMANCE
    write = Write(
        kind, resource["id"], creates=False, text=text, resource=resource, deletes=deletes, kind=what
    )
    await publisher.publisher.server.writer.write([write], principal)
