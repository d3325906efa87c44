"""The websocket channel: a client that has bound is told everything it is owed, in order, on its connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa

from benchmarks.statements import counted
from services.metrics import REGISTRY
from services.notifier import tables as t
from services.notifier.model import LaneState
from services.notifier.watch.actions import RetryRefusedError, retry
from services.notifier.watch.gauges import Gauges
from services.notifier.watch.insights import subscriptions as insights
from services.notifier.watch.words import absolute, doing
from tests.conditions import eventually
from tests.notification import check_notification, check_status_searchset
from tests.notifying import Notifying, notifying, topical
from tests.outbox import BODY
from tests.receiver import receiving
from tests.websockets import SocketClient, connected, on_websocket, token_for


@pytest.fixture
async def at(database_urls: tuple[str, str]) -> AsyncIterator[Notifying]:
    async with notifying(*database_urls) as opened:
        yield opened


async def lane(at: Notifying, of: dict[str, Any]) -> Any:
    """Return a lane's row."""
    async with at.database.read() as connection:
        found = await connection.execute(sa.select(t.lane).where(t.lane.c.subscription_id == of["id"]))
        return found.one()


async def outcomes(at: Notifying, of: dict[str, Any]) -> list[str]:
    """Return what became of each try of a Subscription, oldest first."""
    tried = t.attempt.c
    statement = sa.select(tried.outcome).where(tried.subscription_id == of["id"]).order_by(tried.id)
    async with at.database.read() as connection:
        return list((await connection.execute(statement)).scalars())


async def unbound(at: Notifying, of: dict[str, Any]) -> None:
    """Wait until no client is bound to a Subscription, and nobody sends for it."""

    async def is_so() -> bool:
        row = await lane(at, of)
        return (row.state, row.holder, row.due_at, row.claim_id) == (LaneState.UNBOUND, None, None, None)

    await eventually(is_so, what="no client is bound")


async def settled(at: Notifying, of: dict[str, Any], number: int) -> None:
    """Wait until everything up to a number is recorded as delivered."""

    async def is_so() -> bool:
        row = await lane(at, of)
        return bool(row.next_number == number + 1 and row.claim_id is None)

    await eventually(is_so, what=f"{number} is settled")


async def owed(at: Notifying, of: dict[str, Any], number: int) -> None:
    """Wait until a Subscription has been given a number."""

    async def is_so() -> bool:
        return bool((await lane(at, of)).last_number == number)

    await eventually(is_so, what=f"{number} is owed")


async def bind(at: Notifying, client: SocketClient, *of: dict[str, Any]) -> None:
    """Have a client bind these, and wait for their handshakes."""
    before = client.kinds.count("handshake")
    await client.bind((await token_for(at, *(each["id"] for each in of)))["token"])
    await eventually(lambda: client.kinds.count("handshake") >= before + len(of), what="handshakes")


@pytest.mark.requirement(
    "R-003", "R-073", "R-160", "R-161", "R-162", "R-163", "R-164", "R-165", "R-167", "R-098"
)
async def test_a_client_binds_is_greeted_and_told_in_order(at: Notifying) -> None:
    made = await at.subscribe(on_websocket(max_count=1))
    assert made["status"] == "active"
    assert "endpoint" not in made["channel"]
    token = await token_for(at, made["id"])
    assert token["subscription"] == [made["id"]]
    assert token["websocket-url"] == "wss://vbpr.example/fhir/ws"
    async with connected(at, made=made) as client:
        await client.bind(token["token"])
        await client.until(1)
        assert client.kinds == ["handshake"]
        assert client.heard[0].total == 0
        for _ in range(20):
            await at.publish("c1")
        await client.until_number(20)
        assert client.numbers == list(range(1, 21))
        assert set(client.kinds[1:]) == {"event-notification"}
        await settled(at, made, 20)
    await unbound(at, made)
    assert await outcomes(at, made) == ["delivered"] * 21
    assert (await at.get(made["id"]))["status"] == "active"


