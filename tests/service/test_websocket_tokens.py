"""Who gets a token for what, what it binds and for how long; and what becomes of a client without a good one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from schemas.structure.gate import check_structure
from services import fhir_http
from services.notifier import tables as t
from services.notifier.retention import sweeps
from services.principal import Principal
from services.retention import Pruner
from services.settings import Settings
from tests.conditions import eventually
from tests.notifying import Notifying, notifying, topical
from tests.service.test_websocket import bind, unbound
from tests.websockets import by_name, connected, on_websocket, token_for

STRANGER = Principal("stranger", "provider", frozenset({"Organization/p9"}))
OTHER_OPERATOR = Principal("another", "operator", frozenset({"*"}))


@pytest.fixture
async def at(database_urls: tuple[str, str]) -> AsyncIterator[Notifying]:
    async with notifying(*database_urls) as opened:
        yield opened


async def tokens(at: Notifying) -> list[Any]:
    async with at.database.read() as connection:
        return list((await connection.execute(sa.select(t.binding_token))).all())


async def ended(at: Notifying, *said: str | bytes) -> tuple[int | None, str]:
    """Say these on a connection; return the close code and reason of the other side."""
    assert at.client is not None
    socket = await at.client.ws_connect("/fhir/ws")
    for each in said:
        await (socket.send_str(each) if isinstance(each, str) else socket.send_bytes(each))
    message = await socket.receive(timeout=10)
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    return socket.close_code, str(message.extra)


@pytest.mark.requirement("R-161", "R-162", "R-017")
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_token_is_for_one_for_some_or_for_all_of_a_client_s(at: Notifying, method: str) -> None:
    assert at.client is not None
    first, second, third = [await at.subscribe(on_websocket()) for _ in range(3)]
    await at.replace(third["id"], {**third, "status": "off"})
    await at.subscribe(topical("http://127.0.0.1:9/hook"))
    every, found = "/fhir/Subscription/$get-ws-binding-token", []
    for path, ids in (
        (f"/fhir/Subscription/{first['id']}/$get-ws-binding-token", [first["id"]]),
        # At one, `id` is read by nobody.
        (f"/fhir/Subscription/{first['id']}/$get-ws-binding-token?id={second['id']}", [first["id"]]),
        (f"{every}?id={second['id']}&id={first['id']}", [second["id"], first["id"]]),
        (every, sorted([first["id"], second["id"]])),
    ):
        answer = await at.client.request(method, path)
        body = await answer.json()
        assert answer.status == 200, body
        assert answer.headers["Cache-Control"] == "no-store"
        assert check_structure(body) == []
        assert [each["name"] for each in body["parameter"]] == [
            "token", "expiration", *["subscription"] * len(ids), "websocket-url",
        ]  # fmt: skip
        given = by_name(body)
        assert given["subscription"] == ids
        found.append(given["token"])
    assert len(set(found)) == 4
    assert all(len(each) >= 43 for each in found), "256 bits"


@pytest.mark.requirement("R-161", "R-180")
async def test_what_cannot_be_bound_to_is_named(at: Notifying, monkeypatch: pytest.MonkeyPatch) -> None:
    said = (await token_for(at, status=422))["issue"][0]["diagnostics"]
    assert "nothing to bind to" in said
    made, hook = await at.subscribe(on_websocket()), await at.subscribe(topical("http://127.0.0.1:9/hook"))
    said = (await token_for(at, made["id"], hook["id"], status=422))["issue"][0]["diagnostics"]
    assert f"Subscription/{hook['id']} has channel.type rest-hook; expected websocket" in said
    await token_for(at, "nobody-knows-it", status=404)
    assert at.client is not None
    path = f"/fhir/Subscription/{made['id']}/$get-ws-binding-token"
    for principal, status in ((STRANGER, 404), (OTHER_OPERATOR, 403)):
        monkeypatch.setattr(fhir_http, "LOCAL", principal)
        assert (await at.client.get(path)).status == status
        await token_for(at, made["id"], status=status)
        await token_for(at, status=422)  # none is theirs
    monkeypatch.undo()
    assert await tokens(at) == [], "whoever got none left none behind"
    assert (await at.client.delete(f"/fhir/Subscription/{made['id']}")).status == 204
    assert (await at.client.get(path)).status == 410


async def test_a_token_is_kept_as_a_hash_alone_and_never_logged(at: Notifying) -> None:
    made = await at.subscribe(on_websocket())
    with capture_logs() as lines:
        token = (await token_for(at, made["id"]))["token"]
        async with connected(at, made=made) as client:
            await client.bind(token)
            await client.until(1)
        assert (await ended(at, f"bind-with-token: {token}x"))[0] == 1008
    (row,) = await tokens(at)
    assert token not in str(row._mapping)
    assert token not in str(lines)
    async with at.database.read() as connection:
        audited = (await connection.execute(sa.select(t.audit).order_by(t.audit.c.id.desc()))).all()
    assert (audited[0].action, audited[0].subject) == ("websocket-token", f"Subscription/{made['id']}")
    assert token not in str(audited)


@pytest.mark.requirement("R-163", "R-168")
@pytest.mark.parametrize(
    "said",
    [
        "bind-with-token: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "bind-with-token",
        "bind-with-token: ",
        "bind 12345",
        '{"resourceType":"Parameters"}',
        "",
        b"bind-with-token: x",
    ],
)
async def test_a_client_that_says_anything_else_is_closed_with_a_reason(
    at: Notifying, said: str | bytes
) -> None:
    code, reason = await ended(at, said)
    assert code == 1008
    assert "token" in reason


async def test_a_message_that_is_too_long_is_not_read(at: Notifying) -> None:
    assert (await ended(at, "bind-with-token: " + "x" * 5000))[0] == 1009


@pytest.mark.requirement("R-168")
async def test_a_binding_ends_with_its_token_unless_another_one_comes_before(
    database_urls: tuple[str, str],
) -> None:
    async with notifying(*database_urls, websocket_token_seconds=2) as at:
        made = await at.subscribe(on_websocket())
        async with connected(at, made=made) as client:
            first = (await token_for(at, made["id"]))["token"]
            await client.bind(first)
            await client.until(1)
            await asyncio.sleep(1.2)  # noqa: TID251  # real time is what is measured
            await client.bind((await token_for(at, made["id"]))["token"])
            await client.until(2)
            assert client.kinds == ["handshake"] * 2
            await asyncio.sleep(1.2)  # noqa: TID251  # the first has expired by now
            await at.publish("c1")
            await client.until_number(1)
            assert await client.closed() == 4002
        await unbound(at, made)
        assert (await ended(at, f"bind-with-token: {first}"))[0] == 1008, "what has expired binds nobody"
        await at.publish("c1")
        async with connected(at, made=made) as client:
            await bind(at, client, made)
            await client.until_number(2)
            assert client.numbers == [2]


async def test_a_token_binds_only_what_is_still_its_client_s_to_bind(at: Notifying) -> None:
    made, other = await at.subscribe(on_websocket()), await at.subscribe(on_websocket())
    token = (await token_for(at, made["id"], other["id"]))["token"]
    await at.replace(made["id"], {**made, "status": "off"})
    async with connected(at, other=other) as client:
        await client.bind(token)
        await client.until(1)
        assert [each.subscription for each in client.heard] == [other["id"]]
    async with at.database.write() as connection:
        await connection.execute(sa.update(t.subscription).values(client="somebody-else"))
    code, reason = await ended(at, f"bind-with-token: {token}")
    assert (code, reason) == (1008, "what this token was for is off, changed or gone")


async def test_tokens_that_have_expired_are_removed(at: Notifying) -> None:
    made = await at.subscribe(on_websocket())
    await token_for(at, made["id"])
    await token_for(at, made["id"])
    async with at.database.write() as connection:
        oldest = sa.select(sa.func.min(t.binding_token.c.hash)).scalar_subquery()
        await connection.execute(
            sa.update(t.binding_token)
            .where(t.binding_token.c.hash == oldest)
            .values(expires_at=at.clock.now().replace(year=2020))
        )
    await Pruner(at.database, at.clock, sweeps(Settings())).run_dry()  # unless the notifier's own was first
    assert len(await tokens(at)) == 1


async def test_the_address_is_for_websockets_and_takes_so_many_at_a_time(
    database_urls: tuple[str, str],
) -> None:
    async with notifying(*database_urls, websocket_connections=1) as at:
        assert at.client is not None
        answer = await at.client.get("/fhir/ws")
        assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
        assert (await answer.json())["resourceType"] == "OperationOutcome"
        async with connected(at):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await at.client.ws_connect("/fhir/ws")
            assert caught.value.status == 503
        made = await at.subscribe(on_websocket())

        async def again() -> bool:
            try:
                async with connected(at, made=made) as client:
                    await bind(at, client, made)
            except aiohttp.WSServerHandshakeError:
                return False
            return True

        await eventually(again)
