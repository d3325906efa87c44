"""What a subscriber sees: who is told what, in which order, and what happens when its endpoint fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from aiohttp import web

from services.notifier import tables as t
from tests.conditions import eventually
from tests.notifying import Notifying, classic, contract, notifying, topical
from tests.receiver import Received, Receiver, receiving

QUICK: dict[str, Any] = {"retry_schedule": (0.05, 0.05, 0.1), "handshake_schedule": (0.02, 0.02, 0.02)}


@pytest.fixture
async def running(database_urls: tuple[str, str]) -> AsyncIterator[Notifying]:
    async with notifying(*database_urls, **QUICK) as notifier:
        yield notifier


async def taken_in(running: Notifying, count: int) -> bool:
    async with running.database.read() as connection:
        return bool(await connection.scalar(sa.select(sa.func.count()).select_from(t.event)) == count)


async def became(running: Notifying, subscription: dict[str, object], status: str) -> dict[str, object]:
    async def reached() -> dict[str, object] | None:
        found = await running.get(str(subscription["id"]))
        return found if found["status"] == status else None

    found = await eventually(reached, what=f"status {status}")
    assert found is not None
    return found


async def test_a_classic_subscription_gets_the_stored_bytes_put_under_its_endpoint(
    running: Notifying, receiver: Receiver
) -> None:
    made = await running.subscribe(classic(receiver.url))
    assert made["status"] == "active"
    (event,) = await running.publish("c1")
    (got,) = await eventually(lambda: receiver.got)
    assert (got.method, got.path) == ("PUT", f"/hook/MeasureReport/{event.report_id}")
    assert got.body == event.body
    assert got.headers["Content-Type"] == "application/fhir+json"
    assert got.webhook_id == f"{made['id']}_1-1"
    assert got.headers["webhook-timestamp"].isdigit()


async def test_without_payload_it_is_told_by_an_empty_post(running: Notifying, receiver: Receiver) -> None:
    await running.subscribe(classic(receiver.url, payload=False))
    await running.publish("c1")
    (got,) = await eventually(lambda: receiver.got)
    assert (got.method, got.path, got.body) == ("POST", "/hook", b"")


@pytest.mark.requirement("R-024", "R-115")
async def test_only_what_matches_is_told(running: Notifying, receiver: Receiver) -> None:
    await running.subscribe(classic(receiver.url))
    events = await running.publish("other", "c1", "other", "c1")
    await eventually(lambda: len(receiver.got) == 2)
    assert [got.body for got in receiver.got] == [events[1].body, events[3].body]


@pytest.mark.requirement(
    "R-003",
    "R-033",
    "R-070",
    "R-071",
    "R-130",
    "R-133",
    "R-110",
    "R-111",
    "R-112",
    "R-050",
    "R-190",
    "R-025",
    "R-116",
)
async def test_a_topic_subscription_is_greeted_first_and_then_told_in_order(
    running: Notifying, receiver: Receiver
) -> None:
    made = await running.subscribe(topical(receiver.url, f"contract={contract('c1')}"))
    assert made["status"] == "requested"
    await running.publish(*["c1"] * 7)
    await eventually(lambda: sum(len(got.numbers) for got in receiver.got) == 7)
    handshake, *events = receiver.got
    assert handshake.kind == "handshake"
    assert handshake.parameter("status", "valueCode") == "requested"
    assert handshake.parameter("events-since-subscription-start", "valueString") == "0"
    assert {got.kind for got in events} == {"event-notification"}
    assert [number for got in events for number in got.numbers] == list(range(1, 8))
    assert all(got.headers["Authorization"] == "Bearer s3cret" for got in receiver.got)
    await became(running, made, "active")


@pytest.mark.requirement("R-097", "R-131", "R-132")
async def test_handshake_and_events_carry_every_header_and_the_payload_s_own_words(
    running: Notifying, receiver: Receiver
) -> None:
    sent = topical(receiver.url)
    sent["channel"] |= {
        "payload": "application/fhir+json; fhirVersion=4.0",
        "header": ["Authorization: Bearer s3cret", "X-Site:  north: 2 ", "X-Empty:"],
    }
    await running.subscribe(sent)
    await running.publish("c1")
    await eventually(lambda: [got.kind for got in receiver.got] == ["handshake", "event-notification"])
    for got in receiver.got:
        assert got.headers["Content-Type"] == "application/fhir+json; fhirVersion=4.0"
        assert (got.headers["Authorization"], got.headers["X-Site"]) == ("Bearer s3cret", "north: 2")
        assert got.headers["X-Empty"] == ""


def counted(receiver: Receiver) -> list[str]:
    """Return what each handshake says of events so far."""
    return [
        str(got.parameter("events-since-subscription-start", "valueString"))
        for got in receiver.got
        if got.kind == "handshake"
    ]


@pytest.mark.requirement("R-093", "R-110")
@pytest.mark.parametrize("delivered", [0, 1])
async def test_a_handshake_after_an_error_counts_all_that_was_generated_and_the_first_none(
    running: Notifying, receiver: Receiver, delivered: int
) -> None:
    receiver.statuses(500, 200, *[200] * delivered, 500, 500, 500, 500)
    sent = topical(receiver.url, max_count=1)
    made = await running.subscribe(sent)
    await running.publish("c1")
    await eventually(lambda: len(receiver.events()) >= 1)
    assert counted(receiver) == ["0", "0"], "one event came in while it was requested"
    await running.publish(*["c1"] * 4)
    await became(running, made, "error")
    before = len(receiver.events())
    await running.replace(made["id"], sent)
    await eventually(
        lambda: (
            [n for got in receiver.events()[before:] for n in got.numbers] == list(range(1 + delivered, 6))
        )
    )
    assert counted(receiver) == ["0", "0", "5"]


@pytest.mark.requirement("R-072", "R-076", "R-098")
async def test_a_handshake_that_is_refused_makes_it_an_error_and_the_client_may_ask_again(
    running: Notifying, receiver: Receiver
) -> None:
    receiver.statuses(500, 500, 500, 500)
    sent = topical(receiver.url)
    made = await running.subscribe(sent)
    await running.publish("c1", "c1")
    found = await became(running, made, "error")
    assert found["error"] == "answered 500"
    assert [got.kind for got in receiver.got] == ["handshake"] * 4
    assert counted(receiver) == ["0"] * 4
    await running.replace(made["id"], sent)
    await eventually(lambda: [n for got in receiver.got for n in got.numbers] == [1, 2])
    await became(running, made, "active")


@pytest.mark.requirement("R-116", "R-123", "R-114", "R-122")
async def test_an_endpoint_that_fails_gets_everything_later_in_order_under_the_same_ids(
    running: Notifying, receiver: Receiver
) -> None:
    receiver.statuses(500, 503)
    made = await running.subscribe(classic(receiver.url))
    events = await running.publish("c1", "c1", "c1")
    await eventually(lambda: len(receiver.got) == 5)
    ids = [got.webhook_id for got in receiver.got]
    assert ids == [f"{made['id']}_{n}-{n}" for n in (1, 1, 1, 2, 3)]
    assert [got.body for got in receiver.got[2:]] == [event.body for event in events]


async def test_a_message_that_is_refused_is_given_up_alone(running: Notifying, receiver: Receiver) -> None:
    poison: list[bytes] = []
    receiver.answer = lambda got: web.Response(status=422 if got.body in poison else 200)
    made = await running.subscribe(classic(receiver.url))
    first, bad, last = [await running.outbox.accept(contract("c1")) for _ in range(3)]
    poison.append(bad.body)
    while await running.relay.emit():
        pass
    await eventually(lambda: bool(receiver.got) and receiver.got[-1].body == last.body)
    assert [got.body for got in receiver.got] == [first.body, bad.body, bad.body, bad.body, last.body]

    async def reason() -> str | None:
        async with running.database.read() as connection:
            return (await connection.execute(sa.select(t.given_up.c.reason))).scalar()

    assert await eventually(reason) == "refused 3 times: answered 422: it does not accept this content"
    assert (await running.get(made["id"]))["status"] == "active"


@pytest.mark.requirement("R-117")
async def test_a_refused_batch_is_split_until_the_bad_one_stands_alone(
    running: Notifying, receiver: Receiver
) -> None:
    def answer(got: Received) -> web.Response:
        return web.Response(status=413 if 3 in got.numbers else 200)

    made = await running.subscribe(topical(receiver.url, max_count=4))
    await became(running, made, "active")
    receiver.answer = answer
    await running.publish(*["c1"] * 5)
    await eventually(lambda: bool(receiver.got) and receiver.got[-1].numbers == [5])
    tried = list(dict.fromkeys(got.webhook_id.partition("_")[2] for got in receiver.events()))
    assert tried[-1] == "5-5"
    taken = [n for got in receiver.events() if 3 not in got.numbers for n in got.numbers]
    assert taken == [1, 2, 4, 5]


@pytest.mark.requirement("R-075", "R-076", "R-079", "R-098", "R-128", "R-113")
async def test_a_topic_lane_whose_schedule_ran_out_waits_for_its_client(
    running: Notifying, receiver: Receiver
) -> None:
    sent = topical(receiver.url)
    made = await running.subscribe(sent)
    await became(running, made, "active")
    receiver.statuses(500, 500, 500, 500)
    await running.publish("c1", "c1")
    found = await became(running, made, "error")
    assert found["error"] == "answered 500"
    await running.publish("c1")
    await running.replace(made["id"], sent)
    await eventually(lambda: [n for got in receiver.events()[4:] for n in got.numbers] == [1, 2, 3])
    await became(running, made, "active")
    handshakes = [got for got in receiver.got if got.kind == "handshake"]
    assert len(handshakes) == 2


@pytest.mark.requirement("R-077", "R-122")
async def test_gone_switches_off_and_keeps_the_backlog(running: Notifying, receiver: Receiver) -> None:
    receiver.statuses(410)
    sent = classic(receiver.url)
    made = await running.subscribe(sent)
    await running.publish("c1")
    await became(running, made, "off")
    await running.publish("c1")
    await eventually(partial(taken_in, running, 2))
    await running.replace(made["id"], sent)
    await eventually(lambda: len(receiver.got) == 2)
    await running.publish("c1")
    await eventually(lambda: len(receiver.got) == 3)
    assert [got.webhook_id.partition("_")[2] for got in receiver.got] == ["1-1", "1-1", "2-2"]


@pytest.mark.requirement("R-114")
async def test_a_restart_goes_on_where_it_was(running: Notifying, receiver: Receiver) -> None:
    made = await running.subscribe(classic(receiver.url))
    await running.publish("c1", "c1")
    await eventually(lambda: len(receiver.got) == 2)
    await running.stop()
    await running.publish("c1")
    await running.start()
    await eventually(lambda: len(receiver.got) == 3)
    assert [got.webhook_id for got in receiver.got] == [f"{made['id']}_{n}-{n}" for n in (1, 2, 3)]


@pytest.mark.requirement("R-013", "R-077")
async def test_a_deleted_subscription_hears_nothing_more(running: Notifying, receiver: Receiver) -> None:
    made = await running.subscribe(classic(receiver.url))
    other = await running.subscribe(classic(receiver.url))
    assert running.client is not None
    assert (await running.client.delete(f"/fhir/Subscription/{made['id']}")).status == 204
    await running.publish("c1")
    await eventually(lambda: len(receiver.got) == 1)
    assert receiver.got[0].webhook_id == f"{other['id']}_1-1"
    assert (await running.client.get(f"/fhir/Subscription/{made['id']}")).status == 410


async def test_one_hanging_endpoint_keeps_no_other_waiting(running: Notifying, receiver: Receiver) -> None:
    async with receiving() as hanging:
        hanging.hang()
        await running.subscribe(classic(hanging.url))
        await running.publish("c1")
        await eventually(lambda: len(hanging.got) == 1)
        await running.subscribe(classic(receiver.url))
        await running.publish(*["c1"] * 20)
        await eventually(lambda: len(receiver.got) == 20)
        assert len(hanging.got) == 1