@pytest.mark.requirement("R-164", "R-167", "R-079", "R-093", "R-110", "R-114")
async def test_what_is_owed_waits_for_a_client_and_then_comes_in_order(at: Notifying) -> None:
    made = await at.subscribe(on_websocket(max_count=7))
    await at.publish(*["c1"] * 30)
    await owed(at, made, 30)
    async with connected(at, made=made) as client:
        await bind(at, client, made)
        await client.until_number(30)
        await settled(at, made, 30)
        assert client.heard[0].kind == "handshake"
    assert client.heard[0].total == 0, "the first handshake of a Subscription"
    assert client.numbers == list(range(1, 31))
    assert max(len(each.numbers) for each in client.heard) == 7
    await unbound(at, made)
    await at.publish(*["c1"] * 3)
    await owed(at, made, 33)
    async with connected(at, made=made) as client:
        await bind(at, client, made)
        await client.until_number(33)
        await settled(at, made, 33)
        assert (client.heard[0].kind, client.heard[0].total) == ("handshake", 33)


@pytest.mark.requirement("R-166", "R-107", "R-117")
@pytest.mark.parametrize("content", ["empty", "id-only", "full-resource"])
async def test_the_payload_level_and_the_count_are_those_asked_for(at: Notifying, content: str) -> None:
    # The client holds every Bundle against its Subscription.
    made = await at.subscribe(on_websocket(content=content, max_count=2))
    await at.publish(*["c1"] * 5)
    await owed(at, made, 5)
    async with connected(at, made=made) as client:
        await bind(at, client, made)
        await client.until_number(5)
        last = client.heard[-1].text
    assert [each.numbers for each in client.heard] == [[], [1, 2], [3, 4], [5]]
    assert ("4.50" in last) == (content == "full-resource")


async def test_nobody_bound_costs_nothing_and_hurts_nobody(at: Notifying) -> None:
    waiting = [await at.subscribe(on_websocket()) for _ in range(3)]
    async with receiving() as receiver:
        hook = await at.subscribe(topical(receiver.url))
        await at.publish(*["c1"] * 4)
        await eventually(lambda: [n for got in receiver.got for n in got.numbers] == [1, 2, 3, 4])
        await settled(at, hook, 4)
    for made in waiting:
        row = await lane(at, made)
        assert (row.state, row.last_number, row.next_number, row.due_at) == (LaneState.UNBOUND, 4, 1, None)
        assert (row.retry, row.failing_since, row.said) == (0, None, None)
        assert await outcomes(at, made) == []
        assert (await at.get(made["id"]))["status"] == "active"
    assert at.notifier is not None
    await Gauges(at.database, at.clock).step()
    shown = REGISTRY.get_sample_value
    assert shown("vbpr_notifications_owed", {"state": "unbound"}) == 12
    assert shown("vbpr_oldest_owed_age_seconds") == 0
    with counted(at.database) as idle:
        await asyncio.sleep(0.5)  # noqa: TID251  # what happens when nothing does
    assert not any("lane SET" in text for text in idle), "nobody leases, sends for or records them"


@pytest.mark.requirement("R-167", "R-168")
async def test_one_connection_serves_several_and_more_can_be_bound_to_it(at: Notifying) -> None:
    first, second, third = [await at.subscribe(on_websocket()) for _ in range(3)]
    async with connected(at, first=first, second=second, third=third) as client:
        await bind(at, client, first, second)
        assert {each.subscription for each in client.heard} == {first["id"], second["id"]}
        await client.bind((await token_for(at, third["id"]))["token"], colon=False)
        await client.until(3)
        await at.publish("c1", "c1")
        for made in (first, second, third):
            await settled(at, made, 2)
        for made in (first, second, third):
            told = [each.numbers for each in client.heard if each.subscription == made["id"]]
            assert [number for numbers in told for number in numbers] == [1, 2]


