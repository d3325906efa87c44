"""Which event each version makes: its type, what it supersedes, its place among the others."""

from __future__ import annotations

import itertools

from schemas.event import EventType
from tests.publishing import Publishing, performance, quality, subject

P, S, C, W = EventType.PUBLISHED, EventType.SETTLED, EventType.CORRECTED, EventType.WITHDRAWN


async def _types(publisher: Publishing) -> list[tuple[EventType, str]]:
    return [(event.type, event.subject) for event in await publisher.emitted()]


async def test_the_life_of_a_report(publisher: Publishing) -> None:
    for stage, score in (("interim", 1), ("final", 2), ("settled", 3), ("settled", 4), ("withdrawn", 4)):
        answer = await publisher.put(
            performance(stage=stage, score=score, status="error" if stage == "withdrawn" else "complete")
        )
        assert answer.status in {200, 201}, answer.text
    assert await _types(publisher) == [
        (P, "report/1"),
        (P, "report/2"),
        (S, "report/3"),
        (C, "report/4"),
        (W, "report/5"),
    ]
    events = await publisher.emitted()
    assert [event.interaction for event in events] == ["create", *["update"] * 4]
    assert events[0].previous is None
    for earlier, later in itertools.pairwise(events):
        assert later.previous == earlier.facets
    assert len({event.id for event in events}) == 5


async def test_a_report_under_a_new_id_supersedes_the_one_of_the_same_identity(publisher: Publishing) -> None:
    await publisher.put(performance("first", "settled"))
    await publisher.put(performance("second", "settled", score=4))
    first, second = await publisher.emitted()
    assert (second.type, second.interaction) == (C, "create")
    assert second.previous == first.facets


async def test_a_write_to_a_superseded_id_is_compared_with_its_own_former_version(
    publisher: Publishing,
) -> None:
    await publisher.put(performance("first", "final", score=1))
    await publisher.put(performance("second", "settled", score=2))
    await publisher.put(performance("first", "final", score=3))
    await publisher.put(performance("second", "settled", score=4))
    events = await publisher.emitted()
    assert [event.type for event in events] == [P, S, P, C]
    assert events[2].previous == events[0].facets
    assert events[3].previous == events[1].facets


async def test_another_period_or_provider_is_another_report(publisher: Publishing) -> None:
    await publisher.put(performance("year", "settled"))
    await publisher.put(performance("half", "settled", period={"start": "2025-01-01", "end": "2025-06-30"}))
    await publisher.put(performance("theirs", "settled", subject=subject("Organization/other-provider")))
    events = await publisher.emitted()
    assert [event.type for event in events] == [S, S, S]
    assert [event.previous for event in events] == [None, None, None]


async def test_a_report_that_moves_to_another_period_leaves_its_old_identity(publisher: Publishing) -> None:
    await publisher.put(performance("report", "settled"))
    await publisher.put(performance("report", "settled", period={"start": "2025-01-01", "end": "2025-11-30"}))
    await publisher.put(performance("new", "settled"))
    assert [event.type for event in await publisher.emitted()] == [S, C, S]


async def test_a_waiting_quality_report_follows_its_parent_with_every_version(publisher: Publishing) -> None:
    await publisher.put(quality(stage="settled", score=0.1))
    await publisher.put(quality(stage="settled", score=0.2))
    assert await publisher.emitted() == []
    await publisher.put(performance(lists=["eyes", "not-yet"]))
    assert await _types(publisher) == [(P, "report/1"), (S, "eyes/1"), (C, "eyes/2")]
    parent, first, second = await publisher.emitted()
    assert first.contract == second.contract == parent.contract
    assert first.facets["provider"] == ["Organization/provider"]
    assert second.previous == first.facets
    await publisher.put(quality("not-yet"))
    assert (await publisher.emitted())[-1].subject == "not-yet/1"


async def test_a_released_report_is_found_by_its_contract(publisher: Publishing) -> None:
    await publisher.put(quality())
    assert await publisher.ids("kind=quality&contract:missing=true") == ["eyes"]
    await publisher.put(performance(lists=["eyes"]))
    assert await publisher.ids("kind=quality&contract=https://payer.example/Measure/one") == ["eyes"]
    assert await publisher.ids("contract:missing=true") == []


async def test_the_parent_is_the_first_report_that_listed_it(publisher: Publishing) -> None:
    await publisher.put(
        performance("q1", lists=["eyes"], period={"start": "2025-01-01", "end": "2025-03-31"})
    )
    await publisher.put(
        performance("q2", lists=["eyes"], period={"start": "2025-01-01", "end": "2025-06-30"})
    )
    await publisher.put(performance("q1", score=4, period={"start": "2025-01-01", "end": "2025-03-31"}))
    await publisher.put(quality())
    assert (await publisher.emitted())[-1].facets["parent"] == ["MeasureReport/q1"]


async def test_a_report_cannot_list_the_quality_report_of_another_provider(publisher: Publishing) -> None:
    await publisher.put(performance(lists=["eyes"]))
    before = await publisher.counts()
    refused = await publisher.put(
        performance("theirs", lists=["eyes"], subject=subject("Organization/other-provider"))
    )
    assert refused.status == 422
    assert refused.issues[0][2] == "MeasureReport.evaluatedResource[0]"
    assert await publisher.counts() == before


async def test_a_report_cannot_list_what_another_payer_reported(publisher: Publishing) -> None:
    await publisher.put(quality(reporter={"reference": "Organization/other-provider"}))
    refused = await publisher.put(performance(lists=["eyes"]))
    assert refused.status == 422
    assert refused.issues[0][2] == "MeasureReport.evaluatedResource[0]"
    assert await publisher.emitted() == []


async def test_the_trace_of_the_request_goes_with_the_event(publisher: Publishing) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await publisher.put(performance(), traceparent=trace)
    await publisher.put(performance(score=4), traceparent="nonsense")
    async with publisher.database.read() as tx:
        rows = await tx.exec_driver_sql("SELECT traceparent FROM outbox ORDER BY number")
        assert [row.traceparent for row in rows] == [trace, None]
