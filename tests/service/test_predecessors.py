"""What came before an event in its series: of the kept events, and of the batch it came with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from schemas.event import EventType, ReportEvent
from services.event_log import Record
from services.notifier.consume.predecessors import predecessors
from services.notifier.enqueue.enqueue import Matched, enqueue
from tests.notifier_store import LOG, NotifierStore, event, notifier_store


@pytest.fixture
async def store(database_urls: tuple[str, str]) -> AsyncIterator[NotifierStore]:
    async with notifier_store(database_urls[1]) as opened:
        yield opened


def report(number: int, score: str, of: str = "p1", **changed: Any) -> ReportEvent:
    facets: dict[str, Any] = {
        "contract": ["http://x/C1"],
        "provider": [f"Organization/{of}"],
        "measure": ["http://x/C1"],
        "period": [["2026-01-01T00:00:00.000Z", f"2026-{number + 1:02}-01T00:00:00.000Z"]],
        "metric-score": [["|star", score, ""]],
    }
    return replace(event(number), facets=facets, **changed)


async def kept(store: NotifierStore, *events: ReportEvent) -> None:
    position = store.at.get(0) or 0
    batch = [Matched(Record(0, position + place, each), ()) for place, each in enumerate(events)]
    store.at |= (await enqueue(store.database, store.clock, LOG, store.at, batch)).positions


async def scores(store: NotifierStore, *events: ReportEvent) -> dict[int, str]:
    """Return the score of the predecessor by the number of the event."""
    async with store.database.read() as connection:
        found = await predecessors(connection, events)
    return {
        int(each.id[-12:]): str(found[each.id]["metric-score"][0][1]) for each in events if each.id in found
    }


async def test_it_is_the_latest_kept_report_of_the_series(store: NotifierStore) -> None:
    await kept(store, report(1, "4"), report(2, "3"), report(3, "9", of="p2"))
    assert await scores(store, report(4, "2"), report(5, "8", of="p3")) == {4: "3"}


async def test_it_may_have_come_in_the_same_batch(store: NotifierStore) -> None:
    await kept(store, report(1, "4"))
    assert await scores(store, report(2, "3"), report(3, "2"), report(4, "1", of="p2")) == {2: "4", 3: "3"}


async def test_what_supersedes_a_report_has_no_need_of_one_and_is_one_itself(store: NotifierStore) -> None:
    superseding = replace(report(2, "3"), previous_facets=report(1, "4").facets)
    assert await scores(store, superseding, report(3, "2")) == {3: "3"}


async def test_a_copy_that_comes_again_is_nobody_s_predecessor(store: NotifierStore) -> None:
    await kept(store, report(1, "4"), report(2, "3"))
    assert await scores(store, report(1, "4"), report(3, "2")) == {3: "3"}


@pytest.mark.parametrize("kind", [EventType.WITHDRAWN, EventType.DELETED])
async def test_a_report_that_went_away_is_none_to_compare_with(store: NotifierStore, kind: EventType) -> None:
    await kept(store, report(1, "4"), report(2, "3", type=kind))
    assert await scores(store, report(3, "2")) == {3: "4"}
    assert await scores(store, report(4, "2", type=kind), report(5, "1")) == {4: "4", 5: "4"}