async def test_the_newest_connection_has_it_and_the_former_is_told_so(at: Notifying) -> None:
    made = await at.subscribe(on_websocket())
    async with connected(at, made=made) as former, connected(at, made=made) as newest:
        await bind(at, former, made)
        await at.publish("c1")
        await former.until_number(1)
        await settled(at, made, 1)
        await bind(at, newest, made)
        assert newest.heard[0].total == 1
        assert await former.closed() == 4001
        await at.publish("c1", "c1")
        await newest.until_number(3)
        assert (former.numbers, newest.numbers) == ([1], [2, 3])
        await settled(at, made, 3)
        assert (await lane(at, made)).state == LaneState.OPEN, "the former's end took nothing from the newest"


async def test_what_was_not_known_to_be_there_comes_again_on_the_next_connection(at: Notifying) -> None:
    made = await at.subscribe(on_websocket(max_count=1))
    async with connected(at, made=made) as broken:
        await bind(at, broken, made)
        broken.reading.clear()
        await broken.until(1)
        await at.publish(*["c1"] * 3)
        await eventually(lambda: at.notifier is not None and bool(at.notifier._delivery.deliverer.running))
        assert broken.socket._response.connection is not None
        assert broken.socket._response.connection.transport is not None
        broken.socket._response.connection.transport.abort()
        await unbound(at, made)
    row = await lane(at, made)
    assert (row.next_number, row.failing_since, row.retry) == (1, None, 0)
    assert (await outcomes(at, made))[1:] in ([], ["unbound"])
    async with connected(at, made=made) as client:
        await bind(at, client, made)
        await client.until_number(3)
        assert client.numbers == [1, 2, 3]


async def test_a_client_that_reads_too_slowly_is_cut_off_and_owed_the_same(
    database_urls: tuple[str, str],
) -> None:
    async with notifying(*database_urls, total_deadline=1.0) as at, receiving() as receiver:
        slow = await at.subscribe(on_websocket(max_count=1))
        await at.subscribe(topical(receiver.url))
        async with connected(at, slow=slow) as client:
            await bind(at, client, slow)
            client.reading.clear()
            await at.publish("c1")
            await client.until(1)
            score = b'{"text":"' + b"x" * 3_000_000 + b'"}'
            large = BODY % 1
            large = large[:-1] + b',"improvementNotation":' + score + b"}"
            await at.outbox.accept("https://payer.example/Measure/c1", body=large)
            await at.publish("c1", "c1")
            await unbound(at, slow)
            # The others were told meanwhile.
            await eventually(lambda: 4 in [number for got in receiver.got for number in got.numbers])
            assert (await outcomes(at, slow))[-1] == "unbound"
        async with connected(at, slow=slow) as client:
            await bind(at, client, slow)
            await client.until_number(4)
            assert client.numbers[-3:] == [2, 3, 4]


async def test_a_notification_its_client_does_not_take_is_given_up_after_three_connections(
    at: Notifying,
) -> None:
    made = await at.subscribe(on_websocket(max_count=1))
    await at.publish("c1", "c1")
    await owed(at, made, 2)
    assert at.client is not None
    for _ in range(3):
        socket = await at.client.ws_connect("/fhir/ws", max_msg_size=1200)
        await socket.send_str(f"bind-with-token: {(await token_for(at, made['id']))['token']}")
        while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert socket.close_code == 1009
        await unbound(at, made)
    view = await insights.subscription(at.database, made["id"])
    assert view is not None
    assert (view.given_up, view.owed) == (1, 1)
    async with connected(at, made=made) as client:
        await bind(at, client, made)
        await client.until_number(2)
        assert client.numbers == [2]


@pytest.mark.requirement("R-119", "R-120", "R-094", "R-167")
async def test_heartbeats_come_to_who_asked_for_them_while_it_is_bound(at: Notifying) -> None:
    beating, silent = await at.subscribe(on_websocket(heartbeat=10)), await at.subscribe(on_websocket())
    async with at.database.write() as connection:
        # Less than may be asked for, so that nobody waits ten seconds here.
        statement = sa.update(t.subscription).where(t.subscription.c.id == beating["id"]).values(heartbeat=1)
        await connection.execute(statement)
    async with connected(at, beating=beating, silent=silent) as client:
        await bind(at, client, beating, silent)
        await at.publish("c1")
        await eventually(lambda: client.kinds.count("heartbeat") >= 2)
        beats = [each for each in client.heard if each.kind == "heartbeat"]
        assert {each.subscription for each in beats} == {beating["id"]}
        assert {each.total for each in beats} == {1}
    await unbound(at, beating)


