"""Who wants the latest only is spared what was superseded while its endpoint was down, and told how much that was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp import web

from schemas.event import ReportEvent
from services.notifier.render.queries import events_history
from services.notifier.subscriptions.kept import kept_events, standing
from services.notifier.watch.insights import deliveries, subscriptions
from services.notifier.watch.insights.deliveries import Wanted
from services.notifier.watch.insights.views import DeliveryState
from services.notifier.watch.recovery import wanted as recovery
from tests.notification import check_notification, parameters_of
from tests.notifier_store import BASE, event
from tests.receiver import Received
from tests.watching import Watched, watched

SKIPPED = "https://vbpr-subscriptions.org/fhir/StructureDefinition/skipped-events"


@pytest.fixture
async def rows(database_urls: tuple[str, str]) -> AsyncIterator[Watched]:
    async with watched(database_urls[1]) as opened:
        yield opened


class Published:
    """Versions of reports, as a publisher would make them known."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, report: str, version: int, *, instead_of: str | None = None) -> ReportEvent:
        self.count += 1
        made = event(self.count)
        former = instead_of or (report if version > 1 else None)
        return replace(
            made,
            subject=f"MeasureReport/{report}/_history/{version}",
            body=b'{"resourceType":"MeasureReport","id":"%s"}' % report.encode(),
            previous_facets=None if former is None else {"_id": [f"|{former}"]},
        )


def numbers(rows: Watched) -> list[str]:
    return [got.webhook_id.partition("_")[2] for got in rows.receiver.events()]


def skipped(got: Received) -> list[int]:
    events = parameters_of(got.json)["notification-event"]
    return [
        extension["valueUnsignedInt"]
        for each in events
        for extension in each.get("extension", ())
        if extension["url"] == SKIPPED
    ]


async def down_for_a_while(rows: Watched, *, latest_only: bool) -> str:
    """Return a lane whose endpoint took nothing while five versions of three reports came."""
    published = Published()
    rows.receiver.answer = lambda got: web.Response(status=200 if b'"handshake"' in got.body else 503)
    lane = await rows.subscribe(topic=True, max_count=3, content="id-only", latest_only=latest_only)
    await rows.take_in((published("a", 1), (lane,)))
    await rows.turns()  # fixed, and not taken
    for each in (
        published("a", 2),
        published("b", 1),
        published("a", 3),
        published("c", 1, instead_of="b"),
        published("d", 1),
    ):
        await rows.take_in((each, (lane,)))
    return lane


async def test_superseded_versions_are_skipped_and_the_notification_says_how_many(rows: Watched) -> None:
    lane = await down_for_a_while(rows, latest_only=True)
    rows.receiver.statuses()
    await rows.again(lane)
    await rows.all_turns()
    assert numbers(rows) == ["1-1", "1-1", "4-6"], "what was fixed stays, however old it is by now"
    *_, last = rows.receiver.events()
    assert last.numbers == [4, 5, 6]
    assert skipped(last) == [2]
    foci = [part["valueReference"]["reference"] for part in focus(last)]
    assert foci == [f"{BASE}/MeasureReport/{report}" for report in "acd"]


def focus(got: Received) -> list[dict[str, dict[str, str]]]:
    events = parameters_of(got.json)["notification-event"]
    return [part for each in events for part in each["part"] if part["name"] == "focus"]


async def test_a_batch_once_fixed_says_the_same_whatever_comes_meanwhile(rows: Watched) -> None:
    lane = await down_for_a_while(rows, latest_only=True)
    rows.receiver.statuses(200, 503)
    await rows.again(lane)
    await rows.turns()  # number 1 is taken, 4 to 6 are fixed and are not
    late = replace(event(99), subject="MeasureReport/d/_history/2", previous_facets={"_id": ["|d"]})
    await rows.take_in((late, (lane,)))
    await rows.again(lane)
    await rows.all_turns()
    assert numbers(rows) == ["1-1", "1-1", "4-6", "4-6", "7-7"]
    first, second = rows.receiver.events()[2:4]
    assert parameters_of(first.json) == parameters_of(second.json)
    assert (skipped(first), skipped(second)) == ([2], [2])
    assert skipped(rows.receiver.events()[-1]) == []


async def test_who_did_not_ask_for_it_is_told_of_every_version(rows: Watched) -> None:
    lane = await down_for_a_while(rows, latest_only=False)
    rows.receiver.statuses()
    await rows.again(lane)
    await rows.all_turns()
    assert numbers(rows) == ["1-1", "1-1", "2-4", "5-6"]


async def test_what_was_skipped_is_shown_with_its_reason_and_is_not_called_lost(rows: Watched) -> None:
    lane = await down_for_a_while(rows, latest_only=True)
    rows.receiver.statuses()
    await rows.again(lane)
    await rows.all_turns()
    view = await subscriptions.subscription(rows.database, lane)
    assert view is not None
    assert (view.events, view.delivered, view.skipped, view.given_up, view.owed) == (6, 4, 2, 0, 0)
    totals = (await subscriptions.overview(rows.database, rows.clock)).totals
    assert (totals.delivered, totals.skipped, totals.given_up) == (4, 2, 0)
    passed = await deliveries.deliveries(rows.database, Wanted(state=DeliveryState.SKIPPED, order="lane"))
    assert [(each.number, each.tries) for each in passed] == [(2, 0), (3, 0)]
    assert [each.last_failure for each in passed] == [
        f"skipped: number {by} tells of a later version, and the latest alone is wanted" for by in (4, 5)
    ]
    assert await deliveries.deliveries(rows.database, Wanted(state=DeliveryState.GIVEN_UP)) == []
    lost = await recovery.find(rows.database, recovery.Wanted(subscription=lane, state="given_up"))
    assert lost.count == 0
    chosen = await recovery.find(rows.database, recovery.Wanted(subscription=lane, first=2, last=3))
    assert chosen.count == 2, "whoever names the numbers can have them"


async def test_events_has_what_was_skipped_and_says_so(rows: Watched) -> None:
    lane = await down_for_a_while(rows, latest_only=True)
    rows.receiver.statuses()
    await rows.again(lane)
    await rows.all_turns()
    async with rows.database.read() as connection:
        found = await standing(connection, lane)
        kept = await kept_events(connection, found, 1, 5)
    assert [each.number for each in kept.owed] == [1, 2, 3, 4, 5]
    assert [said for said in kept.remarks if "skipped" in said] == [
        "events 2 to 3 were skipped: later versions were told of instead (latest-only)"
    ]
    history = events_history(
        found, kept.owed, content=None, remarks=kept.remarks, base=BASE, now=rows.clock.now()
    )
    assert check_notification(history) == []


async def test_a_batch_of_the_latest_that_is_refused_is_split_and_its_halves_say_the_same(
    rows: Watched,
) -> None:
    lane = await down_for_a_while(rows, latest_only=True)
    rows.receiver.answer = lambda got: web.Response(status=422 if len(got.numbers) > 1 else 200)
    await rows.again(lane)
    for _ in range(6):
        await rows.again(lane)
    await rows.all_turns()
    told = {each.webhook_id.partition("_")[2]: skipped(each) for each in rows.receiver.events()}
    assert told == {"1-1": [], "4-6": [2], "4-5": [2], "4-4": [2], "5-5": [], "6-6": []}
