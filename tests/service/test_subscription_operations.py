"""`$status`, `$events` and `$resend`: what is told, under which numbers, and what is said of what is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from aiohttp import web

from services.notifier import tables as t
from tests.conditions import eventually
from tests.notification import check_notification, check_status_searchset, parameters_of
from tests.notifying import Notifying, classic, notifying, topical
from tests.receiver import Receiver

QUICK: dict[str, Any] = {"retry_schedule": (0.05,), "handshake_schedule": (0.02, 0.02, 0.02)}


@pytest.fixture
async def running(database_urls: tuple[str, str]) -> AsyncIterator[Notifying]:
    async with notifying(*database_urls, **QUICK) as notifier:
        yield notifier


async def ask(running: Notifying, path: str, body: Any = None, status: int = 200) -> Any:
    assert running.client is not None
    method = "GET" if body is None else "POST"
    async with running.client.request(method, f"/fhir/Subscription{path}", json=body) as answer:
        found = await answer.json()
        assert answer.status == status, found
        return found


async def became(running: Notifying, subscription: dict[str, Any], status: str) -> None:
    async def reached() -> bool:
        return bool((await running.get(str(subscription["id"])))["status"] == status)

    await eventually(reached, what=f"status {status}")


async def told(running: Notifying, receiver: Receiver, *contracts: str, **options: Any) -> dict[str, Any]:
    """Return an active topic Subscription that was told of a report of each contract."""
    made = await running.subscribe(topical(receiver.url, **options))
    await became(running, made, "active")
    await running.publish(*contracts)
    await eventually(lambda: sum(len(got.numbers) for got in receiver.events()) == len(contracts))

    async def recorded() -> bool:
        lane = sa.select(t.lane.c.next_number).where(t.lane.c.subscription_id == made["id"])
        async with running.database.read() as connection:
            return bool((await connection.execute(lane)).scalar_one() > len(contracts))

    await eventually(recorded, what="the record of every delivery")
    await became(running, made, "active")
    return made


def numbers(bundle: Any) -> list[int]:
    return [
        int(part["valueString"])
        for each in parameters_of(bundle)["notification-event"]
        for part in each["part"]
        if part["name"] == "event-number"
    ]


@pytest.mark.requirement("R-140", "R-142", "R-143", "R-144", "R-090", "R-091", "R-094", "R-002")
async def test_status_of_one_says_where_it_stands_and_counts_no_event_for_it(
    running: Notifying, receiver: Receiver
) -> None:
    made = await told(running, receiver, "c1", "c1")
    for _ in range(2):
        found = await ask(running, f"/{made['id']}/$status?id=other&status=off")
        check_status_searchset(found)
        (entry,) = found["entry"]
        parameters = {each["name"]: each for each in entry["resource"]["parameter"]}
        assert parameters["events-since-subscription-start"]["valueString"] == "2"
        assert parameters["status"]["valueCode"] == "active"
        assert parameters["subscription"]["valueReference"]["reference"].endswith(
            f"/Subscription/{made['id']}"
        )
        assert "notification-event" not in parameters


@pytest.mark.requirement("R-141", "R-145", "R-146")
async def test_status_of_the_type_is_asked_by_ids_and_statuses(running: Notifying) -> None:
    one = await running.subscribe(classic("http://127.0.0.1:9/a"))
    two = await running.subscribe({**classic("http://127.0.0.1:9/b"), "status": "off"})

    def said(bundle: Any) -> set[str]:
        check_status_searchset(bundle)
        return {
            each["resource"]["parameter"][0]["valueReference"]["reference"].rpartition("/")[2]
            for each in bundle.get("entry", [])
        }

    assert said(await ask(running, "/$status")) == {one["id"], two["id"]}
    assert said(await ask(running, f"/$status?id={one['id']}&id=nobody")) == {one["id"]}
    assert said(await ask(running, f"/$status?id={one['id']},{two['id']}&status=off")) == {two["id"]}
    assert said(await ask(running, "/$status?status=error")) == set()
    posted = [{"name": "id", "valueString": two["id"]}, {"name": "status", "valueCode": "off"}]
    found = await ask(running, "/$status", {"resourceType": "Parameters", "parameter": posted})
    assert said(found) == {two["id"]}
    await ask(running, "/$status?status=sleeping", status=400)
    await ask(running, "/nobody/$status", status=404)


async def test_status_of_the_type_is_bounded_and_says_so(running: Notifying) -> None:
    made = await running.subscribe(classic("http://127.0.0.1:9/a"))
    async with running.database.write() as connection:
        for table, key in (
            (t.subscription, "id"),
            (t.counter, "subscription_id"),
            (t.lane, "subscription_id"),
        ):
            of = sa.select(table).where(table.c[key] == made["id"])
            row = (await connection.execute(of)).one()._mapping
            copies = [{**row, key: f"zz-{number:04}"} for number in range(1000)]
            await connection.execute(sa.insert(table), copies)
    found = await ask(running, "/$status")
    assert "total" not in found
    *told, outcome = found["entry"]
    assert len(told) == 1000
    assert outcome["search"] == {"mode": "outcome"}
    assert "more Subscriptions than these 1000" in outcome["resource"]["issue"][0]["diagnostics"]
    last = await ask(running, f"/$status?id=zz-0999,{made['id']}")
    check_status_searchset(last)
    assert last["total"] == 2
    many = ",".join(f"zz-{number:04}" for number in range(1001))
    asked = {"resourceType": "Parameters", "parameter": [{"name": "id", "valueString": many}]}
    refused = await ask(running, "/$status", asked, status=400)
    assert "1001 ids are given; expected at most 1000" in refused["issue"][0]["diagnostics"]


@pytest.mark.requirement("R-074", "R-124", "R-127", "R-113", "R-110")
async def test_status_in_error_still_answers_counts_on_and_says_why(
    running: Notifying, receiver: Receiver
) -> None:
    made = await running.subscribe(topical(receiver.url))
    await became(running, made, "active")
    receiver.answer = lambda _got: web.Response(status=503)
    await running.publish("c1")
    await became(running, made, "error")
    await running.publish("c1")

    async def counted() -> bool:
        found = await ask(running, f"/{made['id']}/$status")
        return bool(parameters_of(found)["events-since-subscription-start"][0]["valueString"] == "2")

    await eventually(counted)
    found = parameters_of(await ask(running, f"/{made['id']}/$status"))
    assert found["status"][0]["valueCode"] == "error"
    (error,) = found["error"]
    assert error["valueCodeableConcept"]["coding"][0]["code"] == "error-response"
    assert "503" in error["valueCodeableConcept"]["text"]


@pytest.mark.requirement("R-150", "R-151", "R-152", "R-153", "R-126")
async def test_events_come_under_their_numbers_within_the_bounds(
    running: Notifying, receiver: Receiver
) -> None:
    made = await told(running, receiver, "c1", "c1", "c1", max_count=1)
    path = f"/{made['id']}/$events"
    for query, expected in [
        ("", [1, 2, 3]),
        ("?eventsSinceNumber=2", [2, 3]),
        ("?eventsUntilNumber=2", [1, 2]),
        ("?eventsSinceNumber=2&eventsUntilNumber=2", [2]),
    ]:
        found = await ask(running, path + query)
        assert check_notification(found, made) == []
        assert numbers(found) == expected
        parameters = parameters_of(found)
        assert parameters["type"][0]["valueCode"] == "query-event"
        assert parameters["events-since-subscription-start"][0]["valueString"] == "3"
        assert "error" not in parameters
        assert len(found["entry"]) == 1 + len(expected)
    nothing = await ask(running, path + "?eventsSinceNumber=4")
    assert "notification-event" not in parameters_of(nothing)
    posted = {"resourceType": "Parameters", "parameter": [{"name": "eventsSinceNumber", "valueString": "3"}]}
    assert numbers(await ask(running, path, posted)) == [3]
    for wrong in ("?eventsSinceNumber=x", "?eventsSinceNumber=3&eventsUntilNumber=2", "?content=all"):
        await ask(running, path + wrong, status=400)


@pytest.mark.requirement("R-154")
@pytest.mark.parametrize(
    ("level", "asked", "got"),
    [
        ("id-only", "full-resource", "id-only"),
        ("full-resource", "empty", "empty"),
        ("empty", "id-only", "empty"),
    ],
)
async def test_events_never_tell_more_than_the_subscription_s_own_level(
    running: Notifying, receiver: Receiver, level: str, asked: str, got: str
) -> None:
    made = await told(running, receiver, "c1", content=level)
    found = await ask(running, f"/{made['id']}/$events?content={asked}")
    (event,) = parameters_of(found)["notification-event"]
    assert ("focus" in {part["name"] for part in event["part"]}) is (got != "empty")
    assert len(found["entry"]) == (2 if got == "full-resource" else 1)


@pytest.mark.requirement("R-153")
async def test_numbers_that_retention_removed_are_named(running: Notifying, receiver: Receiver) -> None:
    made = await told(running, receiver, *["c1"] * 4)
    async with running.database.write() as connection:
        await connection.execute(sa.delete(t.notification).where(t.notification.c.number.in_([1, 2])))
    found = await ask(running, f"/{made['id']}/$events")
    assert numbers(found) == [3, 4]
    (error,) = parameters_of(found)["error"]
    assert error["valueCodeableConcept"]["text"] == "events 1 to 2 are no longer kept"
    said = await ask(running, f"/{made['id']}/$resend", {"resourceType": "Parameters"})
    assert [(each["severity"], each["diagnostics"].split(";")[0]) for each in said["issue"]] == [
        ("information", "numbers 3 to 4 will be sent again"),
        ("warning", "2 of the numbers asked for are no longer kept"),
    ]


@pytest.mark.requirement("R-156", "R-114")
async def test_what_is_asked_for_again_comes_again_under_its_number(
    running: Notifying, receiver: Receiver
) -> None:
    made = await told(running, receiver, "c1", "c1", "c1")
    receiver.got.clear()
    asked = [
        {"name": "eventsSinceNumber", "valueString": "2"},
        {"name": "eventsUntilNumber", "valueString": "3"},
    ]
    found = await ask(running, f"/{made['id']}/$resend", {"resourceType": "Parameters", "parameter": asked})
    assert found["resourceType"] == "OperationOutcome"
    assert found["issue"][0]["diagnostics"] == "numbers 2 to 3 will be sent again"
    await eventually(lambda: [got.numbers for got in receiver.got] == [[2], [3]])
    status = parameters_of(await ask(running, f"/{made['id']}/$status"))
    assert status["events-since-subscription-start"][0]["valueString"] == "3"
    later = [{"name": "eventsSinceInstant", "valueInstant": "2999-01-01T00:00:00Z"}]
    nothing = await ask(running, f"/{made['id']}/$resend", {"resourceType": "Parameters", "parameter": later})
    assert nothing["issue"][0]["diagnostics"] == "there is nothing to send again"


async def test_nothing_is_sent_again_to_a_subscription_that_is_off(running: Notifying) -> None:
    made = await running.subscribe({**classic("http://127.0.0.1:9/b"), "status": "off"})
    await ask(running, f"/{made['id']}/$resend", {"resourceType": "Parameters"}, status=409)


async def test_a_misspelt_input_is_refused_by_name_rather_than_passed_over(running: Notifying) -> None:
    made = await running.subscribe(classic("http://127.0.0.1:9/b"))
    misspelt = {"resourceType": "Parameters", "parameter": [{"name": "eventSinceNumber", "valueString": "3"}]}
    for path, body in [
        ("/$status?ids=x", None),
        (f"/{made['id']}/$status?ids=x", None),
        (f"/{made['id']}/$events?eventsSince=3", None),
        (f"/{made['id']}/$events", misspelt),
        (f"/{made['id']}/$resend", misspelt),
        (f"/{made['id']}/$preview?sicne=2026", None),
        (f"/{made['id']}/$explain?raport=MeasureReport/x", None),
    ]:
        found = await ask(running, path, body, status=400)
        assert "; expected" in found["issue"][0]["diagnostics"]


@pytest.mark.requirement("R-156")
async def test_a_day_is_asked_for_again_whole_and_nothing_is_promised_that_is_not_owed(
    running: Notifying, receiver: Receiver
) -> None:
    made = await told(running, receiver, "c1")
    events = await ask(running, f"/{made['id']}/$events")
    (event,) = parameters_of(events)["notification-event"]
    (at,) = (part["valueInstant"] for part in event["part"] if part["name"] == "timestamp")
    for bound in (at, at[:10]):
        asked = [{"name": f"events{which}Instant", "valueString": bound} for which in ("Since", "Until")]
        found = await ask(
            running, f"/{made['id']}/$resend", {"resourceType": "Parameters", "parameter": asked}
        )
        assert [issue["diagnostics"] for issue in found["issue"]] == ["number 1 will be sent again"]