@pytest.mark.requirement("R-140", "R-145", "R-150", "R-156")
async def test_status_events_and_resend_are_as_for_any_other(at: Notifying) -> None:
    made = await at.subscribe(on_websocket(content="id-only"))
    await at.publish("c1", "c1")
    await owed(at, made, 2)
    assert at.client is not None
    one = f"/fhir/Subscription/{made['id']}"

    async def status() -> dict[str, Any]:
        bundle = await (await at.client.get(f"{one}/$status")).json()  # type: ignore[union-attr]  # it is there
        check_status_searchset(bundle)
        return {each["name"]: each for each in bundle["entry"][0]["resource"]["parameter"]}

    said = await status()
    assert (said["status"]["valueCode"], "error" in said) == ("active", False), "nobody bound is no error"
    assert said["events-since-subscription-start"]["valueString"] == "2"
    events = await (await at.client.get(f"{one}/$events?eventsSinceNumber=1")).json()
    assert check_notification(events, made) == []
    async with connected(at, made=made) as client:
        await bind(at, client, made)
        await client.until_number(2)
        await settled(at, made, 2)
        assert (await at.client.post(f"{one}/$resend?eventsSinceNumber=1&eventsUntilNumber=1")).status == 200
        await eventually(lambda: client.numbers == [1, 2, 1])
    await unbound(at, made)
    assert (await at.client.post(f"{one}/$resend?eventsSinceNumber=2")).status == 200
    async with connected(at, made=made) as client:
        await bind(at, client, made)
        await client.until_number(2)
        assert client.numbers == [2]
    assert "error" not in await status()


async def test_operators_read_who_is_bound_and_since_when_nobody_is(at: Notifying) -> None:
    made = await at.subscribe(on_websocket())

    async def seen() -> Any:
        view = await insights.subscription(at.database, made["id"])
        assert view is not None
        return view

    view = await seen()
    now = await insights.now(at.database, at.clock)
    assert (view.endpoint, view.channel, view.failing_since) == ("websocket", "websocket", None)
    assert doing(view, now) == f"no client bound since {absolute(view.binding_since)}"
    with pytest.raises(RetryRefusedError, match="No client is bound"):
        await retry(at.database, at.clock, made["id"], actor="op", reason="look")
    async with connected(at, made=made) as client:
        await bind(at, client, made)

        async def is_bound() -> bool:
            seen_now = await seen()
            said = f"a client is bound since {absolute(seen_now.binding_since)}, owes nothing"
            return doing(seen_now, now) == said

        await eventually(is_bound)
    await unbound(at, made)
    later = await seen()
    assert later.binding_since >= view.binding_since
    assert (later.tries, later.last_failure) == (0, None)


@pytest.mark.requirement("R-076", "R-077", "R-168")
async def test_one_that_is_switched_off_is_told_no_more_and_goes_on_when_it_is_bound_again(
    at: Notifying,
) -> None:
    made = await at.subscribe(on_websocket())
    async with connected(at, made=made) as client:
        await bind(at, client, made)
        off = await at.replace(made["id"], {**made, "status": "off"})
        assert off["status"] == "off"
        assert await client.closed() == 4001
    await token_for(at, made["id"], status=409)
    again = await at.replace(made["id"], {**made, "status": "requested"})
    assert again["status"] == "active"
    await at.publish("c1")
    await owed(at, made, 1)
    async with connected(at, made=again) as client:
        await bind(at, client, made)
        await client.until_number(1)


async def test_one_that_is_switched_off_while_it_is_greeted_ends_as_one_that_was_bound(at: Notifying) -> None:
    made = await at.subscribe(on_websocket())
    token = (await token_for(at, made["id"]))["token"]
    assert at.client is not None
    socket = await at.client.ws_connect("/fhir/ws", autoping=False)
    await socket.send_str(f"bind-with-token: {token}")
    async with asyncio.timeout(10):
        handshake, ping = await socket.receive(), await socket.receive()
        assert (handshake.type, ping.type) == (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING)
        await at.replace(made["id"], {**made, "status": "off"})
        await socket.pong(ping.data)
        await socket.receive()
    assert socket.close_code == 4001


async def test_a_new_payload_level_holds_from_the_next_notification_on_and_the_client_stays(
    at: Notifying,
) -> None:
    made = await at.subscribe(on_websocket(content="empty"))
    async with connected(at, made=made) as client:
        await bind(at, client, made)
        await at.publish("c1")
        await client.until_number(1)
        await settled(at, made, 1)
        wanted = on_websocket(content="id-only")
        changed = await at.replace(made["id"], {**wanted, "status": "active"})
        assert changed["status"] == "active"
        client.subscriptions[made["id"]] = changed
        await at.publish("c1")
        await client.until_number(2)
        assert "/MeasureReport/r1" in client.heard[-1].text


async def test_a_subscription_may_change_from_one_channel_to_the_other(at: Notifying) -> None:
    async with receiving() as receiver:
        made = await at.subscribe(topical(receiver.url))
        await eventually(lambda: len(receiver.got) == 1)
        changed = await at.replace(made["id"], {**on_websocket(), "status": "active"})
        assert changed["status"] == "active"
        await at.publish("c1")
        await owed(at, made, 1)
        async with connected(at, made=changed) as client:
            await bind(at, client, made)
            await client.until_number(1)
            await settled(at, made, 1)
            back = await at.replace(made["id"], {**topical(receiver.url), "status": "active"})
            assert back["status"] == "requested"
            assert await client.closed() == 4001
        await at.publish("c1")
        await eventually(lambda: [got.numbers for got in receiver.got] == [[], [], [2]])


async def test_the_end_of_a_process_closes_in_order_and_the_next_one_goes_on_where_it_was(
    at: Notifying,
) -> None:
    made = await at.subscribe(on_websocket(max_count=1))
    token = (await token_for(at, made["id"]))["token"]
    async with connected(at, made=made) as client:
        await client.bind(token)
        await client.until(1)
        await at.publish(*["c1"] * 3)
        await client.until_number(3)
        await settled(at, made, 3)
        await at.stop()
        assert await client.closed() == 1001
    await at.start()
    await at.publish("c1", "c1")
    await owed(at, made, 5)
    async with connected(at, made=made) as client:
        await client.bind(token)
        await client.until_number(5)
        assert client.numbers == [4, 5]
        assert client.heard[0].total == 5


async def test_deleted_while_a_client_is_bound(at: Notifying) -> None:
    made, other = await at.subscribe(on_websocket()), await at.subscribe(on_websocket())
    assert at.client is not None
    async with connected(at, made=made, other=other) as client:
        await bind(at, client, made, other)
        assert (await at.client.delete(f"/fhir/Subscription/{made['id']}")).status == 204
        await at.publish("c1")
        await client.until_number(1)
        assert {each.subscription for each in client.heard if each.numbers} == {other["id"]}
        assert (await at.client.delete(f"/fhir/Subscription/{other['id']}")).status == 204
        assert await client.closed() == 4001


async def test_many_on_one_connection_take_turns_without_waiting_for_a_poll(
    database_urls: tuple[str, str],
) -> None:
    async with notifying(*database_urls, poll_seconds=30.0) as at:
        made = [await at.subscribe(on_websocket(max_count=1, content="id-only")) for _ in range(20)]
        await at.publish(*["c1"] * 20)
        for each in made:
            await owed(at, each, 20)
        async with connected(at, **{f"made{place}": each for place, each in enumerate(made)}) as client:
            await bind(at, client, *made)
            await eventually(lambda: len(client.numbers) >= 400, within=20)
        for each in made:
            told = [heard.numbers for heard in client.heard if heard.subscription == each["id"]]
            assert told == [[], *([number] for number in range(1, 21))]
